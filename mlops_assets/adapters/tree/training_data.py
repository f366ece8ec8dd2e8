"""Training data as MLTable folders, which Azure ML's reader loads as they are.

A folder `P001/C001/2024-06-21/` holds ``MLTable``, ``part-0.parquet`` and ``asset.json``. It
depends on nothing else: what later happens to the readings table does not touch it. Text columns
are large_utf8, because that reader cannot load string views.
"""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from mlops_assets.domain.errors import DataError, StaleError
from mlops_assets.domain.identifiers import CircuitKey, DataVersion, IdentifierError
from mlops_assets.domain.readings import KEY
from mlops_assets.domain.training_data import TrainingData, content_digest

if TYPE_CHECKING:
    from mlops_assets.adapters.tree import Tree

_FORMAT = 1
_PART = "part-0.parquet"
_ASSET = "asset.json"


class TreeTrainingDataStore:
    """The training data of one workspace; paths are told relative to the home."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def register(self, data: TrainingData, rows: pl.DataFrame) -> TrainingData:
        """Write the folder and register it; the same content again is the same asset."""
        if content_digest(rows) != data.content_digest or len(rows) != data.rows:
            raise DataError(f"{data.circuit} {data.version}: the rows are not those of its digest")
        folder = _folder(data.circuit, data.version)
        named = replace(data, path=self._tree.path(folder))
        if (registered := self._read(folder)) is None:
            files = {
                "MLTable": _mltable(named),
                _PART: _parquet(rows),
                _ASSET: _written(named),
            }
            self._tree.write_folder_once(folder, files, seal=_ASSET)
            return named
        if registered.content_digest != data.content_digest:
            raise StaleError(
                f"{data.circuit}: training data {data.version} holds other rows; run it again"
            )
        return registered

    def show(self, data: TrainingData) -> None:
        """Nothing else names it."""

    def get(self, circuit: CircuitKey, version: DataVersion) -> TrainingData:
        """One asset; DataError when there is none."""
        data = self._read(_folder(circuit, version))
        if data is None:
            raise DataError(f"{circuit}: there is no training data {version}; train it again")
        return data

    def versions(self, circuit: CircuitKey) -> tuple[TrainingData, ...]:
        """All assets, oldest version first."""
        names = self._tree.folders(str(circuit), seal=_ASSET)
        folders = [f"{circuit}/{name}" for name in names if not name.startswith(".")]
        found = self._tree.together(self._read, folders)
        there = [data for data in found if data is not None]
        return tuple(sorted(there, key=lambda data: data.version))

    def rows(self, data: TrainingData) -> pl.DataFrame:
        """The rows, after checking them against the content digest."""
        name = f"{_folder(data.circuit, data.version)}/{_PART}"
        content, part = self._tree.read(name), self._tree.where(name)
        advice = "restore the folder from a backup"
        if content is None:
            raise DataError(f"{part}: is missing; {advice}")
        try:
            rows = _read_parquet(content)
            found = content_digest(rows)
        except (pa.ArrowException, OSError, ValueError, pl.exceptions.PolarsError) as error:
            raise DataError(f"{part}: is no readable Parquet; {advice}") from error
        if found != data.content_digest:
            raise DataError(
                f"{part}: has digest {found[:12]}, {data.content_digest[:12]} is pinned; {advice}"
            )
        return rows

    def _read(self, folder: str) -> TrainingData | None:
        content = self._tree.read(f"{folder}/{_ASSET}")
        if content is None:
            return None
        where = self._tree.where(f"{folder}/{_ASSET}")
        try:
            document = json.loads(content)
            if document["format"] == _FORMAT:
                return _data(document)
        except (ValueError, TypeError, KeyError, IdentifierError) as error:
            raise DataError(
                f"{where}: describes no training data; restore it from a backup"
            ) from error
        raise DataError(f"{where}: has format {document['format']}, this version reads {_FORMAT}")


def _folder(circuit: CircuitKey, version: DataVersion) -> str:
    return f"{circuit}/{version}"


def _mltable(data: TrainingData) -> bytes:
    """The YAML that Azure ML reads; every text is quoted, so nothing turns into a date."""
    return f"""\
type: mltable
paths:
  - file: ./{_PART}
transformations:
  - read_parquet:
      include_path_column: false
metadata:
  circuit: "{data.circuit}"
  cutoff_date: "{data.cutoff_date}"
  timezone: "{data.timezone}"
  delta_version: {data.delta_version}
  rows: {data.rows}
  content_digest: "{data.content_digest}"
""".encode()


def _parquet(rows: pl.DataFrame) -> bytes:
    table = rows.sort(KEY).to_arrow(compat_level=pl.CompatLevel.oldest())
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_statistics=True)
    return buffer.getvalue()


def _read_parquet(content: bytes) -> pl.DataFrame:
    rows = pl.from_arrow(pq.read_table(io.BytesIO(content)))
    if not isinstance(rows, pl.DataFrame):
        raise TypeError("no table")
    return rows


def _written(data: TrainingData) -> bytes:
    document = {
        "format": _FORMAT,
        "plant_id": data.circuit.plant_id,
        "circuit_id": data.circuit.circuit_id,
        "version": str(data.version),
        "content_digest": data.content_digest,
        "delta_version": data.delta_version,
        "rows": data.rows,
        "cutoff_date": data.cutoff_date.isoformat(),
        "timezone": data.timezone,
        "first_timestamp": data.first_timestamp.isoformat(),
        "last_timestamp": data.last_timestamp.isoformat(),
        "columns": list(data.columns),
        "path": data.path,
    }
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"


def _data(document: dict[str, Any]) -> TrainingData:
    return TrainingData(
        circuit=CircuitKey(document["plant_id"], document["circuit_id"]),
        version=DataVersion.parse(document["version"]),
        content_digest=str(document["content_digest"]),
        delta_version=int(document["delta_version"]),
        rows=int(document["rows"]),
        cutoff_date=date.fromisoformat(document["cutoff_date"]),
        timezone=str(document["timezone"]),
        first_timestamp=datetime.fromisoformat(document["first_timestamp"]),
        last_timestamp=datetime.fromisoformat(document["last_timestamp"]),
        columns=tuple(document["columns"]),
        path=str(document["path"]),
    )
