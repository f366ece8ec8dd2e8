"""Features: what a forecaster may know beside the readings. None, unless a spec names it.

| kind | which | a forecast of a moment may use |
|---|---|---|
| known ahead | the calendar's | its value at that moment |
| measured | any column of the readings | its values at least one horizon before that moment |

A column says nothing of when its values were known, so every column counts as measured: a weather
forecast that is delivered as a column is used a horizon late, as a measurement would be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Computed from the time stamp in the circuit's zone, so they need no column.
CALENDAR_FEATURES = frozenset({"hour_of_day", "day_of_week", "day_of_year", "month", "weekend"})


def measured(features: Sequence[str]) -> tuple[str, ...]:
    """Return the features that are columns of the readings."""
    return tuple(name for name in features if name not in CALENDAR_FEATURES)


def calendar(features: Sequence[str]) -> tuple[str, ...]:
    """Return the features that a time stamp says."""
    return tuple(name for name in features if name in CALENDAR_FEATURES)
