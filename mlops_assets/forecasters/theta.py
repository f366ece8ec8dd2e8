"""The theta method, fitted by statsforecast, applied here.

Fiorucci, Pellegrini, Louzada, Petropoulos and Koehler (2016), *Models for optimising the theta
method*: a smoothed level plus a share of the line through all values; the dynamic variants move
that line on with each value. Seasons are classical and stay as fitted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import Self

_VARIANTS = frozenset({"STM", "OTM", "DSTM", "DOTM"})
_STANDARD = 2.0


@dataclass(frozen=True, slots=True)
class Theta:
    """A fitted model as it stood before position ``anchor``, after ``count`` values.

    ``season[p % len(season)]`` belongs to position p: 0 or 1 throughout where there is none.
    """

    alpha: float
    theta: float
    level: float
    mean: float
    intercept: float
    slope: float
    count: int
    dynamic: bool
    multiplicative: bool
    season: np.ndarray
    anchor: int

    @classmethod
    def fit(cls, values: np.ndarray, start: int, period: int, variant: str | None = None) -> Self:
        """Fit all four variants and keep the one with the smallest squared error.

        A known one is fitted alone.
        """
        from statsforecast.theta import auto_theta

        fitted = auto_theta(values, period, variant if variant in _VARIANTS else None)
        anchor = start + len(values)
        multiplicative = fitted.get("decomposition_type") == "multiplicative"
        season = np.ones(period) if multiplicative else np.zeros(period)
        if fitted.get("decompose"):
            season[(anchor + np.arange(period)) % period] = fitted["seas_forecast"]["mean"]
        level, mean, intercept, slope, _ = (float(part) for part in fitted["states"][-1])
        return cls(
            alpha=float(fitted["par"]["alpha"]),
            theta=float(fitted["par"]["theta"]),
            level=level,
            mean=mean,
            intercept=intercept,
            slope=slope,
            count=int(fitted["n"]),
            dynamic=fitted["modeltype"].startswith("D"),
            multiplicative=multiplicative,
            season=season,
            anchor=anchor,
        )

    @property
    def variant(self) -> str:
        """Standard or optimised, as it is or dynamic."""
        return ("D" if self.dynamic else "") + ("STM" if self.theta == _STANDARD else "OTM")

    def is_sound(self) -> bool:
        """Whether its arrays have the shapes that a fit gives."""
        numbers = self.alpha > 0 and self.theta > 0 and self.count > 0
        return numbers and self.season.ndim == 1 and len(self.season) > 0

    def forecast(self, values: np.ndarray, start: int, steps: int) -> np.ndarray:
        """Forecast the steps after ``values``, of which those from the anchor on are new."""
        seen = self.anchor - start
        seen = seen if 0 <= seen <= len(values) else 0
        state = (self.level, self.mean, self.intercept, self.slope, self.count)
        season = self.season.tolist()
        for position, value in enumerate(values[seen:].tolist(), start + seen):
            part = season[position % len(season)]
            plain = value / part if self.multiplicative else value - part
            state = self._after(state, plain)
        result = np.empty(steps)
        for step in range(steps):
            expected = self._expected(state)
            state = self._after(state, expected)
            part = season[(start + len(values) + step) % len(season)]
            result[step] = expected * part if self.multiplicative else expected + part
        return result

    def _expected(self, state: tuple[float, float, float, float, int]) -> float:
        level, _, intercept, slope, count = state
        faded = (1.0 - self.alpha) ** count
        line = intercept * faded + slope * (1.0 - faded * (1.0 - self.alpha)) / self.alpha
        return level + (1.0 - 1.0 / self.theta) * line

    def _after(
        self, state: tuple[float, float, float, float, int], value: float
    ) -> tuple[float, float, float, float, int]:
        level, mean, intercept, slope, count = state
        level = self.alpha * value + (1.0 - self.alpha) * level
        before, mean = mean, (count * mean + value) / (count + 1)
        if self.dynamic:
            slope = ((count - 1) * slope + 6.0 * (value - before) / (count + 1)) / (count + 2)
            intercept = mean - slope * (count + 2) / 2.0
        return level, mean, intercept, slope, count + 1
