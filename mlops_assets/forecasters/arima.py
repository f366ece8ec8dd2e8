"""ARIMA, fitted by statsforecast, applied here.

Orders are tried from a short list, fitted by conditional sum of squares and compared by AIC on
the same number of values; a fit whose roots are not safely inside the unit circle is passed over,
because a filter that forgets nothing would never recover from one bad reading.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.domain.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    _Order = tuple[int, int, int]

_PLAIN = (
    (1, 0, 0),
    (2, 0, 0),
    (3, 0, 1),
    (2, 0, 2),
    (0, 1, 1),
    (1, 1, 1),
    (2, 1, 1),
    (3, 1, 2),
    (2, 1, 2),
    (5, 1, 1),
)
# Seasonal models: always one seasonal difference and one seasonal moving average.
_SEASONAL = ((1, 0, 0), (2, 0, 0), (1, 0, 1), (2, 0, 1), (0, 1, 1), (1, 1, 1))
_FORGETS_DAYS = 28
_SAFE = 0.999


@dataclass(frozen=True, slots=True)
class Arima:
    """Polynomials of a fitted model; it needs no state, for it filters its context anew.

    ``ar[k]`` and ``ma[k]`` belong to lag k + 1, seasonal factors multiplied out. ``mean`` is that
    of the differenced values.
    """

    ar: np.ndarray
    ma: np.ndarray
    differences: int
    season: int
    mean: float
    memory: int

    @classmethod
    def fit(cls, values: np.ndarray, period: int, day: int, variant: str | None = None) -> Self:
        """Choose the orders by AIC; with ``period`` 1 the model has no season.

        Of a known ``variant`` only the parameters are fitted, where it fits these readings.
        """
        orders = _SEASONAL if period > 1 else _PLAIN
        known = [order for order in orders if _variant(order) == variant]
        found = cls._best(values, known, period, day) or cls._best(values, orders, period, day)
        if found is None:
            raise ModelError("no ARIMA model fits these readings: name another forecaster")
        return found

    @classmethod
    def _best(
        cls, values: np.ndarray, orders: Sequence[_Order], period: int, day: int
    ) -> Self | None:
        best: tuple[float, Self] | None = None
        for order in orders:
            fitted = _fitted(values, order, period)
            if fitted is None:
                continue
            model = cls._of(fitted, period, _FORGETS_DAYS * day)
            parameters = len(fitted["coef"]) + 1
            score = len(values) * math.log(fitted["sigma2"]) + 2 * parameters
            if _is_safe(model) and math.isfinite(score) and (best is None or score < best[0]):
                best = score, model
        return None if best is None else best[1]

    @classmethod
    def _of(cls, fitted: dict[str, Any], period: int, memory: int) -> Self:
        p, q, seasonal_p, seasonal_q, _, differences, season = fitted["arma"]
        coefficient = fitted["coef"]
        ar = _expanded(
            [-coefficient[f"ar{lag}"] for lag in range(1, p + 1)],
            [-coefficient[f"sar{lag}"] for lag in range(1, seasonal_p + 1)],
            period,
        )
        ma = _expanded(
            [coefficient[f"ma{lag}"] for lag in range(1, q + 1)],
            [coefficient[f"sma{lag}"] for lag in range(1, seasonal_q + 1)],
            period,
        )
        return cls(
            ar=-ar,
            ma=ma,
            differences=int(differences),
            season=period if season else 0,
            mean=float(coefficient.get("intercept", 0.0)),
            memory=memory,
        )

    @property
    def variant(self) -> str:
        """The orders, without those of the season, which are always the same."""
        return _variant((len(self.ar), self.differences, len(self.ma) - self.season))

    def is_sound(self) -> bool:
        """Whether its arrays have the shapes that a fit gives."""
        shapes = self.ar.ndim == self.ma.ndim == 1
        return shapes and self.differences in {0, 1} and self.season >= 0 and self.memory > 0

    def forecast(self, values: np.ndarray, start: int, steps: int) -> np.ndarray:  # noqa: ARG002
        """Forecast the steps after ``values``."""
        values = values[-self.memory :]
        level = values
        if self.season:
            level = values[self.season :] - values[: -self.season]
        plain = np.diff(level, n=self.differences) - self.mean
        if len(plain) <= len(self.ar):
            raise ModelError(f"{len(values)} readings are too few for this ARIMA model")
        result = self._extended(plain, steps) + self.mean
        if self.differences:
            result = np.cumsum(result) + level[-1]
        if self.season:
            known = values[-self.season :].tolist()
            for step in range(steps):
                known.append(known[step] + float(result[step]))
            result = np.array(known[self.season :])
        return result

    def _extended(self, plain: np.ndarray, steps: int) -> np.ndarray:
        """Forecast the stationary part: residuals given zeros before it, then none after it."""
        ar = [(lag, weight) for lag, weight in enumerate(self.ar.tolist(), 1) if weight]
        ma = [(lag, weight) for lag, weight in enumerate(self.ma.tolist(), 1) if weight]
        first = len(self.ar)
        innovation = plain[first:].copy()
        for lag, weight in ar:
            innovation -= weight * plain[first - lag : len(plain) - lag]
        longest = len(self.ma)
        residuals = [0.0] * longest
        for value in innovation.tolist():
            for lag, weight in ma:
                value -= weight * residuals[-lag]  # noqa: PLW2901 an accumulator
            residuals.append(value)
        known = plain[-max(first, 1) :].tolist()
        for _ in range(steps):
            value = 0.0
            for lag, weight in ar:
                value += weight * known[-lag]
            for lag, weight in ma:
                value += weight * residuals[-lag]
            known.append(value)
            residuals.append(0.0)
        return np.array(known[-steps:])


def _variant(order: _Order) -> str:
    return " ".join(map(str, order))


def _fitted(values: np.ndarray, order: _Order, period: int) -> dict[str, Any] | None:
    from statsforecast.arima import arima

    seasonal = {"order": (0, int(period > 1), int(period > 1)), "period": period}
    try:
        fitted: dict[str, Any] = arima(values, order=order, seasonal=seasonal, method="CSS")
    except (ValueError, ArithmeticError, IndexError, np.linalg.LinAlgError):
        return None
    return fitted if fitted["sigma2"] > 0 else None


def _expanded(plain: list[float], seasonal: list[float], period: int) -> np.ndarray:
    """Multiply 1 + sum(plain) and 1 + sum(seasonal at whole periods); leave out the leading 1."""
    slow = np.zeros(len(seasonal) * period + 1)
    slow[0] = 1.0
    for number, weight in enumerate(seasonal, 1):
        slow[number * period] = weight
    return np.convolve([1.0, *plain], slow)[1:]


def _is_safe(model: Arima) -> bool:
    for polynomial in (-model.ar, model.ma):
        roots = np.roots([1.0, *polynomial])
        if roots.size and float(np.abs(roots).max()) >= _SAFE:
            return False
    return True
