"""Starts the control plane as a process of its own, and speaks with it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from mlops_assets_tests.control_plane.server import CONTROL_HEADER, settings_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlops_assets.settings.azure import AzureBackend, Role

_ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 180


@dataclass(frozen=True)
class Served:
    """A running control plane.

    Attributes:
        backend: the settings of who wants to reach it; identities name the roles.
        certificate: what clients have to trust.
    """

    backend: AzureBackend
    address: str
    certificate: Path
    pid: int
    secret: str
    insights: str
    roles: Mapping[str, Mapping[str, str]]

    def environment(self, role: Role | None = None) -> dict[str, str]:
        """What a process needs to reach it by `DefaultAzureCredential`.

        Without a role, the settings' identities say which one is asked for.
        """
        found = dict(self.roles[role or "dev"])
        if role is None:
            del found["AZURE_CLIENT_ID"]
        return found | {
            "REQUESTS_CA_BUNDLE": str(self.certificate),
            "APPLICATIONINSIGHTS_CONNECTION_STRING": (
                f"InstrumentationKey={self.insights};IngestionEndpoint={self.address}/"
            ),
        }

    def order(self, do: str, **what: Any) -> None:
        """Order a fault by its name in `Faults`."""
        self._ask("POST", "/control/faults", json={"do": do, **what})

    def calls(self) -> list[dict[str, Any]]:
        """Every call so far: status, role, method, url, body."""
        return list(self._ask("GET", "/control/calls"))

    def jobs(self) -> list[dict[str, Any]]:
        """Every job so far: name, workspace, status, log."""
        return list(self._ask("GET", "/control/jobs"))

    def completed(self, number: int, **pull: Any) -> None:
        """Remember a completed pull request, as `DevOpsService.add` takes it."""
        self._ask("POST", "/control/pulls", json={"number": number, **pull})

    def monitored(self) -> dict[str, list[dict[str, Any]]]:
        """What Azure Monitor took: rows of logs and points of metrics."""
        return dict(self._ask("GET", "/control/monitor"))

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        answer = requests.request(
            method,
            f"{self.address}{path}",
            headers={CONTROL_HEADER: self.secret},
            verify=str(self.certificate),
            timeout=30,
            **more,
        )
        answer.raise_for_status()
        return answer.json()


@contextmanager
def served(
    backend: AzureBackend, folder: Path, node_environment: Mapping[str, str] | None = None
) -> Iterator[Served]:
    """Start a control plane of these names, and stop it with its jobs.

    Args:
        backend: names; addresses of the control plane are put in here.
        folder: an empty folder of its own.
        node_environment: what processes of jobs find, such as the key of the storage account.
    """
    address = f"https://127.0.0.1:{_free_port()}"
    cloud = replace(backend.cloud, resource_manager=f"{address}/", registry_discovery=f"{address}/")
    reached = replace(
        backend,
        cloud=cloud,
        monitor=backend.monitor and replace(backend.monitor, ingestion=address),
        devops=backend.devops and replace(backend.devops, address=address),
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.json").write_bytes(settings_bytes(reached, dict(node_environment or {})))
    log = folder / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlops_assets_tests.control_plane.server", str(folder)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=_ROOT,
        )
    try:
        ready = _await(folder / "ready.json", process, log)
        clients = {role: given["AZURE_CLIENT_ID"] for role, given in ready["roles"].items()}
        reached = replace(
            reached, identities={role: clients[role] for role in clients if role != "owner"}
        )
        yield Served(
            reached,
            address,
            folder / "certificate.pem",
            process.pid,
            ready["secret"],
            ready["insights"],
            ready["roles"],
        )
    finally:
        if process.stdin:
            process.stdin.close()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(60)


def _await(ready: Path, process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    end = time.monotonic() + _START_SECONDS
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"no control plane: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)
    found: dict[str, Any] = json.loads(ready.read_bytes())
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
