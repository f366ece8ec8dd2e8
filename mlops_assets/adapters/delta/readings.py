"""The readings table as Delta.

A merge is one commit that replaces the slice's days, and only these: the days' rows are read at
the version that the commit is checked against, so a writer in between makes it fail and repeat.
Rows lie in the order of their days, so a read opens only the files of its window.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import unquote

import polars as pl

from mlops_assets.adapters.delta.row_log import only
from mlops_assets.adapters.delta.tally import Tally
from mlops_assets.domain.arrivals import check_rows, fixed_schema
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.merging import merge
from mlops_assets.domain.readings import FIXED, KEY, feature_columns
from mlops_assets.ports import MergeResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from deltalake import DeltaTable

    from mlops_assets.adapters.delta.table import StoredTable
    from mlops_assets.domain.identifiers import CircuitKey

ORDER = ("date", *KEY)
# More runs of days than this make one window, so that a predicate stays short.
_LONGEST_PREDICATE = 40


class DeltaReadingsTable:
    """`lake/readings`."""

    def __init__(self, table: StoredTable) -> None:
        self._stored = table
        self._tally = Tally(table)

    def exists(self) -> bool:
        """Whether any slice was ever merged."""
        return self._stored.look() is not None

    def version(self) -> int:
        """The newest Delta version; DataError before the first slice."""
        return int(self._opened(None).version())

    def merge(
        self, rows: pl.DataFrame, *, slice_id: str, withdrawn: pl.DataFrame | None = None
    ) -> MergeResult:
        """Insert, update, withdraw in one commit, retried on conflict; a slice is not repeated.

        Rows that change nothing make no commit.
        """
        check_rows(rows, feature_columns(rows.columns))
        gone = rows.select(KEY).clear() if withdrawn is None else withdrawn.select(KEY)
        return self._stored.commit(lambda: self._merge_once(rows, gone, slice_id))

    def _merge_once(
        self, rows: pl.DataFrame, withdrawn: pl.DataFrame, slice_id: str
    ) -> MergeResult:
        features = feature_columns(rows.columns)
        dates = pl.concat([rows["date"], withdrawn["timestamp"].dt.date().alias("date")])
        table = self._stored.open()
        if table is None:
            empty = pl.DataFrame(schema={**fixed_schema(), **dict.fromkeys(features, pl.Float64())})
            merged = merge(empty, rows.select(empty.columns))
            version = self._stored.create(merged.rows.sort(ORDER), slice_id)
            return MergeResult(
                inserted=merged.inserted,
                updated=0,
                unchanged=0,
                delta_version=version,
                changed=merged.changed,
            )
        version = table.version()
        was_merged = self._stored.holding(table, slice_id)
        if was_merged is not None:
            before = self._before(was_merged, dates)
        else:
            columns = self._columns(table)
            if missing := [name for name in features if name not in columns]:
                self._stored.add_columns(table, dict.fromkeys(missing, pl.Float64()))
            before = self._days(table, dates)
        arrived = rows.with_columns(
            pl.lit(None, dtype=pl.Float64).alias(name)
            for name in before.columns
            if name not in rows.columns
        ).select(before.columns)
        merged = merge(before, arrived, withdrawn)
        if was_merged is not None:
            version = was_merged
        elif merged.inserted or merged.updated or merged.withdrawn:
            condition = " OR ".join(
                f"(date >= '{first}' AND date <= '{last}')" for first, last in _runs(dates)
            )
            version = self._stored.replace(table, merged.rows.sort(ORDER), condition, slice_id)
        return MergeResult(
            inserted=merged.inserted,
            updated=merged.updated,
            unchanged=merged.unchanged,
            delta_version=version,
            changed=merged.changed,
            withdrawn=merged.withdrawn,
        )

    def vacuum(self, *, pinned: Iterable[int], older_than: timedelta) -> int:
        """Remove files replaced so long ago, never one that a pinned version reads."""
        return self._stored.vacuum(pinned, older_than)

    def merged(self, slice_id: str) -> int | None:
        """The Delta version that holds this slice, if any."""
        table = self._stored.look()
        return None if table is None else self._stored.holding(table, slice_id)

    def read(
        self,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        circuits: Iterable[CircuitKey] | None = None,
        version: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Rows with start <= timestamp < end, sorted by key; reads only files of those dates."""
        table = self._stored.look() if version is None else self._stored.open(version)
        rows = self._stored.scan(table, fixed_schema())
        if start is not None:
            rows = rows.filter(pl.col("date") >= start.date(), pl.col("timestamp") >= start)
        if end is not None:
            rows = rows.filter(pl.col("date") <= end.date(), pl.col("timestamp") < end)
        rows = only(rows, circuits)
        if columns is not None:
            rows = rows.select(list(dict.fromkeys([*KEY, *columns])))
        found = self._stored.collect(rows).sort(KEY)
        return found if columns is None else found.select(columns)

    def columns(self) -> tuple[str, ...]:
        """Column names in order."""
        table = self._stored.look()
        return FIXED if table is None else self._columns(table)

    def newest(self) -> datetime | None:
        """The newest timestamp with a value, from the files' statistics."""
        table = self._stored.look()
        if table is None:
            return None
        files = pl.DataFrame(table.get_add_actions(flatten=True))
        newest = files["max.timestamp"].max() if len(files) else None
        return newest if isinstance(newest, datetime) else None

    def summary(self) -> pl.DataFrame:
        """Per circuit: plant_id, circuit_id, rows, first_timestamp, last_timestamp."""
        table = self._stored.look()
        names: list[str] = []
        if table is not None:
            names = pl.DataFrame(table.get_add_actions(flatten=True))["path"].to_list()
        try:
            return self._tally.of([unquote(name) for name in names])
        except (OSError, pl.exceptions.PolarsError) as error:
            raise self._stored.unreadable(error) from error

    def _opened(self, version: int | None) -> DeltaTable:
        table = self._stored.look() if version is None else self._stored.open(version)
        if table is None:
            raise DataError(f"{self._stored.place}: there are no readings yet; run ingest first")
        return table

    def _columns(self, table: DeltaTable) -> tuple[str, ...]:
        return tuple(field.name for field in table.schema().fields)

    def _before(self, version: int, dates: pl.Series) -> pl.DataFrame:
        """The days' rows before a slice was merged, with the columns of that merge."""
        merged = self._days(self._opened(version), dates)
        if version == 0:
            return merged.clear()
        return self._days(self._opened(version - 1), dates).select(merged.columns)

    def _days(self, table: DeltaTable, dates: pl.Series) -> pl.DataFrame:
        rows = pl.scan_delta(table).filter(
            pl.any_horizontal(
                pl.lit(value=False),
                *(pl.col("date").is_between(first, last) for first, last in _runs(dates)),
            )
        )
        return self._stored.collect(rows)


def _runs(dates: pl.Series) -> list[tuple[date, date]]:
    """Unbroken runs of days, or one window where there are too many."""
    days = sorted(dates.unique().to_list())
    runs: list[tuple[date, date]] = []
    for day in days:
        if runs and day - runs[-1][1] == timedelta(days=1):
            runs[-1] = (runs[-1][0], day)
        else:
            runs.append((day, day))
    if len(runs) > _LONGEST_PREDICATE:
        return [(days[0], days[-1])]
    return runs
