"""The lake in memory: landing zone, journal, readings table and row logs."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from mlops_assets.domain.addition import Catalogue, SliceRecord, in_order
from mlops_assets.domain.arrivals import check_rows, fixed_schema, log_schema
from mlops_assets.domain.canonical import moment_text
from mlops_assets.domain.circuit import Circuit, Config, Policy, Spec, StagePolicy
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.merging import merge
from mlops_assets.domain.readings import FIXED, KEY, RawFile, feature_columns
from mlops_assets.engines.polars import PolarsEngine
from mlops_assets.ports import Lake, MergeResult

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2024, 7, 1, tzinfo=UTC)


class FakeLandingZone:
    def __init__(self):
        self.data: dict[str, bytes] = {}

    def files(self):
        return tuple(self._described(path) for path in sorted(self.data))

    def read(self, file):
        if file.path not in self.data or self._described(file.path) != file:
            raise DataError(f"{file.path}: changed while it was read; run ingest again")
        return self.data[file.path]

    def put(self, path, data):
        self.data[path] = data
        return self._described(path)

    def _described(self, path):
        data = self.data[path]
        return RawFile(path, len(data), hashlib.sha256(data).hexdigest())


class FakeIngestJournal:
    def __init__(self):
        self.intents: dict[str, SliceRecord] = {}
        self.slices: dict[str, SliceRecord] = {}
        self.again: set[str] = set()
        self.known: Catalogue | None = None

    def confirmed(self):
        return frozenset(file for each in self.slices.values() for file in each.files)

    def made(self):
        return {slice_id: each.versions for slice_id, each in self.slices.items()}

    def history(self):
        return in_order(self.slices.values())

    def catalogue(self):
        return self.known

    def know(self, catalogue):
        self.known = catalogue

    def intend(self, slice_id, files, *, at=None, addition=None):
        known = [each.order for each in (*self.slices.values(), *self.intents.values())]
        self.intents[slice_id] = SliceRecord(
            slice_id=slice_id,
            files=tuple(files),
            versions={},
            order=max(known, default=0) + 1,
            at=at,
            addition=addition,
        )

    def pending(self):
        return dict(self.intents)

    def reopened(self):
        return frozenset(self.again)

    def confirm(self, slice_id, delta_version, *, logs=None, left_out=None):
        if slice_id not in self.slices:
            versions = {"readings": delta_version, **(logs or {})}
            kept = {name: v for name, v in versions.items() if v is not None}
            left = None if left_out is None else {n: tuple(p) for n, p in left_out.items()}
            self.slices[slice_id] = replace(self.intents[slice_id], versions=kept, left_out=left)
        self.withdraw(slice_id)

    def reopen(self, slice_id):
        if slice_id in self.slices:
            self.intents[slice_id] = self.slices.pop(slice_id)
            self.again.add(slice_id)

    def withdraw(self, slice_id):
        self.intents.pop(slice_id, None)
        self.again.discard(slice_id)

    @contextmanager
    def lock(self) -> Iterator[None]:
        yield


class FakeReadingsTable:
    """Every version is kept, as Delta does."""

    def __init__(self):
        self.versions: list[pl.DataFrame] = []
        self.slices: dict[str, int] = {}

    def exists(self):
        return bool(self.versions)

    def version(self):
        if not self.versions:
            raise DataError("readings: there are no readings yet; run ingest first")
        return len(self.versions) - 1

    def merge(self, rows, *, slice_id, withdrawn=None):
        features = feature_columns(rows.columns)
        check_rows(rows, features)
        done = self.slices.get(slice_id)
        if done is None and self.versions:
            missing = [name for name in features if name not in self.versions[-1].columns]
            if missing:
                self.versions.append(_with(self.versions[-1], missing))
        columns = {**fixed_schema(), **dict.fromkeys(features, pl.Float64())}
        before = pl.DataFrame(schema=columns)
        if done is not None and done > 0:
            before = self.versions[done - 1]
        elif done is None and self.versions:
            before = self.versions[-1]
        lacking = [name for name in before.columns if name not in rows.columns]
        merged = merge(before, _with(rows, lacking).select(before.columns), withdrawn)
        if done is None and (merged.inserted or merged.updated or merged.withdrawn):
            self.versions.append(merged.rows)
            self.slices[slice_id] = len(self.versions) - 1
        return MergeResult(
            inserted=merged.inserted,
            updated=merged.updated,
            unchanged=merged.unchanged,
            delta_version=self.slices.get(slice_id, len(self.versions) - 1),
            changed=merged.changed,
            withdrawn=merged.withdrawn,
        )

    def vacuum(self, *, pinned, older_than):
        self.pinned = frozenset(pinned)
        return 0

    def merged(self, slice_id):
        return self.slices.get(slice_id)

    def read(self, *, start=None, end=None, circuits=None, version=None, columns=None):
        rows = self._rows(version)
        if start is not None:
            rows = rows.filter(pl.col("timestamp") >= start)
        if end is not None:
            rows = rows.filter(pl.col("timestamp") < end)
        rows = _only(rows, circuits).sort(KEY)
        return rows if columns is None else rows.select(columns)

    def columns(self):
        return tuple(self.versions[-1].columns) if self.versions else FIXED

    def newest(self):
        return self._rows(None)["timestamp"].max()

    def summary(self):
        return (
            self._rows(None)
            .group_by("plant_id", "circuit_id")
            .agg(
                pl.len().cast(pl.Int64).alias("rows"),
                pl.col("timestamp").min().alias("first_timestamp"),
                pl.col("timestamp").max().alias("last_timestamp"),
            )
            .sort("plant_id", "circuit_id")
        )

    def _rows(self, version):
        if not self.versions:
            return pl.DataFrame(schema=fixed_schema())
        return self.versions[-1 if version is None else version]


class FakeRowLog:
    def __init__(self, kind):
        self.schema = log_schema(kind)
        self.slices: dict[str, pl.DataFrame] = {}

    def append(self, rows, *, slice_id):
        if rows.is_empty():
            return None
        self.slices.setdefault(slice_id, rows.select(list(self.schema)))
        return list(self.slices).index(slice_id)

    def version(self):
        return len(self.slices) - 1 if self.slices else None

    def read(self, circuits=None, *, start=None, end=None):
        rows = pl.concat([pl.DataFrame(schema=self.schema), *self.slices.values()])
        written = self.schema["timestamp"] == pl.String
        if start is not None:
            rows = rows.filter(pl.col("timestamp") >= (moment_text(start) if written else start))
        if end is not None:
            rows = rows.filter(pl.col("timestamp") < (moment_text(end) if written else end))
        return _only(rows, circuits).sort(list(self.schema))

    def daily(self, name, count):
        rows = self.read()
        stamp = rows["timestamp"]
        text = stamp if stamp.dtype == pl.String else stamp.dt.strftime("%Y-%m-%d")
        days = rows.with_columns(text.str.slice(0, 10).alias("_day")).partition_by(
            "_day", include_key=False
        )
        return pl.concat([count(rows.clear()), *(count(day) for day in days)])


class _Absent:
    """Stands for a table that the test is not about."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"this test gave the lake no such table, but {name} was asked")


def a_lake(**parts) -> Lake:
    """A lake in memory; tables that are not named but not of readings must not be touched."""
    fakes = {
        "landing": FakeLandingZone(),
        "journal": FakeIngestJournal(),
        "readings": FakeReadingsTable(),
        "quarantine": FakeRowLog("quarantine"),
        "restatements": FakeRowLog("restatements"),
        "predictions": _Absent(),
        "quality": _Absent(),
        "hindcasts": _Absent(),
        "engine": PolarsEngine(),
        "historian": _Absent,
    }
    return Lake(**(fakes | parts))


def a_circuit(key="P1/C1", **spec) -> Circuit:
    """A circuit whose spec differs from the defaults as named."""
    return Circuit(
        key=CircuitKey.parse(key),
        spec=Spec(**({"cutoff_date": date(2024, 6, 21)} | spec)),
        spec_digest="0" * 64,
        owners=(),
        file=f"plants/{key}.yml",
    )


def a_config(*circuits, features=()) -> Config:
    """A config of these circuits, by default P1/C1 and P1/C2."""
    chosen = circuits or (a_circuit("P1/C1"), a_circuit("P1/C2"))
    stage = StagePolicy(roles=("ml_engineer",))
    return Config(
        commit="0" * 40,
        plants={},
        circuits={circuit.key: circuit for circuit in chosen},
        environments={},
        policy=Policy(registry=stage, production=stage),
        feature_columns=tuple(features),
    )


def readings(values, *, key="P1/C1", start=datetime(2024, 6, 1, tzinfo=UTC), **more):
    """A readings frame: one circuit, hourly from ``start``; ``more`` are feature columns."""
    circuit = CircuitKey.parse(key)
    stamps = [start + timedelta(hours=hour) for hour in range(len(values))]
    frame = pl.DataFrame(
        {
            "plant_id": [circuit.plant_id] * len(values),
            "circuit_id": [circuit.circuit_id] * len(values),
            "timestamp": stamps,
            "date": [stamp.date() for stamp in stamps],
            "value": values,
            "source": ["test.parquet"] * len(values),
            "ingested_at": [NOW] * len(values),
        },
        schema=fixed_schema(),
    )
    return frame.with_columns(
        pl.Series(name, cells, dtype=pl.Float64) for name, cells in more.items()
    )


def csv_of(rows, *, header="plant_id,circuit_id,timestamp,value"):
    """CSV bytes of rows given as tuples or lines."""
    lines = [row if isinstance(row, str) else ",".join(str(cell) for cell in row) for row in rows]
    return "\n".join([header, *lines, ""]).encode()


def _with(rows, names):
    return rows.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in names)


def _only(rows, circuits):
    if circuits is None:
        return rows
    keys = {(key.plant_id, key.circuit_id) for key in circuits}
    wanted = pl.DataFrame(
        [list(key) for key in sorted(keys)],
        schema={"plant_id": pl.String, "circuit_id": pl.String},
        orient="row",
    )
    return rows.join(wanted, on=["plant_id", "circuit_id"], how="semi")
