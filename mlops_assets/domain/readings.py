"""Readings: the one table that everything is built on, and what a slice did to it.

A readings frame is a polars DataFrame with the columns of `KEY`, then ``date`` (Date, of the
timestamp in UTC), ``value`` (Float64), feature columns (Float64), ``source`` (the raw file or
table) and ``ingested_at``. Timestamps are Datetime("us", "UTC").
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    import numpy as np

KEY = ("plant_id", "circuit_id", "timestamp")


@dataclass(frozen=True, slots=True)
class RawFile:
    """One file as a plant sent it. ``path`` is relative to the landing zone."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """What one slice did: rows_read = inserted + updated + unchanged + quarantined."""

    rows_read: int = 0
    rows_inserted: int = 0
    rows_updated: int = 0
    rows_unchanged: int = 0
    rows_quarantined: int = 0
    rows_restated: int = 0
    delta_version: int | None = None
    max_timestamp: datetime | None = None
    files: tuple[str, ...] = ()
    reasons: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitReadings:
    """One circuit's share of the table, as `circuit_readings` shows it."""

    rows: int
    first_timestamp: datetime | None
    last_timestamp: datetime | None
    gaps: int
    quarantined: int
    restated: int


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
