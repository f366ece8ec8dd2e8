"""Fits as Azure ML command jobs: one a circuit, on a cluster that scales from nothing.

A fit's name is made of its order, so a run that was killed finds what it had ordered and follows it
or takes its outcome, and orders nothing twice. An outcome counts until it was handed on: whoever
asks for the same fit later, to reproduce it, has it done again. Each fit in flight holds a training
slot, and says so beside the orders: a slot whose holder was killed is free for others when its job
is over, so at most so many are in flight over all runs together. When no job of a run gets a
machine, what it has not ordered yet is not ordered.
"""

from __future__ import annotations

import logging
import threading
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import MlopsError
from mlops_assets.domain.identifiers import sha256
from mlops_assets.engines.azureml.answer import check_fitted
from mlops_assets.engines.azureml.fit_job import FitOrder, read_outcome
from mlops_assets.engines.azureml.ordered import (
    LostError,
    NoMachineError,
    Ordered,
    Patience,
    Stop,
    StoppedError,
    watch,
)
from mlops_assets.engines.processes import GIGABYTE, largest_first

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.model import FitJob, FitResult
    from mlops_assets.ports import TrainingSlots
    from mlops_assets.ports.remote import Exchange, RemoteFits

    Outcome = FitResult | str

_LOG = logging.getLogger(__name__)
FOLDER, SLOTS = "fits", "slots"
# What a job takes beside its fit: the image, the libraries, bytes to and fro.
_AROUND_SECONDS = 900.0
_JOIN_SECONDS = 0.2


class AzureFittingEngine:
    """Bounded fits in flight, each a command job of one circuit.

    Args:
        workers: jobs in flight at once from here; a job more than the cluster has nodes waits.
        slots: what each job in flight holds.
        exchange: where orders and outcomes lie.
        fits: what runs them.
        fit_function: ``module:function``, pure in its job.
        timeout_seconds: longest fit of one circuit; waiting for a slot or a node does not count.
        memory_bytes: what the fit may allocate.
        attempts: how often a fit is ordered whose job ends without an outcome.
        patience: how often jobs are asked after.
        sleep: how to wait; virtual time in tests.
    """

    def __init__(
        self,
        workers: int,
        slots: TrainingSlots,
        exchange: Exchange,
        fits: RemoteFits,
        *,
        fit_function: str = "mlops_assets.forecasters.training:fit",
        timeout_seconds: float = 3600.0,
        memory_bytes: int = 4 * GIGABYTE,
        attempts: int = 2,
        patience: Patience | None = None,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self._workers = max(1, workers)
        self.slots = slots
        self._exchange = exchange
        self._fits = fits
        self._fit_function = fit_function
        self._timeout = timeout_seconds
        self._memory = memory_bytes
        self._attempts = attempts
        self._patience = patience or Patience()
        self._sleep = sleep

    @property
    def workers(self) -> int:
        """How many jobs are in flight at once."""
        return self._workers

    def fit(self, jobs: Sequence[FitJob]) -> Iterator[tuple[CircuitKey, Outcome]]:
        """Yield each circuit's result, or why it failed, as they finish; the largest go first."""
        if not jobs:
            return
        waiting = iter(largest_first(jobs))
        done: SimpleQueue[_Done] = SimpleQueue()
        stop = Stop(self._sleep)
        crew = _Crew(self, waiting, done, stop)
        try:
            crew.start(min(self._workers, len(jobs)))
            for _ in jobs:
                found = done.get()
                yield found.circuit, found.outcome
                # Handed on: had we been killed before, this outcome would have been taken again.
                _forget(found)
        finally:
            crew.stop()

    def done(self, job: FitJob, slot: int, stop: Stop) -> _Done:
        """Have one fit done in a slot, or find it done.

        Raises:
            StoppedError: nobody listens any more.
        """
        order = FitOrder(
            job=job,
            fit_function=self._fit_function,
            timeout_seconds=self._timeout,
            memory_bytes=self._memory,
        ).to_bytes()
        digest = sha256(order)[:16]
        key = job.circuit
        ordered = Ordered(
            exchange=self._exchange,
            work=self._fits,
            folder=f"{FOLDER}/{key}/{digest}",
            # In small letters, as Azure ML writes it whatever it is given; the digest tells apart.
            name=f"fit-{key.plant_id}-{key.circuit_id}-{digest}".lower(),
            patience=self._patience,
            seconds=self._timeout + _AROUND_SECONDS,
        )
        place = f"{ordered.folder}/order"
        self._exchange.put(place, order)

        def begin(attempt: int, name: str) -> None:
            self._exchange.put(f"{SLOTS}/{slot}/{name}", b"")
            self._fits.submit(
                name,
                job,
                order=self._exchange.uri(place),
                outcome=self._exchange.uri(ordered.outcome_folder(attempt)),
                seconds=ordered.seconds,
            )

        self._empty(slot, stop)
        try:
            outcome, attempt = ordered.result(
                begin,
                lambda data, where: check_fitted(read_outcome(data, order, where), job, where),
                stop,
                attempts=self._attempts,
            )
        except LostError as error:
            why = f"its job was lost ({error}); train it again"
            return _Done(key, why, _nothing, starved=isinstance(error, NoMachineError))
        self._empty(slot, stop)
        return _Done(key, outcome, partial(ordered.spend, attempt))

    def _empty(self, slot: int, stop: Stop) -> None:
        """Wait until no job of a slot's holders, this one or those before, goes on.

        Raises:
            StoppedError: nobody listens any more.
        """
        for marker in self._exchange.names(f"{SLOTS}/{slot}"):
            name = marker.rsplit("/", 1)[-1]
            state = self._fits.look(name)
            if state is not None and not state.over:
                _LOG.warning(
                    "training slot %d waits for job %s, whose run has ended; cancel it in Azure ML "
                    "studio if nobody needs it",
                    slot,
                    name,
                )
                try:
                    watch(self._fits, name, self._patience, self._timeout + _AROUND_SECONDS, stop)
                except LostError as error:
                    _LOG.warning("%s; its training slot is free for others", error)
            self._exchange.remove(marker)


class _Done:
    """What became of one fit, and how to let it count no more.

    ``starved`` is one that got no machine.
    """

    def __init__(
        self,
        circuit: CircuitKey,
        outcome: Outcome,
        forget: Callable[[], None],
        *,
        starved: bool = False,
    ) -> None:
        self.circuit = circuit
        self.outcome = outcome
        self.forget = forget
        self.starved = starved


class _Crew:
    """Threads, each with one job in flight at a time."""

    def __init__(
        self,
        engine: AzureFittingEngine,
        waiting: Iterator[FitJob],
        done: SimpleQueue[_Done],
        stop: Stop,
    ) -> None:
        self._engine = engine
        self._waiting = waiting
        self._done = done
        self._stop = stop
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._holding: set[int] = set()
        self._served, self._starved = 0, False

    def start(self, threads: int) -> None:
        """Begin."""
        for _ in range(threads):
            thread = threading.Thread(target=self._run, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Cancel what is in flight and wait for its end; who waits for a slot holds nothing."""
        self._stop.set()
        for thread in self._threads:
            while thread.is_alive() and thread.ident in self._holding:
                thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        while not self._stop.is_set:
            with self._lock:
                job = next(self._waiting, None)
            if job is None:
                return
            found = self._in_a_slot(job)
            if found is None:
                return
            self._done.put(found)

    def _in_a_slot(self, job: FitJob) -> _Done | None:
        """Have one fit done under a slot; None where nobody listens any more."""
        me, found = threading.get_ident(), None
        try:
            with self._engine.slots.take() as slot:
                self._holding.add(me)
                try:
                    if self._stop.is_set:
                        return None
                    found = self._unless_starved(job, slot)
                except StoppedError:
                    return None
                finally:
                    self._holding.discard(me)
        except Exception as error:  # noqa: BLE001 whoever waits for this circuit is told
            if found is None:
                why = f"could not take a training slot: {_line(error)}; train it again"
                found = _Done(job.circuit, why, _nothing)
        return found

    def _unless_starved(self, job: FitJob, slot: int) -> _Done:
        """Have a fit done, unless one before it waited for a machine in vain and none got one."""
        if self._starved:
            why = "was not ordered: the jobs before it got no machine; see to the cluster's nodes "
            return _Done(job.circuit, f"{why}and quota, then train it again", _nothing)
        before = self._served
        found = self._found(job, slot)
        with self._lock:
            self._served += not found.starved
            self._starved = found.starved and self._served == before
        return found

    def _found(self, job: FitJob, slot: int) -> _Done:
        try:
            return self._engine.done(job, slot, self._stop)
        except StoppedError:
            raise
        except MlopsError as error:
            return _Done(job.circuit, str(error), _nothing)
        except Exception as error:  # noqa: BLE001 one circuit's failure never stops another
            outcome = f"its job cannot be followed ({_line(error)}); train it again"
            return _Done(job.circuit, outcome, _nothing)


def _forget(found: _Done) -> None:
    """Let an outcome count no more; one that cannot be marked so is taken once more, by nobody."""
    try:
        found.forget()
    except MlopsError as error:
        _LOG.warning("%s: its outcome stays and would be taken again: %s", found.circuit, error)


def _line(error: Exception) -> str:
    """One line about any failure; its kind is named where it is none of ours."""
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, MlopsError) else f"{type(error).__name__}: {text}"


def _nothing() -> None:
    """Nothing to forget: the next call orders it anew anyway."""
