"""Evaluation: metrics of forecasts, the backtest they come from, and intervals.

Formulas: MAE, RMSE, WAPE = sum|e| / sum|y|, R2 as in Hyndman & Athanasopoulos, *Forecasting:
Principles and Practice* (3rd ed., section 5.8); MASE as in Hyndman & Koehler (2006), scaled by the
in-sample error of the seasonal naive with the daily season; coverage is the share of actuals inside
the interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Pooled over origins and horizon steps where an actual exists; units of the readings."""

    mae: float
    rmse: float
    mase: float
    wape: float
    r2: float
    coverage_80: float
    coverage_95: float
    points: int


@dataclass(frozen=True, slots=True)
class Backtest:
    """Rolling-origin forecasts: arrays of shape (origins, steps), NaN where no actual exists.

    ``absolute_error_*`` belong to the chosen model, the seasonal-naive floor and the incumbent.
    """

    origins: Sequence[datetime]
    actual: np.ndarray
    forecast: np.ndarray
    floor: np.ndarray
    incumbent: np.ndarray | None
