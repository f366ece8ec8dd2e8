"""Rolling-origin backtests: fitted once before the first origin, applied at the later ones.

An origin is a local midnight of the circuit. What a forecaster may see at an origin is a `History`,
which holds a copy of the readings and features before it and nothing else, so that no forecaster,
however written, can reach a reading it is judged on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from mlops_assets.domain.readings import Series, window_end

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_assets.domain.circuit import Spec

ORIGINS = 28
# A model gets at least this much before the first origin, where there is more than a month.
_LEARNS_DAYS = 14
_DAY = timedelta(days=1)


class History:
    """The readings before an origin.

    *Invariant*: nothing reachable from here holds, or shares memory with, a reading at or after
    the origin.
    """

    __slots__ = ("_series", "origin")

    def __init__(self, series: Series, origin: datetime) -> None:
        known = max(0, min(len(series), -((series.start - origin) // series.step)))
        values = np.array(series.values[:known], dtype=np.float64, copy=True)
        values.setflags(write=False)
        features = {name: _copied(each[:known]) for name, each in series.features.items()}
        self.origin = origin
        self._series = Series(series.start, series.step, values, features)

    @property
    def series(self) -> Series:
        """Every reading before the origin."""
        return self._series


def _copied(values: np.ndarray) -> np.ndarray:
    copy = np.array(values, dtype=np.float64, copy=True)
    copy.setflags(write=False)
    return copy


@dataclass(frozen=True, slots=True)
class Origins:
    """The origins of one backtest, with what came after each.

    ``actual`` has a row an origin and a column a step, NaN where there is no reading.
    """

    series: Series
    moments: tuple[datetime, ...]
    actual: np.ndarray

    @classmethod
    def of(cls, series: Series, spec: Spec) -> Origins:
        """Choose the last local midnights that the data allow, at most `ORIGINS` whole horizons."""
        moments = _midnights(series, spec)
        steps = spec.horizon_steps
        padded = np.append(series.values, np.full(steps, np.nan))
        actual = np.full((len(moments), steps), np.nan)
        for row, moment in enumerate(moments):
            first = (moment - series.start) // series.step
            actual[row] = padded[first : first + steps]
        scored = ~np.isnan(actual).all(axis=1)
        kept = tuple(moment for moment, known in zip(moments, scored, strict=True) if known)
        return cls(series, kept, actual[scored])

    def over_at(self, now: datetime) -> np.ndarray:
        """Whether every step of each origin is over at a moment: only then are its errors known."""
        length = self.actual.shape[1] * self.series.step
        return np.array([moment + length <= now for moment in self.moments], dtype=bool)

    def histories(self) -> Sequence[History]:
        """What is known at each origin."""
        return tuple(History(self.series, moment) for moment in self.moments)


def _midnights(series: Series, spec: Spec) -> list[datetime]:
    """Return origins on the series' grid, with readings before the first of them."""
    known = np.flatnonzero(~np.isnan(series.values))
    if not known.size:
        return []
    first = series.start + int(known[0]) * series.step
    zone = ZoneInfo(spec.timezone)
    whole_days = (series.end - first) // _DAY
    horizon_days = -(-spec.horizon // 24)
    wanted = max(whole_days // 3, min(ORIGINS, whole_days - _LEARNS_DAYS))
    wanted = max(1, min(ORIGINS, wanted)) + horizon_days - 1
    moments: list[datetime] = []
    day = series.end.astimezone(zone).date()
    while len(moments) < wanted:
        moment = window_end(day, spec.timezone)
        # Where a zone's midnight is off the grid, the forecast begins with the first step after.
        moment = series.start - (series.start - moment) // series.step * series.step
        if moment <= first:
            break
        if moment < series.end:
            moments.append(moment)
        day -= _DAY
    return moments[::-1]
