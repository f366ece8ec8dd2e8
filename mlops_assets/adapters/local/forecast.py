"""Predictions as a Delta table with a partition a day, and as a Parquet file a circuit and day."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import polars as pl
import pyarrow.parquet as pq

from mlops_assets.adapters.delta.forecast import DeltaPredictionsTable
from mlops_assets.adapters.local.delta import DeltaFolder
from mlops_assets.adapters.local.files import read_bytes, write_atomic

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from mlops_assets.domain.identifiers import CircuitKey


class LocalPredictionsTable(DeltaPredictionsTable):
    """`lake/predictions` in a folder."""

    def __init__(self, path: Path) -> None:
        super().__init__(DeltaFolder(path))


class LocalPredictionFiles:
    """`workspaces/<name>/predictions/P001/C003/YYYY-MM-DD.parquet`."""

    def __init__(self, folder: Path, home: Path) -> None:
        self._folder = folder
        self._home = home

    def write(self, circuit: CircuitKey, issued_for: date, rows: pl.DataFrame) -> str:
        """Write one file, complete or not at all; a file that says the same is left alone."""
        path = self._path(circuit, issued_for)
        buffer = io.BytesIO()
        table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
        # A day's rows of one circuit: dictionaries and statistics would be longer than the rows.
        pq.write_table(table, buffer, use_dictionary=False, write_statistics=False)
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
