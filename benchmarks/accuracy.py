"""Error and coverage of every effort on the real readings, each circuit fitted once a week.

Last seven days, daily origins, horizon 24 hours, scored on hours whose quality is OKAY and that
have a value, pooled: the sum of absolute errors over the sum of absolute actuals. Coverage is the
share of those hours inside the 80 and the 95 % interval over the last five weeks, each held out
from its fit: one week alone, here a hot one, says little about intervals.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.figure import Figure
from mlops_assets.domain.circuit import Spec
from mlops_assets.domain.errors import ModelError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.model import FitJob
from mlops_assets.domain.readings import Series
from mlops_assets.forecasters import training
from mlops_assets.forecasters.serialization import load

READINGS = Path(__file__).resolve().parents[2] / "shared" / "data" / "readings.parquet"
HOUR = timedelta(hours=1)
END = datetime(2024, 6, 29, tzinfo=UTC)
LIMITS = {
    "fast": {"demand": 5.7, "air": 32.0},
    "balanced": {"demand": 4.6, "air": 28.5},
    "best": {"demand": 4.4, "air": 27.5},
}
WEEKS = 5
PROCESSES = 2
# Points by which the share inside an interval may miss its own.
COVERAGE_POINTS = 3.0
_INTERVALS = (80, 95)


def measure(*, quick: bool) -> list[Figure]:
    """Fit every circuit for every effort; ``quick`` takes every tenth circuit and one week."""
    if not READINGS.exists():
        sys.stderr.write(f"accuracy: {READINGS.name} is not beside the project: left out\n")
        return []
    circuits = _circuits()[:: 10 if quick else 1]
    figures = []
    with multiprocessing.get_context("spawn").Pool(PROCESSES, training.warm_up) as pool:
        for effort, limits in LIMITS.items():
            weeks = 1 if effort == "best" or quick else WEEKS
            jobs = [(effort, weeks, *circuit) for circuit in circuits]
            began = time.perf_counter()
            scores = pool.starmap(_scored, jobs, chunksize=1)
            seconds = time.perf_counter() - began
            own = _figures(effort, limits, scores, weeks, seconds)
            figures += own
            if weeks > 1:
                figures += _coverage(effort, own)
    return figures


def _circuits() -> list[tuple[str, str, np.ndarray, np.ndarray]]:
    """Plant, circuit, values and which of them count; a circuit that never reports is left out."""
    frame = pl.read_parquet(READINGS).sort("plant_id", "circuit_id", "timestamp")
    found = []
    for (plant, circuit), rows in frame.group_by("plant_id", "circuit_id", maintain_order=True):
        values = rows["value"].cast(pl.Float64).fill_null(np.nan).to_numpy()
        counts = (rows["quality"] == "OKAY").to_numpy() & np.isfinite(values)
        if np.isfinite(values).any():
            found.append((str(plant), str(circuit), values, counts))
    return found


def _scored(  # noqa: PLR0917 one job of a pool
    effort: str, weeks: int, plant: str, circuit: str, values: np.ndarray, counts: np.ndarray
) -> dict[str, Any]:
    """Sums of errors and actuals of the last week; hours inside, and in all, of every week."""
    error = total = 0.0
    inside, hours = dict.fromkeys(_INTERVALS, 0), 0
    refused = ""
    for week in range(1, weeks + 1):
        first = len(values) - 24 * 7 * week
        try:
            model = load(training.fit(_job(effort, plant, circuit, values[:first])).files)
        except ModelError as reason:
            refused = str(reason)
            continue
        for day in range(7):
            at = first + 24 * day
            forecast = model.apply(_series(values[:at]), 24)
            actual, known = values[at : at + 24], counts[at : at + 24]
            if week == 1:
                error += float(np.abs(actual - forecast.value)[known].sum())
                total += float(np.abs(actual)[known].sum())
            for share in _INTERVALS:
                low, high = (getattr(forecast, f"{side}_{share}") for side in ("lo", "hi"))
                inside[share] += int(((actual >= low) & (actual <= high))[known].sum())
            hours += int(known.sum())
    part = "air" if plant.startswith("B_") else "demand"
    return {
        "part": part,
        "error": error,
        "total": total,
        "inside": inside,
        "hours": hours,
        "refused": refused,
    }


def _job(effort: str, plant: str, circuit: str, values: np.ndarray) -> FitJob:
    end = END - (_LENGTH - len(values)) * HOUR
    cutoff: date = (end - HOUR).date()
    spec = Spec(cutoff_date=cutoff, effort=effort)
    return FitJob(circuit=CircuitKey(plant, circuit), spec=spec, series=_series(values))


_LENGTH = 180 * 24


def _series(values: np.ndarray) -> Series:
    return Series(END - _LENGTH * HOUR, HOUR, values)


def _figures(
    effort: str,
    limits: dict[str, float],
    scores: list[dict[str, Any]],
    weeks: int,
    seconds: float,
) -> list[Figure]:
    figures = []
    for part, limit in limits.items():
        own = [score for score in scores if score["part"] == part]
        total = sum(score["total"] for score in own)
        hours = sum(score["hours"] for score in own)
        coverage = {
            share: 100 * sum(score["inside"][share] for score in own) / hours
            for share in _INTERVALS
        }
        details = {
            "circuits": len(own),
            **{f"coverage_{share}": round(found, 2) for share, found in coverage.items()},
            "weeks": weeks,
            "seconds_both_parts": round(seconds, 1),
            "processes": PROCESSES,
            "refused": [score["refused"] for score in own if score["refused"]],
        }
        figures.append(
            Figure(
                name=f"accuracy_{effort}_{part}",
                figure=round(100 * sum(score["error"] for score in own) / total, 3),
                limit=limit,
                unit="%",
                details=details,
            )
        )
    return figures


def _coverage(effort: str, figures: list[Figure]) -> list[Figure]:
    """How far the intervals of each part's circuits miss their shares."""
    return [
        Figure(
            name=f"coverage_{share}_{effort}_{figure.name.rpartition('_')[2]}",
            figure=round(abs(figure.details[f"coverage_{share}"] - share), 2),
            limit=COVERAGE_POINTS,
            unit="points",
            details={"coverage": figure.details[f"coverage_{share}"]},
        )
        for figure in figures
        for share in _INTERVALS
    ]
