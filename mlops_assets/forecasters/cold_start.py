"""Cold start: a forecast from hours or days of readings, for circuits too young for a model.

The newest day's mean, plus what each time of day was seen to differ from its day's mean, shrunk
towards nothing by n / (n + 1) after n days: one day counts half, a fortnight nearly whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlops_assets.forecasters.window import Window

_LOOKS_BACK_DAYS = 14


@dataclass(frozen=True, slots=True)
class ColdStart:
    """Needs one reading. ``day`` is the number of steps in 24 hours."""

    day: int

    @property
    def context_steps(self) -> int:
        """How many steps it looks back."""
        return self.day * _LOOKS_BACK_DAYS

    def forecast(self, window: Window, steps: int) -> np.ndarray:
        """Forecast the steps after the window."""
        values = window.last(self.context_steps).values
        level = float(values[-self.day :].mean())
        days = len(values) // self.day
        if not days:
            return np.full(steps, float(values[-1]))
        folded = values[len(values) - days * self.day :].reshape(days, self.day)
        pattern = (folded - folded.mean(axis=1, keepdims=True)).mean(axis=0)
        return level + np.resize(pattern * (days / (days + 1)), steps)
