"""The real web server and daemon of a home, started by `mlops ui` and stopped by process id."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_assets_tests.journeys.command import ENVIRONMENT

START_SECONDS = 180
RUN_SECONDS = 300


@dataclass
class Server:
    """A running server; `ask` speaks its GraphQL."""

    url: str
    selector: dict[str, str]

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """Post a query and return its data; GraphQL errors fail.

        Where an answer holds what broke inside Dagster, it comes with the status 500.
        """
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"{self.url}/graphql", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=RUN_SECONDS) as response:
                document = json.loads(response.read())
        except urllib.error.HTTPError as error:
            document = json.loads(error.read())
        assert "errors" not in document, document["errors"]
        return document["data"]

    def wait_for_run(self, run: str) -> str:
        """Return a run's final status."""
        query = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
        return self._wait(lambda: self.ask(query, id=run)["runOrError"]["status"])

    def wait_for_backfill(self, backfill: str) -> str:
        """Return a backfill's final status."""
        query = """query($id: String!) { partitionBackfillOrError(backfillId: $id) {
            ... on PartitionBackfill { status } } }"""
        return self._wait(
            lambda: self.ask(query, id=backfill)["partitionBackfillOrError"]["status"]
        )

    def wait_until(self, found: Callable[[], Any]) -> Any:
        """Return what is found once there is something."""
        deadline = time.monotonic() + RUN_SECONDS
        while not (there := found()):
            assert time.monotonic() < deadline, f"nothing after {RUN_SECONDS} s"
            time.sleep(2)
        return there

    def _wait(self, status: Any) -> str:
        deadline = time.monotonic() + RUN_SECONDS
        while True:
            now = status()
            if now in {"SUCCESS", "FAILURE", "CANCELED", "FAILED"} or now.startswith("COMPLETED"):
                return now
            assert time.monotonic() < deadline, f"still {now} after {RUN_SECONDS} s"
            time.sleep(0.5)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def served(home: Path) -> Iterator[Server]:
    """Start ``mlops ui`` on a free port, wait until it answers, stop it at the end."""
    port = free_port()
    with (home / "ui.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlops_assets", "--home", str(home), "ui", "--port", str(port)],
            stdout=log,
            stderr=log,
            env=ENVIRONMENT,
            start_new_session=True,
        )
        try:
            yield _ready(f"http://127.0.0.1:{port}", process, home / "ui.log")
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=30)
            # Whatever its children did not end by themselves is ended with the group.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _ready(url: str, process: subprocess.Popen[bytes], log: Path) -> Server:
    deadline = time.monotonic() + START_SECONDS
    query = """{ repositoriesOrError { ... on RepositoryConnection { nodes {
        name location { name } } } } }"""
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, f"no answer in {START_SECONDS} s:\n{log.read_text()}"
        try:
            nodes = Server(url, {}).ask(query)["repositoriesOrError"].get("nodes")
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            nodes = None
        if nodes:
            return Server(
                url,
                {
                    "repositoryName": nodes[0]["name"],
                    "repositoryLocationName": nodes[0]["location"]["name"],
                },
            )
        time.sleep(0.5)
