"""Quality: forecasts against the actuals that arrived later.

A quality frame is a polars DataFrame with exactly the columns of `quality_frame`, sorted by
`QUALITY_KEY`. A figure that has no meaning for a day (WAPE of a day whose actuals are all zero,
MASE without a season to compare with) is NaN here and null in the table. Degradation is judged over
rolling 7 days, pooled, never by one bad day; days served by the fallback ladder are shown, and are
not held against the model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from mlops_assets.domain.identifiers import CircuitKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    import polars as pl

    from mlops_assets.domain.circuit import Policy

QUALITY_KEY = ("plant_id", "circuit_id", "issued_for")
ROLLING_DAYS = 7
# History before a day that gives the scale of its MASE.
SCALE_DAYS = 28


@dataclass(frozen=True, slots=True, kw_only=True)
class DayQuality:
    """One circuit's forecast for one day against its actuals; ``rows`` have an actual.

    ``absolute_error`` and ``absolute_actual`` are the sums from which WAPE is pooled over days.
    """

    circuit: CircuitKey
    issued_for: date
    release: str
    model_version: int
    fallback: str
    rows: int
    mae: float
    mase: float
    wape: float
    bias: float
    coverage_80: float
    coverage_95: float
    absolute_error: float = 0.0
    absolute_actual: float = 0.0
    hindcast: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityReport:
    """One circuit over its rolling 7 days, judged against the signed backtest."""

    circuit: CircuitKey
    days: int
    wape: float | None
    backtest_wape: float | None
    bias: float | None
    coverage_95: float | None
    degraded: bool
    drifted: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One circuit's day as arrays of one length: where no actual is known, NaN."""

    actual: np.ndarray
    value: np.ndarray
    lo_80: np.ndarray
    hi_80: np.ndarray
    lo_95: np.ndarray
    hi_95: np.ndarray


def day_quality(
    scored: Scored,
    *,
    circuit: CircuitKey,
    issued_for: date,
    release: str,
    model_version: int,
    fallback: str,
    hindcast: bool,
    scale: float,
) -> DayQuality | None:
    """One day's figures; None while no actual is known.

    ``scale`` is the in-sample error of the seasonal naive before the day, NaN when unknown.
    """
    import numpy as np

    from mlops_assets.domain.evaluation import metrics

    figures = metrics(
        scored.actual,
        scored.value,
        scored.lo_80,
        scored.hi_80,
        scored.lo_95,
        scored.hi_95,
        scale,
    )
    if figures.points == 0:
        return None
    known = np.isfinite(scored.actual)
    return DayQuality(
        circuit=circuit,
        issued_for=issued_for,
        release=release,
        model_version=model_version,
        fallback=fallback,
        rows=figures.points,
        mae=figures.mae,
        mase=figures.mase,
        wape=figures.wape,
        bias=float((scored.value - scored.actual)[known].mean()),
        coverage_80=figures.coverage_80,
        coverage_95=figures.coverage_95,
        absolute_error=figures.mae * figures.points,
        absolute_actual=float(np.abs(scored.actual[known]).sum()),
        hindcast=hindcast,
    )


def judge(
    circuit: CircuitKey,
    days: Iterable[DayQuality],
    *,
    up_to: date,
    model_version: int,
    backtest_wape: float | None,
    policy: Policy,
    hindcasts_count: bool,
) -> QualityReport:
    """Judge a live model by its forecasts for the 7 days that end with ``up_to``."""
    counted = counted_days(
        days, up_to=up_to, model_version=model_version, hindcasts_count=hindcasts_count
    )
    rows = sum(day.rows for day in counted)
    wape = pooled_wape(counted)
    bias = sum(day.bias * day.rows for day in counted) / rows if rows else None
    coverage = sum(day.coverage_95 * day.rows for day in counted) / rows if rows else None
    degraded, drifted, reason = _opinion(len(counted), wape, backtest_wape, coverage, policy=policy)
    return QualityReport(
        circuit=circuit,
        days=len(counted),
        wape=wape,
        backtest_wape=backtest_wape,
        bias=bias,
        coverage_95=coverage,
        degraded=degraded,
        drifted=drifted,
        reason=reason,
    )


def counted_days(
    days: Iterable[DayQuality], *, up_to: date, model_version: int, hindcasts_count: bool
) -> tuple[DayQuality, ...]:
    """The rolling days by which a live model is judged: its own forecasts, issued in time."""
    first = up_to - timedelta(days=ROLLING_DAYS - 1)
    return tuple(
        day
        for day in days
        if first <= day.issued_for <= up_to
        and day.fallback == "none"
        and day.model_version == model_version
        and (hindcasts_count or not day.hindcast)
    )


def pooled_wape(days: Sequence[DayQuality]) -> float | None:
    """WAPE over all hours of some days; None where their actuals are all zero."""
    actual = sum(day.absolute_actual for day in days)
    return sum(day.absolute_error for day in days) / actual if actual > 0 else None


def quality_frame(days: Iterable[DayQuality]) -> pl.DataFrame:
    """Rows of the quality table, sorted by key."""
    import polars as pl

    ordered = sorted(days, key=lambda day: (day.circuit, day.issued_for))
    types = _types()
    columns: dict[str, list[object]] = {
        "plant_id": [day.circuit.plant_id for day in ordered],
        "circuit_id": [day.circuit.circuit_id for day in ordered],
    }
    for name in list(types)[2:]:
        columns[name] = [_null_for_nan(getattr(day, name)) for day in ordered]
    return pl.DataFrame(columns, schema=types)


def days_of(frame: pl.DataFrame) -> tuple[DayQuality, ...]:
    """Read rows of the quality table."""
    names = [item.name for item in fields(DayQuality)][1:]
    days = []
    for row in frame.iter_rows(named=True):
        figures: dict[str, Any] = {
            name: math.nan if row[name] is None else row[name] for name in names
        }
        days.append(DayQuality(circuit=CircuitKey(row["plant_id"], row["circuit_id"]), **figures))
    return tuple(days)


def _types() -> dict[str, pl.DataType]:
    import polars as pl

    kinds: dict[str, pl.DataType] = {
        "str": pl.String(),
        "int": pl.Int64(),
        "float": pl.Float64(),
        "bool": pl.Boolean(),
        "date": pl.Date(),
    }
    own = {item.name: kinds[str(item.type)] for item in fields(DayQuality)[1:]}
    return {"plant_id": pl.String(), "circuit_id": pl.String(), **own}


def _opinion(
    days: int,
    wape: float | None,
    backtest_wape: float | None,
    coverage: float | None,
    *,
    policy: Policy,
) -> tuple[bool, bool, str]:
    limits = policy.quality
    if days < limits.minimum_days:
        return False, False, f"{days} scored days of {limits.minimum_days} needed to judge"
    if wape is None or backtest_wape is None or backtest_wape <= 0:
        return False, False, "no WAPE to compare: actuals are all zero, or the model has none"
    ratio = wape / backtest_wape
    said = (
        f"WAPE {wape:.1%} over {days} days is {ratio:.2f} times the signed backtest's "
        f"{backtest_wape:.1%}"
    )
    if ratio > limits.fail_wape_ratio:
        return True, True, f"{said}; the limit is {limits.fail_wape_ratio:g} times"
    if ratio > limits.warn_wape_ratio:
        return False, True, f"{said}; it warns from {limits.warn_wape_ratio:g} times"
    lowest = policy.gates.minimum_coverage_95
    if coverage is not None and coverage < lowest:
        held = f"the 95 % interval held {coverage:.1%} of the actuals over {days} days"
        return False, True, f"{held}; the limit is {lowest:.0%}"
    return False, False, f"{said}; the limit is {limits.fail_wape_ratio:g} times"


def _null_for_nan(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value
