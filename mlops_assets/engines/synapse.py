"""The ETL ordered from a Spark pool: a slice is a job there, whole, from files to merged rows.

An order is named by what it asks for, so a slice that was ordered before a crash is followed and
not ordered again; what came of it counts until the flow has taken it. A job that ends without an
outcome is ordered once more.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import DataError, EngineError, MlopsError, StaleError
from mlops_assets.engines.azureml.ordered import (
    LostError,
    Ordered,
    Patience,
    SlowError,
    Stop,
    StuckError,
)
from mlops_assets.engines.slice_order import done_of, name_of, order_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mlops_assets.domain.forecast import Issued
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.readings import RawFile
    from mlops_assets.domain.slice import FileFact, Part, SliceOrder
    from mlops_assets.engines.slice_order import Done
    from mlops_assets.ports import BatchEngine, BatchWork, MergeResult, ReadingsTable, SliceRules
    from mlops_assets.ports.remote import Exchange, RemoteSlices

ATTEMPTS = 2
_SLOW = (
    "raise timeout_minutes or executors under synapse in the settings (executors have one token a "
    "stage, which lasts about an hour), then "
)
PATIENCE = Patience(first=5.0, longest=30.0, queue=3600.0)


class SynapseEngine:
    """Slices on a pool, and the daily batch wherever ``batch`` does it.

    Args:
        work: the pool.
        exchange: where orders and outcomes lie.
        batch: what applies models.
        timeout_seconds: how long one job may run.
        patience: how often it is asked after.
        sleep: waits so many seconds, if not by the clock.
    """

    def __init__(
        self,
        work: RemoteSlices,
        exchange: Exchange,
        batch: BatchEngine,
        *,
        timeout_seconds: float,
        patience: Patience = PATIENCE,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self._work = work
        self._exchange = exchange
        self._batch = batch
        self._timeout = timeout_seconds
        self._patience = patience
        self._sleep = sleep

    def issue(
        self,
        work: BatchWork,
        circuits: Sequence[CircuitKey],
    ) -> Iterable[Issued]:
        """Apply models where ``batch`` does."""
        return self._batch.issue(work, circuits)

    @contextmanager
    def arrive(
        self,
        rules: SliceRules,
        files: Sequence[RawFile],
        heard: Callable[[FileFact], None],
    ) -> Iterator[SynapseArrived]:
        """Order the slice, wait for it, and tell what it did.

        Raises:
            DataError: the job refused; this is its line.
            EngineError: the pool does not do it.
        """
        order = rules.order(files)
        ordered = self._ordered(order)
        attempt = ordered.attempt()
        done, attempt = self._done(ordered, attempt, order)
        for fact in done.facts:
            heard(fact)

        def spend() -> None:
            ordered.spend(attempt)

        yield SynapseArrived(done.facts, done.part, done.merged, spend)
        spend()

    def _ordered(self, order: SliceOrder) -> Ordered:
        name = name_of(order)
        return Ordered(
            exchange=self._exchange,
            work=self._work,
            folder=f"{order.slice_id}/{name[:32]}",
            name=f"mlops-slice-{order.slice_id}-{name[:12]}",
            patience=self._patience,
            seconds=self._timeout,
            # A pool numbers its jobs itself, and forgets them.
            remembers=False,
        )

    def _done(self, ordered: Ordered, first: int, order: SliceOrder) -> tuple[Done, int]:
        """Follow attempts until one has an outcome; returns what it did, and its number."""
        self._tell(ordered, order)
        for attempt in range(first, first + ATTEMPTS):
            try:
                data = ordered.follow(attempt, self._begin(ordered, attempt), Stop(self._sleep))
            except StuckError as stuck:
                # Not spent: a job beside it would merge the same slice.
                kept = self._keep_log(ordered, attempt)
                raise EngineError(
                    f"{stuck}; {kept}; end it in Synapse, then run ingest again, which follows it"
                ) from stuck
            except LostError as lost:
                ordered.spend(attempt)
                kept = self._keep_log(ordered, attempt)
                if attempt == first + ATTEMPTS - 1 or not lost.again:
                    advice = _SLOW if isinstance(lost, SlowError) else ""
                    raise EngineError(
                        f"{lost}; {kept}; {advice}run ingest again, which orders it anew"
                    ) from lost
                continue
            try:
                return done_of(data, self._exchange.uri(ordered.outcome_folder(attempt))), attempt
            except DataError:
                ordered.spend(attempt)
                raise
            finally:
                self._keep_log(ordered, attempt)
        raise AssertionError("the last attempt returns or raises")

    def _tell(self, ordered: Ordered, order: SliceOrder) -> None:
        """Write the order; whoever asked for the same before gave it its moment."""
        name = f"{ordered.folder}/order"
        if self._exchange.get(name) is None:
            try:
                self._exchange.put(name, order_bytes(order))
            except StaleError:
                # Somebody beside us asked for the same, a moment earlier.
                return

    def _begin(self, ordered: Ordered, attempt: int) -> Callable[[str], str]:
        def begin(name: str) -> str:
            return self._work.submit(
                name,
                order=self._exchange.uri(f"{ordered.folder}/order"),
                outcome=self._exchange.uri(f"{ordered.outcome_folder(attempt)}/outcome"),
            )

        return begin

    def _keep_log(self, ordered: Ordered, attempt: int) -> str:
        """Keep what pool and job say of an attempt, once and if that can be; returns a clause."""
        name = f"{ordered.folder}/{attempt}/log"
        try:
            if self._exchange.get(name) is None:
                known = self._exchange.get(f"{ordered.folder}/{attempt}/job")
                job = known.decode() if known else f"{ordered.name}-{attempt}"
                own = self._exchange.get(f"{ordered.outcome_folder(attempt)}/outcome.log") or b""
                self._exchange.put(name, self._work.log(job).encode() + own)
        except MlopsError as error:
            return f"its log is not kept ({error})"
        return f"its log is {self._exchange.uri(name)}"


@dataclass(frozen=True, slots=True)
class SynapseArrived:
    """What a job did; its rows are in the table already."""

    facts: Sequence[FileFact]
    part: Part
    merged: MergeResult | None
    spend: Callable[[], None]

    def merge(self, table: ReadingsTable, *, slice_id: str) -> MergeResult:
        """Tell what the job merged.

        Raises:
            DataError: it merged nothing.
            StaleError: the table has lost it since.
        """
        done = self.merged
        if done is None:
            raise DataError(f"slice {slice_id}: its job merged nothing; run ingest again")
        changed = done.inserted or done.updated or done.withdrawn
        if changed and table.merged(slice_id) is None:
            self.spend()
            raise StaleError(
                f"slice {slice_id}: what its job merged is no longer in the table; run ingest "
                "again, which orders it anew"
            )
        return done
