"""Alerts in memory, and receivers on the loopback: an HTTP server and a mail server."""

from __future__ import annotations

import json
import socketserver
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

from mlops_assets.domain.alert import Alert, Letter, Route
from mlops_assets.ports import Alerting
from mlops_assets_tests.fakes.serving import NOW

KINDS = ("raised", "sent", "done", "over")


class FakeAlertLog:
    def __init__(self):
        self.files = {}

    def put(self, kind, name, data):
        assert kind in KINDS
        if (kind, name) in self.files:
            return False
        self.files[kind, name] = data
        return True

    def get(self, kind, name):
        return self.files.get((kind, name))

    def names(self, kind):
        return sorted(name for other, name in self.files if other == kind)

    @contextmanager
    def lock(self):
        yield


class FakeAlerts:
    """Takes everything, but what ``down`` says of a channel or ``refuses`` of a kind."""

    def __init__(self):
        self.got = []
        self.down = {}
        self.refuses = {}

    def send(self, letter, channel):
        if channel in self.down:
            raise self.down[channel]
        if (channel, letter.alert.kind) in self.refuses:
            raise self.refuses[channel, letter.alert.kind]
        if (channel, letter.name) not in [(other, one.name) for other, one in self.got]:
            self.got.append((channel, letter))

    def kinds(self, channel):
        """What a channel got, in order."""
        return [letter.alert.kind for other, letter in self.got if other == channel]


def fake_alerting():
    """A log, receivers, and what flows take of both."""
    log, receivers = FakeAlertLog(), FakeAlerts()
    return log, receivers, Alerting(log=log, receivers=lambda _: receivers)


def an_alert(**changes):
    """One alert that differs as named."""
    given = {
        "kind": "no_forecast",
        "cause": "2024-06-20",
        "plants": ("P001",),
        "owners": ("team:works",),
        "subject": "no forecast for 2024-06-20: P001/C001",
        "says": "P001/C001 had no forecast.",
        "command": "mlops predict --date 2024-06-20",
    }
    return Alert(**(given | changes))


def a_letter(*, name="no_forecast.0.0", webhook=True, mail=("ann@co.example",), **changes):
    """One alert on its way."""
    return Letter(
        name=name, at=NOW, alert=an_alert(**changes), route=Route(webhook=webhook, mail=mail)
    )


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((dict(self.headers), json.loads(body)))
        self.send_response(self.server.answer)
        if self.server.answer == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


class _Mail(socketserver.StreamRequestHandler):
    """As much of SMTP as one mail needs."""

    def handle(self):
        server, mail = self.server, {"to": []}
        self._say("220 loopback")
        while line := self.rfile.readline().decode().strip():
            verb = line.partition(" ")[0].upper()
            if verb == "RCPT":
                refused = any(name in line for name in server.refuses)
                mail["to"] += [] if refused else [line.partition("<")[2].partition(">")[0]]
                self._say("550 unknown here" if refused else "250 ok")
            elif verb == "MAIL":
                mail["from"] = line.partition("<")[2].partition(">")[0]
                self._say("250 ok")
            elif verb == "DATA":
                self._say("354 go on")
                lines = []
                while (text := self.rfile.readline()) != b".\r\n":
                    lines.append(text)
                server.got.append(mail | {"data": b"".join(lines)})
                self._say("250 ok")
            elif verb == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 loopback")

    def _say(self, line):
        self.wfile.write(f"{line}\r\n".encode())


@contextmanager
def served(server):
    """Run a server in a thread; its ``got`` are what it received, ``url`` and ``place`` where."""
    server.got, server.answer, server.refuses = [], 204, ()
    server.place = f"127.0.0.1:{server.server_address[1]}"
    server.url = f"http://{server.place}/alerts"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def webhook_server():
    """A webhook on a free port."""
    return served(HTTPServer(("127.0.0.1", 0), _Hook))


def mail_server():
    """A mail server on a free port."""
    return served(socketserver.TCPServer(("127.0.0.1", 0), _Mail))
