"""The daily batch beside a bare read and apply, and ten times as many circuits beside it.

A fleet is live in its home (`benchmarks.fleet`), with the models that `fast` chooses and once more
with the seasonal naive, which costs nothing to apply. A round is the `daily` job for one of the
last days in a process of its own: its parts are Dagster's start, the batch (all that
`flows.forecast.predict` reads, checks and writes), the scoring of the days before, and the events.
The bare side reads the same models, the hours that they look at from the same Delta table, and
applies them, in a process of its own for the same day; both sides give the same forecasts, digit
for digit, and both have loaded their libraries before. Wall time is compared
in pairs, the sides in turn; CPU time stands beside it. Memory is the process's own high-water mark.
"""

from __future__ import annotations

import hashlib
import statistics
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import fleet
from benchmarks.figure import Figure
from benchmarks.process import Clock, Measured, measured

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMIT_BARE, LIMIT_TIME, LIMIT_MEMORY = 1.5, 11.0, 4.0
CIRCUITS, MANY = 200, 2_000
DAYS = 60
LONGEST_GAP = 24  # hours; what the fleet's specs allow
_FORECASTERS = (
    "mlops_assets.forecasters.seasonal_naive",
    "mlops_assets.forecasters.serialization",
)
ROUNDS = 5


def build(home: str, circuits: int, forecaster: str | None) -> dict[str, float]:
    """Bring a fleet live."""
    return fleet.served(Path(home), circuits, days=DAYS, forecaster=forecaster)


def batch(home: str, day: str) -> dict[str, Any]:
    """Run the daily job for one day; returns what its parts took."""
    began = time.time()
    _libraries()
    from mlops_assets import launch
    from mlops_assets.assets import events, forecast
    from mlops_assets.flows import forecast as flow

    clock = Clock()
    clock.watch(flow, "predict", "batch")
    clock.watch(forecast, "scored", "scoring")
    for name in ("materialized", "changed", "refuse"):
        clock.watch(events.EventWriter, name, f"events_{name}")
    loaded = time.time()
    report = launch.predict(fleet.settings_of(Path(home)), date.fromisoformat(day), None, None)
    parts = clock.rounded()
    inside = sum(part["seconds"] for part in parts.values())
    return {
        **parts,
        "libraries": {"seconds": round(loaded - began, 3)},
        "dagster": {"seconds": round(time.time() - loaded - inside, 3)},
        "circuits": len(report.circuits),
        "failed": len(report.failed),
        "fallback": sum(one.fallback != "none" for one in report.circuits.values()),
        "rows": report.rows,
        "forecasts": _digest([one.values for _, one in sorted(report.circuits.items())]),
    }


def bare(home: str, day: str) -> dict[str, Any]:
    """Read the readings and the models, and apply them, as a script for one day would."""
    _libraries()
    import numpy as np
    import polars as pl

    from mlops_assets.domain.model import MODEL_FILES
    from mlops_assets.domain.readings import Series
    from mlops_assets.forecasters.serialization import load

    root = Path(home)
    wall, cpu = time.perf_counter(), time.process_time()
    end = datetime.fromisoformat(day).replace(tzinfo=UTC)
    models = {
        (folder.parent.parent.name, folder.parent.name): load(
            {name: (folder / name).read_bytes() for name in MODEL_FILES}
        )
        for folder in (root / "registry" / "models").glob("*/*/1")
    }
    context = max(model.context_steps for model in models.values())
    begin = end - timedelta(hours=max(context, 28 * 24) + LONGEST_GAP)
    rows = (
        pl.scan_delta(str(root / "lake" / "readings"))
        .filter(pl.col("date") >= begin.date())
        .filter(pl.col("timestamp") >= begin, pl.col("timestamp") < end)
        .select("plant_id", "circuit_id", "timestamp", "value")
        .collect()
        .sort("plant_id", "circuit_id", "timestamp")
    )
    forecasts = {}
    for (plant, circuit), part in rows.group_by("plant_id", "circuit_id", maintain_order=True):
        first, step = part["timestamp"][0], timedelta(hours=1)
        hours = (part["timestamp"].dt.epoch("s").to_numpy() - int(first.timestamp())) // 3600
        values = np.full(int(hours[-1]) + 1, np.nan)
        values[hours] = part["value"].to_numpy()
        model = models[str(plant), str(circuit)]
        # The model goes on from the last reading, which need not be the hour before the day.
        gap = int((end - part["timestamp"][-1]) / step) - 1
        forecast = model.apply(Series(first, step, values), gap + 24)
        forecasts[plant, circuit] = forecast.value[gap:]
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    digest = _digest([values for _, values in sorted(forecasts.items())])
    return {"seconds": wall, "cpu": cpu, "circuits": len(forecasts), "forecasts": digest}


def _digest(forecasts: Sequence[Any]) -> str:
    return hashlib.sha256(b"".join(values.tobytes() for values in forecasts)).hexdigest()


def _libraries() -> None:
    for name in ("deltalake", "polars", "pyarrow.parquet", *_FORECASTERS):
        import_module(name)


def measure(*, quick: bool) -> list[Figure]:
    """Build the fleets, then measure in rounds, each with another day."""
    circuits, many = (20, 100) if quick else (CIRCUITS, MANY)
    with tempfile.TemporaryDirectory(prefix="daily-batch-") as name:
        chosen, naive, large = (str(Path(name) / each) for each in ("fast", "naive", "many"))
        built = {
            "fast": measured("benchmarks.daily_batch:build", chosen, circuits, None).answer,
            "naive": measured(
                "benchmarks.daily_batch:build", naive, circuits, "seasonal_naive"
            ).answer,
            "many": measured("benchmarks.daily_batch:build", large, many, "seasonal_naive").answer,
        }
        rounds = 2 if quick else ROUNDS
        figures = [_beside_bare("daily_batch", chosen, circuits, rounds, built["fast"])]
        figures.append(_beside_bare("daily_batch_naive", naive, circuits, rounds, built["naive"]))
        figures += _beside_many((naive, circuits), (large, many), rounds, built["many"])
    return figures


def _day(number: int) -> str:
    return (fleet.END.date() - timedelta(days=number)).isoformat()


def _beside_bare(
    name: str, home: str, circuits: int, rounds: int, built: dict[str, float]
) -> Figure:
    ours: list[Measured] = []
    theirs: list[Measured] = []
    for number in range(rounds):
        day = _day(rounds - 1 - number)
        sides = [("batch", ours), ("bare", theirs)]
        for side, found in sides if number % 2 else reversed(sides):
            found.append(measured(f"benchmarks.daily_batch:{side}", home, day))
    answers = [each.answer for each in ours]
    assert all(each["circuits"] == circuits and not each["fallback"] for each in answers), answers
    bares = [each.answer for each in theirs]
    assert [a["forecasts"] for a in answers] == [b["forecasts"] for b in bares], (answers, bares)
    pairs = list(zip(answers, bares, strict=True))
    return Figure(
        name=f"{name}_{circuits}",
        figure=round(statistics.median(a["batch"]["seconds"] / b["seconds"] for a, b in pairs), 3),
        limit=LIMIT_BARE,
        unit="x",
        details={
            "cpu_ratio": round(
                statistics.median(a["batch"]["cpu"] / b["cpu"] for a, b in pairs), 3
            ),
            "bare_seconds": _median([b["seconds"] for b in bares]),
            "bare_cpu": _median([b["cpu"] for b in bares]),
            **_parts(ours),
            "rounds": rounds,
            "built": built,
        },
    )


def _beside_many(
    small: tuple[str, int], large: tuple[str, int], rounds: int, built: dict[str, float]
) -> list[Figure]:
    (home, circuits), (wide, many) = small, large
    few: list[Measured] = []
    lots: list[Measured] = []
    for number in range(rounds):
        day = _day(2 * rounds - 1 - number)
        for where, found in ((home, few), (wide, lots)):
            found.append(measured("benchmarks.daily_batch:batch", where, day))
    times = [
        other.answer["batch"]["cpu"] / one.answer["batch"]["cpu"]
        for one, other in zip(few, lots, strict=True)
    ]
    peaks = [o.peak_megabytes / f.peak_megabytes for f, o in zip(few, lots, strict=True)]
    factor = many / circuits
    details = {"few": _parts(few), "many": _parts(lots), "rounds": rounds, "built": built}
    return [
        Figure(
            name=f"daily_batch_time_{many}_over_{circuits}",
            figure=round(statistics.median(times), 2),
            limit=LIMIT_TIME if factor == 10 else round(factor * 1.1, 1),
            unit="x",
            details=details,
        ),
        Figure(
            name=f"daily_batch_memory_{many}_over_{circuits}",
            figure=round(statistics.median(peaks), 2),
            limit=LIMIT_MEMORY,
            unit="x",
            details={
                "few_megabytes": _median([each.peak_megabytes for each in few]),
                "many_megabytes": _median([each.peak_megabytes for each in lots]),
            },
        ),
    ]


def _parts(ours: Sequence[Measured]) -> dict[str, Any]:
    """Return medians of what the parts of our side took."""
    names = [name for name, part in ours[0].answer.items() if isinstance(part, dict)]
    return {
        "process_seconds": _median([each.seconds for each in ours]),
        "process_cpu": _median([each.cpu for each in ours]),
        "parts": {
            name: {
                each: _median([one.answer[name][each] for one in ours])
                for each in ours[0].answer[name]
            }
            for name in names
        },
    }


def _median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 3)
