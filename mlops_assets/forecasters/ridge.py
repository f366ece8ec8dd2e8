"""Ridge regression on lags of the readings and on named features; the one forecaster that has any.

Direct forecasts (Ben Taieb, Bontempi, Atiya and Sorjamaa, 2012, *A review and comparison of
strategies for multi-step ahead time series forecasting*): leads are grouped, and each group has a
regression of its own, fitted at its longest lead, that reads nothing later than that lead allows.
What is regressed is the difference from the seasonal naive, and the penalty of Hoerl and Kennard
(1970) shrinks every effect towards none: the less the readings say, the nearer it is to the floor.

A gap of a measured feature takes its value of the same time one day before, else the last one, for
at most a week (`Window.feature`). Rows that would need an older value teach nothing, and a forecast
that would need one is refused by the feature's name.

Sums are element by element, never by BLAS, so that two processors give the same bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from mlops_assets.domain.errors import ModelError
from mlops_assets.domain.feature import calendar, measured
from mlops_assets.forecasters.calendar import count, terms
from mlops_assets.forecasters.window import LONGEST_FILL_DAYS

if TYPE_CHECKING:
    from mlops_assets.forecasters.catalogue import RidgeSettings
    from mlops_assets.forecasters.window import Window

# The longest lead of each group within the first day, in hours; then one group a day.
_LEAD_HOURS = (1, 2, 3, 4, 6, 8, 12, 18, 24)
_WEEK = 7
# Terms from the readings alone, and for each measured feature; the intercept is apart.
_OWN, _EACH = 7, 2
_ROWS_A_TERM = 4
# A column whose values differ by less than this share of their size says nothing.
_CONSTANT = 1e-9


class SilentFeatureError(ModelError):
    """A feature was silent for too long before a moment; other moments may be forecast."""


@dataclass(frozen=True, slots=True)
class Ridge:
    """Regressions by group of leads.

    ``leads[g]`` is the longest lead of group g, in steps from the newest reading;
    ``coefficients`` has a row a group: the intercept, then one for each term. ``horizon`` is the
    least lag of a measured feature, ``day`` the number of steps in 24 hours.
    """

    day: int
    horizon: int
    timezone: str
    features: tuple[str, ...]
    leads: tuple[int, ...]
    coefficients: np.ndarray

    @classmethod
    def fit(cls, settings: RidgeSettings, window: Window) -> Ridge:
        """Fit every group to a window.

        Raises:
            ModelError: the readings are too few, or a named feature has no value.
        """
        asked = window.asked
        window = window.last(settings.window_days * window.day)
        model = cls(
            window.day,
            asked.horizon_steps,
            asked.timezone,
            asked.features,
            _leads(window.day, asked.horizon_steps),
            np.zeros((0, 0)),
        )
        rows = [model._group(window, lead, settings.penalty) for lead in model.leads]
        return cls(
            model.day,
            model.horizon,
            model.timezone,
            model.features,
            model.leads,
            np.stack(rows),
        )

    @property
    def context_steps(self) -> int:
        """As far as the regression of the longest lead looks back, and what fills its gaps."""
        fill = (LONGEST_FILL_DAYS + 1) * self.day if measured(self.features) else 0
        return self._reach(self.leads[-1]) + fill

    def is_sound(self, most: int) -> bool:
        """Whether its parts have the shapes and sizes that a fit gives."""
        sizes = 0 < self.day <= most and 0 < self.horizon <= most and len(self.leads) > 0
        ordered = sizes and all(
            0 < lead < following
            for lead, following in zip(self.leads, (*self.leads[1:], most), strict=True)
        )
        return (
            ordered
            and self.context_steps <= most
            and self.coefficients.shape == (len(self.leads), 1 + self._columns)
            and len(set(self.features)) == len(self.features)
            and _is_zone(self.timezone)
        )

    def forecast(self, window: Window, steps: int) -> np.ndarray:
        """Forecast the steps after the window, held within reach of what it holds.

        Steps beyond the longest lead repeat the day before them.
        """
        window = window.last(self.context_steps)
        if len(window) < self._reach(self.leads[-1]):
            raise ModelError(
                f"ridge: {len(window)} readings are fewer than the "
                f"{self._reach(self.leads[-1])} that it looks back at"
            )
        result = np.empty(steps)
        done = 0
        for lead, row in zip(self.leads, self.coefficients, strict=True):
            ahead = np.arange(done, min(lead, steps))
            if ahead.size:
                at = len(window) + ahead
                self._insist(window, at, lead)
                result[ahead] = self._base(window, at, lead) + _sum(
                    self._terms(window, at, ahead + 1, lead), row
                )
            done = lead
        for step in range(done, steps):
            result[step] = result[step - self.day]
        if not np.isfinite(result).all():
            raise ModelError("ridge: the forecast is not finite: the readings are out of its reach")
        held: np.ndarray = np.clip(result, *window.reach())
        return held

    def _group(self, window: Window, lead: int, penalty: int) -> np.ndarray:
        at = np.arange(self._reach(lead), len(window))
        for name in measured(self.features):
            at = at[self._usable(window, name, at, lead)]
            if not len(at):
                raise ModelError(f"ridge: feature {name} has no value to learn from")
        if len(at) < _ROWS_A_TERM * self._columns:
            raise ModelError(
                f"ridge: {len(at)} steps can be learned from, at least "
                f"{_ROWS_A_TERM * self._columns} are needed"
            )
        said = self._terms(window, at, np.full(len(at), lead), lead)
        return _regress(said, window.values[at] - self._base(window, at, lead), penalty)

    @property
    def _columns(self) -> int:
        """How many terms a regression has, its intercept left out."""
        named = sum(count(name) for name in calendar(self.features))
        return _OWN + _EACH * len(measured(self.features)) + named

    def _usable(self, window: Window, name: str, at: np.ndarray, lead: int) -> np.ndarray:
        """Whether targets have a value of a feature that is not too old."""
        _, usable = window.feature(name)
        used = at - self._lag(lead)
        found: np.ndarray = usable[used] & usable[used - self.day + 1]
        return found

    def _insist(self, window: Window, at: np.ndarray, lead: int) -> None:
        for name in measured(self.features):
            found = self._usable(window, name, at, lead)
            if not found.all():
                index = int(at[~found][0]) - self._lag(lead)
                raise SilentFeatureError(
                    f"ridge: feature {name} has no value in the {LONGEST_FILL_DAYS} days before "
                    f"{window.moment(index):%Y-%m-%d %H:%M} UTC"
                )

    def _reach(self, lead: int) -> int:
        """How many steps before a target its terms begin."""
        weeks = _up(lead, _WEEK * self.day) + _WEEK * self.day
        newest = lead + _WEEK * self.day
        known = self._lag(lead) + self.day if measured(self.features) else 0
        return max(weeks, newest, known)

    def _lag(self, lead: int) -> int:
        """The lag of measured features: whole days, at least the horizon and at least the lead."""
        return _up(max(lead, self.horizon), self.day)

    def _base(self, window: Window, at: np.ndarray, lead: int) -> np.ndarray:
        """What the seasonal naive says."""
        base: np.ndarray = window.values[at - _up(lead, self.day)]
        return base

    def _terms(self, window: Window, at: np.ndarray, leads: np.ndarray, lead: int) -> np.ndarray:
        """Return the terms of targets at indices ``at``, each ``leads`` after its newest reading.

        ``lead`` is the longest of their group. Nothing from less than a lead before a target is
        read, and of measured features nothing from less than the horizon before it.
        """
        values, day, week = window.values, self.day, _WEEK * self.day
        base, newest, weekly = self._base(window, at, lead), at - leads, _up(lead, week)
        columns = [
            values[at - _up(lead, day) - day] - base,
            values[at - weekly] - base,
            values[at - weekly - week] - base,
            values[newest] - values[newest - day],
            values[newest] - values[newest - week],
            _mean(values, newest, day) - base,
            _mean(values, newest, week) - base,
        ]
        for name in measured(self.features):
            known, _ = window.feature(name)
            columns += [known[at - self._lag(lead)], _mean(known, at - self._lag(lead), day)]
        own = np.stack(columns, axis=1)
        return np.concatenate([own, self._calendar(window, at)], axis=1)

    def _calendar(self, window: Window, at: np.ndarray) -> np.ndarray:
        """Return the calendar's terms of targets, worked out once for all leads and members."""
        names = calendar(self.features)
        ahead = int(at[0]) >= len(window)
        first, count = (len(window), self.leads[-1]) if ahead else (0, len(window))
        known: np.ndarray = window.once(
            ("calendar", names, self.timezone, first, count),
            lambda: terms(names, window.start + first + np.arange(count), self.day, self.timezone),
        )
        named: np.ndarray = known[at - first]
        return named


def _leads(day: int, horizon: int) -> tuple[int, ...]:
    """Return the longest leads of the groups, for a horizon that begins up to a day late."""
    within = {max(1, hours * day // 24) for hours in _LEAD_HOURS}
    later = range(2 * day, _up(horizon + day, day) + 1, day)
    return tuple(sorted({*within, *later}))


def _up(number: int, multiple: int) -> int:
    """Return the least multiple that is not below a number."""
    return -(-number // multiple) * multiple


def _mean(values: np.ndarray, last: np.ndarray, count: int) -> np.ndarray:
    """Return the means of ``count`` values each, the last at these indices."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    mean: np.ndarray = (total[last + 1] - total[last + 1 - count]) / count
    return mean


def _sum(said: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Return intercept and effects, added in their order."""
    result = np.full(len(said), row[0])
    for column, coefficient in zip(said.T, row[1:].tolist(), strict=True):
        result = result + coefficient * column
    return result


def _regress(said: np.ndarray, target: np.ndarray, penalty: int) -> np.ndarray:
    """Return the intercept and the coefficients; terms are brought to one scale and back.

    The penalty counts as that many rows which say that no term has an effect.
    """
    rows = len(said)
    mean = said.sum(axis=0) / rows
    centred = said - mean
    spread = np.sqrt((centred * centred).sum(axis=0) / rows)
    says = spread > _CONSTANT * np.maximum(np.abs(mean), 1e-300)
    scale = np.where(says, spread, 1.0)
    scaled = np.where(says, centred / scale, 0.0)
    middle = float(target.sum() / rows)
    gram = np.stack([(scaled * scaled[:, [each]]).sum(axis=0) for each in range(said.shape[1])])
    gram[np.diag_indices(len(gram))] += penalty
    effect = _solved(gram, (scaled * (target - middle)[:, None]).sum(axis=0)) / scale
    intercept = middle - float(math.fsum((mean * effect).tolist()))
    return np.concatenate([[intercept], effect])


def _solved(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve for a symmetric positive definite matrix, by elimination without exchanges."""
    left, result = matrix.copy(), right.copy()
    size = len(result)
    for row in range(size):
        share = left[row + 1 :, row] / left[row, row]
        left[row + 1 :] -= share[:, None] * left[row]
        result[row + 1 :] -= share * result[row]
    for row in reversed(range(size)):
        result[row] /= left[row, row]
        result[:row] -= left[:row, row] * result[row]
    return result


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
