"""The lake: raw files, the readings table, and what is kept beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import date, datetime, timedelta

    import polars as pl

    from mlops_assets.domain.addition import Addition, Catalogue, SliceRecord
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.readings import RawFile
    from mlops_assets.ports.engine import LakeEngine
    from mlops_assets.ports.historian import Historian
    from mlops_assets.ports.upkeep import TableUpkeep


class LandingZone(Protocol):
    """Raw files as plants sent them (`lake/raw`)."""

    def files(self) -> Sequence[RawFile]:
        """Every file, sorted by path."""

    def read(self, file: RawFile) -> bytes:
        """The bytes; DataError when they are no longer those of ``file``."""

    def put(self, path: str, data: bytes) -> RawFile:
        """Add one file atomically (simulator, init)."""


class IngestJournal(Protocol):
    """Which raw files are in the table: intent before the merge, confirmed by the commit."""

    def confirmed(self) -> frozenset[RawFile]:
        """Files already merged or quarantined whole."""

    def intend(
        self,
        slice_id: str,
        files: Sequence[RawFile],
        *,
        at: datetime | None = None,
        addition: Addition | None = None,
    ) -> None:
        """Say what the next merge will hold; an ``addition`` reads files of others again."""

    def pending(self) -> Mapping[str, SliceRecord]:
        """Intents not yet confirmed, by slice id."""

    def history(self) -> Sequence[SliceRecord]:
        """Confirmed slices in the order in which they were merged."""

    def catalogue(self) -> Catalogue | None:
        """What confirmed slices were read with; None where that was never said."""

    def know(self, catalogue: Catalogue) -> None:
        """Say what confirmed slices were read with, or read again for."""

    def made(self) -> Mapping[str, Mapping[str, int]]:
        """By confirmed slice, the version of each table that holds a part of it."""

    def confirm(
        self,
        slice_id: str,
        delta_version: int | None,
        *,
        logs: Mapping[str, int] | None = None,
        left_out: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Close an intent; repeating it changes nothing.

        ``logs`` are the row logs' versions, ``left_out`` the files that have a column which no one
        named, by column.
        """

    def reopen(self, slice_id: str) -> None:
        """Make a confirmed slice pending again: a table has lost its part of it."""

    def reopened(self) -> frozenset[str]:
        """Pending slices that had been confirmed before."""

    def withdraw(self, slice_id: str) -> None:
        """Forget an intent of which nothing was merged."""

    def lock(self) -> AbstractContextManager[None]:
        """Hold the ETL against other slices of this home."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeResult:
    """What one merge did.

    ``changed`` holds key, old and new value of rows that it updated; of rows that it withdrew the
    value is new to none.
    """

    inserted: int
    updated: int
    unchanged: int
    delta_version: int
    changed: pl.DataFrame
    withdrawn: int = 0


class ReadingsTable(Protocol):
    """`lake/readings`: one Delta table, key (plant_id, circuit_id, timestamp)."""

    def exists(self) -> bool:
        """Whether any slice was ever merged."""

    def version(self) -> int:
        """The newest Delta version."""

    def merge(
        self, rows: pl.DataFrame, *, slice_id: str, withdrawn: pl.DataFrame | None = None
    ) -> MergeResult:
        """Insert and update in one commit, retried on conflict; a merged slice is not repeated.

        ``withdrawn`` names keys, none of them of ``rows``, that the same commit takes away.
        """

    def merged(self, slice_id: str) -> int | None:
        """The Delta version that holds this slice, if any."""

    def vacuum(self, *, pinned: Iterable[int], older_than: timedelta) -> int:
        """Remove files replaced so long ago, never one that a pinned version reads."""

    def read(
        self,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        circuits: Iterable[CircuitKey] | None = None,
        version: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Rows with start <= timestamp < end, sorted by key; reads only files of those dates."""

    def columns(self) -> Sequence[str]:
        """Column names in order."""

    def newest(self) -> datetime | None:
        """The newest timestamp with a value."""

    def summary(self) -> pl.DataFrame:
        """Per circuit: plant_id, circuit_id, rows, first_timestamp, last_timestamp."""


class RowLog(Protocol):
    """An append-only Delta table of rows that need no key: quarantine, restatements."""

    def append(self, rows: pl.DataFrame, *, slice_id: str) -> int | None:
        """Add rows once per slice id; returns the version that holds them, None for no rows."""

    def version(self) -> int | None:
        """The newest Delta version, None before the first row."""

    def read(
        self,
        circuits: Iterable[CircuitKey] | None = None,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> pl.DataFrame:
        """Rows with start <= timestamp < end, sorted; an empty frame when there is none.

        Bounded, it reads only files that hold such rows.
        """

    def daily(self, name: str, count: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
        """What ``count`` says of the rows of each day, all days together.

        Days that got no rows since ``name`` was asked last are not read again. Rows without a time
        are counted as they came: what ``count`` says of them must add up.
        """


class PredictionsTable(Protocol):
    """`lake/predictions`: key (plant_id, circuit_id, issued_for, timestamp)."""

    def replace(self, rows: pl.DataFrame, *, issued_for: date) -> int:
        """Write the rows' circuits for one day in one commit; returns the rows written."""

    def read(
        self,
        *,
        issued_for: date | None = None,
        first: date | None = None,
        last: date | None = None,
        circuits: Iterable[CircuitKey] | None = None,
    ) -> pl.DataFrame:
        """Rows of a day or of days first..last, sorted by key."""

    def version(self) -> int | None:
        """The newest Delta version, None when nothing was ever predicted."""

    def drop(self, *, before: date) -> int:
        """Remove the rows of all days before one; returns how many there were."""


class QualityTable(Protocol):
    """`lake/quality`: key (plant_id, circuit_id, issued_for)."""

    def replace(self, rows: pl.DataFrame) -> int:
        """Write rows, replacing those with the same key; returns the rows that changed."""

    def drop(self, *, before: date) -> int:
        """Remove the rows of all days before one; returns how many there were."""

    def read(
        self, *, first: date | None = None, circuits: Iterable[CircuitKey] | None = None
    ) -> pl.DataFrame:
        """Rows sorted by key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lake:
    """The lake's tables and zones.

    ``hindcasts`` has the form of ``quality``: what the deployment before the live one would have
    scored on the same days. ``engine`` is where heavy work over it runs.
    """

    landing: LandingZone
    journal: IngestJournal
    readings: ReadingsTable
    quarantine: RowLog
    restatements: RowLog
    predictions: PredictionsTable
    quality: QualityTable
    hindcasts: QualityTable
    historian: Callable[[], Historian]
    upkeep: Mapping[str, TableUpkeep] = field(default_factory=dict)
    engine: LakeEngine
