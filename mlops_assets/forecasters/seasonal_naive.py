"""Seasonal naive: the value one season before. The floor of every backtest and the last rung.

Hyndman and Athanasopoulos, *Forecasting: Principles and Practice* (3rd ed.), section 5.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from mlops_assets.domain.conformal import conformal_widths
from mlops_assets.domain.model import ForecastValues
from mlops_assets.forecasters.window import Window

if TYPE_CHECKING:
    from mlops_assets.domain.readings import Series

_LOOKS_BACK_SEASONS = 14


@dataclass(frozen=True, slots=True)
class SeasonalNaive:
    """Repeats the newest season, or the last value where there is no whole season yet."""

    season: int

    @property
    def context_steps(self) -> int:
        """It looks at some seasons, because a gap in the newest is filled from those before."""
        return self.season * _LOOKS_BACK_SEASONS

    def forecast(self, window: Window, steps: int) -> np.ndarray:
        """Forecast the steps after the window."""
        known = window.values[-self.season :]
        return np.resize(known if len(known) == self.season else known[-1:], steps)


def forecast(series: Series, steps: int, season_hours: int) -> ForecastValues:
    """Repeat the newest season; intervals are those of its own past errors, pooled.

    Raises:
        ModelError: the series holds no reading.
    """
    season = max(1, timedelta(hours=season_hours) // series.step)
    model = SeasonalNaive(season)
    window = Window.of(series, model.context_steps)
    value = model.forecast(window, steps)
    errors = np.abs(window.values[season:] - window.values[:-season])
    if not errors.size:
        errors = np.abs(window.values - window.values.mean())
    widths = conformal_widths(errors[:, None])
    width_80, width_95 = float(widths.width_80[0]), float(widths.width_95[0])
    return ForecastValues(
        start=series.end,
        step=series.step,
        value=value,
        lo_80=value - width_80,
        hi_80=value + width_80,
        lo_95=value - width_95,
        hi_95=value + width_95,
        approximate=True,
    )
