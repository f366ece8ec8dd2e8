"""Fits spread over a cluster: one task a circuit, the same worker process in it as locally.

An executor's Python keeps one worker of `engines/processes.py` between tasks. So the library loads
once, a fit has the same time and memory limits, the same training slot and the same digits as on
this machine, and what one circuit does to its worker reaches no other. Slots are files of the
home: executors on other machines must see it under the same path.
"""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack
from queue import SimpleQueue
from typing import TYPE_CHECKING

import pyarrow as pa

from mlops_assets.engines.processes import GIGABYTE, ProcessEngine, largest_first
from mlops_assets.engines.spark.session import line
from mlops_assets.engines.wire import decode, encode

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence

    from pyspark.sql import SparkSession

    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.model import FitJob, FitResult
    from mlops_assets.engines.spark.frames import Batches
    from mlops_assets.engines.spark.session import SparkSessions
    from mlops_assets.ports import TrainingSlots

    Outcome = tuple[CircuitKey, FitResult | str]


_CANCEL_SECONDS = 0.5


class SparkFittingEngine:
    """Bounded parallel fits, each a task of one circuit; the session is held while it fits.

    Args:
        workers: fits at once; never more than the cluster has cores.
        slots: what each fit holds while it runs; it travels to the executors.
        sessions: the cluster.
        fit_function: ``module:function``, pure in its job.
        timeout_seconds: longest fit of one circuit; waiting for a slot does not count.
        memory_bytes: what one worker may allocate.
    """

    def __init__(
        self,
        workers: int,
        slots: TrainingSlots,
        sessions: SparkSessions,
        *,
        fit_function: str = "mlops_assets.forecasters.training:fit",
        timeout_seconds: float = 3600.0,
        memory_bytes: int = 4 * GIGABYTE,
    ) -> None:
        self._wanted = workers
        self._sessions = sessions
        self._step = Fit(fit_function, slots, timeout_seconds, memory_bytes)
        self._stack = ExitStack()
        self._session: SparkSession | None = None

    @property
    def workers(self) -> int:
        """How many fits run at once here."""
        there = int(self._opened().sparkContext.defaultParallelism)
        return max(1, min(self._wanted, there))

    def fit(self, jobs: Sequence[FitJob]) -> Iterator[Outcome]:
        """Yield each circuit's result, or why it failed, as they finish; the largest go first."""
        if not jobs:
            self.close()
            return
        left, waiting = len(jobs), deque(largest_first(jobs))
        del jobs  # a job and its series go when its fit is done
        done: SimpleQueue[Outcome] = SimpleQueue()
        crew = _Crew(self._opened(), self._step, waiting, done)
        try:
            crew.start(min(self.workers, left))
            for _ in range(left):
                yield done.get()
        finally:
            crew.stop()
            self.close()

    def close(self) -> None:
        """Let go of the session; the next fit holds it again."""
        self._session = None
        self._stack.close()

    def _opened(self) -> SparkSession:
        if self._session is None:
            self._session = self._stack.enter_context(self._sessions.session())
        return self._session


class Fit:
    """What an executor does with the jobs of its task."""

    def __init__(
        self, fit_function: str, slots: TrainingSlots, timeout_seconds: float, memory_bytes: int
    ) -> None:
        self._how = (fit_function, slots, timeout_seconds, memory_bytes)

    def __call__(self, batches: Batches) -> Iterator[pa.RecordBatch]:
        """Fit each job in the worker process of this interpreter."""
        for batch in batches:
            jobs = [decode(cell.as_py()) for cell in batch.column("job")]
            for _, outcome in _kept_engine(*self._how).fit(jobs):
                cells = pa.array([encode(outcome)], pa.binary())
                yield pa.RecordBatch.from_arrays([cells], names=["outcome"])


_kept: dict[tuple[object, ...], ProcessEngine] = {}


def _kept_engine(
    fit_function: str, slots: TrainingSlots, timeout_seconds: float, memory_bytes: int
) -> ProcessEngine:
    """The engine of this executor's Python: its worker waits for the next task."""
    how = (fit_function, repr(slots), timeout_seconds, memory_bytes)
    if how not in _kept:
        for other in _kept.values():
            other.close()
        _kept.clear()
        _kept[how] = ProcessEngine(
            1,
            slots,
            fit_function=fit_function,
            timeout_seconds=timeout_seconds,
            memory_bytes=memory_bytes,
            keep=True,
        )
    return _kept[how]


class _Crew:
    """Threads of the driver, each with one task on the cluster at a time."""

    def __init__(
        self,
        session: SparkSession,
        step: Fit,
        waiting: deque[FitJob],
        done: SimpleQueue[Outcome],
    ) -> None:
        self._session = session
        self._step = step
        self._waiting = waiting
        self._done = done
        self._group = f"fit-{id(self)}"
        self._threads: list[threading.Thread] = []

    def start(self, threads: int) -> None:
        """Begin."""
        from pyspark import InheritableThread

        for _ in range(threads):
            thread = InheritableThread(target=self._run, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """End what still runs; nothing new begins."""
        self._waiting.clear()
        for thread in self._threads:
            while thread.is_alive():
                # A task that a thread was about to hand in when we looked is met the next time.
                self._session.sparkContext.cancelJobGroup(self._group)
                thread.join(_CANCEL_SECONDS)

    def _run(self) -> None:
        while True:
            try:
                job = self._waiting.popleft()
            except IndexError:
                return
            try:
                outcome = self._fit(job)
            except Exception as error:  # noqa: BLE001 one circuit's failure never stops another
                outcome = f"its task was lost ({line(error)}); train it again"
            self._done.put((job.circuit, outcome))

    def _fit(self, job: FitJob) -> FitResult | str:
        context = self._session.sparkContext
        context.setJobGroup(self._group, str(job.circuit), interruptOnCancel=True)
        rows = self._session.createDataFrame([(bytearray(encode(job)),)], "job binary")
        (found,) = rows.coalesce(1).mapInArrow(self._step, "outcome binary").collect()
        outcome: FitResult | str = decode(bytes(found["outcome"]))
        return outcome
