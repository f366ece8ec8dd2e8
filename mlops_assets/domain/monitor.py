"""Monitor: what is told to whoever watches many systems at once.

Two things leave the platform. The exact rows of the quality table, each known by its content, so
that one which arrives twice counts once; and gauges of the moment, for charts and thresholds. Both
name plant and circuit together, because every plant has a first circuit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from mlops_assets.domain.identifiers import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import timedelta

    from mlops_assets.domain.forecast import ForecastReport
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.quality import DayQuality, QualityReport

# Every gauge there is, with its unit; `docs/azure.md` and the alert rules name them.
GAUGES: Mapping[str, str] = {
    "mlops.wape": "1",
    "mlops.wape_ratio": "1",
    "mlops.bias": "value",
    "mlops.coverage_95": "1",
    "mlops.scored_days": "d",
    "mlops.degraded": "1",
    "mlops.drifted": "1",
    "mlops.forecast_failed": "1",
    "mlops.forecast_fallback": "1",
    "mlops.readings_age_hours": "h",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """One figure of the moment; no circuit where it is the fleet's."""

    name: str
    value: float
    circuit: CircuitKey | None = None


def row_id(day: DayQuality) -> str:
    """Return the name of a row's content: it is another where any figure is another."""
    return digest_of({item.name: _exact(getattr(day, item.name)) for item in fields(day)})


def row_key(day: DayQuality) -> str:
    """Return what a row is about, whatever it says."""
    return f"{day.circuit}:{day.issued_for.isoformat()}"


def unsent(days: Iterable[DayQuality], sent: Mapping[str, str]) -> tuple[DayQuality, ...]:
    """Return the rows that were never taken as they are now; ``sent`` has each id by key."""
    return tuple(day for day in days if sent.get(row_key(day)) != row_id(day))


def gauges_of(
    reports: Mapping[CircuitKey, QualityReport],
    forecast: ForecastReport | None,
    readings_age: timedelta | None,
) -> tuple[Gauge, ...]:
    """Return the gauges of a moment: figures that are not known are left out, never zero."""
    found = [
        Gauge(name=name, value=value, circuit=key)
        for key, report in sorted(reports.items())
        for name, value in _quality(report)
        if value is not None and math.isfinite(value)
    ]
    if forecast is not None:
        failed = dict.fromkeys(forecast.circuits, 0.0) | dict.fromkeys(forecast.failed, 1.0)
        found += [
            Gauge(name="mlops.forecast_failed", value=value, circuit=key)
            for key, value in sorted(failed.items())
        ]
        found += [
            Gauge(name="mlops.forecast_fallback", value=float(one.fallback != "none"), circuit=key)
            for key, one in sorted(forecast.circuits.items())
        ]
    if readings_age is not None:
        hours = readings_age.total_seconds() / 3600
        found.append(Gauge(name="mlops.readings_age_hours", value=hours))
    return tuple(found)


def _quality(report: QualityReport) -> Iterable[tuple[str, float | None]]:
    yield "mlops.wape", report.wape
    if report.wape is not None and report.backtest_wape:
        yield "mlops.wape_ratio", report.wape / report.backtest_wape
    yield "mlops.bias", report.bias
    yield "mlops.coverage_95", report.coverage_95
    yield "mlops.scored_days", float(report.days)
    yield "mlops.degraded", float(report.degraded)
    yield "mlops.drifted", float(report.drifted)


def _exact(value: object) -> str:
    """Return text that differs where the value does; a float as its shortest exact text."""
    return repr(value) if isinstance(value, float) else str(value)
