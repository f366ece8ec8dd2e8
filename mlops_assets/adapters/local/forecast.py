"""Predictions in folders of this machine: a Delta table, and files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.adapters.delta.forecast import DeltaPredictionsTable
from mlops_assets.adapters.local.delta import DeltaFolder
from mlops_assets.adapters.local.tree import DiskTree
from mlops_assets.adapters.tree.forecast import TreePredictionFiles

if TYPE_CHECKING:
    from pathlib import Path


class LocalPredictionsTable(DeltaPredictionsTable):
    """`lake/predictions` in a folder."""

    def __init__(self, path: Path) -> None:
        super().__init__(DeltaFolder(path))


class LocalPredictionFiles(TreePredictionFiles):
    """`workspaces/<name>/predictions/P001/C003/YYYY-MM-DD.parquet`."""

    def __init__(self, folder: Path, home: Path) -> None:
        super().__init__(DiskTree(folder, home))
