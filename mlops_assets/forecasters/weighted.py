"""The mean of several forecasters, each weighted at each step by how well it did there.

Choosing the one that did best in four weeks mostly chooses luck: a mean that trusts the better ones
more is steadier. Weights are the inverse mean absolute errors to the eighth power, so that a member
with a tenth more error has half the weight; Timmermann, *Forecast Combinations* (Handbook of
Economic Forecasting, 2006, section 2.4), has the general form. Who knows the next hour best is not
who knows tomorrow evening best: on every third demand circuit, two weeks that are not those of
docs/benchmarks.md, weights by step err 3 to 5 % less than one weight for all steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlops_assets.forecasters.median import Single
    from mlops_assets.forecasters.window import Window

# By backtest on the five weeks before the last: 4 to 12 differ by less than one part in a hundred.
_SQUARINGS = 3
_LEAST = 0.01
_DIMENSIONS = 2


@dataclass(frozen=True, slots=True)
class Weighted:
    """Its members and their weights, of shape (members, steps); each step's sum to 1.

    The last step's hold for all that follow. An array of shape (members,) holds for every step.
    """

    members: tuple[Single, ...]
    weights: np.ndarray

    @property
    def context_steps(self) -> int:
        """As far as the member that looks back farthest."""
        return max(member.context_steps for member in self.members)

    def forecast(self, window: Window, steps: int) -> np.ndarray:
        """Forecast the steps after the window; members asked before are not asked again."""
        said = [window.forecast_by(member, steps) for member in self.members]
        known = self.weights.reshape(len(self.members), -1)
        return mean_of(np.stack(said), known[:, np.minimum(np.arange(steps), known.shape[1] - 1)])

    def is_sound(self) -> bool:
        """Whether there is a weight a member for each step, none negative, summing to 1."""
        shape = self.weights.shape
        if not self.members or shape[:1] != (len(self.members),) or not self.weights.size:
            return False
        whole = np.abs(self.weights.sum(axis=0) - 1) < _LEAST
        return len(shape) <= _DIMENSIONS and bool(whole.all() and (self.weights >= 0).all())


def mean_of(said: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted mean of forecasts of shape (members, steps), added in their order.

    ``weights`` have the same shape. What a member without weight says counts nothing, whatever it
    is.
    """
    result = np.zeros(said.shape[1:])
    for forecast, weight in zip(said, weights, strict=True):
        result = result + weight * np.where(weight > 0, forecast, 0.0)
    return result


def weights_by(errors: np.ndarray) -> np.ndarray:
    """Return the weights of members with these mean absolute errors, of shape (members, steps).

    Each step's sum to 1. NaN is an error that was never measured: where all are, the weights are
    equal; beside measured ones it counts nothing, like a weight below one part in a hundred.

    >>> weights_by(np.array([[10.0], [11.0], [30.0]])).round(2).ravel().tolist()
    [0.68, 0.32, 0.0]
    """
    measured = np.isfinite(errors)
    ratio = np.where(measured, errors, np.inf)
    best = np.where(measured.any(axis=0), ratio.min(axis=0), 1.0)
    ratio = np.where(ratio > best, best / np.where(ratio > 0, ratio, 1.0), 1.0)
    ratio[:, ~measured.any(axis=0)] = 1.0
    for _ in range(_SQUARINGS):
        ratio = ratio * ratio
    ratio[ratio < _LEAST * ratio.sum(axis=0)] = 0.0
    result: np.ndarray = ratio / ratio.sum(axis=0)
    return result
