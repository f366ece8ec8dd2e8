"""Quality: forecasts against the actuals that arrived later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date

    from mlops_assets.domain.identifiers import CircuitKey


@dataclass(frozen=True, slots=True, kw_only=True)
class DayQuality:
    """One circuit's forecast for one day against its actuals; ``hours`` is scored rows."""

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
