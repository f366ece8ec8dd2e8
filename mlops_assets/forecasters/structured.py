"""A model of readings as they are, of their logarithms, or of what STL leaves of either.

STL runs again over the newest readings at every forecast: in some milliseconds (`decomposition`)
the seasons stay up to date, and the model of the rest is applied as it was fitted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mlops_assets.domain.errors import ModelError
from mlops_assets.forecasters.arima import Arima
from mlops_assets.forecasters.catalogue import (
    ArimaSettings,
    EtsSettings,
    MstlSettings,
    SmoothingSettings,
)
from mlops_assets.forecasters.ces import Ces
from mlops_assets.forecasters.ets import Ets
from mlops_assets.forecasters.theta import Theta

if TYPE_CHECKING:
    from mlops_assets.forecasters.catalogue import Settings
    from mlops_assets.forecasters.window import Window

Core = Arima | Ets | Ces | Theta
_WEEK_DAYS = 7
# Below this many whole weeks a weekly season is not looked for.
_FEWEST_WEEKS = 3


class _Applied(Protocol):
    def forecast(self, values: np.ndarray, start: int, steps: int) -> np.ndarray: ...


@dataclass(frozen=True, slots=True)
class Structured:
    """A core model with what is done to the readings before it and undone after it.

    ``periods`` are STL's seasons, none for the readings as they are. ``floor`` stands in for
    readings that have no logarithm; None means no logarithms.
    """

    core: Core
    periods: tuple[int, ...]
    floor: float | None
    context_steps: int

    @classmethod
    def fit(
        cls, name: str, settings: Settings, window: Window, variant: str | None = None
    ) -> Structured:
        """Fit one forecaster of the catalogue to a window, choosing its variant if none is known.

        Raises:
            ModelError: the readings are too few, not positive, or fit no such model.
        """
        assert isinstance(settings, EtsSettings | SmoothingSettings | ArimaSettings | MstlSettings)  # noqa: S101 for mypy
        context = settings.window_days * window.day
        window = window.last(context)
        try:
            floor = _log_floor(window) if settings.log else None
            if isinstance(settings, MstlSettings):
                periods = _periods(window, settings)
                values = window.decomposed(periods, floor).adjusted
                season = 1
            else:
                periods = ()
                season = settings.season_hours * window.day // 24
                values = _seasons(window.scaled(floor), season)
            trend = settings.trend if isinstance(settings, EtsSettings) else "auto"
            core = _core(name.rpartition("_")[2], values, window, season, trend, variant)
        except ModelError as error:
            raise ModelError(f"{name}: {error}") from error
        return cls(core, periods, floor, context)

    def forecast(self, window: Window, steps: int) -> np.ndarray:
        """Forecast the steps after the window, held within reach of what it holds."""
        window = window.last(self.context_steps)
        core: _Applied = self.core
        if self.periods:
            parts = window.decomposed(self.periods, self.floor)
            start = window.end - len(parts.adjusted)
            result = core.forecast(parts.adjusted, start, steps) + parts.extend(steps)
        else:
            result = core.forecast(window.scaled(self.floor), window.start, steps)
        low, high = window.reach()
        if self.floor is not None:
            ceiling = math.log(max(high, self.floor))
            result = np.array([math.exp(min(value, ceiling)) for value in result.tolist()])
        if not np.isfinite(result).all():
            raise ModelError(
                "the forecast is not finite: the readings are outside what it can follow"
            )
        held: np.ndarray = np.clip(result, low, high)
        return held


def _log_floor(window: Window) -> float:
    if window.lowest <= 0:
        raise ModelError(f"logarithms need positive readings, one is {window.lowest:g}")
    return window.lowest


def _seasons(values: np.ndarray, season: int) -> np.ndarray:
    if len(values) < 2 * season + 2:
        raise ModelError(f"{len(values)} readings are fewer than two seasons of {season} steps")
    return values


def _periods(window: Window, settings: MstlSettings) -> tuple[int, ...]:
    week = _WEEK_DAYS * window.day
    if settings.daily or len(window) < _FEWEST_WEEKS * week:
        return (window.day,)
    return (window.day, week)


def _core(  # noqa: PLR0917 what a core needs
    kind: str,
    values: np.ndarray,
    window: Window,
    season: int,
    trend: str,
    variant: str | None,
) -> Core:
    start = window.end - len(values)
    match kind:
        case "arima":
            return Arima.fit(values, season, window.day, variant)
        case "ets":
            return Ets.fit(values, start, season, trend, variant)
        case "theta":
            return Theta.fit(values, start, season, variant)
        case _:
            return Ces.fit(values, start, season, variant)
