"""What a home on a local disk holds, and what killed processes left in it."""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.adapters.local.files import locked, remove_temporary, sweep_temporary
from mlops_assets.adapters.local.tree import DiskTree
from mlops_assets.adapters.tree.retention import TreeStorage

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from datetime import datetime

    from mlops_assets.domain.retention import Kind
    from mlops_assets.settings import HomeLayout

# Nothing that lives longer than this is being written.
LEFTOVER = timedelta(hours=24)
# Delta's writer puts a commit beside its place before it links it there.
_DELTA = re.compile(r".+#\d+", re.ASCII)
# What this project makes in the system's folder for temporary files.
_SYSTEM = ("mlops-kernel-", "apply-models-")


class LocalStorage(TreeStorage):
    """The storage of one home; ``temporary`` is the system's folder for temporary files."""

    def __init__(self, layout: HomeLayout, temporary: Path | None = None) -> None:
        folders: dict[Kind, Path] = {
            "training_data": layout.dev_data,
            "dev_model": layout.dev_models,
            "registry_model": layout.registry_models,
            "evidence": layout.dev_evidence,
            "interpreter": layout.interpreters,
            "dev_environment": layout.dev_environments,
            "registry_environment": layout.registry_environments,
            "page": layout.dev_evidence / "releases",
            "drill": layout.drills,
            "test_predictions": layout.prediction_files("test"),
            "prod_predictions": layout.prediction_files("prod"),
        }
        super().__init__({kind: DiskTree(folder) for kind, folder in folders.items()})
        self._layout = layout
        self._temporary = temporary or Path(tempfile.gettempdir())

    def sweep(self, now: datetime) -> int:
        """Remove what killed processes left behind for a day; returns how many names went."""
        limit = (now - LEFTOVER).timestamp()
        root = self._layout.root
        removed = sweep_temporary(root, now, LEFTOVER)
        left = [path for path in root.glob("lake/*/_delta_log/*#*") if _DELTA.fullmatch(path.name)]
        left += [path for name in _SYSTEM for path in self._temporary.glob(f"{name}*")]
        for path in left:
            with suppress(FileNotFoundError, PermissionError):
                if path.lstat().st_mtime < limit and path.lstat().st_uid == os.getuid():
                    remove_temporary(path)
                    removed += 1
        marks = now - 30 * LEFTOVER
        for path in self._layout.locks.glob("backfill-*.done"):
            if path.lstat().st_mtime < marks.timestamp():
                path.with_suffix(".lock").unlink(missing_ok=True)
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def lock(self) -> AbstractContextManager[None]:
        """Hold removal against backups and other removals of this home."""
        return locked(self._layout.locks / "retention.lock")
