"""Between delta-rs and Azurite: it forwards, counts, loses answers, refuses, and asks for tokens.

The table library talks to the service from inside Rust, where no transport can be put.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

_HOP = {"connection", "keep-alive", "transfer-encoding", "host", "content-length"}


class BlobProxy:
    """An address that stands for an account's.

    Args:
        account: where requests go.
        tokens: where given, the bearer tokens that are accepted; the account's key is not.
    """

    def __init__(self, account, tokens=None):
        self.account = account
        self.tokens = tokens
        self.seen = []
        self.before = lambda method, path: None
        self.after = lambda method, path, status: None
        self.url = ""
        self._sas = generate_account_sas(
            account.name,
            account.key,
            ResourceTypes(service=True, container=True, object=True),
            AccountSasPermissions.from_string("rwdlacu"),
            datetime.now(UTC) + timedelta(hours=1),
            protocol="https,http",
        )

    def answer(self, method, path, headers, body):
        """Status, headers and body for one request.

        ``before`` may answer with a status instead of the service, ``after`` instead of its answer.
        """
        self.seen.append((method, urlsplit(path).path))
        if self.tokens is not None:
            token = headers.pop("authorization", "").removeprefix("Bearer ")
            if token not in self.tokens:
                return 401, {}, b"<Error><Code>InvalidAuthenticationInfo</Code></Error>"
            path += ("&" if "?" in path else "?") + self._sas
        if status := self.before(method, path):
            return status, {}, b""
        upstream = HTTPConnection("127.0.0.1", urlsplit(self.account.url).port, timeout=60)
        try:
            upstream.request(method, path, body=body, headers=headers)
            got = upstream.getresponse()
            data, kept = got.read(), {k: v for k, v in got.getheaders() if k.lower() not in _HOP}
            if method == "HEAD":
                kept["Content-Length"] = got.getheader("content-length", "0")
            if status := self.after(method, path, got.status):
                return status, {}, b""
            return got.status, kept, data
        finally:
            upstream.close()


class Once:
    """Answers with a status, once, what matches; ``done`` says that it came to that."""

    def __init__(self, matches, status):
        self._matches, self._status, self.done = matches, status, False

    def __call__(self, method, path, *_):
        if self.done or not self._matches(method, path):
            return None
        self.done = True
        return self._status


@contextmanager
def proxied(account, tokens=None):
    """Start a proxy before an account; `url` is the account's address through it."""
    proxy = BlobProxy(account, tokens)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self):
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {k.lower(): v for k, v in self.headers.items() if k.lower() not in _HOP}
            status, kept, data = proxy.answer(self.command, self.path, headers, body)
            self.send_response_only(status)
            for name, value in ({"Content-Length": str(len(data))} | kept).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
        setattr(Handler, f"do_{method}", Handler._serve)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    proxy.url = f"http://127.0.0.1:{server.server_port}/{account.name}"
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
