"""A fitted model: a method, the widths of its intervals, and a golden forecast to check it by."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.domain.errors import ModelError
from mlops_assets.domain.feature import measured
from mlops_assets.domain.model import ForecastValues
from mlops_assets.domain.readings import Series
from mlops_assets.forecasters.cold_start import ColdStart
from mlops_assets.forecasters.median import Median
from mlops_assets.forecasters.ridge import Ridge
from mlops_assets.forecasters.seasonal_naive import SeasonalNaive
from mlops_assets.forecasters.structured import Structured
from mlops_assets.forecasters.weighted import Weighted
from mlops_assets.forecasters.window import Window

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.forecasters.method import Method

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PARTS = ("value", "lo_80", "hi_80", "lo_95", "hi_95")
_MAXIMUM_STEPS = 100_000
# Processors and C libraries differ in the last bits of exp and log; readings have far fewer digits.
_DIGITS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Everything a forecast needs, and nothing of how it was chosen.

    ``forecaster`` is a label of the catalogue. ``context`` holds the last readings before
    ``trained_until`` (seconds since 1970), which the golden forecast continues, and
    ``context_features`` a row for each measured feature that the method reads, None where none.
    ``lowest_allowed`` is 0 where no reading was ever negative.
    """

    forecaster: str
    algorithm_version: int
    step_seconds: int
    trained_until: int
    method: Method
    width_80: np.ndarray
    width_95: np.ndarray
    approximate: bool
    lowest_allowed: float | None
    context: np.ndarray
    context_features: np.ndarray | None = None
    _expected: Mapping[str, Any] | None = field(default=None, init=False, compare=False)

    @property
    def context_steps(self) -> int:
        """How many steps before the forecast `apply` looks at, at most."""
        return self.method.context_steps

    @property
    def cutoff(self) -> datetime:
        """The first moment after the readings it learned from."""
        return _EPOCH + timedelta(seconds=self.trained_until)

    def apply(self, series: Series, steps: int) -> ForecastValues:
        """Forecast the ``steps`` that follow the last value of ``series``.

        Raises:
            ModelError: the series has another interval, too few readings, or none.
        """
        step = timedelta(seconds=self.step_seconds)
        if series.step != step:
            raise ModelError(f"the model reads every {step}, the series is every {series.step}")
        if not 0 < steps <= _MAXIMUM_STEPS:
            raise ModelError(f"{steps} steps: a forecast has 1 to {_MAXIMUM_STEPS}")
        window = Window.of(series, self.context_steps)
        value = self.point(window, steps)
        at = np.minimum(np.arange(steps), len(self.width_80) - 1)
        width_80, width_95 = self.width_80[at], self.width_95[at]
        return ForecastValues(
            start=series.end,
            step=step,
            value=value,
            lo_80=self._low(value - width_80),
            hi_80=_settled(value + width_80),
            lo_95=self._low(value - width_95),
            hi_95=_settled(value + width_95),
            approximate=self.approximate or steps > len(self.width_80),
        )

    def point(self, window: Window, steps: int) -> np.ndarray:
        """Return the forecast without its interval."""
        return _settled(self.method.forecast(window, steps))

    def golden_forecast(self) -> dict[str, list[str]]:
        """Forecast from the stored context, each number as its exact hexadecimal text."""
        step = timedelta(seconds=self.step_seconds)
        rows = () if self.context_features is None else self.context_features
        features = dict(zip(measured_by(self.method), rows, strict=True))
        series = Series(self.cutoff - len(self.context) * step, step, self.context, features)
        forecast = self.apply(series, len(self.width_80))
        return {part: [float(each).hex() for each in getattr(forecast, part)] for part in _PARTS}

    def reproduces_golden(self) -> bool:
        """Whether this environment gives the forecast stored at fit time, bit for bit."""
        try:
            return self._expected is not None and self.golden_forecast() == self._expected
        except ModelError:
            return False

    def expecting(self, golden: object) -> Fitted:
        """Return the same model with the golden forecast that was stored beside it."""
        if not isinstance(golden, dict) or set(golden) != set(_PARTS):
            raise ModelError("golden.json: holds no forecast: train it again")
        object.__setattr__(self, "_expected", golden)
        return self

    def check(self) -> None:
        """Refuse values that no fit gives, so that applying cannot go astray.

        Raises:
            ModelError: with the field that is wrong.
        """
        day = timedelta(days=1) // timedelta(seconds=1)
        wrong = None
        if self.step_seconds <= 0 or day % self.step_seconds:
            wrong = "step_seconds"
        elif abs(self.trained_until) > day * 366 * 1000:
            wrong = "trained_until"
        elif self.context.ndim != 1 or not len(self.context):
            wrong = "context"
        elif not (self.width_80.ndim == self.width_95.ndim == 1) or (
            len(self.width_80) != len(self.width_95) or not len(self.width_80)
        ):
            wrong = "widths"
        elif not _is_sound(self.method):
            wrong = "method"
        elif not self._has_features():
            wrong = "context_features"
        if wrong:
            raise ModelError(f"model.json: {wrong} is not what a fit gives: train it again")

    def _has_features(self) -> bool:
        """Whether the context has what the method reads."""
        names, rows = measured_by(self.method), self.context_features
        if rows is None:
            return not names
        return bool(names) and rows.shape == (len(names), len(self.context))

    def _low(self, values: np.ndarray) -> np.ndarray:
        if self.lowest_allowed is not None:
            values = np.maximum(values, self.lowest_allowed)
        return _settled(values)


def measured_by(method: Method) -> tuple[str, ...]:
    """Return the measured features that a method reads, each once, in its members' order."""
    match method:
        case Median() | Weighted():
            names = [name for member in method.members for name in measured_by(member)]
            return tuple(dict.fromkeys(names))
        case Ridge():
            return measured(method.features)
        case _:
            return ()


def _is_sound(method: Method) -> bool:
    """Whether shapes and sizes are such that a forecast ends."""
    match method:
        case Median():
            return len(method.members) > 0 and all(_is_sound(each) for each in method.members)
        case Weighted():
            return method.is_sound() and all(_is_sound(each) for each in method.members)
        case SeasonalNaive():
            return 0 < method.season <= _MAXIMUM_STEPS
        case ColdStart():
            return 0 < method.day <= _MAXIMUM_STEPS
        case Ridge():
            return method.is_sound(_MAXIMUM_STEPS)
        case Structured():
            return (
                0 < method.context_steps <= _MAXIMUM_STEPS
                and all(0 < period <= _MAXIMUM_STEPS for period in method.periods)
                and (method.floor is None or method.floor > 0)
                and method.core.is_sound()
            )


def _settled(values: np.ndarray) -> np.ndarray:
    """Round to ten significant digits."""
    return np.array([float(f"{value:.{_DIGITS - 1}e}") for value in values.tolist()])
