"""Quality of forecasts: scored against the actuals that arrived, stored, and judged.

Scoring the same forecasts against the same actuals again stores nothing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import ModelError
from mlops_assets.domain.evaluation import seasonal_scale
from mlops_assets.domain.forecast import VALUE_COLUMNS, Window, series_by_circuit
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.quality import (
    ROLLING_DAYS,
    SCALE_DAYS,
    DayQuality,
    Scored,
    day_quality,
    judge,
    quality_frame,
)
from mlops_assets.domain.readings import Series
from mlops_assets.flows.forecast import readable_deployments
from mlops_assets.flows.ladder import Forecasting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import date

    import numpy as np
    import polars as pl

    from mlops_assets.domain.circuit import Policy
    from mlops_assets.domain.deployment import Deployment
    from mlops_assets.domain.quality import QualityReport
    from mlops_assets.ports import Lake, ServingWorkspace, SharedRegistry

# The season of the floor that skill is told against.
NAIVE_HOURS = 24
# Circuits that are scored from one read of their readings.
_TOGETHER = 2_000


def score(
    lake: Lake,
    prod: ServingWorkspace,
    registry: SharedRegistry,
    policy: Policy,
    *,
    up_to: date,
    circuits: Sequence[CircuitKey] | None = None,
    hindcasts_count: bool = False,
) -> dict[CircuitKey, QualityReport]:
    """Score the 7 days that end with ``up_to`` and judge every live circuit by them.

    ``hindcasts_count`` is true in a home made by `demo`, where data time stands still.
    """
    days = score_days(
        lake, first=up_to - timedelta(days=ROLLING_DAYS - 1), last=up_to, circuits=circuits
    )
    live, _ = readable_deployments(prod, circuits)
    return judged(registry, policy, live, days, up_to=up_to, hindcasts_count=hindcasts_count)


def judged(
    registry: SharedRegistry,
    policy: Policy,
    live: Mapping[CircuitKey, Deployment],
    days: Iterable[DayQuality],
    *,
    up_to: date,
    hindcasts_count: bool,
) -> dict[CircuitKey, QualityReport]:
    """Judge live deployments by days that are scored already."""
    by_circuit: dict[CircuitKey, list[DayQuality]] = {}
    for day in days:
        by_circuit.setdefault(day.circuit, []).append(day)
    return {
        circuit: judge(
            circuit,
            by_circuit.get(circuit, ()),
            up_to=up_to,
            model_version=deployment.model_version,
            backtest_wape=signed_wape(registry, deployment),
            policy=policy,
            hindcasts_count=hindcasts_count,
        )
        for circuit, deployment in live.items()
    }


def score_days(
    lake: Lake, *, first: date, last: date, circuits: Sequence[CircuitKey] | None = None
) -> tuple[DayQuality, ...]:
    """Score every forecast of days first..last that has actuals, and store what is new."""
    rows = lake.predictions.read(first=first, last=last, circuits=circuits)
    days = days_scored(lake, rows)
    if days:
        lake.quality.replace(quality_frame(days))
    return days


def days_scored(lake: Lake, rows: pl.DataFrame) -> tuple[DayQuality, ...]:
    """Forecasts against the actuals that are there by now, stored nowhere.

    Five weeks of readings are held for some circuits at a time, not for the fleet.
    """
    keys = rows.select("plant_id", "circuit_id").unique().sort("plant_id", "circuit_id")
    found: list[DayQuality] = []
    for some in keys.iter_slices(_TOGETHER):
        parts, actuals = _with_actuals(
            lake, rows.join(some, on=["plant_id", "circuit_id"], how="semi", maintain_order="left")
        )
        for circuit, actual in actuals.items():
            found += _scored(circuit, parts[circuit], actual)
    return tuple(found)


def pooled_skill(
    lake: Lake, *, first: date, last: date, forecasting: Forecasting | None = None
) -> float | None:
    """How much of the seasonal naive's error the forecasts of days first..last avoid, pooled.

    That is 1 - WAPE / WAPE of the seasonal naive on the same hours; None while no actual is known.
    """
    import numpy as np

    rows = lake.predictions.read(first=first, last=last)
    parts, actuals = _with_actuals(lake, rows)
    naive = (forecasting or Forecasting.installed()).seasonal_naive
    error = floor = 0.0
    for circuit, actual in actuals.items():
        for part in parts[circuit].partition_by("issued_for"):
            scored = _against(part, actual)
            begin = (part["timestamp"][0] - actual.start) // actual.step
            before = _known_before(actual, begin)
            if before is None:
                continue
            steps = len(part) + begin - len(before)
            by_naive = naive(before, steps, NAIVE_HOURS).value[-len(part) :]
            known = np.isfinite(scored.actual)
            error += float(np.abs(scored.actual - scored.value)[known].sum())
            floor += float(np.abs(scored.actual - by_naive)[known].sum())
    return 1.0 - error / floor if floor > 0 else None


def signed_wape(registry: SharedRegistry, deployment: Deployment) -> float | None:
    """The backtest's WAPE of a live model, None where the registry cannot say."""
    try:
        record = registry.models.get(deployment.circuit, deployment.model_version)
        return float(record.tags["wape"])
    except (ModelError, KeyError, ValueError):
        return None


def _with_actuals(
    lake: Lake, rows: pl.DataFrame
) -> tuple[dict[CircuitKey, pl.DataFrame], dict[CircuitKey, Series]]:
    """Predictions by circuit, and the readings of their hours and of the history before them."""
    if rows.is_empty() or not lake.readings.exists():
        return {}, {}
    split = rows.partition_by("plant_id", "circuit_id", as_dict=True)
    parts = {CircuitKey(plant, circuit): part for (plant, circuit), part in split.items()}
    windows = {circuit: _window(part) for circuit, part in parts.items()}
    readings = lake.readings.read(
        start=min(window.start for window in windows.values()),
        end=max(window.begin for window in windows.values()),
        circuits=list(parts),
        columns=["plant_id", "circuit_id", "timestamp", "value"],
    )
    return parts, series_by_circuit(readings, windows, {})


def _known_before(actual: Series, begin: int) -> Series | None:
    """The readings before a day, up to the last of them."""
    import numpy as np

    known = np.flatnonzero(np.isfinite(actual.values[: max(0, begin)]))
    if not known.size:
        return None
    return Series(actual.start, actual.step, actual.values[: int(known[-1]) + 1])


def _window(rows: pl.DataFrame) -> Window:
    """The hours of a circuit's forecasts, with the history that scales their MASE."""
    stamps = rows["timestamp"].unique().sort()
    first, last = stamps[0], stamps[-1]
    step = stamps.diff().min() if len(stamps) > 1 else timedelta(hours=1)
    assert isinstance(step, timedelta)  # noqa: S101 a difference of moments
    return Window(
        start=first - timedelta(days=SCALE_DAYS), begin=last + step, step=step, rows=len(stamps)
    )


def _scored(circuit: CircuitKey, rows: pl.DataFrame, actual: Series) -> Iterator[DayQuality]:
    for (day,), part in rows.partition_by("issued_for", as_dict=True).items():
        first = part.row(0, named=True)
        begin = (first["timestamp"] - actual.start) // actual.step
        quality = day_quality(
            _against(part, actual),
            circuit=circuit,
            issued_for=day,
            release=first["release"],
            model_version=first["model_version"],
            fallback=first["fallback"],
            hindcast=first["hindcast"],
            scale=_scale(actual, begin),
        )
        if quality is not None:
            yield quality


def _against(rows: pl.DataFrame, actual: Series) -> Scored:
    """Forecast rows beside the actuals of their time, NaN where there is none."""
    import numpy as np

    columns: Mapping[str, np.ndarray] = {name: rows[name].to_numpy() for name in VALUE_COLUMNS}
    step = actual.step // timedelta(microseconds=1)
    stamps = rows["timestamp"].dt.epoch("us").to_numpy()
    start = int(actual.start.timestamp()) * 1_000_000
    places = (stamps - start) // step
    inside = (places >= 0) & (places < len(actual))
    known = np.full(len(rows), np.nan)
    known[inside] = actual.values[places[inside]]
    return Scored(actual=known, **columns)


def _scale(actual: Series, begin: int) -> float:
    """What the seasonal naive's daily season missed by before a day."""
    per_day = timedelta(days=1) // actual.step
    before = actual.values[max(0, begin - SCALE_DAYS * per_day) : max(0, begin)]
    return seasonal_scale(before, per_day)
