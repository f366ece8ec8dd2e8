"""The control plane behind HTTPS on the loopback: in a thread, or as a process of its own.

``python -m mlops_assets_tests.control_plane.server FOLDER`` reads `settings.json` there, writes a
certificate and, once it listens, `ready.json`; it ends when its standard input does, so it never
outlives who started it. Orders for `faults` and questions about what was called come over the same
address, below `/control/`, with the secret of `ready.json`.
"""

from __future__ import annotations

import json
import ssl
import sys
import threading
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.settings.azure import AzureBackend, Cloud, Compute, DevOps, Monitor, Synapse
from mlops_assets_tests.control_plane.authorization import AuthorizationService
from mlops_assets_tests.control_plane.certificate import written
from mlops_assets_tests.control_plane.devops import DevOpsService
from mlops_assets_tests.control_plane.monitor import MonitorService
from mlops_assets_tests.control_plane.plane import ControlPlane
from mlops_assets_tests.control_plane.wire import (
    Answer,
    LostError,
    RefusalError,
    Request,
    bad_request,
)

if TYPE_CHECKING:
    import socket

CONTROL_HEADER = "x-control-secret"
INSIGHTS = "instrumentation key"
_ORDERS = frozenset(
    {"throttle", "fail", "lose_request", "lose_answer", "fail_after", "fail_update", "clear"}
)
_NESTED = {"cloud": Cloud, "compute": Compute, "synapse": Synapse, "monitor": Monitor,
           "devops": DevOps}  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    """Carries requests to the plane; keeps connections, as the service does."""

    protocol_version = "HTTP/1.1"
    timeout = 60
    plane: ControlPlane
    # A pause before each small segment would cost 40 ms a request.
    disable_nagle_algorithm = True

    def setup(self) -> None:
        # Here and not where connections are taken, so that a slow client holds up nobody.
        self.request.settimeout(self.timeout)
        self.request.do_handshake()
        super().setup()

    def serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        host = self.headers.get("Host", "")
        request = Request(
            self.command,
            f"https://{host}{self.path}",
            {name.lower(): value for name, value in self.headers.items()},
            body,
        )
        try:
            answer = self.plane.handle(request)
        except LostError:
            self.close_connection = True
            return
        content = answer.content
        self.send_response(answer.status)
        for name, value in {"Content-Type": "application/json", **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = do_HEAD = serve  # noqa: N815 the base calls them so

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base's own name
        """`plane.calls` holds every call."""


class Server(ThreadingHTTPServer):
    """One listening control plane."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, plane: ControlPlane, port: int, certificate: Path, key: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._context = context
        super().__init__(("127.0.0.1", port), type("Handler", (_Handler,), {"plane": plane}))
        add_control(plane)
        add_services(plane)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = self.socket.accept()
        wrapped = self._context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )
        return wrapped, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is no news; anything else is."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def add_services(plane: ControlPlane) -> None:
    """Add what the settings name beside Azure ML, and what tells what it took."""
    backend, taken = plane.backend, {"rows": [], "points": []}
    AuthorizationService(plane)
    if backend.devops:
        service = DevOpsService(plane, backend.devops)

        def completed(request: Request) -> Answer:
            known(plane, request)
            service.add(**request.json)
            return Answer(200, {})

        plane.route("POST", "/control/pulls", completed, public=True)
    if backend.monitor:
        # With the SDKs of Azure Monitor, which nobody else here waits for.
        from mlops_assets.adapters.azure.monitor import COLUMNS

        key = plane.guid(INSIGHTS)
        monitor = MonitorService(plane, backend.monitor.rule, COLUMNS, key)
        taken = {"rows": monitor.rows, "points": monitor.points}

    def told(request: Request) -> Answer:
        known(plane, request)
        return Answer(200, taken)

    plane.route("GET", "/control/monitor", told, public=True)


def known(plane: ControlPlane, request: Request) -> None:
    """Refuse who does not hold the secret of this server."""
    if request.headers.get(CONTROL_HEADER) != plane.identities.secret:
        raise RefusalError(401, "Unauthorized", f"{CONTROL_HEADER} is another server's.")


def add_control(plane: ControlPlane) -> None:
    """Add what orders faults and tells of calls."""

    def order(request: Request) -> Answer:
        known(plane, request)
        wanted = request.json
        name = wanted.pop("do")
        if name not in _ORDERS:
            raise bad_request(f"{name} is no order; known: {', '.join(sorted(_ORDERS))}.")
        getattr(plane.faults, name)(**wanted)
        return Answer(200, {})

    def calls(request: Request) -> Answer:
        known(plane, request)
        told = [
            {
                "status": call.status,
                "role": call.role,
                "method": call.request.method,
                "url": call.request.url,
                "body": call.request.body.decode(errors="replace"),
            }
            for call in list(plane.calls)
            if not call.request.path.startswith("/control/")
        ]
        return Answer(200, told)

    def jobs(request: Request) -> Answer:
        known(plane, request)
        told = [
            {
                "name": job.name,
                "workspace": job.workspace,
                "status": job.status,
                "log": job.outcome.log if job.outcome else "",
            }
            for job in plane.jobs.jobs
        ]
        return Answer(200, told)

    plane.route("POST", "/control/faults", order, public=True)
    plane.route("GET", "/control/calls", calls, public=True)
    plane.route("GET", "/control/jobs", jobs, public=True)


def settings_bytes(backend: AzureBackend, node_environment: dict[str, str]) -> bytes:
    """What `settings.json` holds."""
    named = asdict(backend)
    return json.dumps({"backend": named, "node_environment": node_environment}).encode()


def backend_of(named: dict[str, Any]) -> AzureBackend:
    """The backend of `settings.json`."""
    made = {
        name: _NESTED[name](**value) if name in _NESTED and value is not None else value
        for name, value in named.items()
    }
    return AzureBackend(**made)


def main(folder: Path) -> None:
    """Serve until standard input ends."""
    told = json.loads((folder / "settings.json").read_bytes())
    backend = backend_of(told["backend"])
    address = backend.cloud.resource_manager.rstrip("/")
    certificate, key = written(folder)
    plane = ControlPlane(backend, address=address, node_environment=told["node_environment"])
    server = Server(plane, int(address.rsplit(":", 1)[1]), certificate, key)
    plane.node_environment |= {"REQUESTS_CA_BUNDLE": str(certificate)}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ready = {
        "secret": plane.identities.secret,
        "insights": plane.guid(INSIGHTS),
        "roles": {role: plane.identities.environment(role) for role in plane.identities.roles},
    }
    (folder / "ready.json.new").write_text(json.dumps(ready), encoding="utf-8")
    (folder / "ready.json.new").rename(folder / "ready.json")
    sys.stdin.read()
    server.shutdown()
    plane.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
