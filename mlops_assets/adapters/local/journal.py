"""The ingest journal in a folder of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.adapters.local.tree import DiskTree
from mlops_assets.adapters.tree.journal import TreeIngestJournal

if TYPE_CHECKING:
    from pathlib import Path


class LocalIngestJournal(TreeIngestJournal):
    """`lake/ingested` of a home."""

    def __init__(self, folder: Path) -> None:
        super().__init__(DiskTree(folder))
