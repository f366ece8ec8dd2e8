"""Intervals: split conformal on absolute residuals, one width a horizon step.

The finite-sample rank ceil((n + 1) * level) is that of Lei et al. (2018); coverage is judged on
origins later than those that a width is made of. Widths stand at the level of the newest week,
because errors of a season are not exchangeable (Barber, Candes, Ramdas and Tibshirani, 2023, weigh
the newest more for the same reason).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

# Origins of the newest week.
_NEWEST = 7


@dataclass(frozen=True, slots=True)
class Widths:
    """Half widths of the intervals, one a horizon step.

    ``approximate`` says that some step had too few residuals of its own and borrowed its
    neighbours', or had to take the largest residual there is.
    """

    width_80: np.ndarray
    width_95: np.ndarray
    approximate: bool


def conformal_widths(errors: np.ndarray) -> Widths:
    """Return interval widths from absolute errors of shape (origins, steps), NaN where unknown.

    A step with fewer errors than the 95 % rank needs takes its nearest neighbours' as well.
    """
    import numpy as np

    steps = errors.shape[1]
    width_80, width_95, approximate = np.empty(steps), np.empty(steps), False
    for step in range(steps):
        pool, borrowed = _pool(errors, step)
        width_80[step] = _rank(pool, 80)
        width_95[step] = _rank(pool, 95)
        approximate = approximate or borrowed or _needed(95) > len(pool)
    return Widths(width_80, width_95, approximate)


def newest_widths(errors: np.ndarray) -> Widths:
    """Return conformal widths at the level of the newest week's errors.

    Errors of (origins, steps), oldest origin first, a local midnight each. They grow in a hot month
    and shrink after it, which widths that weigh all origins alike learn too late: how errors spread
    is read off all origins, how large they are now off the newest seven, one of each weekday.
    """
    widths, level = conformal_widths(errors), _level(errors)
    return Widths(level * widths.width_80, level * widths.width_95, widths.approximate)


def _level(errors: np.ndarray) -> float:
    """Return the newest week's mean error over that of all origins, 1 where too few can say.

    At most twofold either way: one week of outages or of silence says nothing about the next.
    """
    import numpy as np

    newest = errors[-_NEWEST:]
    if len(errors) < 2 * _NEWEST or np.isnan(newest).all():
        return 1.0
    every = float(np.nanmean(errors))
    return min(2.0, max(0.5, float(np.nanmean(newest)) / every)) if every > 0 else 1.0


def earlier_widths(errors: np.ndarray, day: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return 80 and 95 % widths for the later half of the origins, each made of those before it.

    Widths that leave out only the judged origin would cover their nominal share by construction,
    whatever the model does; these show when errors grow. Rows of the earlier half are NaN. With
    ``day``, the steps in 24 hours, origins count whose whole horizon is over; without it none
    reaches into the next day.
    """
    import numpy as np

    late = 0 if day is None else -(-errors.shape[1] // day) - 1
    width_80, width_95 = np.full(errors.shape, np.nan), np.full(errors.shape, np.nan)
    for origin in range(max(1, len(errors) // 2), len(errors)):
        before = errors[: max(0, origin - late)]
        if not np.isnan(before).all():
            widths = newest_widths(before)
            width_80[origin], width_95[origin] = widths.width_80, widths.width_95
    return width_80, width_95


def _needed(percent: int) -> int:
    """Return the fewest residuals whose conformal rank exists: 19 for 95 %."""
    return math.ceil(percent / (100 - percent))


def _pool(errors: np.ndarray, step: int) -> tuple[np.ndarray, bool]:
    import numpy as np

    steps = errors.shape[1]
    for reach in range(steps):
        near = errors[:, max(0, step - reach) : step + reach + 1]
        pool = near[~np.isnan(near)]
        if len(pool) >= _needed(95):
            return pool, reach > 0
    return errors[~np.isnan(errors)], True


def _rank(pool: np.ndarray, percent: int) -> float:
    import numpy as np

    if not len(pool):
        return math.nan
    rank = -(-(len(pool) + 1) * percent // 100)
    return float(np.sort(pool)[min(rank, len(pool)) - 1])
