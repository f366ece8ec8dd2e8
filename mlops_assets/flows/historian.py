"""Historians: new rows of SQL tables are drawn into the landing zone, and then are files.

A drawing is put there whole and in one step before any slice is begun, so a source that breaks or
stops leaves nothing, and a process that is killed leaves either nothing or a file that waits for
its slice. The drawing is its own watermark (`domain/historian.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import DataError, MlopsError
from mlops_assets.domain.gates import Verdict
from mlops_assets.domain.historian import (
    SEEN,
    drawing,
    from_bytes,
    newest_drawing,
    next_drawing,
    to_bytes,
    window_start,
)
from mlops_assets.domain.source import HISTORIAN, extract_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from mlops_assets.domain.circuit import Config
    from mlops_assets.domain.readings import IngestReport, RawFile
    from mlops_assets.domain.source import TableSource
    from mlops_assets.ports import Historian, Lake, LandingZone, Progress


@dataclass(frozen=True, slots=True)
class Drawn:
    """New rows by table, and why a table could not be read."""

    rows: Mapping[str, int] = field(default_factory=dict)
    unreachable: Mapping[str, str] = field(default_factory=dict)


def draw(lake: Lake, config: Config, *, now: datetime, progress: Progress | None = None) -> Drawn:
    """Put what is new in every table into the landing zone; one that fails stops no other."""
    tables = config.sources.tables
    if not tables:
        return Drawn()
    if progress is not None:
        progress.begin("reading SQL tables", len(tables))
    rows: dict[str, int] = {}
    unreachable: dict[str, str] = {}
    present = {file.path: file for file in lake.landing.files()}
    historian = lake.historian()
    for name, table in sorted(tables.items()):
        try:
            rows[name] = _draw(lake.landing, historian, (name, table), present, now)
        except DataError as error:
            unreachable[name] = str(error)
        if progress is not None:
            if name in unreachable:
                progress.say(f"{name}: could not be read: {unreachable[name]}")
            progress.advance(name)
    return Drawn(rows, unreachable)


def _draw(
    landing: LandingZone,
    historian: Historian,
    named: tuple[str, TableSource],
    present: Mapping[str, RawFile],
    now: datetime,
) -> int:
    name, table = named
    folder = extract_folder(name, table)
    newest = newest_drawing(present, folder)
    before = start = None
    if newest is not None:
        before = from_bytes(landing.read(present[newest]), newest)
        start = window_start(before, table, now)
    found = drawing(historian.read(table, start), before, table)
    fresh = len(found) - int(found[SEEN].sum())
    if fresh:
        landing.put(next_drawing(newest, folder), to_bytes(found))
    return fresh


@dataclass(frozen=True, slots=True)
class WithDrawings:
    """A folder that is read instead of the landing zone, together with what was drawn."""

    folder: LandingZone
    landing: LandingZone

    def files(self) -> Sequence[RawFile]:
        """Every file of the folder, and of the landing zone the drawings."""
        drawn = [file for file in self.landing.files() if file.path.startswith(HISTORIAN)]
        own = [file for file in self.folder.files() if not file.path.startswith(HISTORIAN)]
        return tuple(sorted([*own, *drawn], key=lambda file: file.path))

    def read(self, file: RawFile) -> bytes:
        """The bytes; DataError when they are no longer those of ``file``."""
        zone = self.landing if file.path.startswith(HISTORIAN) else self.folder
        return zone.read(file)

    def put(self, path: str, data: bytes) -> RawFile:
        """Add one file to the landing zone."""
        return self.landing.put(path, data)


def unreachable(report: IngestReport) -> str:
    """Say in one line which tables could not be read."""
    named = "; ".join(f"{name}: {reason}" for name, reason in sorted(report.unreachable.items()))
    return f"could not read {named}; the files of the slice are ingested, run ingest again"


def examine(historian: Historian, config: Config) -> tuple[Verdict, ...]:
    """Ask of every table whether it answers, and whether its login can only read."""
    verdicts = []
    for name, table in sorted(config.sources.tables.items()):
        gate = f"table {name}"
        try:
            rights = historian.rights(table)
        except MlopsError as error:
            verdicts.append(Verdict(gate, passed=False, reason=str(error)))
            continue
        reason = "answers, and its login can only read"
        if rights:
            reason = f"its login may {', '.join(rights)}: use one that can only SELECT"
        verdicts.append(Verdict(gate, passed=not rights, reason=reason))
    return tuple(verdicts)
