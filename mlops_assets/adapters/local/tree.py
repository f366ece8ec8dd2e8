"""A folder of this machine as a tree of files."""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.local.files import (
    append_line,
    flush_folder,
    locked,
    read_bytes,
    remove_file,
    remove_temporary,
    write_atomic,
    write_folder_once,
    write_once,
)
from mlops_assets.adapters.tree import MAXIMUM_BYTES, OddFileError, StrangersError, Thing, step
from mlops_assets.domain.errors import StaleError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from mlops_assets.adapters.tree import Answer

_READ = os.O_RDONLY | os.O_CLOEXEC


class DiskTree:
    """The files below ``root``; a folder has its name when it is whole, so it needs no seal."""

    def __init__(self, root: Path, home: Path | None = None) -> None:
        self._root = root
        self._home = home or root.parent

    def where(self, name: str = "") -> str:
        """The absolute path."""
        return str(self._at(name))

    def path(self, name: str = "") -> str:
        """The path relative to the home."""
        return self._at(name).relative_to(self._home).as_posix()

    def read(self, name: str) -> bytes | None:
        """The bytes of a file, None when there is no such file."""
        return read_bytes(self._at(name))

    def read_folder(
        self, folder: str, names: Iterable[str], *, only: Collection[str] | None = None
    ) -> dict[str, bytes]:
        """Read files through descriptors, so that no link is followed below the root."""
        descriptor = os.open(self._root, _READ | os.O_DIRECTORY)
        try:
            for part in folder.split("/"):
                inner = os.open(part, _READ | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            if only is not None:
                found = os.listdir(descriptor)  # noqa: PTH208 the descriptor's, not a path's
                if strangers := set(found) - set(only):
                    raise StrangersError(strangers)
            return {name: _read_plain(descriptor, name) for name in names}
        finally:
            os.close(descriptor)

    def together(self, ask: Callable[[Any], Answer], about: Iterable[Any]) -> list[Answer]:
        """One after the other: a disk answers at once."""
        return [ask(each) for each in about]

    def write_once(self, name: str, data: bytes) -> bool:
        """Write a file that never changes again."""
        return write_once(self._at(name), data)

    def write_atomic(self, name: str, data: bytes) -> None:
        """Replace a file, flushed to the disk before this returns."""
        write_atomic(self._at(name), data)

    def write_changed(self, name: str, data: bytes) -> None:
        """Replace a file unless it holds these bytes already."""
        if self.read(name) != data:
            self.write_atomic(name, data)

    def write_folder_once(self, folder: str, files: Mapping[str, bytes], *, seal: str) -> bool:  # noqa: ARG002
        """Write a folder that never changes again: it gets its name when it is whole."""
        return write_folder_once(self._at(folder), files)

    def swap(self, name: str, expected: bytes | None, data: bytes) -> None:
        """Replace a file that holds ``expected``; the caller holds the lock of its writers."""
        if self.read(name) != expected:
            raise StaleError(f"{self.where(name)}: somebody else changed it first; read it again")
        self.write_atomic(name, data)

    def read_log(self, name: str) -> bytes:
        """Everything in the file, nothing when there is none."""
        return self.read(name) or b""

    def append(self, name: str, line: bytes, *, at: int) -> None:
        """Add a line behind the whole ones; the caller holds the lock of its writers."""
        append_line(self._at(name), line, at)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        remove_file(self._at(name))

    def remove_folder(self, folder: str, *, seal: str) -> None:  # noqa: ARG002
        """Remove a folder or a file, which takes a temporary name first."""
        path = self._at(folder)
        gone = path.with_name(f".{path.name}.{os.getpid()}-{time.time_ns()}.tmp")
        try:
            step("retention.begun", path)
            path.rename(gone)
        except FileNotFoundError:
            return
        step("retention.hidden", path)
        flush_folder(path.parent)
        remove_temporary(gone)

    def names(self, folder: str = "", *, depth: int = 1) -> Sequence[str]:
        """Names of files, hidden ones too."""
        return sorted(name for name, entry in _walk(self._at(folder), depth) if entry.is_file())

    def folders(
        self,
        folder: str = "",
        *,
        depth: int = 1,
        seal: str | None = None,  # noqa: ARG002
    ) -> Sequence[str]:
        """Names of folders that are no links."""
        found = _walk(self._at(folder), depth)
        return sorted(name for name, entry in found if entry.is_dir(follow_symlinks=False))

    def things(self, *, depth: int, seal: str | None = None) -> Iterator[Thing]:
        """Folders that hold a file named ``seal``, or files, unless anything on the way is hidden.

        The moment of a folder is its seal's, which is written with the rest of it.
        """
        for name in self.names(depth=depth) if seal is None else self.folders(depth=depth):
            place = self._at(name)
            if any(part.startswith(".") for part in name.split("/")):
                continue
            with suppress(FileNotFoundError):
                status = (place if seal is None else place / seal).stat()
                size = status.st_size if seal is None else _size(place)
                yield Thing(name, datetime.fromtimestamp(status.st_mtime, UTC), size)

    def state(self, name: str) -> tuple[int, int, int] | None:
        """Inode, size and time."""
        try:
            return _state(self._at(name).stat())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def states(self, folder: str) -> Mapping[str, tuple[int, int, int]]:
        """Inode, size and time of each file of a folder."""
        found = {}
        for name, entry in _walk(self._at(folder), 1):
            with suppress(FileNotFoundError):
                if entry.is_file():
                    found[name] = _state(entry.stat())
        return found

    def locked(self, name: str, *, wait: bool = True) -> AbstractContextManager[None]:
        """Hold a file by the kernel's lock."""
        return locked(self._at(name), wait=wait)

    def _at(self, name: str) -> Path:
        return self._root / name if name else self._root


def _walk(folder: Path, depth: int) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """What lies so many levels below a folder, links to folders not followed on the way."""
    try:
        with os.scandir(folder) as entries:
            found = list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in found:
        if depth == 1:
            yield entry.name, entry
        elif entry.is_dir(follow_symlinks=False):
            for name, inner in _walk(folder / entry.name, depth - 1):
                yield f"{entry.name}/{name}", inner


def _read_plain(folder: int, name: str) -> bytes:
    flags = _READ | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(name, flags, dir_fd=folder)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OddFileError(f"{name} is not a plain file")
        if status.st_size > MAXIMUM_BYTES:
            raise OddFileError(f"{name} has {status.st_size} bytes")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(MAXIMUM_BYTES + 1)
    finally:
        os.close(descriptor)


def _state(status: os.stat_result) -> tuple[int, int, int]:
    return (status.st_ino, status.st_size, status.st_mtime_ns)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
