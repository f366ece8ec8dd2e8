"""Quality as a Delta table with a partition a day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.adapters.delta.day_table import DayTable
from mlops_assets.domain.quality import QUALITY_KEY, quality_frame

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    import polars as pl

    from mlops_assets.adapters.delta.table import StoredTable
    from mlops_assets.domain.identifiers import CircuitKey


class DeltaQualityTable:
    """`lake/quality`, key (plant_id, circuit_id, issued_for)."""

    def __init__(self, table: StoredTable) -> None:
        self._table = DayTable(table, quality_frame(()), QUALITY_KEY)

    def replace(self, rows: pl.DataFrame) -> int:
        """Write rows, replacing those with the same key; returns the rows that changed."""
        return len(self._table.replace(rows, unit=list(QUALITY_KEY)))

    def drop(self, *, before: date) -> int:
        """Remove the rows of all days before one; returns how many there were."""
        return self._table.drop(before)

    def read(
        self, *, first: date | None = None, circuits: Iterable[CircuitKey] | None = None
    ) -> pl.DataFrame:
        """Rows sorted by key."""
        return self._table.read(first=first, circuits=circuits)
