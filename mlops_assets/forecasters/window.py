"""The readings a forecast looks at: regular, without gaps, and nothing from after its end.

A gap takes the value of the same time one day before, itself perhaps filled, else the last value
before it: only the past fills a gap. Positions count steps since 1970, so that a season keeps its
phase whichever stretch of a series is looked at.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

import numpy as np

from mlops_assets.domain.errors import ModelError
from mlops_assets.forecasters.decomposition import Decomposition, decompose

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from mlops_assets.domain.readings import Series

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_Shared = TypeVar("_Shared")


class Forecasts(Protocol):
    """Whatever forecasts the steps after a window."""

    def forecast(self, window: Window, steps: int) -> np.ndarray:
        """Return the forecast."""


class Window:
    """Readings up to a forecast's first step. What candidates share is worked out once.

    *Invariants*: ``values`` is read-only and finite; ``values[i]`` lies at position ``start + i``.
    """

    def __init__(self, values: np.ndarray, start: int, day: int) -> None:
        self.values = values
        self.values.setflags(write=False)
        self.start = start
        self.day = day
        self._shared: dict[Hashable, object] = {}

    @classmethod
    def of(cls, series: Series, steps: int | None = None) -> Window:
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
        return cls(values, end - len(values), day)

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
        key = ("last", steps)
        return self.once(
            key, lambda: Window(self.values[-steps:].copy(), self.end - steps, self.day)
        )

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
