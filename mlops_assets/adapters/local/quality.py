"""Quality as a Delta table in a folder of a local disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.adapters.delta.quality import DeltaQualityTable
from mlops_assets.adapters.local.delta import DeltaFolder

if TYPE_CHECKING:
    from pathlib import Path


class LocalQualityTable(DeltaQualityTable):
    """`lake/quality` in a folder."""

    def __init__(self, path: Path) -> None:
        super().__init__(DeltaFolder(path))
