"""What a home on a local disk holds, thing by thing, and what killed processes left in it.

A folder goes by taking a temporary name first, so that a kill leaves it whole or a leftover that
nobody reads and `sweep` removes.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.adapters.local.files import flush_folder, locked, step, sweep_temporary
from mlops_assets.domain.retention import Stored

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from mlops_assets.domain.retention import Kind
    from mlops_assets.settings import HomeLayout

# Nothing that lives longer than this is being written.
LEFTOVER = timedelta(hours=24)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}\.parquet", re.ASCII)
# Delta's writer puts a commit beside its place before it links it there.
_DELTA = re.compile(r".+#\d+", re.ASCII)
# What this project makes in the system's folder for temporary files.
_SYSTEM = ("mlops-kernel-", "apply-models-")


class LocalStorage:
    """The storage of one home; ``temporary`` is the system's folder for temporary files."""

    def __init__(self, layout: HomeLayout, temporary: Path | None = None) -> None:
        self._layout = layout
        self._temporary = temporary or Path(tempfile.gettempdir())

    def items(self) -> Iterator[Stored]:
        """Every thing of every kind, with its age and size."""
        layout = self._layout
        yield from self._folders("training_data", layout.dev_data, "*/*/*/asset.json")
        yield from self._folders("dev_model", layout.dev_models, "*/*/*/record.json")
        yield from self._folders("registry_model", layout.registry_models, "*/*/*/record.json")
        yield from self._folders("evidence", layout.dev_evidence, "*/*/v*/bundle.json")
        yield from self._folders("interpreter", layout.interpreters, "*/*/pyvenv.cfg")
        yield from self._files("dev_environment", layout.dev_environments, "*/*.json")
        yield from self._files("registry_environment", layout.registry_environments, "*/*.json")
        yield from self._files("page", layout.dev_evidence / "releases", "*/page.html")
        yield from self._files("drill", layout.drills, "[0-9]*.json")
        yield from self._days("test_predictions", layout.prediction_files("test"))
        yield from self._days("prod_predictions", layout.prediction_files("prod"))

    def remove(self, item: Stored) -> None:
        """Remove one thing, whole or not at all; one that is gone is no error."""
        path = self._path(item)
        gone = path.with_name(f".{path.name}.{os.getpid()}-{time.time_ns()}.tmp")
        try:
            step("retention.begun", path)
            path.rename(gone)
        except FileNotFoundError:
            return
        step("retention.hidden", path)
        flush_folder(path.parent)
        _remove(gone)

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
                    _remove(path)
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

    def _folders(self, kind: Kind, root: Path, pattern: str) -> Iterator[Stored]:
        """Folders that hold a file of a name, which is written with the rest of them."""
        for mark in sorted(root.glob(pattern)):
            folder = mark.parent
            if _hidden(folder, root):
                continue
            name = folder.relative_to(root).as_posix()
            if kind == "evidence":
                plant, circuit, version = name.split("/")
                name = f"{plant}/{circuit}/{version.removeprefix('v')}"
            elif kind == "interpreter":
                name = name.replace("/", ":")
            with suppress(FileNotFoundError):
                yield Stored(kind=kind, name=name, at=_at(mark), bytes=_size(folder))

    def _files(self, kind: Kind, root: Path, pattern: str) -> Iterator[Stored]:
        for path in sorted(root.glob(pattern)):
            if _hidden(path, root):
                continue
            name = path.relative_to(root).as_posix()
            if kind in {"dev_environment", "registry_environment"}:
                name = name.removesuffix(".json").replace("/", ":")
            elif kind == "page":
                name = name.removesuffix("/page.html")
            with suppress(FileNotFoundError):
                yield Stored(kind=kind, name=name, at=_at(path), bytes=path.stat().st_size)

    def _days(self, kind: Kind, root: Path) -> Iterator[Stored]:
        for path in sorted(root.glob("*/*/*.parquet")):
            if _DAY.fullmatch(path.name):
                name = path.relative_to(root).as_posix().removesuffix(".parquet")
                with suppress(FileNotFoundError):
                    yield Stored(kind=kind, name=name, at=_at(path), bytes=path.stat().st_size)

    def _path(self, item: Stored) -> Path:
        layout, name = self._layout, item.name
        circuit, _, version = name.rpartition("/")
        inside = name.replace(":", "/")
        places: dict[Kind, Path] = {
            "training_data": layout.dev_data / name,
            "dev_model": layout.dev_models / name,
            "registry_model": layout.registry_models / name,
            "evidence": layout.dev_evidence / circuit / f"v{version}",
            "interpreter": layout.interpreters / inside,
            "dev_environment": layout.dev_environments / f"{inside}.json",
            "registry_environment": layout.registry_environments / f"{inside}.json",
            "page": layout.dev_evidence / "releases" / name / "page.html",
            "drill": layout.drills / name,
            "test_predictions": layout.prediction_files("test") / f"{name}.parquet",
            "prod_predictions": layout.prediction_files("prod") / f"{name}.parquet",
        }
        return places[item.kind]


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
