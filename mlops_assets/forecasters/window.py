"""The readings a forecast looks at: regular, without gaps, and nothing from after its end.

A gap takes the value of the same time one day before, itself perhaps filled, else the last value
before it: only the past fills a gap. Positions count steps since 1970, so that a season keeps its
phase whichever stretch of a series is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

import numpy as np

from mlops_assets.domain.errors import ModelError
from mlops_assets.forecasters.decomposition import Decomposition, decompose

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from mlops_assets.domain.readings import Series

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_Shared = TypeVar("_Shared")
# A feature's value stands in for later ones for so long.
LONGEST_FILL_DAYS = 7
_NONE: Mapping[str, np.ndarray] = MappingProxyType({})


class Forecasts(Protocol):
    """Whatever forecasts the steps after a window."""

    def forecast(self, window: Window, steps: int) -> np.ndarray:
        """Return the forecast."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a spec asks of a forecaster, beside its own settings; read when it is fitted."""

    horizon_steps: int
    timezone: str = "UTC"
    features: tuple[str, ...] = ()


class Window:
    """Readings up to a forecast's first step. What candidates share is worked out once.

    *Invariants*: ``values`` is read-only and finite; ``values[i]`` lies at position ``start + i``,
    and so does each of ``features``, which may have gaps.
    """

    def __init__(
        self,
        values: np.ndarray,
        start: int,
        day: int,
        *,
        features: Mapping[str, np.ndarray] = _NONE,
        asked: Asked | None = None,
    ) -> None:
        self.values = values
        self.values.setflags(write=False)
        self.start = start
        self.day = day
        self.asked = asked or Asked(day)
        self._features = features
        self._shared: dict[Hashable, object] = {}

    @classmethod
    def of(cls, series: Series, steps: int | None = None, asked: Asked | None = None) -> Window:
        """Take the last ``steps`` of a series, from its first reading on.

        Raises:
            ModelError: there is no reading among them.
        """
        values = series.values if steps is None else series.values[-steps:]
        values = np.array(values, dtype=np.float64)
        values[~np.isfinite(values)] = np.nan
        known = np.flatnonzero(~np.isnan(values))
        if not known.size:
            raise ModelError(
                f"no reading in the {len(values)} steps before {series.end:%Y-%m-%d %H:%M} UTC: "
                "check that the circuit still reports"
            )
        values = values[known[0] :]
        day = _DAY // series.step
        for gap in np.flatnonzero(np.isnan(values)):
            values[gap] = values[gap - day] if gap >= day else values[gap - 1]
        end = (series.end - _EPOCH) // series.step
        features = {name: each[len(each) - len(values) :] for name, each in series.features.items()}
        return cls(values, end - len(values), day, features=features, asked=asked)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def end(self) -> int:
        """Position of the first step to forecast."""
        return self.start + len(self.values)

    @property
    def lowest(self) -> float:
        """The smallest value."""
        return float(self.values.min())

    @property
    def highest(self) -> float:
        """The largest value."""
        return float(self.values.max())

    def last(self, steps: int) -> Window:
        """Return the newest ``steps``, or all of them; the same window to all who ask."""
        if steps >= len(self.values):
            return self
        return self.once(("last", steps), lambda: self._newest(steps))

    def _newest(self, steps: int) -> Window:
        return Window(
            self.values[-steps:].copy(),
            self.end - steps,
            self.day,
            features={name: each[-steps:] for name, each in self._features.items()},
            asked=self.asked,
        )

    def moment(self, index: int) -> datetime:
        """Return when ``values[index]`` was read."""
        return _EPOCH + (self.start + index) * (_DAY / self.day)

    def reach(self) -> tuple[float, float]:
        """Return what a forecast may say at most: half the window's range beyond it.

        Nothing negative where nothing negative was ever read.
        """
        low, high = self.lowest, self.highest
        margin = (high - low) / 2
        return (max(low - margin, 0.0) if low >= 0 else low - margin), high + margin

    def feature(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return a feature without gaps, and where a value not older than a week stands behind it.

        A gap takes the value of the same time one day before, itself perhaps filled, else the last
        one: only the past fills a gap, as it does among readings.

        Raises:
            ModelError: the readings have no such column.
        """
        if name not in self._features:
            raise ModelError(f"feature {name}: the readings have no such column")
        return self.once(("feature", name), lambda: self._filled(self._features[name]))

    def _filled(self, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values = np.array(raw, dtype=np.float64)
        values[~np.isfinite(values)] = np.nan
        known = ~np.isnan(values)
        newest = np.maximum.accumulate(np.where(known, np.arange(len(values)), -1))
        age = np.arange(len(values)) - newest
        usable = (newest >= 0) & (age <= LONGEST_FILL_DAYS * self.day)
        first = int(np.argmax(known)) if known.any() else len(values)
        values[:first] = 0.0
        for gap in np.flatnonzero(np.isnan(values)):
            before = gap - self.day
            values[gap] = values[before] if before >= first else values[gap - 1]
        return values, usable

    def scaled(self, floor: float | None) -> np.ndarray:
        """Return the values, or with ``floor`` their logarithms, none below that of ``floor``."""
        if floor is None:
            return self.values
        return self.once(("log", floor), lambda: np.log(np.maximum(self.values, floor)))

    def decomposed(self, periods: tuple[int, ...], floor: float | None) -> Decomposition:
        """Return the seasons of the newest values that are whole seasons of every period."""
        whole = len(self.values) - len(self.values) % max(periods)
        if whole < 2 * max(periods):
            raise ModelError(
                f"{len(self.values)} readings are fewer than two seasons of {max(periods)} steps"
            )
        values = self.scaled(floor)[len(self.values) - whole :]
        return self.once((periods, floor), lambda: decompose(values, periods))

    def forecast_by(self, model: Forecasts, steps: int) -> np.ndarray:
        """Return what a model forecasts after this window, asking each model once."""
        # The model is kept with its answer, so that its id cannot become another's.
        key = ("forecast", id(model), steps)
        return self.once(key, lambda: (model, model.forecast(self, steps)))[1]

    def once(self, key: Hashable, make: Callable[[], _Shared]) -> _Shared:
        """Return what ``make`` gave the first time ``key`` was asked for."""
        if key not in self._shared:
            self._shared[key] = make()
        return cast("_Shared", self._shared[key])
