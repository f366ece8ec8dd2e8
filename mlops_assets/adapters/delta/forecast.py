"""Predictions as a Delta table with a partition a day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from mlops_assets.adapters.delta.day_table import DayTable
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.forecast import PREDICTION_KEY, empty_frame

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from mlops_assets.adapters.delta.table import StoredTable
    from mlops_assets.domain.identifiers import CircuitKey


class DeltaPredictionsTable:
    """`lake/predictions`, key (plant_id, circuit_id, issued_for, timestamp)."""

    def __init__(self, table: StoredTable) -> None:
        self._table = DayTable(table, empty_frame(), PREDICTION_KEY)

    def replace(self, rows: pl.DataFrame, *, issued_for: date) -> int:
        """Write the rows' circuits for one day in one commit; returns the rows written."""
        other = rows.filter(pl.col("issued_for") != issued_for)
        if not other.is_empty():
            raise DataError(
                f"predictions: {len(other)} rows are for {other['issued_for'][0]}, not "
                f"{issued_for}; write one day at a time"
            )
        changed = self._table.replace(rows, unit=["plant_id", "circuit_id", "issued_for"])
        return len(rows) if len(changed) else 0

    def read(
        self,
        *,
        issued_for: date | None = None,
        first: date | None = None,
        last: date | None = None,
        circuits: Iterable[CircuitKey] | None = None,
    ) -> pl.DataFrame:
        """Rows of a day or of days first..last, sorted by key."""
        return self._table.read(
            first=first if issued_for is None else issued_for,
            last=last if issued_for is None else issued_for,
            circuits=circuits,
        )

    def version(self) -> int | None:
        """The newest Delta version, None when nothing was ever predicted."""
        return self._table.version()

    def drop(self, *, before: date) -> int:
        """Remove the rows of all days before one; returns how many there were."""
        return self._table.drop(before)
