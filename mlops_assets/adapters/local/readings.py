"""The readings table as Delta on a local disk, and the two logs of rows beside it.

A merge is one commit that replaces the slice's days, and only these: the days' rows are read at
the version that the commit is checked against, so a writer in between makes it fail and repeat.
Rows lie in the order of their days, so a read opens only the files of its window.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

import polars as pl

from mlops_assets.adapters.local.day_counts import DayCounts
from mlops_assets.adapters.local.delta import DeltaFolder
from mlops_assets.adapters.local.journal import LocalIngestJournal
from mlops_assets.adapters.local.tally import Tally
from mlops_assets.domain.arrivals import check_rows, fixed_schema, log_schema
from mlops_assets.domain.canonical import moment_text
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.merging import merge
from mlops_assets.domain.readings import FIXED, KEY, feature_columns
from mlops_assets.ports import MergeResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from deltalake import DeltaTable

    from mlops_assets.domain.identifiers import CircuitKey

__all__ = ["LocalIngestJournal", "LocalReadingsTable", "LocalRowLog"]

ORDER = ("date", *KEY)
# More runs of days than this make one window, so that a predicate stays short.
_LONGEST_PREDICATE = 40


class LocalReadingsTable:
    """`lake/readings` in a folder."""

    def __init__(self, path: Path, *, folder: DeltaFolder | None = None) -> None:
        self._path = path
        self._folder = folder or DeltaFolder(path)
        self._tally = Tally(path)

    def exists(self) -> bool:
        """Whether any slice was ever merged."""
        return self._folder.look() is not None

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
        return self._folder.commit(lambda: self._merge_once(rows, gone, slice_id))

    def _merge_once(
        self, rows: pl.DataFrame, withdrawn: pl.DataFrame, slice_id: str
    ) -> MergeResult:
        features = feature_columns(rows.columns)
        dates = pl.concat([rows["date"], withdrawn["timestamp"].dt.date().alias("date")])
        table = self._folder.open()
        if table is None:
            empty = pl.DataFrame(schema={**fixed_schema(), **dict.fromkeys(features, pl.Float64())})
            merged = merge(empty, rows.select(empty.columns))
            version = self._folder.create(merged.rows.sort(ORDER), slice_id)
            return MergeResult(
                inserted=merged.inserted,
                updated=0,
                unchanged=0,
                delta_version=version,
                changed=merged.changed,
            )
        version = table.version()
        was_merged = self._folder.holding(table, slice_id)
        if was_merged is not None:
            before = self._before(was_merged, dates)
        else:
            columns = self._columns(table)
            if missing := [name for name in features if name not in columns]:
                self._folder.add_numbers(table, missing)
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
            version = self._folder.replace(table, merged.rows.sort(ORDER), condition, slice_id)
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
        return self._folder.vacuum(pinned, older_than)

    def merged(self, slice_id: str) -> int | None:
        """The Delta version that holds this slice, if any."""
        table = self._folder.look()
        return None if table is None else self._folder.holding(table, slice_id)

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
        table = self._folder.look() if version is None else self._folder.open(version)
        rows = self._folder.scan(table, fixed_schema())
        if start is not None:
            rows = rows.filter(pl.col("date") >= start.date(), pl.col("timestamp") >= start)
        if end is not None:
            rows = rows.filter(pl.col("date") <= end.date(), pl.col("timestamp") < end)
        rows = _only(rows, circuits)
        if columns is not None:
            rows = rows.select(list(dict.fromkeys([*KEY, *columns])))
        found = self._folder.collect(rows).sort(KEY)
        return found if columns is None else found.select(columns)

    def columns(self) -> tuple[str, ...]:
        """Column names in order."""
        table = self._folder.look()
        return FIXED if table is None else self._columns(table)

    def newest(self) -> datetime | None:
        """The newest timestamp with a value, from the files' statistics."""
        table = self._folder.look()
        if table is None:
            return None
        files = pl.DataFrame(table.get_add_actions(flatten=True))
        newest = files["max.timestamp"].max() if len(files) else None
        return newest if isinstance(newest, datetime) else None

    def summary(self) -> pl.DataFrame:
        """Per circuit: plant_id, circuit_id, rows, first_timestamp, last_timestamp."""
        table = self._folder.look()
        names: list[str] = []
        if table is not None:
            names = pl.DataFrame(table.get_add_actions(flatten=True))["path"].to_list()
        try:
            return self._tally.of([unquote(name) for name in names])
        except (OSError, pl.exceptions.PolarsError) as error:
            raise self._folder.unreadable(error) from error

    def _opened(self, version: int | None) -> DeltaTable:
        table = self._folder.look() if version is None else self._folder.open(version)
        if table is None:
            raise DataError(f"{self._path}: there are no readings yet; run ingest first")
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
        return self._folder.collect(rows)


class LocalRowLog:
    """`lake/quarantine` or `lake/restatements` in a folder."""

    def __init__(self, path: Path, kind: Literal["quarantine", "restatements"]) -> None:
        self._folder = DeltaFolder(path)
        self._schema = log_schema(kind)
        self._counts = DayCounts(self._folder, self._schema, self.read)

    def append(self, rows: pl.DataFrame, *, slice_id: str) -> int | None:
        """Add rows once per slice id; returns the version that holds them, None for no rows.

        Raises:
            DataError: a column is missing or unknown.
        """
        if odd := sorted(set(rows.columns) ^ set(self._schema)):
            raise DataError(
                f"{self._folder.path}: columns {', '.join(odd)} of the rows do not fit the log; "
                "nothing was changed"
            )
        if rows.is_empty():
            return None
        written = rows.select(pl.col(name).cast(kind) for name, kind in self._schema.items())
        return self._folder.commit(lambda: self._append_once(written, slice_id))

    def version(self) -> int | None:
        """The newest Delta version, None before the first row."""
        table = self._folder.look()
        return None if table is None else int(table.version())

    def _append_once(self, rows: pl.DataFrame, slice_id: str) -> int:
        table = self._folder.open()
        if table is None:
            return self._folder.create(rows, slice_id)
        held = self._folder.holding(table, slice_id)
        if held is None:
            there = {field.name for field in table.schema().fields}
            if missing := [name for name in self._schema if name not in there]:
                # A table of an older version of the platform.
                self._folder.add_columns(table, {name: self._schema[name] for name in missing})
            return self._folder.append(table, rows, slice_id)
        return held

    def read(
        self,
        circuits: Iterable[CircuitKey] | None = None,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> pl.DataFrame:
        """Rows with start <= timestamp < end, sorted; an empty frame when there is none."""
        rows = self._folder.scan(self._folder.look(), self._schema)
        stamp = pl.col("timestamp")
        text = self._schema["timestamp"] == pl.String
        if start is not None:
            rows = rows.filter(stamp >= (moment_text(start) if text else start))
        if end is not None:
            rows = rows.filter(stamp < (moment_text(end) if text else end))
        found = self._folder.collect(_only(rows, circuits))
        missing = [
            pl.lit(None, dtype=kind).alias(name)
            for name, kind in self._schema.items()
            if name not in found.columns
        ]
        return found.with_columns(missing).select(list(self._schema)).sort(list(self._schema))

    def daily(self, name: str, count: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
        """What ``count`` says of each day's rows; days that did not change are not read again."""
        return self._counts.of(name, count)


def _only(rows: pl.LazyFrame, circuits: Iterable[CircuitKey] | None) -> pl.LazyFrame:
    if circuits is None:
        return rows
    keys = sorted(set(circuits))
    wanted = pl.LazyFrame(
        {
            "plant_id": [key.plant_id for key in keys],
            "circuit_id": [key.circuit_id for key in keys],
        },
        schema={"plant_id": pl.String, "circuit_id": pl.String},
    )
    near = rows.filter(
        pl.col("plant_id").is_in(sorted({key.plant_id for key in keys})),
        pl.col("circuit_id").is_in(sorted({key.circuit_id for key in keys})),
    )
    return near.join(wanted, on=["plant_id", "circuit_id"], how="semi")


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
