"""The daily batch on Spark: groups of circuits on the executors, by the same work as here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.engines.spark.session import explained
from mlops_assets.engines.wire import decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mlops_assets.domain.forecast import Issued
    from mlops_assets.engines.spark.frames import Batches
    from mlops_assets.engines.spark.session import SparkSessions

    Work = Callable[[Sequence[CircuitKey]], Iterable[Issued]]

# Tasks a core: a slow one does not keep the others waiting, and each reads the table once.
_GROUPS = 2


class SparkBatchEngine:
    """One task a group of circuits; the session is held while they run."""

    def __init__(self, sessions: SparkSessions) -> None:
        self._sessions = sessions

    def issue(self, work: Work, circuits: Sequence[CircuitKey]) -> Iterator[Issued]:
        """Do the work on all circuits, and tell what became of each in their order.

        Raises:
            DataError: a task was lost more often than Spark repeats it.
        """
        if not circuits:
            return
        with self._sessions.session() as session, explained("the batch could not be done"):
            cores = int(session.sparkContext.defaultParallelism)
            tasks = groups(circuits, _GROUPS * cores)
            rows = [(number, str(key)) for number, group in enumerate(tasks) for key in group]
            named = session.createDataFrame(rows, "number int, circuit string")
            told = named.repartitionByRange(len(tasks), "number").mapInArrow(
                Apply(work), "issued binary"
            )
            found = [decode(bytes(row["issued"])) for row in told.collect()]
        yield from sorted(found, key=lambda issued: issued.circuit)


def groups(circuits: Sequence[CircuitKey], most: int) -> list[list[CircuitKey]]:
    """Return circuits in at most so many groups of about one size, the largest plants first.

    A plant's models are read by whoever has a circuit of it, so a plant lies in one group, and in
    more only where it is larger than a group is to be.
    """
    size = max(1, -(-len(circuits) // most))
    plants: dict[str, list[CircuitKey]] = {}
    for circuit in circuits:
        plants.setdefault(circuit.plant_id, []).append(circuit)
    pieces = [
        plant[first : first + size]
        for plant in plants.values()
        for first in range(0, len(plant), size)
    ]
    made: list[list[CircuitKey]] = [[] for _ in range(min(most, len(pieces)))]
    for piece in sorted(pieces, key=len, reverse=True):
        min(made, key=len).extend(piece)
    return made


class Apply:
    """The work of one task, on an executor."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def __call__(self, batches: Batches) -> Iterator[pa.RecordBatch]:
        """Do it on every circuit of the partition together."""
        names = [name for batch in batches for name in batch.column("circuit").to_pylist()]
        if names:
            found = [encode(each) for each in self._work([CircuitKey.parse(n) for n in names])]
            yield pa.RecordBatch.from_arrays([pa.array(found, pa.binary())], names=["issued"])
