"""Upkeep of a Delta table.

Small files are joined by time: neighbours in days become one file of at most `FILE_BYTES`, in one
commit of the kind that a slice makes, so that a read still opens only the files of its window and a
slice still rewrites little. Days of the last week stay as they are, because slices rewrite them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from mlops_assets.adapters.delta.table import FILE_BYTES
from mlops_assets.domain.errors import DataError
from mlops_assets.ports import Tidied

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from deltalake import DeltaTable

    from mlops_assets.adapters.delta.table import StoredTable

# Slices still rewrite what is younger than this before the table's newest day.
_WARM = timedelta(days=7)
# What a killed writer left is removed after this long: nobody writes one file for a day.
_LEFTOVER = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class _Run:
    """Files whose days no other file shares, as one."""

    first: date
    last: date
    bytes: int
    files: int
    rows: int

    def __add__(self, other: _Run) -> _Run:
        return _Run(
            min(self.first, other.first),
            max(self.last, other.last),
            self.bytes + other.bytes,
            self.files + other.files,
            self.rows + other.rows,
        )


class DeltaTableUpkeep:
    """Upkeep of one table; ``order`` is how its rows lie, a day first where there are days.

    Without a column ``date`` files are joined by size alone.
    """

    def __init__(self, table: StoredTable, order: Sequence[str] = ()) -> None:
        self._stored = table
        self._order = list(order)

    def version(self) -> int | None:
        """The newest version; None where there is no table, TornCommitError where it is torn."""
        table = self._stored.open()
        return None if table is None else int(table.version())

    def tidy(self, *, now: datetime) -> Tidied | None:
        """Join small files, checkpoint, sweep; None where there is no table."""
        if self._stored.open() is None:
            return None
        self._stored.configure()
        table = self._stored.open()
        assert table is not None  # noqa: S101 it was there before
        compacted = self._compact_days(table) if self._order else self._compact_all()
        table = self._stored.open()
        assert table is not None  # noqa: S101 it was there before
        self._stored.step("upkeep.checkpoint")
        table.create_checkpoint()
        self._stored.made(table, None)
        return Tidied(
            files=len(table.file_uris()),
            compacted=compacted,
            checkpoint=int(table.version()),
            leftovers=self._stored.sweep(now - _LEFTOVER),
        )

    def vacuum(self, *, keep: Sequence[int], older_than: timedelta) -> int:
        """Remove files that no version since ``older_than`` needs, nor any version in ``keep``."""
        return self._stored.vacuum(keep, older_than)

    def _compact_days(self, table: DeltaTable) -> int:
        joined = 0
        for run in list(_joinable(_files(table))):
            self._stored.commit(partial(self._join, run))
            joined += run.files
        return joined

    def _join(self, run: _Run) -> None:
        """Write the rows of a run of days again, as one file; other files stay."""
        table = self._stored.open()
        if table is None:
            return
        days = pl.col("date").is_between(run.first, run.last)
        rows = self._stored.collect(pl.scan_delta(table).filter(days)).sort(self._order)
        files = [each for each in _files(table) if run.first <= each.first <= run.last]
        if len(rows) != (counted := sum(each.rows for each in files)):
            raise DataError(
                f"{self._stored.place}: {run.first} to {run.last} has {len(rows)} rows, its log "
                f"counts {counted}; nothing was changed, restore it from a backup"
            )
        condition = f"(date >= '{run.first}' AND date <= '{run.last}')"
        self._stored.replace(table, rows, condition, None)

    def _compact_all(self) -> int:
        return self._stored.commit(self._compact_once)

    def _compact_once(self) -> int:
        table = self._stored.open()
        if table is None:
            return 0
        self._stored.step("upkeep.compact")
        done = table.optimize.compact(target_size=FILE_BYTES)
        self._stored.made(table, None)
        return int(done["numFilesRemoved"])


def _files(table: DeltaTable) -> list[_Run]:
    """Every data file by its days, the oldest first."""
    actions = pl.DataFrame(table.get_add_actions(flatten=True))
    if actions.is_empty() or actions["max.date"].null_count():
        return []
    rows = actions.select("min.date", "max.date", "size_bytes", pl.lit(1), "num_records").rows()
    return sorted((_Run(*row) for row in rows), key=lambda each: (each.first, each.last))


def _joinable(files: list[_Run]) -> Iterator[_Run]:
    """Runs of neighbours that fit into one file; runs that share a day are one from the start."""
    runs: list[_Run] = []
    for file in files:
        if runs and file.first <= runs[-1].last:
            runs[-1] += file
        else:
            runs.append(file)
    if not runs:
        return
    warm = runs[-1].last - _WARM
    group: _Run | None = None
    for run in runs:
        if run.last > warm:
            break
        if group is not None and group.bytes + run.bytes <= FILE_BYTES:
            group += run
            continue
        if group is not None and group.files > 1 and group.bytes <= FILE_BYTES:
            yield group
        group = run
    if group is not None and group.files > 1 and group.bytes <= FILE_BYTES:
        yield group
