"""The median of several forecasters, step by step.

A median of a few unlike models follows the majority and ignores the one that went astray.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlops_assets.forecasters.cold_start import ColdStart
from mlops_assets.forecasters.ridge import Ridge
from mlops_assets.forecasters.seasonal_naive import SeasonalNaive
from mlops_assets.forecasters.structured import Structured

if TYPE_CHECKING:
    from mlops_assets.forecasters.window import Window

Single = SeasonalNaive | ColdStart | Structured | Ridge


@dataclass(frozen=True, slots=True)
class Median:
    """Its members in the order of its label."""

    members: tuple[Single, ...]

    @property
    def context_steps(self) -> int:
        """As far as the member that looks back farthest."""
        return max(member.context_steps for member in self.members)

    def forecast(self, window: Window, steps: int) -> np.ndarray:
        """Forecast the steps after the window; members asked before are not asked again."""
        said = [window.forecast_by(member, steps) for member in self.members]
        middle: np.ndarray = np.median(np.stack(said), axis=0)
        return middle
