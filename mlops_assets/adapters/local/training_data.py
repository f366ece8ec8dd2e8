"""Training data in a folder of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.adapters.local.tree import DiskTree
from mlops_assets.adapters.tree.training_data import TreeTrainingDataStore

if TYPE_CHECKING:
    from pathlib import Path


class LocalTrainingDataStore(TreeTrainingDataStore):
    """`workspaces/dev/data` of a home; paths are told relative to ``home``."""

    def __init__(self, root: Path, home: Path | None = None) -> None:
        super().__init__(DiskTree(root, home or root.parent.parent.parent))
