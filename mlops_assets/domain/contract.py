"""The contract of a circuit: what a believable reading of it is, alone and among its neighbours.

A value is judged alone by range and sign, and among its neighbours by three rules, each off unless
the spec states it. A reading breaks

- ``stuck`` in a run of one unchanged value over at least ``stuck_hours``, but for the run's first
  reading, after which the meter stuck; a gap ends a run;
- ``jump`` where it differs from the reading before and the one after, both ways, by more than
  ``spike_jump`` times the usual change: the median of those of the 3 days before that are not zero;
- ``level`` over ``spike_factor`` times, or under that part of, the median of the readings at its
  time of day in the 7 days before, unless all readings of the day before were: a level that lasts
  for a day is believed from then on.

All three look at what the meter said, not at what became of it: whether a neighbour is held back
too makes no difference. So a verdict depends on the values within `reach` and on nothing else,
whatever order and slices they came in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

Sign = Literal["any", "nonnegative", "positive"]

# What of the limits says which rows become readings, and nothing else. The training data's own
# digest holds exactly the rows that did, so these are no part of the spec's: a tighter rule trains
# again where it takes rows away from a model (they are restated), not wherever it is written.
CONTRACT_FIELDS = frozenset({"sign", "stuck_hours", "spike_jump", "spike_factor"})
RULES = ("stuck", "jump", "level")

CHANGES_HOURS = 72
LEVEL_DAYS = 7
LASTING_HOURS = 24
# Fewer say too little of what is usual.
_LEAST_CHANGES = 12
_LEAST_DAYS = 3


def _doc(text: str) -> dict[str, Any]:
    return {"doc": text}


def _within(text: str, minimum: float, maximum: float) -> dict[str, Any]:
    return {"doc": f"{text}, {minimum} to {maximum}", "minimum": minimum, "maximum": maximum}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingLimits:
    """What a believable reading of this circuit is, in the circuit's unit."""

    minimum: float | None = field(default=None, metadata=_doc("lowest believable value"))
    maximum: float | None = field(default=None, metadata=_doc("highest believable value"))
    maximum_gap_hours: int = field(
        default=24,
        metadata=_within(
            "hours of silence before a forecast day above which the forecast is a fallback", 1, 336
        ),
    )
    sign: Sign = field(
        default="any", metadata=_doc("which readings there can be: any, nonnegative or positive")
    )
    stuck_hours: int | None = field(
        default=None,
        metadata=_within("hours of one unchanged value that are a stuck meter", 1, 336),
    )
    spike_jump: float | None = field(
        default=None,
        metadata=_within(
            "a reading is a spike that jumps there and back by more than so many times the usual "
            "change of the 3 days before",
            1,
            1_000_000,
        ),
    )
    spike_factor: float | None = field(
        default=None,
        metadata=_within(
            "a reading is a spike that is over so many times, or under that part of, the usual "
            "reading at its time of day in the 7 days before",
            1.1,
            1_000_000,
        ),
    )

    @property
    def contextual(self) -> bool:
        """Whether a reading is judged by the readings around it."""
        return (self.stuck_hours, self.spike_jump, self.spike_factor) != (None, None, None)


@dataclass(frozen=True, slots=True)
class Reach:
    """How far the values lie that a verdict depends on: ``before`` and ``after`` the reading."""

    before: timedelta
    after: timedelta


def reach(limits: ReadingLimits, step: timedelta) -> Reach:
    """Return how far around a reading its verdict looks."""
    run = timedelta(hours=limits.stuck_hours) if limits.stuck_hours is not None else timedelta(0)
    before, after = run, run
    if limits.spike_jump is not None:
        before = max(before, timedelta(hours=CHANGES_HOURS) + step)
        after = max(after, step)
    if limits.spike_factor is not None:
        before = max(before, timedelta(days=LEVEL_DAYS, hours=LASTING_HOURS))
    return Reach(before, after)


def verdicts(
    values: np.ndarray, limits: ReadingLimits, step: timedelta, asked: np.ndarray
) -> np.ndarray:
    """Return for each asked place of a regular grid which of `RULES` its value breaks.

    Args:
        values: float64 of shape (n,), NaN where there is no reading.
        limits: The circuit's.
        step: Time between two places.
        asked: Places, int64 of shape (m,), whose reach inside ``values`` is whole as far as there
            are readings.

    Returns:
        int8 of shape (m,): 0 where the value breaks no rule or there is none, else 1 + the place
        in `RULES` of the first that it breaks.
    """
    import numpy as np

    found = np.zeros(len(asked), dtype=np.int8)
    rules = (
        _stuck(values, limits.stuck_hours, step, asked),
        _jumps(values, limits.spike_jump, step, asked),
        _off_level(values, limits.spike_factor, step, asked),
    )
    for number, broken in reversed(list(enumerate(rules, 1))):
        if broken is not None:
            found[broken] = number
    found[np.isnan(values[asked])] = 0
    return found


def run_lengths(values: np.ndarray) -> np.ndarray:
    """Return for each place how many places its run of one value has; 1 where there is none."""
    import numpy as np

    if not len(values):
        return np.zeros(0, dtype=np.int64)
    begins = np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1])))
    lengths = np.diff(np.concatenate((begins, [len(values)])))
    return np.repeat(lengths, lengths)


def jumps(values: np.ndarray, step: timedelta, asked: np.ndarray) -> np.ndarray:
    """Return how far each asked value jumps there and back, in usual changes; 0 where it does not.

    NaN where too little is known of what is usual.
    """
    import numpy as np

    change = np.concatenate(([np.nan], np.diff(values), [np.nan]))
    there, back = change[asked], change[asked + 1]
    both = np.where(there * back < 0, np.minimum(np.abs(there), np.abs(back)), 0.0)
    both[np.isnan(there) | np.isnan(back)] = np.nan
    size = np.abs(change[:-1])
    size[size == 0] = np.nan
    result = np.full(len(asked), np.nan)
    # The usual change is only looked for where there is a jump at all.
    able = np.flatnonzero(both > 0)
    result[both == 0] = 0.0
    if len(able):
        width = timedelta(hours=CHANGES_HOURS) // step
        usual = _medians(_windows(size, asked[able], np.arange(1 - width, 1)), _LEAST_CHANGES)
        result[able] = both[able] / usual
    return result


def levels(values: np.ndarray, step: timedelta, asked: np.ndarray) -> np.ndarray:
    """Return each asked value over the usual one at its time of day; NaN where none is known."""
    import numpy as np

    day = timedelta(days=1) // step
    usual = _medians(
        _windows(values, asked, -day * np.arange(1, LEVEL_DAYS + 1)), least=_LEAST_DAYS
    )
    usual[usual == 0] = np.nan
    ratio: np.ndarray = values[asked] / usual
    return ratio


def _stuck(
    values: np.ndarray, hours: int | None, step: timedelta, asked: np.ndarray
) -> np.ndarray | None:
    import numpy as np

    if hours is None:
        return None
    wanted = -(-timedelta(hours=hours) // step)
    again = np.concatenate(([False], values[1:] == values[:-1]))
    broken: np.ndarray = (run_lengths(values)[asked] >= wanted) & again[asked]
    return broken


def _jumps(
    values: np.ndarray, limit: float | None, step: timedelta, asked: np.ndarray
) -> np.ndarray | None:
    if limit is None:
        return None
    broken: np.ndarray = jumps(values, step, asked) > limit
    return broken


def _off_level(
    values: np.ndarray, factor: float | None, step: timedelta, asked: np.ndarray
) -> np.ndarray | None:
    import numpy as np

    if factor is None:
        return None
    far = _far(levels(values, step, asked), factor)
    found = np.flatnonzero(far)
    if len(found):
        before = asked[found][:, None] - np.arange(1, timedelta(hours=LASTING_HOURS) // step + 1)
        inside = before[before >= 0]
        places = np.unique(inside)
        off = np.full(len(values), np.nan)
        known = places[np.isfinite(values[places])]
        off[known] = _far(levels(values, step, known), factor)
        day = np.where(before >= 0, off[np.maximum(before, 0)], np.nan)
        far[found] = (day == 0).any(axis=1) | (2 * np.isfinite(day).sum(axis=1) < day.shape[1])
    return far


def _far(ratio: np.ndarray, factor: float) -> np.ndarray:
    far: np.ndarray = (ratio > factor) | (ratio < 1 / factor)
    return far


def _windows(values: np.ndarray, asked: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return the values at each asked place plus each offset, NaN outside; shape (m, offsets)."""
    import numpy as np

    places = asked[:, None] + offsets[None, :]
    inside = (places >= 0) & (places < len(values))
    return np.where(inside, values[np.clip(places, 0, max(len(values) - 1, 0))], np.nan)


def _medians(windows: np.ndarray, least: int) -> np.ndarray:
    """Return the median of what is known in each row; NaN where that is less than ``least``."""
    import numpy as np

    ordered = np.sort(windows, axis=1)  # NaN last
    known = np.isfinite(ordered).sum(axis=1)
    rows = np.arange(len(ordered))
    upper = ordered[rows, np.minimum(known // 2, ordered.shape[1] - 1)]
    lower = ordered[rows, np.maximum((known - 1) // 2, 0)]
    middle = (lower + upper) / 2
    return np.where(known >= least, middle, np.nan)
