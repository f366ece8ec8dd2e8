"""Alerts in memory, and receivers on the loopback: an HTTP server and a mail server."""

from __future__ import annotations

import base64
import json
import socketserver
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

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
    """As much of SMTP as one mail needs; over TLS with a login where the server has a context."""

    def handle(self):
        server, mail = self.server, {"to": []}
        secret = False
        self._say("220 loopback")
        while line := self.rfile.readline().decode().strip():
            verb = line.partition(" ")[0].upper()
            if verb == "EHLO" and server.context and not secret:
                self._say("250-loopback")
                self._say("250 STARTTLS")
            elif verb == "EHLO" and server.context:
                self._say("250-loopback")
                self._say("250 AUTH PLAIN")
            elif verb == "STARTTLS":
                self._say("220 go on")
                try:
                    self.connection = server.context.wrap_socket(self.connection, server_side=True)
                except OSError:
                    return  # who called does not believe the certificate
                self.rfile, self.wfile = (self.connection.makefile(mode) for mode in ("rb", "wb"))
                secret = True
            elif verb == "AUTH":
                given = base64.b64decode(line.split()[-1]).decode().split("\0")[1:]
                server.logins.append((given, secret))
                right = tuple(given) == server.login
                self._say("235 welcome" if right else "535 wrong user or password")
            elif verb == "RCPT":
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

    def finish(self):
        super().finish()
        # What TLS was laid around is not the socket that the server began with.
        self.connection.close()

    def _say(self, line):
        self.wfile.write(f"{line}\r\n".encode())
        self.wfile.flush()


@contextmanager
def served(server):
    """Run a server in a thread; its ``got`` are what it received, ``url`` and ``place`` where."""
    server.got, server.answer, server.refuses = [], 204, ()
    server.context, server.login, server.logins = None, (), []
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


@contextmanager
def safe_mail_server(folder, *, login=(), name="127.0.0.1"):
    """A mail server that speaks TLS for ``name``; yields it with the file that vouches for it."""
    certificate, key = self_signed(name)
    both, trusted = folder / "server.pem", folder / "trusted.pem"
    both.write_bytes(key + certificate)
    trusted.write_bytes(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    with mail_server() as server:
        server.context, server.login, server.trusted = context, login, trusted
        yield server


def self_signed(address):
    """A certificate for one IP address that vouches for itself, and its key, both as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    began = datetime.now(UTC) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(began)
        .not_valid_after(began + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pkcs8 = serialization.PrivateFormat.PKCS8
    pem = serialization.Encoding.PEM
    return certificate.public_bytes(pem), key.private_bytes(pem, pkcs8, plain)
