"""The commits of one Delta table as files: whether the newest is whole, and what is on the disk.

A commit takes its name in one step, so a killed process leaves it whole or not at all. Nothing has
put it on the disk by then: after a power cut it may be empty or cut short, and so may the files
that it added. Nobody was told of such a commit, because a write returns only once it is flushed.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from mlops_assets.adapters.delta.log import CommitLog
from mlops_assets.adapters.local.files import flush_files
from mlops_assets.adapters.tree import step
from mlops_assets.domain.errors import TornCommitError

if TYPE_CHECKING:
    from pathlib import Path

_PARQUET_END = b"PAR1"
# What is older was written back by the system long ago, whoever was killed before flushing it.
_UNFLUSHED_SECONDS = 3600
_COUNTED = {"add": "num_added_files", "remove": "num_removed_files"}


class DeltaLog(CommitLog):
    """The folder ``_delta_log`` of the table in ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.folder = path / "_delta_log"
        self._flushed = -1

    def check(self, version: int | None = None) -> None:
        """Refuse a table whose newest commit, or a file that it added, is not whole.

        Older commits since the checkpoint are looked at for their size alone.

        Raises:
            TornCommitError: naming the file and what to do.
        """
        if version is None:
            version = self.newest()
        for older in range(version, self.checkpoint(), -1):
            with suppress(FileNotFoundError):
                if self.commit(older).stat().st_size == 0:
                    raise self._torn(older, "is empty")
        if not self.commit(version).exists():
            return
        try:
            actions = self.actions(version)
        except ValueError as error:
            raise self._torn(version, "is cut short") from error
        if not _whole(actions):
            raise self._torn(version, "is cut short")
        for file in self._added(actions):
            if problem := _damage(file, _sizes(actions).get(file.name)):
                raise self._torn(version, f"added {file.name}, which {problem}")

    def advice_on_checkpoint(self) -> str:
        """What to do about a checkpoint that is not whole; empty when it is not to blame."""
        version = self.checkpoint()
        if version < 0:
            return ""
        damaged = [
            file
            for file in sorted(self.folder.glob(f"{version:020}.checkpoint*.parquet"))
            if _damage(file, None)
        ]
        if not damaged:
            return ""
        pointer = self.folder / "_last_checkpoint"
        moves = " && ".join(f"mv {file} {file}.torn" for file in [*damaged, pointer])
        return f"its checkpoint is not whole, its commits are: run `{moves}` and repeat"

    def checkpoint(self) -> int:
        """The version of the newest checkpoint, -1 when there is none."""
        try:
            return int(json.loads((self.folder / "_last_checkpoint").read_bytes())["version"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return -1

    def state(self, version: int) -> tuple[int, int, int] | None:
        """What changes when a commit is replaced; None when it is gone, or no longer the newest."""
        try:
            stat = self.commit(version).stat()
        except FileNotFoundError:
            return None
        if self.commit(version + 1).exists():
            return None
        return (stat.st_ino, stat.st_size, stat.st_mtime_ns)

    def newest(self) -> int:
        """The newest version that has a commit file, -1 when there is none."""
        names = [file.stem for file in self.folder.glob("*.json")]
        return max((int(name) for name in names if name.isdecimal()), default=-1)

    def commit(self, version: int) -> Path:
        """The file of a commit."""
        return self.folder / f"{version:020}.json"

    def read(self, version: int) -> bytes:
        """The bytes of a commit."""
        return self.commit(version).read_bytes()

    def flush(self, version: int) -> None:
        """Put a commit on the disk, and those before it whose writers may not have come to that."""
        step("delta.flush", self._path)
        recent = time.time() - _UNFLUSHED_SECONDS
        files: list[Path] = []
        for each in range(version, self._flushed, -1):
            commit = self.commit(each)
            if not commit.exists() or (each < version and commit.stat().st_mtime < recent):
                break
            added = self._added(self.actions(each))
            # A commit before ours may have added what a later one removed and a vacuum took.
            files += [file for file in added if each == version or file.exists()]
            files.append(commit)
            files += self.folder.glob(f"{each:020}.checkpoint*.parquet")
        pointer = self.folder / "_last_checkpoint"
        flush_files([*files, *([pointer] if pointer.exists() else [])])
        flush_files([self.folder, self._path])
        self._flushed = max(self._flushed, version)
        step("delta.flushed", self._path)

    def _added(self, actions: list[dict[str, Any]]) -> list[Path]:
        return [self._path / unquote(a["add"]["path"]) for a in actions if a.get("add")]

    def _torn(self, version: int, what: str) -> TornCommitError:
        commit = self.commit(version)
        return TornCommitError(
            f"{self._path}: its commit {commit.name} {what}: the machine stopped before it was on "
            f"the disk, or the disk is damaged; run `mv {commit} {commit}.torn`, then repeat the "
            "command, which does again what the commit had done"
        )


def _whole(actions: list[dict[str, Any]]) -> bool:
    """Whether a commit has all the lines that its own first line counts."""
    infos = [action["commitInfo"] for action in actions if "commitInfo" in action]
    if not infos:
        return False
    info = infos[0]
    metrics = info.get("operationMetrics") or {}
    for kind, name in _COUNTED.items():
        if name in metrics and int(metrics[name]) != sum(kind in action for action in actions):
            return False
    made = {action["txn"]["appId"] for action in actions if "txn" in action}
    return "slice" not in info or info["slice"] in made


def _sizes(actions: list[dict[str, Any]]) -> dict[str, int]:
    added = [action["add"] for action in actions if action.get("add")]
    return {unquote(add["path"]).rpartition("/")[2]: int(add["size"]) for add in added}


def _damage(file: Path, size: int | None) -> str:
    """What is wrong with a Parquet file, by its size and its last bytes; empty when nothing is."""
    try:
        with file.open("rb") as opened:
            there = opened.seek(0, 2)
            if there == 0:
                return "is empty"
            if size is not None and there != size:
                return f"has {there} of {size} bytes"
            opened.seek(-min(there, len(_PARQUET_END)), 2)
            return "" if opened.read() == _PARQUET_END else "does not end as Parquet"
    except FileNotFoundError:
        return "is gone"
