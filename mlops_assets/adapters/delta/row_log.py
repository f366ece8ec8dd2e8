"""The two logs of rows beside the readings table, as Delta: quarantine and restatements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import polars as pl

from mlops_assets.adapters.delta.day_counts import DayCounts
from mlops_assets.domain.arrivals import log_schema
from mlops_assets.domain.canonical import moment_text
from mlops_assets.domain.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from mlops_assets.adapters.delta.table import StoredTable
    from mlops_assets.domain.identifiers import CircuitKey


class DeltaRowLog:
    """`lake/quarantine` or `lake/restatements`."""

    def __init__(self, table: StoredTable, kind: Literal["quarantine", "restatements"]) -> None:
        self._stored = table
        self._schema = log_schema(kind)
        self._counts = DayCounts(self._stored, self._schema, self.read)

    def append(self, rows: pl.DataFrame, *, slice_id: str) -> int | None:
        """Add rows once per slice id; returns the version that holds them, None for no rows.

        Raises:
            DataError: a column is missing or unknown.
        """
        if odd := sorted(set(rows.columns) ^ set(self._schema)):
            raise DataError(
                f"{self._stored.place}: columns {', '.join(odd)} of the rows do not fit the log; "
                "nothing was changed"
            )
        if rows.is_empty():
            return None
        written = rows.select(pl.col(name).cast(kind) for name, kind in self._schema.items())
        return self._stored.commit(lambda: self._append_once(written, slice_id))

    def version(self) -> int | None:
        """The newest Delta version, None before the first row."""
        table = self._stored.look()
        return None if table is None else int(table.version())

    def _append_once(self, rows: pl.DataFrame, slice_id: str) -> int:
        table = self._stored.open()
        if table is None:
            return self._stored.create(rows, slice_id)
        held = self._stored.holding(table, slice_id)
        if held is None:
            there = {field.name for field in table.schema().fields}
            if missing := [name for name in self._schema if name not in there]:
                # A table of an older version of the platform.
                self._stored.add_columns(table, {name: self._schema[name] for name in missing})
            return self._stored.append(table, rows, slice_id)
        return held

    def read(
        self,
        circuits: Iterable[CircuitKey] | None = None,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> pl.DataFrame:
        """Rows with start <= timestamp < end, sorted; an empty frame when there is none."""
        rows = self._stored.scan(self._stored.look(), self._schema)
        stamp = pl.col("timestamp")
        text = self._schema["timestamp"] == pl.String
        if start is not None:
            rows = rows.filter(stamp >= (moment_text(start) if text else start))
        if end is not None:
            rows = rows.filter(stamp < (moment_text(end) if text else end))
        found = self._stored.collect(only(rows, circuits))
        missing = [
            pl.lit(None, dtype=kind).alias(name)
            for name, kind in self._schema.items()
            if name not in found.columns
        ]
        return found.with_columns(missing).select(list(self._schema)).sort(list(self._schema))

    def daily(self, name: str, count: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
        """What ``count`` says of each day's rows; days that did not change are not read again."""
        return self._counts.of(name, count)


def only(rows: pl.LazyFrame, circuits: Iterable[CircuitKey] | None) -> pl.LazyFrame:
    """Rows of these circuits, all of them where none are named."""
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
