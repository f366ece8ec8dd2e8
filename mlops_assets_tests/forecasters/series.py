"""Series that tests fit: hourly, local, repeatable."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np

from mlops_assets.domain.circuit import Spec
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.model import FitJob
from mlops_assets.domain.readings import Series

HOUR = timedelta(hours=1)
START = datetime(2024, 1, 1, tzinfo=UTC)
CIRCUIT = CircuitKey("P001", "C001")


def load_values(days: float, *, seed: int = 5, per_day: int = 24) -> np.ndarray:
    """Daily and weekly seasons with a wandering level, all positive."""
    steps = np.arange(round(days * per_day))
    noise = np.random.default_rng(seed).normal(0, 1, len(steps))
    weekend = np.where(steps // per_day % 7 > 4, -15.0, 0.0)
    daily = 12 * np.sin(2 * np.pi * steps / per_day)
    return 100 + np.cumsum(noise) * 0.2 + daily + weekend + noise


def series_of(values: np.ndarray, *, step: timedelta = HOUR, start: datetime = START) -> Series:
    return Series(start, step, np.asarray(values, dtype=np.float64))


def featured(series: Series, **features: np.ndarray) -> Series:
    return replace(series, features=features)


def job_of(series: Series, *, incumbent=None, **spec) -> FitJob:
    cutoff: date = (series.end - timedelta(seconds=1)).date()
    return FitJob(
        circuit=CIRCUIT,
        spec=Spec(cutoff_date=cutoff, **spec),
        series=series,
        incumbent=incumbent,
    )
