"""Predictions as a Delta table with a partition a day, and as a Parquet file a circuit and day."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import polars as pl
import pyarrow.parquet as pq

from mlops_assets.adapters.local.day_table import DayTable
from mlops_assets.adapters.local.files import read_bytes, write_atomic
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.forecast import PREDICTION_KEY, empty_frame

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date
    from pathlib import Path

    from mlops_assets.domain.identifiers import CircuitKey


class LocalPredictionsTable:
    """`lake/predictions`, key (plant_id, circuit_id, issued_for, timestamp)."""

    def __init__(self, path: Path) -> None:
        self._table = DayTable(path, empty_frame(), PREDICTION_KEY)

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


class LocalPredictionFiles:
    """`workspaces/<name>/predictions/P001/C003/YYYY-MM-DD.parquet`."""

    def __init__(self, folder: Path, home: Path) -> None:
        self._folder = folder
        self._home = home

    def write(self, circuit: CircuitKey, issued_for: date, rows: pl.DataFrame) -> str:
        """Write one file, complete or not at all; a file that says the same is left alone."""
        path = self._path(circuit, issued_for)
        buffer = io.BytesIO()
        pq.write_table(rows.to_arrow(compat_level=pl.CompatLevel.oldest()), buffer)
        data = buffer.getvalue()
        if read_bytes(path) != data:
            write_atomic(path, data)
        return path.relative_to(self._home).as_posix()

    def exists(self, circuit: CircuitKey, issued_for: date) -> bool:
        """Whether the file is there."""
        return self._path(circuit, issued_for).is_file()

    def _path(self, circuit: CircuitKey, issued_for: date) -> Path:
        folder = self._folder / circuit.plant_id / circuit.circuit_id
        return folder / f"{issued_for.isoformat()}.parquet"
