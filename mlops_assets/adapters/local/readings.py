"""The readings table and the two logs of rows beside it, in folders of a local disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mlops_assets.adapters.delta.readings import DeltaReadingsTable
from mlops_assets.adapters.delta.row_log import DeltaRowLog
from mlops_assets.adapters.local.delta import DeltaFolder
from mlops_assets.adapters.local.journal import LocalIngestJournal

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["LocalIngestJournal", "LocalReadingsTable", "LocalRowLog"]


class LocalReadingsTable(DeltaReadingsTable):
    """`lake/readings` in a folder."""

    def __init__(self, path: Path, *, folder: DeltaFolder | None = None) -> None:
        super().__init__(folder or DeltaFolder(path))


class LocalRowLog(DeltaRowLog):
    """`lake/quarantine` or `lake/restatements` in a folder."""

    def __init__(self, path: Path, kind: Literal["quarantine", "restatements"]) -> None:
        super().__init__(DeltaFolder(path), kind)
