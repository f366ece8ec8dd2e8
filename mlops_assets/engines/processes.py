"""Fits run in a few worker processes of this machine, each alone with its circuit.

A worker is a fresh interpreter, never a copy of a parent that has threads, and takes a training
slot for each fit, so that the slot ends when the fit does, however that ends. A worker's death, its
time limit or its memory limit ends the fit of one circuit; the next circuit gets a new worker.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from mlops_assets.domain.arithmetic import ONE_THREAD
from mlops_assets.engines.worker import EXIT_OUT_OF_MEMORY, Answer, Assignment, Started
from mlops_assets.forecasters.catalogue import seconds_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.model import FitJob, FitResult
    from mlops_assets.ports import TrainingSlots

WORKER_ENVIRONMENT = dict(ONE_THREAD)
GIGABYTE = 1024**3
_LONGEST_DEATH_SECONDS = 5.0


class ProcessEngine:
    """Bounded parallel fits, each in a worker process.

    Args:
        workers: fits at once; never more than the machine has cores, where they would only take
            turns.
        slots: what each fit holds while it runs; it travels to the workers.
        fit_function: ``module:function``, pure in its job.
        timeout_seconds: longest fit of one circuit; waiting for a slot does not count.
        memory_bytes: what one worker may allocate.
        keep: let workers wait for the next call of `fit` instead of ending; `close` ends them.
    """

    def __init__(
        self,
        workers: int,
        slots: TrainingSlots,
        *,
        fit_function: str = "mlops_assets.forecasters.training:fit",
        timeout_seconds: float = 3600.0,
        memory_bytes: int = 4 * GIGABYTE,
        keep: bool = False,
    ) -> None:
        self._workers = max(1, min(workers, cores()))
        self._keep = keep
        self._idle: list[_Worker] = []
        self._slots = slots
        self._fit_function = fit_function
        self._timeout = timeout_seconds
        self._memory = memory_bytes

    @property
    def workers(self) -> int:
        """How many fits run at once here."""
        return self._workers

    def fit(self, jobs: Sequence[FitJob]) -> Iterator[tuple[CircuitKey, FitResult | str]]:
        """Yield each circuit's result, or why it failed, as they finish; the largest go first."""
        waiting = deque(largest_first(jobs))
        del jobs  # a job and its series go when its fit is done
        crew: list[_Worker] = []
        try:
            while waiting or crew:
                while waiting and len(crew) < self._workers:
                    crew.append(self._hire(waiting.popleft()))
                for worker in self._ready(crew):
                    circuit = worker.job.circuit
                    outcome = self._outcome(worker)
                    if outcome is None:
                        continue
                    # Hand out the next job first: whoever reads the results may take their time.
                    if waiting and worker.alive:
                        worker.give(waiting.popleft())
                    else:
                        crew.remove(worker)
                        self._dismiss(worker)
                    yield circuit, outcome
        finally:
            for worker in crew:
                worker.stop()

    def close(self) -> None:
        """End the workers that were kept."""
        while self._idle:
            self._idle.pop().stop()

    def _dismiss(self, worker: _Worker) -> None:
        if self._keep and worker.alive:
            self._idle.append(worker)
        else:
            worker.stop()

    def _hire(self, job: FitJob) -> _Worker:
        """Return a worker that was kept, or start one, with its first job."""
        while self._idle:
            worker = self._idle.pop()
            if worker.process.poll() is None:
                worker.give(job)
                return worker
            worker.stop()
        ours, theirs = Pipe()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "mlops_assets.engines.worker", str(theirs.fileno())],
                env={
                    **os.environ,
                    **WORKER_ENVIRONMENT,
                    "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                },
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # ours may carry one JSON document and nothing else
            )
        worker = _Worker(process, ours, job)
        worker.send(Assignment(self._fit_function, self._slots, os.getpid(), self._memory))
        worker.give(job)
        return worker

    def _ready(self, crew: Sequence[_Worker]) -> list[_Worker]:
        """Wait until workers have something to say, or have had their time."""
        deadlines = [worker.started_at + self._timeout for worker in crew if worker.started_at]
        patience = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
        speaking = wait([worker.connection for worker in crew], patience)
        now = time.monotonic()
        return [
            worker
            for worker in crew
            if worker.connection in speaking
            or (worker.started_at and now >= worker.started_at + self._timeout)
        ]

    def _outcome(self, worker: _Worker) -> FitResult | str | None:
        """Return what became of the worker's job, None while it goes on."""
        if not worker.connection.poll():
            worker.stop()
            return (
                f"took longer than {self._timeout:g} s and was stopped: raise "
                "training.timeout_minutes of the policy, or ask for less effort"
            )
        try:
            match worker.connection.recv():
                case Started():
                    worker.started_at = time.monotonic()
                    return None
                case Answer(outcome):
                    return outcome
                case other:
                    raise TypeError(f"a worker said {other!r}")
        except (EOFError, OSError):
            return self._cause_of_death(worker.died())

    def _cause_of_death(self, code: int) -> str:
        if code == EXIT_OUT_OF_MEMORY:
            return (
                f"needed more than {self._memory / GIGABYTE:.1f} GB of memory and was stopped: "
                "raise training.memory_gigabytes of the policy"
            )
        name = f"exit code {code}"
        with suppress(ValueError):
            name = signal.Signals(-code).name
        return f"its worker process died ({name}); train it again"


@dataclass(slots=True, eq=False)
class _Worker:
    """One worker process, its pipe and its present job."""

    process: subprocess.Popen[bytes]
    connection: Connection[Any, Any]
    job: FitJob
    started_at: float | None = None
    alive: bool = True

    def give(self, job: FitJob) -> None:
        """Hand over the next job."""
        self.job, self.started_at = job, None
        self.send(job)

    def send(self, message: object) -> None:
        """Send; a worker that just died is found when its answer is read."""
        with suppress(OSError):
            self.connection.send(message)

    def stop(self) -> None:
        """End the process, whatever it does."""
        self.alive = False
        self.connection.close()
        self.process.kill()
        self.process.wait()

    def died(self) -> int:
        """Return the exit code of a process that hung up, negative for the signal it died of."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=_LONGEST_DEATH_SECONDS)
        self.stop()
        return self.process.returncode


def cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def largest_first(jobs: Sequence[FitJob]) -> list[FitJob]:
    """Return jobs in the order in which they end soonest together."""
    return sorted(jobs, key=_size, reverse=True)


def _size(job: FitJob) -> float:
    return len(job.series) * seconds_of(job.spec)
