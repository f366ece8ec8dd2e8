"""Readings: the one table that everything is built on, and what a slice did to it.

A readings frame is a polars DataFrame with the columns of `KEY`, then ``date`` (Date, of the
timestamp in UTC), ``value`` (Float64), feature columns (Float64), ``source`` (the raw file or
table) and ``ingested_at``. Timestamps are Datetime("us", "UTC").
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Literal, TypeVar
from zoneinfo import ZoneInfo

from mlops_assets.domain.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    import numpy as np
    import polars as pl

State = Literal["reporting", "stuck", "silent", "dead", "no readings"]

# Longer silence is no outage: somebody should look whether the circuit is still there.
DEAD_AFTER = timedelta(days=14)

_Ordered = TypeVar("_Ordered", int, datetime)

KEY = ("plant_id", "circuit_id", "timestamp")
# Columns that are no features. A feature column may have any other name.
FIXED = (*KEY, "date", "value", "source", "ingested_at")


@dataclass(frozen=True, slots=True)
class RawFile:
    """One file as a plant sent it. ``path`` is relative to the landing zone."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """What one slice did: rows_read = inserted + updated + unchanged + quarantined.

    ``rows_withdrawn`` were readings until what came around them showed that they are none,
    ``rows_returned`` the other way; neither is among the rows that were read.
    ``refused`` names files that could not be used at all, each counted as one row read and
    quarantined. ``unknown_columns`` names columns that nobody asked for and that were left out,
    ``unread_cells`` counts by file and feature the cells left empty because they hold no number.
    ``tables`` counts the new rows of each SQL table, ``unreachable`` says why one was not read.
    ``added`` names circuits and features of which files were read again.
    """

    rows_read: int = 0
    rows_inserted: int = 0
    rows_updated: int = 0
    rows_unchanged: int = 0
    rows_quarantined: int = 0
    rows_restated: int = 0
    rows_withdrawn: int = 0
    rows_returned: int = 0
    delta_version: int | None = None
    max_timestamp: datetime | None = None
    files: tuple[str, ...] = ()
    reasons: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    unknown_columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unread_cells: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    tables: Mapping[str, int] = field(default_factory=dict)
    unreachable: Mapping[str, str] = field(default_factory=dict)
    added: tuple[str, ...] = ()

    def __add__(self, other: IngestReport) -> IngestReport:
        """Two slices as one."""
        reasons = Counter(self.reasons) + Counter(other.reasons)
        return IngestReport(
            rows_read=self.rows_read + other.rows_read,
            rows_inserted=self.rows_inserted + other.rows_inserted,
            rows_updated=self.rows_updated + other.rows_updated,
            rows_unchanged=self.rows_unchanged + other.rows_unchanged,
            rows_quarantined=self.rows_quarantined + other.rows_quarantined,
            rows_restated=self.rows_restated + other.rows_restated,
            rows_withdrawn=self.rows_withdrawn + other.rows_withdrawn,
            rows_returned=self.rows_returned + other.rows_returned,
            delta_version=_newer(self.delta_version, other.delta_version),
            max_timestamp=_newer(self.max_timestamp, other.max_timestamp),
            files=(*self.files, *other.files),
            reasons=dict(sorted(reasons.items())),
            refused={**self.refused, **other.refused},
            unknown_columns={**self.unknown_columns, **other.unknown_columns},
            unread_cells={**self.unread_cells, **other.unread_cells},
            tables={**self.tables, **other.tables},
            unreachable={**self.unreachable, **other.unreachable},
            added=(*self.added, *other.added),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitReadings:
    """One circuit's share of the table, as `circuit_readings` shows it.

    ``quarantined`` is what is in quarantine now, ``reasons`` the same by reason; ``stuck_until`` is
    the newest hour that is held back because the meter was stuck.
    """

    rows: int
    first_timestamp: datetime | None
    last_timestamp: datetime | None
    gaps: int
    quarantined: int
    restated: int
    reasons: Mapping[str, int] = field(default_factory=dict)
    stuck_until: datetime | None = None

    def completeness(self, step: timedelta) -> float | None:
        """The share of readings that there are from the first to the last; None without any."""
        if self.first_timestamp is None or self.last_timestamp is None:
            return None
        return self.rows / ((self.last_timestamp - self.first_timestamp) // step + 1)

    def state(self, longest_gap: timedelta, now: datetime) -> State:
        """What the circuit does at ``now``: a meter that is stuck still sends.

        ``dead`` circuits sent nothing for `DEAD_AFTER`, or never.
        """
        stuck, last = self.stuck_until, self.last_timestamp
        sent = max((moment for moment in (stuck, last) if moment is not None), default=None)
        if sent is None:
            return "no readings"
        if now - sent > DEAD_AFTER:
            return "dead"
        if now - sent > longest_gap:
            return "silent"
        return "stuck" if stuck is not None and stuck == sent else "reporting"


@dataclass(frozen=True, slots=True)
class Series:
    """One circuit on a regular grid: ``values[i]`` belongs to ``start + i * step``.

    ``values`` is a float64 array, NaN where there is no reading. ``features`` are arrays of the
    same length. ``start`` is aware and UTC.
    """

    start: datetime
    step: timedelta
    values: np.ndarray
    features: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def end(self) -> datetime:
        """The first moment after the last value."""
        return self.start + len(self.values) * self.step


def feature_columns(columns: Sequence[str]) -> list[str]:
    """Return the columns that are features, in order."""
    return [name for name in columns if name not in FIXED]


def window_end(day: date, timezone: str) -> datetime:
    """Return the first moment of a local day, in UTC: what is known for it comes before.

    Where the clock jumps over midnight the day begins with the jump; where midnight comes twice,
    the first counts.

    >>> window_end(date(2024, 3, 31), "Europe/Paris").isoformat()
    '2024-03-30T23:00:00+00:00'
    """
    zone = ZoneInfo(timezone)
    midnight = datetime.combine(day, time(), zone)
    moment = midnight.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == midnight.replace(tzinfo=None):
        return moment
    return _jump_before(moment, zone)


def _jump_before(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return the second at which the zone's offset last changed, at most a day before."""
    before, after = moment - timedelta(days=1), moment
    offset = before.astimezone(zone).utcoffset()
    if after.astimezone(zone).utcoffset() == offset:
        return moment
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) // 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after


def to_series(
    rows: pl.DataFrame,
    *,
    step: timedelta,
    start: datetime | None = None,
    end: datetime | None = None,
    features: Sequence[str] = (),
) -> Series:
    """Put one circuit's rows on a regular grid, NaN where there is none.

    The grid counts back from ``end``, by default from one step after the last row, so that it is
    whole there; rows before ``start`` or from ``end`` on are left out. Of ``features`` those that
    are columns are taken.

    Raises:
        DataError: there are no rows and no bounds.
    """
    import numpy as np

    if rows.is_empty() and (start is None or end is None):
        raise DataError("no readings: send some before asking for a series")
    moments = rows["timestamp"].to_physical().to_numpy()
    if not rows.is_empty():
        start = start or _moment(int(moments.min()))
        end = end or _moment(int(moments.max())) + step
    assert start is not None  # noqa: S101 one of the two branches set it
    assert end is not None  # noqa: S101
    length = max(0, -((start - end) // step))
    origin = end - length * step
    width = step // timedelta(microseconds=1)
    inside = (moments >= _microseconds(start)) & (moments < _microseconds(end))
    places = (moments[inside] - _microseconds(origin)) // width

    def on_grid(name: str) -> np.ndarray:
        grid = np.full(length, np.nan)
        grid[places] = rows[name].to_numpy()[inside]
        return grid

    present = [name for name in features if name in rows.columns]
    return Series(origin, step, on_grid("value"), {name: on_grid(name) for name in present})


def missing_steps(first: datetime | None, last: datetime | None, rows: int, step: timedelta) -> int:
    """Return how many readings are absent between the first and the last."""
    if first is None or last is None:
        return 0
    return max(0, (last - first) // step + 1 - rows)


def _newer(one: _Ordered | None, other: _Ordered | None) -> _Ordered | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


def _moment(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def _microseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
