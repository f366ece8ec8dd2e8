"""Rollback drills in a folder of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.adapters.local.tree import DiskTree
from mlops_assets.adapters.tree.drill import TreeDrillFiles

if TYPE_CHECKING:
    from pathlib import Path


class LocalDrillFiles(TreeDrillFiles):
    """`workspaces/prod/drills/`."""

    def __init__(self, folder: Path, home: Path) -> None:
        super().__init__(DiskTree(folder, home))
