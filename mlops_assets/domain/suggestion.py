"""The contract that a circuit's own readings suggest, for `mlops init` to write down.

The readings it is taken from hold faults too, so each rule counts how often something happens and
never how bad it was: a few faults move no limit. A person may change what is suggested; nothing is
suggested from less than `ENOUGH` of readings.

- ``sign``: positive where the circuit never comes near zero but for a few zeros or negatives;
  nonnegative where at most 1 in 100 readings is negative.
- ``stuck_hours``: the shortest run of one value, from 3 readings on, that chance alone would bring
  at most `CHANCE_RUNS` times a year, by how often two readings in a row are equal. Where most of
  such runs come back to a few values, the circuit rests there (a detection limit, a night): a run
  says nothing, and there is no such rule.
- ``spike_jump``: 3, or more where 2 in 100 of its readings jump farther.
- ``spike_factor``: 2, or more where 3 in 100 of its readings are farther off their level; none
  where that is above `WILD`, because such a circuit has no level.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from mlops_assets.domain.contract import ReadingLimits, jumps, levels, run_lengths

if TYPE_CHECKING:
    import numpy as np

    from mlops_assets.domain.contract import Sign

ENOUGH = timedelta(days=14)
CHANCE_RUNS = 100
# So many runs show where a circuit rests; a meter that sticks, sticks wherever it happens to be.
SEVERAL = 10
OWN = 0.5
LEAST_JUMP, LEAST_FACTOR = 3.0, 2.0
WILD = 4.0
OFTEN_JUMPS, OFTEN_OFF = 0.02, 0.03
_LEAST_RUN = 3
_YEAR = timedelta(days=365)
_FEW = 0.05
_HARDLY_ANY = 0.01
_LONGEST_HOURS = 336


def suggest(values: np.ndarray, step: timedelta) -> ReadingLimits:
    """Return the limits that one circuit's readings suggest.

    Args:
        values: float64 of shape (n,) on a regular grid, NaN where there is none.
        step: Time between two places.
    """
    import numpy as np

    known = values[np.isfinite(values)]
    if len(known) * step < ENOUGH:
        return ReadingLimits()
    sign = _sign(known)
    wrong = (values <= 0) if sign == "positive" else (values < 0) & (sign == "nonnegative")
    kept = np.where(wrong, np.nan, values)
    asked = np.flatnonzero(np.isfinite(kept))
    ratio = np.abs(levels(kept, step, asked))
    with np.errstate(divide="ignore"):
        off = np.maximum(ratio, 1 / ratio)
    factor = _above(off, 1 - OFTEN_OFF, LEAST_FACTOR)
    return ReadingLimits(
        sign=sign,
        stuck_hours=_stuck_hours(kept, step),
        spike_jump=_above(jumps(kept, step, asked), 1 - OFTEN_JUMPS, LEAST_JUMP),
        spike_factor=factor if factor is not None and factor <= WILD else None,
    )


def _sign(known: np.ndarray) -> Sign:
    import numpy as np

    positive = known[known > 0]
    if len(positive) >= (1 - _FEW) * len(known):
        low, middle = np.quantile(positive, (_FEW, 0.5))
        if low > middle / 10:
            return "positive"
    return "nonnegative" if np.mean(known < 0) <= _HARDLY_ANY else "any"


def _stuck_hours(values: np.ndarray, step: timedelta) -> int | None:
    import numpy as np

    lengths = run_lengths(values)
    begins = np.concatenate(([True], values[1:] != values[:-1])) & np.isfinite(values)
    runs = lengths[begins]
    repeats = float(np.mean(runs > 1))
    per_year = len(runs) * (_YEAR / (len(values) * step))
    wanted = _LEAST_RUN
    while per_year * repeats ** (wanted - 1) > CHANCE_RUNS and wanted < len(values):
        wanted += 1
    if 2 * runs[runs >= wanted].sum() > runs.sum():
        return None
    rests = values[begins][runs >= wanted]
    if len(rests) >= SEVERAL and len(np.unique(rests)) < OWN * len(rests):
        return None
    hours = -(-wanted * step // timedelta(hours=1))
    return hours if hours <= _LONGEST_HOURS else None


def _above(scores: np.ndarray, share: float, least: float) -> float | None:
    """Return the limit that this share of the scores keeps, at least ``least``, in two digits."""
    import numpy as np

    known = scores[~np.isnan(scores)]
    if not len(known):
        return None
    limit = max(float(np.quantile(known, share)), least)
    return float(f"{limit:.2g}") if np.isfinite(limit) else None
