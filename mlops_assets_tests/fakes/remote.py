"""An exchange in memory, and machines elsewhere that are processes here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import StaleError
from mlops_assets.ports.remote import RemoteState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlops_assets.domain.deployment import Deployment
    from mlops_assets.domain.model import FitJob

SCHEME = "memory://"


class FakeExchange:
    """Bytes by name; ``locks`` remembers every lock that was held."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.locks: list[str] = []
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def put(self, name: str, data: bytes) -> None:
        if self.files.setdefault(name, data) != data:
            raise StaleError(f"{name}: holds other bytes")

    def get(self, name: str) -> bytes | None:
        return self.files.get(name)

    def remove(self, name: str) -> None:
        self.files.pop(name, None)

    def names(self, folder: str) -> Sequence[str]:
        return sorted(name for name in tuple(self.files) if name.startswith(f"{folder}/"))

    def uri(self, name: str) -> str:
        return f"{SCHEME}{name}"

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        self.locks.append(name)
        with self._locks[name]:
            yield


class FakeFits:
    """Runs `fit_job` on nodes that stay warm; ``submitted`` remembers each order.

    A name in ``dead`` ends without an outcome, as with a machine that is lost.
    """

    def __init__(self, exchange: FakeExchange, folder: Path) -> None:
        self._exchange = exchange
        self._folder = folder
        self._idle: list[_Node] = []
        self._busy: dict[str, _Node] = {}
        self.states: dict[str, str] = {}
        self.submitted: list[str] = []
        self.cancelled: list[str] = []
        self.dead: set[str] = set()

    def submit(self, name: str, job: FitJob, *, order: str, outcome: str, seconds: float) -> None:
        self.submitted.append(name)
        place = self._folder / name
        place.mkdir()
        (place / "order").write_bytes(self._exchange.files[order.removeprefix(SCHEME)])
        if name in self.dead:
            self.states[name] = "failed"
            return
        self.states[name] = "running"
        node = self._idle.pop() if self._idle else _Node()
        self._busy[name] = node
        threading.Thread(target=self._run, args=(name, node, outcome), daemon=True).start()

    def look(self, name: str) -> RemoteState | None:
        status = self.states.get(name)
        return None if status is None else RemoteState(status=status, page=f"https://ml/{name}")  # type: ignore[arg-type]

    def cancel(self, name: str) -> None:
        self.cancelled.append(name)
        if self.states[name] == "running":
            self.states[name] = "cancelled"
            self._busy[name].end()

    def close(self) -> None:
        """End every node."""
        for node in (*self._idle, *self._busy.values()):
            node.end()

    def _run(self, name: str, node: _Node, outcome: str) -> None:
        place = self._folder / name
        code = node.run(place / "order", place / "outcome")
        left = place / "outcome"
        for file in left.iterdir() if left.exists() else ():
            self._exchange.put(f"{outcome.removeprefix(SCHEME)}/{file.name}", file.read_bytes())
        if self.states[name] == "running":
            self._idle.append(self._busy.pop(name))
            self.states[name] = "completed" if code == "0" else "failed"


_NODE = """
import sys
from mlops_assets.engines.azureml.fit_job import main
for line in sys.stdin:
    order, outcome = line.rstrip().split("\t")
    print(main(["--order", order, "--outcome", outcome]), flush=True)
"""


class _Node:
    """A process that does one job after another, in a group of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _NODE],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, order: Path, outcome: Path) -> str:
        """Do one job; its exit code, or nothing where the node ended first."""
        with suppress(OSError, ValueError):
            self._process.stdin.write(f"{order}\t{outcome}\n")
            self._process.stdin.flush()
            lines = iter(self._process.stdout.readline, "")
            return next((line.strip() for line in lines if line.strip().isdigit()), "")
        return ""

    def end(self) -> None:
        """End it and whatever it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                stream.close()


class FakeScoring:
    """Answers invocations at once by ``answer``, a function of the request's bytes."""

    def __init__(
        self, exchange: FakeExchange, answer: Callable[[bytes], str], *, plants: bool = False
    ) -> None:
        self._exchange = exchange
        self._answer = answer
        self._plants = plants
        self.states: dict[str, str] = {}
        self.invoked: list[tuple[str, str]] = []
        self.dead: set[str] = set()

    def place(self, deployment: Deployment) -> str:
        key = deployment.circuit
        return f"plant-{key.plant_id}/" + ("plant-a" if self._plants else f"{key.circuit_id}-a")

    def invoke(self, name: str, place: str, *, request: str) -> str:
        self.invoked.append((name, place))
        if name in self.dead:
            self.states[name] = "failed"
            return name
        (file,) = self._exchange.names(request.removeprefix(SCHEME))
        try:
            self._answer(self._exchange.files[file])
            self.states[name] = "completed"
        except Exception:  # noqa: BLE001
            # A script that raises has failed its job, and what it wrote is there.
            self.states[name] = "failed"
        return name

    def look(self, name: str) -> RemoteState | None:
        status = self.states.get(name)
        return None if status is None else RemoteState(status=status)  # type: ignore[arg-type]

    def cancel(self, name: str) -> None:
        self.states[name] = "cancelled"
