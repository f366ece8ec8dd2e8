"""Delta tables on a local disk: every commit is flushed before anybody hears of it.

That holds also for a commit whose writer was killed before it came to that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from mlops_assets.adapters.delta.table import (
    CONFIGURATION,
    FILE_BYTES,
    HOOKS,
    TRIES,
    StoredTable,
)
from mlops_assets.adapters.local.delta_log import DeltaLog
from mlops_assets.adapters.local.files import locked, make_folder, read_bytes, write_atomic
from mlops_assets.adapters.tree import step

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

    from deltalake import DeltaTable

__all__ = ["CONFIGURATION", "FILE_BYTES", "HOOKS", "TRIES", "DeltaFolder"]


class DeltaFolder(StoredTable):
    """One Delta table in one folder."""

    log: DeltaLog

    def __init__(self, path: Path, **others: Any) -> None:  # noqa: ANN401 as `StoredTable` has them
        super().__init__(str(path), DeltaLog(path), **others)
        self.path = path

    def options(self) -> None:
        """A disk needs none."""

    def step(self, name: str) -> None:
        """Say that the disk is between two changes."""
        step(name, self.path)

    def made(self, table: DeltaTable, slice_id: str | None) -> int:
        """Put all commits that this process may have seen on the disk."""
        newest = int(table.version())
        self.log.flush(newest)
        made = None if slice_id is None else self.log.find("slice", slice_id, newest)
        return newest if made is None else made

    def alone(self) -> AbstractContextManager[None]:
        """Hold the table against other writers on this machine."""
        return locked(self._beside("lock"))

    def queue(self) -> AbstractContextManager[None]:
        """Hold the table against others that lost, so that one tries again at a time."""
        return locked(self._beside("queue"))

    def prepare(self) -> None:
        """Make the folder."""
        make_folder(self.path)

    def frame(self, file: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Read one data file by its name in the table."""
        return pl.read_parquet(self.path / file, columns=None if columns is None else list(columns))

    def present(self, files: Sequence[str]) -> Sequence[str]:
        """Those of the files that are there."""
        return [name for name in files if (self.path / name).exists()]

    def hint(self, name: str) -> bytes | None:
        """What was kept in a hidden file beside the table."""
        return read_bytes(self._beside(f"{name}.parquet"))

    def keep_hint(self, name: str, data: bytes) -> None:
        """Keep something in a hidden file beside the table."""
        write_atomic(self._beside(f"{name}.parquet"), data)

    def sweep(self, before: datetime) -> int:
        """Remove what killed writers left under a temporary name."""
        limit = before.timestamp()
        left = [file for file in self.path.rglob("*#*") if file.is_file() and _old(file, limit)]
        for file in left:
            step("upkeep.sweep", file)
            file.unlink(missing_ok=True)
        return len(left)

    def advice(self, verb: Literal["read", "written"]) -> str:
        """What to do when the table cannot be read or written."""
        if verb == "read":
            return "restore it from a backup"
        return "nothing was changed, check the disk's free space and run it again"

    def _beside(self, name: str) -> Path:
        return self.path.with_name(f".{self.path.name}.{name}")


def _old(file: Path, limit: float) -> bool:
    try:
        return file.stat().st_mtime < limit
    except FileNotFoundError:
        return False
