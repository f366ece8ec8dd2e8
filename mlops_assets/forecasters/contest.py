"""A contest of forecasters over the origins of a backtest: successive halving, then weights.

After a quarter of the origins the better half of the members goes on, after half of them the better
half of those: what will have no weight is neither applied to the other origins nor fitted again
(Jamieson and Talwalkar, *Non-stochastic Best Arm Identification and Hyperparameter Optimization*,
2016). At each origin members are weighted by their errors at earlier origins alone, so that the
backtest of the mean is as honest as that of a single forecaster; at each step by those within two
hours of it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from mlops_assets.domain.errors import ModelError
from mlops_assets.forecasters.weighted import mean_of, weights_by

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from mlops_assets.forecasters.backtest import Origins
    from mlops_assets.forecasters.median import Single
    from mlops_assets.forecasters.window import Window

# Fewer members are not halved: a mean of fewer is less steady than its cost is worth.
_FEWEST_MEMBERS = 5
_FEWEST_ORIGINS = 8
# A step's own errors are few: those of its neighbours steady its weights.
_NEAR = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Contest:
    """What a contest gave.

    ``forecast`` is the weighted mean's, of shape (origins, steps). ``weights`` are those after the
    last origin, of shape (steps,) by label, without the members that have none. ``said`` holds the
    forecasts of the members that went all the way, ``log`` a line for each of the others. ``left``
    says who was sent home, and when the last reading was known that did it.
    """

    forecast: np.ndarray
    weights: Mapping[str, np.ndarray]
    said: Mapping[str, np.ndarray]
    seconds: Mapping[str, float]
    log: tuple[str, ...]
    left: Mapping[str, datetime]


def contest(
    members: Mapping[str, Single], windows: Sequence[Window], origins: Origins, steps: int
) -> Contest:
    """Let members compete at every origin, each window holding what is known at its origin.

    Raises:
        ModelError: none of them can be applied.
    """
    if not members:
        raise ModelError("no member of the mean can be fitted to these readings")
    running = _Running(members, origins, steps)
    begun = 0
    for end in _rounds(len(windows)):
        running.run(windows, begun, end)
        if end < len(windows):
            running.halve(end)
        begun = end
    return running.result()


def _rounds(origins: int) -> tuple[int, ...]:
    if origins < _FEWEST_ORIGINS:
        return (origins,)
    return (origins // 4, origins // 2, origins)


class _Running:
    """Forecasts so far, of shape (members, origins, steps), and who is still in."""

    def __init__(self, members: Mapping[str, Single], origins: Origins, steps: int) -> None:
        self.labels = tuple(members)
        self.models = tuple(members.values())
        self.origins = origins
        self.said = np.full((len(members), len(origins.moments), steps), np.nan)
        self.inside = np.ones((len(members), len(origins.moments)), dtype=bool)
        self.seconds = dict.fromkeys(self.labels, 0.0)
        self.log: list[str] = []
        self.left: dict[str, datetime] = {}
        self.over = [origins.over_at(now) for now in (*origins.moments, origins.series.end)]

    def run(self, windows: Sequence[Window], first: int, end: int) -> None:
        """Apply whoever is in at the origins ``first`` to ``end``."""
        steps = self.said.shape[2]
        for number, (label, model) in enumerate(zip(self.labels, self.models, strict=True)):
            began = time.perf_counter()
            for row in range(first, end):
                if not self.inside[number, row]:
                    break
                try:
                    self.said[number, row] = windows[row].forecast_by(model, steps)
                except ModelError as error:
                    # What it said before stands: nobody knew there that it would fail.
                    self.inside[number, row:] = False
                    self.log.append(
                        f"candidate {label}: left out from "
                        f"{self.origins.moments[row]:%Y-%m-%d %H:%M} on, {error}"
                    )
            self.seconds[label] += time.perf_counter() - began

    def halve(self, end: int) -> None:
        """Send home the worse half after ``end`` origins, but never below the fewest members.

        Only errors count that are known at the origin where they would be missing first.
        """
        known = self.over[end]
        errors = self._errors(known, end)
        if not np.isfinite(errors).any():
            return
        still = [number for number in range(len(self.labels)) if self.inside[number, end]]
        keep = max(_FEWEST_MEMBERS, -(-len(still) // 2))
        ranked = sorted(still, key=lambda number: np.nan_to_num(errors[number], nan=np.inf))
        for number in ranked[keep:]:
            self.inside[number, end:] = False
            self.left[self.labels[number]] = self.origins.moments[end]
            self.log.append(
                f"candidate {self.labels[number]}: left after {end} of "
                f"{len(self.origins.moments)} origins, MAE {errors[number]:.6g} there"
            )

    def result(self) -> Contest:
        """Weigh the members at every origin, and after the last."""
        rows = len(self.origins.moments)
        forecast = np.full(self.said.shape[1:], np.nan)
        for row in range(rows):
            inside = np.flatnonzero(self.inside[:, row])
            if not inside.size:
                raise ModelError("no member of the mean can be applied to these readings")
            weights = weights_by(self._step_errors(self.over[row], inside))
            forecast[row] = mean_of(self.said[inside, row], weights)
        last = np.flatnonzero(self.inside[:, -1])
        # Every origin has a reading after it: what the last one's lack beyond the cutoff is NaN.
        final = weights_by(self._step_errors(np.ones(rows, dtype=bool), last))
        return Contest(
            forecast=forecast,
            weights={
                self.labels[number]: weight
                for number, weight in zip(last, final, strict=True)
                if weight.any()
            },
            said={self.labels[number]: self.said[number] for number in last},
            seconds=self.seconds,
            log=tuple(self.log),
            left=self.left,
        )

    def _step_errors(self, known: np.ndarray, members: np.ndarray) -> np.ndarray:
        """Return mean absolute errors at known origins of shape (members, steps).

        Each step's errors are those of the steps within `_NEAR`; NaN where none is known.
        """
        said = self.said[members][:, known]
        difference = np.abs(self.origins.actual[known] - said)
        scored = ~np.isnan(difference)
        total = np.where(scored, difference, 0.0).sum(axis=1)
        count = scored.sum(axis=1)
        steps, reach = total.shape[1], _NEAR // self.origins.series.step
        errors = np.full(total.shape, np.nan)
        for step in range(steps):
            near = slice(max(0, step - reach), step + reach + 1)
            counted = count[:, near].sum(axis=1)
            summed = total[:, near].sum(axis=1)
            errors[:, step] = np.where(counted > 0, summed / np.maximum(counted, 1), np.nan)
        return errors

    def _errors(self, known: np.ndarray, row: int) -> np.ndarray:
        """Return each member's mean absolute error at known origins; NaN for who is out by then."""
        difference = np.abs(self.origins.actual[known] - self.said[:, known])
        scored = ~np.isnan(difference)
        count = scored.sum(axis=(1, 2))
        total = np.where(scored, difference, 0.0).sum(axis=(1, 2))
        errors = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        return np.where(self.inside[:, min(row, self.inside.shape[1] - 1)], errors, np.nan)
