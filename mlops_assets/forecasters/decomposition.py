"""The seasonal parts of a series, by STL over several seasons, in a few milliseconds.

STL is Cleveland et al. (1990), *STL: a seasonal-trend decomposition procedure based on loess*;
several seasons one after the other are Bandara, Hyndman and Bergmeir (2021), *MSTL*, with the
windows of R's `forecast::mstl` (seasonal 7 + 4k, degree 0). Without its robustness weights STL is
linear in the series, and its weights depend on lengths alone: they are made once and kept. Loess
is evaluated at every tenth of its window, as R's `stl` does by default.

Sums are element by element, never by BLAS, so that two processors give the same bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

_PASSES = 2
_INNER = 2
# A season that is alone is looked for in noisy series: averaged over three weeks of days, not
# eleven days, it errs 3 % less on air quality (six weeks, 30 circuits) and the same on demand.
_ALONE = 23
# Of the reach of a loess window: nearer counts as at the point, farther as outside.
_NEAR, _FAR = 0.001, 0.999


@dataclass(frozen=True, slots=True)
class Decomposition:
    """Seasonal parts of a series whose length is whole seasons.

    ``adjusted`` is the series without them; ``last[i]`` is the newest season of ``periods[i]``.
    """

    periods: tuple[int, ...]
    adjusted: np.ndarray
    last: tuple[np.ndarray, ...]

    def extend(self, steps: int) -> np.ndarray:
        """Repeat the newest seasons over the ``steps`` that follow."""
        total = np.zeros(steps)
        for season in self.last:
            total += np.resize(season, steps)
        return total


def decompose(values: np.ndarray, periods: tuple[int, ...]) -> Decomposition:
    """Split gap-free ``values`` into seasons and the rest.

    The length must be a multiple of every period and hold at least two of the longest.
    """
    for period in periods:
        if len(values) % period or len(values) < 2 * period:
            raise ValueError(f"{len(values)} values are not two or more whole seasons of {period}")
    seasonal = [np.zeros_like(values) for _ in periods]
    rest = values.copy()
    alone = len(periods) == 1
    for _ in range(1 if alone else _PASSES):
        for number, period in enumerate(periods):
            rest = rest + seasonal[number]
            window = _ALONE if alone else 7 + 4 * (number + 1)
            seasonal[number] = _seasonal(rest, period, window)
            rest = rest - seasonal[number]
    last = tuple(part[-period:].copy() for part, period in zip(seasonal, periods, strict=True))
    return Decomposition(periods, rest, last)


def _seasonal(values: np.ndarray, period: int, window: int) -> np.ndarray:
    """Return the seasonal part for one period: STL's inner loop."""
    length = len(values)
    cycles = length // period
    low_pass = period + 1 if period % 2 == 0 else period + 2
    trend_window = _odd(math.ceil(1.5 * period / (1 - 1.5 / window)))
    trend = np.zeros(length)
    seasonal = trend
    index, weights = _loess(cycles, window, 0, tuple(range(-1, cycles + 1)))
    for _ in range(_INNER):
        folded = (values - trend).reshape(cycles, period)
        smoothed = (folded[index] * weights[:, :, None]).sum(axis=1).ravel()
        slow = _moving_mean(_moving_mean(_moving_mean(smoothed, period), period), 3)
        seasonal = smoothed[period : period + length] - _smooth(slow, low_pass)
        trend = _smooth(values - seasonal, trend_window)
    return seasonal


def _odd(number: int) -> int:
    return number if number % 2 else number + 1


def _moving_mean(values: np.ndarray, window: int) -> np.ndarray:
    total = np.cumsum(values)
    total[window:] = total[window:] - total[:-window]
    return total[window - 1 :] / window


def _smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Return local straight lines through ``values``, interpolated between every tenth window."""
    length = len(values)
    points = _points(length, max(1, math.ceil(window / 10)))
    index, weights = _loess(length, window, 1, points)
    at_points = (values[index] * weights).sum(axis=1)
    smoothed: np.ndarray = np.interp(np.arange(length), points, at_points)
    return smoothed


@lru_cache(maxsize=64)
def _points(length: int, jump: int) -> tuple[int, ...]:
    return (*range(0, length - 1, jump), length - 1)


@lru_cache(maxsize=64)
def _loess(
    length: int, window: int, degree: int, points: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return which of ``length`` values each point reads, and with which weights."""
    taken = min(window, length)
    at = np.asarray(points, dtype=np.float64)
    first = np.clip(np.asarray(points) - taken // 2, 0, length - taken)
    index = first[:, None] + np.arange(taken)
    distance = np.abs(index - at[:, None])
    reach = distance.max(axis=1, keepdims=True) + max(0, (window - length) // 2)
    ratio = distance / np.maximum(reach, 1.0)
    weights = np.where(ratio <= _FAR, (1 - np.minimum(ratio, 1.0) ** 3) ** 3, 0.0)
    weights[ratio <= _NEAR] = 1.0
    weights /= weights.sum(axis=1, keepdims=True)
    if degree:
        centre = (weights * index).sum(axis=1, keepdims=True)
        offset = index - centre
        variance = (weights * offset**2).sum(axis=1, keepdims=True)
        sloped = np.sqrt(variance) > 0.001 * max(length - 1, 1)
        slope = np.where(sloped, (at[:, None] - centre) / np.where(sloped, variance, 1.0), 0.0)
        weights *= 1 + slope * offset
    weights.setflags(write=False)
    return index, weights
