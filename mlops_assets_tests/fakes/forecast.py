"""Predictions in memory, and a model small enough to reason about."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from mlops_assets.domain.errors import DataError, ModelError
from mlops_assets.domain.forecast import PREDICTION_KEY, empty_frame
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.model import ForecastValues
from mlops_assets.flows.ladder import Forecasting


class FakePredictionsTable:
    def __init__(self):
        self.rows = empty_frame()
        self.commits = 0

    def replace(self, rows, *, issued_for):
        if (rows["issued_for"] != issued_for).any():
            raise DataError(f"predictions: rows are for another day than {issued_for}")
        if rows.schema != self.rows.schema:
            raise DataError("lake/predictions: rows differ from the table in their columns")
        if rows.select(PREDICTION_KEY).is_duplicated().any():
            raise DataError("lake/predictions: two rows have one key; write each once")
        unit = ["plant_id", "circuit_id", "issued_for"]
        after = pl.concat([self.rows.join(rows, on=unit, how="anti"), rows]).sort(PREDICTION_KEY)
        if after.equals(self.rows):
            return 0
        self.rows = after
        self.commits += 1
        return len(rows)

    def read(self, *, issued_for=None, first=None, last=None, circuits=None):
        rows = self.rows
        first, last = (issued_for, issued_for) if issued_for else (first, last)
        if first is not None:
            rows = rows.filter(pl.col("issued_for") >= first)
        if last is not None:
            rows = rows.filter(pl.col("issued_for") <= last)
        return only(rows, circuits)

    def version(self):
        return self.commits - 1 if self.commits else None

    def drop(self, *, before):
        old = self.rows.filter(pl.col("issued_for") < before)
        self.rows = self.rows.filter(pl.col("issued_for") >= before)
        return len(old)


class FakePredictionFiles:
    def __init__(self):
        self.files: dict[tuple[CircuitKey, object], pl.DataFrame] = {}
        self.writes = 0

    def write(self, circuit, issued_for, rows):
        known = self.files.get((circuit, issued_for))
        if known is None or not known.equals(rows):
            self.files[circuit, issued_for] = rows
            self.writes += 1
        return f"predictions/{circuit}/{issued_for}.parquet"

    def exists(self, circuit, issued_for):
        return (circuit, issued_for) in self.files


def only(rows, circuits):
    """Rows of some circuits, or all."""
    if circuits is None:
        return rows
    keys = {str(circuit) for circuit in circuits}
    return rows.filter((pl.col("plant_id") + "/" + pl.col("circuit_id")).is_in(keys))


def model_files(**settings) -> dict[str, bytes]:
    """The files of a fake model; what it does is in its JSON."""
    return {
        "model.json": json.dumps(settings, sort_keys=True).encode(),
        "arrays.npz": b"",
        "golden.json": b"{}",
    }


@dataclass(frozen=True)
class FakeFitted:
    """The value 24 hours before, plus ``add``; it can be told to fail in each way a model can."""

    add: float = 0.0
    context_steps: int = 48
    golden: bool = True
    error: str = ""
    shorten: int = 0
    infinite: bool = False
    forecaster: str = "fake"

    def reproduces_golden(self):
        return self.golden

    def apply(self, series, steps):
        if self.error:
            raise RuntimeError(self.error)
        values = naive(series, steps - self.shorten, 24)
        value = values.value + self.add
        if self.infinite:
            value = value / 0.0 if np.all(value == 0) else value * np.inf
        return values_of(values.start, values.step, value)


def load(files) -> FakeFitted:
    """Read a fake model."""
    try:
        return FakeFitted(**json.loads(files["model.json"]))
    except (ValueError, TypeError) as error:
        raise ModelError("model.json: is not a model; restore it") from error


def naive(series, steps, season_hours):
    """The last known value of the same hour."""
    season = timedelta(hours=season_hours) // series.step
    if not np.isfinite(series.values).any():
        raise ModelError("seasonal naive: no reading is known")
    grid = np.concatenate([series.values, np.full(steps, np.nan)])
    for place in range(len(series), len(grid)):
        known = grid[place - season :: -season] if place >= season else grid[:0]
        known = known[np.isfinite(known)]
        grid[place] = known[0] if len(known) else np.nanmean(series.values)
    return values_of(series.end, series.step, grid[len(series) :])


def values_of(start, step, value):
    """A forecast with intervals of 1 and 2 around it."""
    return ForecastValues(
        start, step, value, value - 1, value + 1, value - 2, value + 2, approximate=False
    )


FORECASTING = Forecasting(load=load, seasonal_naive=naive)
