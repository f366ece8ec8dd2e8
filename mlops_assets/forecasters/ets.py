"""Exponential smoothing with additive errors, fitted by statsforecast, applied here.

State space form of Hyndman, Koehler, Ord and Snyder (2008): l, b and s are level, slope and
season. Newer readings move the state on from where the fit left it, which is what the library's
`forward` computes from the beginning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from typing import Self

_TRENDS = {
    "auto": ("Z", None),
    "none": ("N", False),
    "additive": ("A", False),
    "damped": ("A", True),
}


@dataclass(frozen=True, slots=True)
class Ets:
    """A fitted model as it stood before position ``anchor``.

    ``season[p % len(season)]`` is the seasonal part of position p; empty without a season.
    """

    alpha: float
    beta: float
    gamma: float
    phi: float
    level: float
    slope: float
    season: np.ndarray
    anchor: int

    @classmethod
    def fit(
        cls, values: np.ndarray, start: int, period: int, trend: str, variant: str | None = None
    ) -> Self:
        """Fit by likelihood; with ``period`` 1 there is no season.

        A known ``variant`` is the trend where the trend is to be chosen.
        """
        from statsforecast.ets import ets_f

        if trend == "auto" and variant in _TRENDS:
            trend = variant
        letter, damped = _TRENDS[trend]
        fitted = ets_f(
            values, period, model=f"A{letter}{'A' if period > 1 else 'N'}", damped=damped
        )
        return cls._of(fitted, start + len(values))

    @classmethod
    def _of(cls, fitted: dict[str, Any], anchor: int) -> Self:
        _, trend, season, damped = fitted["components"]
        alpha, beta, gamma, phi = (float(number) for number in fitted["par"][:4])
        state = np.asarray(fitted["states"][-1], dtype=np.float64)
        sloped, period = int(trend != "N"), int(fitted["m"])
        seasons = np.zeros(0)
        if season != "N":
            # The library keeps the newest season first.
            seasons = np.empty(period)
            for back in range(period):
                seasons[(anchor - 1 - back) % period] = state[1 + sloped + back]
        return cls(
            alpha=alpha,
            beta=beta if sloped else 0.0,
            gamma=gamma if season != "N" else 0.0,
            phi=phi if damped == "D" else 1.0,
            level=float(state[0]),
            slope=float(state[1]) if sloped else 0.0,
            season=seasons,
            anchor=anchor,
        )

    @property
    def variant(self) -> str:
        """The trend that it has."""
        if self.phi != 1.0:
            return "damped"
        return "additive" if self.slope or self.beta else "none"

    def is_sound(self) -> bool:
        """Whether its arrays have the shapes that a fit gives."""
        return self.season.ndim == 1

    def forecast(self, values: np.ndarray, start: int, steps: int) -> np.ndarray:
        """Forecast the steps after ``values``, of which those from the anchor on are new."""
        seen = self.anchor - start
        seen = seen if 0 <= seen <= len(values) else 0
        level, slope = self.level, self.slope
        season = self.season.tolist() or [0.0]
        period = len(season)
        for position, value in enumerate(values[seen:].tolist(), start + seen):
            phase = position % period
            expected = level + self.phi * slope
            error = value - expected - season[phase]
            level = expected + self.alpha * error
            slope = self.phi * slope + self.beta * error
            season[phase] += self.gamma * error
        result = np.empty(steps)
        for step in range(steps):
            slope *= self.phi
            level += slope
            result[step] = level + season[(start + len(values) + step) % period]
        return result
