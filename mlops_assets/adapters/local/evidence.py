"""Evidence in a folder of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.adapters.local.tree import DiskTree
from mlops_assets.adapters.tree.evidence import TreeEvidenceStore

if TYPE_CHECKING:
    from pathlib import Path


class LocalEvidenceStore(TreeEvidenceStore):
    """`workspaces/dev/evidence`."""

    def __init__(self, root: Path, home: Path) -> None:
        super().__init__(DiskTree(root, home))
