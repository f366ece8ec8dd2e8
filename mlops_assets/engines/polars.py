"""The ETL and the daily batch in this process: each in one pass over all circuits."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from mlops_assets.domain.arrivals import together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mlops_assets.domain.forecast import Issued
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.readings import RawFile
    from mlops_assets.domain.slice import FileFact, Part
    from mlops_assets.ports import MergeResult, ReadingsTable, SliceRules

# Circuits of a batch whose readings are held at once: about 0.15 MB each. They come in order, so
# plants stay together.
TOGETHER = 2_000


class PolarsEngine:
    """The default; a slice is held in memory."""

    @contextmanager
    def arrive(
        self,
        rules: SliceRules,
        files: Sequence[RawFile],
        heard: Callable[[FileFact], None],
    ) -> Iterator[PolarsArrived]:
        """Read the files and settle their rows."""
        found = {}
        for file in files:
            found[file.path] = rules.read(file)
            heard(found[file.path][0])
        again = rules.days_first([fact for fact, _ in found.values()])
        for file in files:
            if file.path in again:
                found[file.path] = rules.read(file, "day")
        facts = tuple(fact for fact, _ in found.values())
        rows = pl.concat([together({}, ()), *(part for _, part in found.values())], how="diagonal")
        present = [name for name in rules.features if name in rows.columns]
        ordered = [name for name in rows.columns if name not in present]
        entering, part = rules.settle(rows.select(*ordered, *present))
        yield PolarsArrived(facts, part, entering)

    def issue(
        self,
        work: Callable[[Sequence[CircuitKey]], Iterable[Issued]],
        circuits: Sequence[CircuitKey],
    ) -> Iterable[Issued]:
        """Do the work here, on so many circuits at a time.

        So readings and models in memory do not grow with more; what was forecast does.
        """
        for first in range(0, len(circuits), TOGETHER):
            yield from work(circuits[first : first + TOGETHER])


@dataclass(frozen=True, slots=True)
class PolarsArrived:
    """A slice's rows in memory."""

    facts: tuple[FileFact, ...]
    part: Part
    rows: pl.DataFrame

    def merge(self, table: ReadingsTable, *, slice_id: str) -> MergeResult:
        """Put them into the table in one commit."""
        return table.merge(self.rows, slice_id=slice_id, withdrawn=self.part.withdrawn)
