"""Every file of a home appears complete or not at all, and is on the disk when a write returns.

A write goes to a temporary file beside its target, is flushed, and takes the target's name in one
step. A temporary file that a killed process left is named ``.NAME.<pid>-<n>.tmp``, is read by
nobody, and is removed by `sweep_temporary`.

Between two changes of the disk a writer says the name of its `step`.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import re
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from mlops_assets.adapters.tree import step
from mlops_assets.domain.errors import DataError, StaleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime, timedelta
    from pathlib import Path

_numbers = itertools.count()
_TEMPORARY = re.compile(r"\..+\.\d+-\d+\.tmp")


def write_atomic(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Replace ``path`` with ``data`` in one step, flushed to the disk before this returns."""
    with _explained(path), _temporary(path) as temporary:
        _write_flushed(temporary, data, mode)
        step("file.written", path)
        temporary.replace(path)
        step("file.named", path)
        flush_folder(path.parent)


def write_once(path: Path, data: bytes, *, mode: int = 0o666) -> bool:
    """Write a file that never changes again.

    Returns:
        True when it was written now, False when the same bytes were there already.

    Raises:
        StaleError: other bytes are there.
    """
    with _explained(path):
        existing = read_bytes(path)
        if existing is None:
            with _temporary(path) as temporary:
                _write_flushed(temporary, data, mode)
                step("once.written", path)
                try:
                    os.link(temporary, path)
                    step("once.named", path)
                except FileExistsError:
                    existing = path.read_bytes()
        flush_folder(path.parent)
    if existing is None:
        return True
    if existing != data:
        raise StaleError(f"{path}: is written once and holds other content; use another name")
    return False


def write_folder_once(path: Path, files: Mapping[str, bytes]) -> bool:
    """Write a folder that never changes again, by relative name of each file.

    Returns:
        True when it was written now, False when the same files were there already.

    Raises:
        StaleError: the folder holds anything else.
    """
    with _explained(path):
        if not path.exists():
            with _temporary(path) as temporary:
                _build_folder(temporary, files)
                step("folder.written", path)
                try:
                    temporary.rename(path)
                    step("folder.named", path)
                except OSError:
                    if not path.is_dir():
                        raise
                else:
                    flush_folder(path.parent)
                    return True
        existing = read_folder(path)
        flush_folder(path.parent)
    if existing != dict(files):
        raise StaleError(f"{path}: is written once and holds other content; use another name")
    return False


def append_line(path: Path, line: bytes, at: int) -> None:
    """Add a line to a log whose whole lines end at byte ``at``: all of it, or none.

    What lies behind them is a killed writer's half line, and goes.

    Raises:
        StaleError: the log is shorter.
    """
    with _explained(path):
        step("log.begun", path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o666)
        try:
            if os.fstat(descriptor).st_size < at:
                raise StaleError(f"{path}: is shorter than it was; read it again and repeat")
            os.ftruncate(descriptor, at)
            try:
                while line:
                    line = line[os.write(descriptor, line) :]
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, at)
                raise
        finally:
            os.close(descriptor)


def read_bytes(path: Path) -> bytes | None:
    """The bytes of a file, None when there is no such file."""
    with _explained(path, "read"):
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None


def read_folder(path: Path) -> dict[str, bytes]:
    """Every file below ``path`` by relative name; empty when there is no such folder."""
    with _explained(path, "read"):
        return {
            file.relative_to(path).as_posix(): file.read_bytes()
            for file in sorted(path.rglob("*"))
            if file.is_file()
        }


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold ``path`` against every other holder, in this process or another.

    The lock ends with its process, however that dies. It is not reentrant.

    Raises:
        StaleError: ``wait`` is false and somebody else holds it.
    """
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise StaleError(f"{path}: somebody else holds it; wait and repeat") from error
        yield
    finally:
        os.close(descriptor)


def sweep_temporary(root: Path, now: datetime, older_than: timedelta) -> int:
    """Remove what killed writers left below ``root``; returns how many names went."""
    limit = (now - older_than).timestamp()
    left = [path for path in root.rglob(".*.tmp") if _TEMPORARY.fullmatch(path.name)]
    removed = 0
    for path in left:
        with suppress(FileNotFoundError):
            if path.lstat().st_mtime < limit:
                remove_temporary(path)
                removed += 1
    return removed


def make_folder(folder: Path) -> None:
    """Make a folder and put each new name on the disk."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    step("folder.made", folder)
    folder.mkdir(exist_ok=True)
    flush_folder(folder.parent)


def remove_file(path: Path) -> None:
    """Remove a file, if it is there, and put that on the disk."""
    with _explained(path):
        path.unlink(missing_ok=True)
        step("file.removed", path)
        if path.parent.is_dir():
            flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Put a folder's names on the disk."""
    flush_files([folder])


def flush_files(paths: Iterable[Path]) -> None:
    """Put files that something else wrote, and their names, on the disk."""
    files = list(dict.fromkeys(paths))
    for path in [*files, *dict.fromkeys(path.parent for path in files if not path.is_dir())]:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write_flushed(path: Path, data: bytes, mode: int) -> None:
    step("file.begun", path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _build_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    step("folder.begun", folder)
    folder.mkdir()
    for name, data in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        _write_flushed(file, data, 0o666)
    for inner in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        flush_folder(inner)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A name beside ``path`` that is gone afterwards, whatever happened."""
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{next(_numbers)}.tmp")
    remove_temporary(temporary)
    try:
        yield temporary
    finally:
        remove_temporary(temporary)


def remove_temporary(path: Path) -> None:
    """Take away what nobody reads, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _explained(path: Path, verb: str = "written") -> Iterator[None]:
    """Turn what the operating system says into one line."""
    try:
        yield
    except OSError as error:
        advice = "check the disk's free space and the folder's permissions, then repeat"
        what = error.strerror or str(error)
        raise DataError(f"{path}: cannot be {verb}: {what}; {advice}") from error
