"""Calendar features of moments that may lie ahead, in the zone of the circuit."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_DAY_SECONDS = 86_400
# 1970-01-01 was a Thursday, the fourth day of a week that begins on Monday.
_FIRST_WEEKDAY = 3
_SATURDAY = 5
_YEAR_DAYS = 365.25
# Of a day: enough for two peaks of unlike height.
_HARMONICS = 4


def _hour(local: np.ndarray) -> list[np.ndarray]:
    angle = 2 * np.pi * (local % _DAY_SECONDS) / _DAY_SECONDS
    return [part(angle * k) for k in range(1, _HARMONICS + 1) for part in (np.sin, np.cos)]


def _weekday(local: np.ndarray) -> np.ndarray:
    day: np.ndarray = (local // _DAY_SECONDS + _FIRST_WEEKDAY) % 7
    return day


def _days(local: np.ndarray) -> list[np.ndarray]:
    return [(_weekday(local) == day).astype(np.float64) for day in range(7)]


def _weekend(local: np.ndarray) -> list[np.ndarray]:
    return [(_weekday(local) >= _SATURDAY).astype(np.float64)]


def _month(local: np.ndarray) -> list[np.ndarray]:
    days = (local // _DAY_SECONDS).astype("datetime64[D]")
    month = days.astype("datetime64[M]").astype(np.int64) % 12
    return [(month == number).astype(np.float64) for number in range(12)]


def _year(local: np.ndarray) -> list[np.ndarray]:
    days = (local // _DAY_SECONDS).astype("datetime64[D]")
    since = (days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64)
    angle = 2 * np.pi * since / _YEAR_DAYS
    return [np.sin(angle), np.cos(angle)]


_TERMS: Mapping[str, tuple[int, Callable[[np.ndarray], list[np.ndarray]]]] = {
    "hour_of_day": (2 * _HARMONICS, _hour),
    "day_of_week": (7, _days),
    "weekend": (1, _weekend),
    "month": (12, _month),
    "day_of_year": (2, _year),
}


def count(feature: str) -> int:
    """Return how many terms a calendar feature has."""
    return _TERMS[feature][0]


def terms(features: tuple[str, ...], positions: np.ndarray, day: int, zone: str) -> np.ndarray:
    """Return one row a position (steps since 1970, ``day`` in 24 hours), one column a term."""
    if not features:
        return np.zeros((len(positions), 0))
    local = _local(positions * (_DAY_SECONDS // day), zone)
    return np.stack([term for name in features for term in _TERMS[name][1](local)], axis=1)


def _local(seconds: np.ndarray, zone: str) -> np.ndarray:
    """Return the wall clock's seconds since 1970."""
    if not len(seconds):
        return seconds
    first, last = (_year_of(int(second)) for second in (seconds.min(), seconds.max()))
    changes = [change for year in range(first, last + 1) for change in _changes(zone, year)]
    moments, offsets = np.array(changes, dtype=np.int64).T
    local: np.ndarray = seconds + offsets[np.searchsorted(moments, seconds, side="right") - 1]
    return local


def _year_of(second: int) -> int:
    return datetime.fromtimestamp(second, UTC).year


@lru_cache(maxsize=1024)
def _changes(zone: str, year: int) -> tuple[tuple[int, int], ...]:
    """Return from when on which offset from UTC holds, in seconds, from the year's first on.

    A zone's clock is asked once a day and halved down to the second where it moved, not once for
    every step of every circuit.
    """
    clock = ZoneInfo(zone)
    begin, end = (round(datetime(each, 1, 1, tzinfo=UTC).timestamp()) for each in (year, year + 1))
    found = [(begin, _offset(begin, clock))]
    for day in range(begin, end, _DAY_SECONDS):
        before, after = day, day + _DAY_SECONDS
        moved = _offset(after, clock)
        if moved == found[-1][1]:
            continue
        while after - before > 1:
            middle = (before + after) // 2
            before, after = (before, middle) if _offset(middle, clock) == moved else (middle, after)
        found.append((after, moved))
    return tuple(found)


def _offset(second: int, zone: ZoneInfo) -> int:
    offset = datetime.fromtimestamp(second, zone).utcoffset()
    return 0 if offset is None else round(offset.total_seconds())
