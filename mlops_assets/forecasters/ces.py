"""Complex exponential smoothing, fitted by statsforecast, applied here.

Svetunkov, Kourentzes and Ord (2022), *Complex exponential smoothing*: the level and an information
potential that never shows itself, and the same for the season.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import Self

_VARIANTS = frozenset("NSPF")


@dataclass(frozen=True, slots=True)
class Ces:
    """A fitted model as it stood before position ``anchor``.

    ``states`` holds one row for each of the last ``period`` positions, the newest last: level,
    potential, and where there is one the season with or without its potential. ``lagged`` levels
    repeat after a season (the simple seasonal variant).
    """

    alpha_0: float
    alpha_1: float
    beta_0: float
    beta_1: float
    lagged: bool
    states: np.ndarray
    anchor: int

    @classmethod
    def fit(cls, values: np.ndarray, start: int, period: int, variant: str | None = None) -> Self:
        """Fit all variants and keep the one with the smallest AICc; a known one alone."""
        from statsforecast.ces import auto_ces

        fitted = auto_ces(values, period, variant if variant in _VARIANTS else "Z")
        par, count, lag = fitted["par"], int(fitted["n"]), int(fitted["m"])
        return cls(
            alpha_0=float(par["alpha_0"]),
            alpha_1=float(par["alpha_1"]),
            beta_0=float(np.nan_to_num(par["beta_0"])),
            beta_1=float(np.nan_to_num(par["beta_1"])),
            lagged=fitted["seasontype"] == "S",
            states=np.array(fitted["states"][count : count + lag], dtype=np.float64),
            anchor=start + len(values),
        )

    @property
    def variant(self) -> str:
        """None, simple, partial or full season, as the paper has them."""
        return "S" if self.lagged else "NPF"[self.states.shape[1] - 2]

    def is_sound(self) -> bool:
        """Whether its arrays have the shapes that a fit gives."""
        return self.states.ndim == 2 and len(self.states) > 0 and self.states.shape[1] in {2, 3, 4}  # noqa: PLR2004

    def forecast(self, values: np.ndarray, start: int, steps: int) -> np.ndarray:
        """Forecast the steps after ``values``, of which those from the anchor on are new."""
        seen = self.anchor - start
        states = [tuple(row) for row in self.states.tolist()]
        if not 0 <= seen <= len(values):
            # Keep each state at its phase, as if whole seasons had passed.
            turn = -seen % len(states)
            states = states[turn:] + states[:turn]
            seen = 0
        for value in values[seen:].tolist():
            states.append(self._after(states, value))
        result = np.empty(steps)
        for step in range(steps):
            result[step] = self._expected(states)
            states.append(self._after(states, float(result[step])))
        return result

    def _expected(self, states: list[tuple[float, ...]]) -> float:
        period = len(self.states)
        level = states[-period][0] if self.lagged else states[-1][0]
        return level + states[-period][2] if self.states.shape[1] > 2 else level  # noqa: PLR2004

    def _after(self, states: list[tuple[float, ...]], value: float) -> tuple[float, ...]:
        error = value - self._expected(states)
        season = states[-len(self.states)]
        before = season if self.lagged else states[-1]
        moved = _moved(before[0], before[1], self.alpha_0, self.alpha_1, error)
        match season[2:]:
            case (part, potential):
                return moved + _moved(part, potential, self.beta_0, self.beta_1, error)
            case (part,):
                return (*moved, part + self.beta_0 * error)
            case _:
                return moved


def _moved(
    shown: float, hidden: float, real: float, imaginary: float, error: float
) -> tuple[float, float]:
    return (
        shown - (1.0 - imaginary) * hidden + (real - imaginary) * error,
        shown + (1.0 - real) * hidden + (real + imaginary) * error,
    )
