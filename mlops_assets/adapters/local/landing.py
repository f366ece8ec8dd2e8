"""The landing zone as a folder: every visible file below it, as plants sent it.

A file is named by the SHA-256 of its bytes. A listing does not read again what it has read before:
it remembers, beside the zone, the digest of a file together with its size, inode and times, and
trusts that for at most a week. Whoever changes a file in place changes the time of its inode, which
no program can set back, so the change shows in the next listing; on a disk whose times cannot be
trusted, within `TRUSTED`.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.local.files import read_bytes, write_atomic, write_once
from mlops_assets.adapters.tree.landing import (
    described,
    found,
    leads_out,
    unchanged,
    worth_remembering,
)
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.readings import RawFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

# A file that seems unchanged is read again after this long at the latest.
TRUSTED = timedelta(days=7)
# A file that was changed this shortly before it was read might change again within one tick of the
# disk's clock.
_UNSETTLED_NS = 2_000_000_000
_FORMAT = 1


class LocalLandingZone:
    """Raw files below ``root``; a root that is one file is a zone of that file.

    Names that start with a dot or an underscore are not data: writers use them while they write.
    ``seen`` is where digests are remembered; without it every listing reads every file.
    """

    def __init__(
        self, root: Path, *, seen: Path | None = None, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._root = root
        self._seen = seen
        self._clock = clock
        self._state: tuple[int, int, int] | None = None
        self._known: Mapping[str, _Sight] = {}

    def files(self) -> tuple[RawFile, ...]:
        """Every file, sorted by path; DataError when there is no such folder."""
        if self._root.is_file():
            return (described(self._root.name, self._bytes(self._root.name)),)
        if not self._root.is_dir():
            raise DataError(f"{self._root}: no such file or folder; raw files are read from there")
        known = self._remembered()
        now = self._clock()
        files: list[RawFile] = []
        looked: dict[str, _Sight] = {}
        try:
            for path, stat in _walk(str(self._root)):
                sight = known.get(path)
                if sight is None or not sight.shows(stat) or now >= sight.until:
                    sight = looked[path] = self._look(path, stat, now)
                files.append(sight.file)
        except OSError as error:
            raise DataError(f"{error.filename}: cannot be listed: {error.strerror}") from error
        files.sort(key=attrgetter("path"))
        if self._seen is not None and (looked or len(files) != len(known)):
            paths = {file.path for file in files}
            self._known = {path: s for path, s in {**known, **looked}.items() if path in paths}
            if worth_remembering([sight.file for sight in looked.values()], len(known)):
                self._remember(self._known)
        return tuple(files)

    def read(self, file: RawFile) -> bytes:
        """The bytes; DataError when they are no longer those of ``file``."""
        return unchanged(file, self._bytes(file.path))

    def put(self, path: str, data: bytes) -> RawFile:
        """Add one file atomically; a file that is there is never replaced by another."""
        target = (self._root / path).resolve()
        if not target.is_relative_to(self._root.resolve()):
            raise leads_out(path)
        write_once(target, data)
        return described(path, data)

    def _bytes(self, path: str) -> bytes:
        place = self._root if self._root.is_file() else self._root / path
        return found(path, read_bytes(place))

    def _look(self, path: str, stat: os.stat_result, now: int) -> _Sight:
        """Read a file, and say until when that may be relied on.

        Digests run out at different times, so that no listing reads everything at once.
        """
        data = self._bytes(path)
        digest = hashlib.sha256(data).hexdigest()
        file = RawFile(path, len(data), digest)
        state = (stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns)
        if len(data) != stat.st_size or max(state[2:]) > now - _UNSETTLED_NS:
            return _Sight(*state, file, until=0)
        week = TRUSTED // timedelta(microseconds=1) * 1000
        share = int(hashlib.sha256(path.encode()).hexdigest()[:4], 16)
        return _Sight(*state, file, until=now + week // 2 + week // 2 * share // 0x10000)

    def _remembered(self) -> Mapping[str, _Sight]:
        """What earlier listings saw; nothing where that cannot be read, since it is only a hint."""
        if self._seen is None:
            return {}
        if self._state is None or self._state != _state(self._seen):
            self._state = _state(self._seen)
            self._known = {}
            with suppress(OSError, ValueError, TypeError, KeyError):
                document = json.loads(self._seen.read_bytes())
                if document["format"] == _FORMAT:
                    rows = document["files"].items()
                    self._known = {path: _Sight.of(path, row) for path, row in rows}
        return self._known

    def _remember(self, sights: Mapping[str, _Sight]) -> None:
        assert self._seen is not None  # noqa: S101 asked by the caller
        files = {path: each.row() for path, each in sights.items()}
        document = {"format": _FORMAT, "files": files}
        write_atomic(self._seen, json.dumps(document, separators=(",", ":")).encode())
        self._state = _state(self._seen)


@dataclass(frozen=True, slots=True)
class _Sight:
    """A file as a listing saw it, with its times in nanoseconds, and until when that counts."""

    size: int
    inode: int
    changed: int
    moved: int
    file: RawFile
    until: int

    @classmethod
    def of(cls, path: str, row: Sequence[Any]) -> _Sight:
        """As it was written down."""
        size, inode, changed, moved, sha256, until = row
        return cls(size, inode, changed, moved, RawFile(path, size, sha256), until)

    def shows(self, stat: os.stat_result) -> bool:
        """Whether the file is as it was; ``moved`` is the time of its inode."""
        return (
            self.changed == stat.st_mtime_ns
            and self.moved == stat.st_ctime_ns
            and self.size == stat.st_size
            and self.inode == stat.st_ino
        )

    def row(self) -> tuple[int | str, ...]:
        """As it is written down."""
        state = (self.size, self.inode, self.changed, self.moved)
        return (*state, self.file.sha256, self.until)


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return (stat.st_ino, stat.st_size, stat.st_mtime_ns)


def _walk(root: str) -> Iterator[tuple[str, os.stat_result]]:
    """Every visible file below a folder by its relative path; links to folders are not followed."""
    folders = [""]
    while folders:
        prefix = folders.pop()
        # Names are looked up below an opened folder, which costs less than whole paths do.
        opened = os.open(f"{root}/{prefix}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with os.scandir(opened) as entries:
                for entry in entries:
                    name = entry.name
                    if name[0] in "._":
                        continue
                    if entry.is_file():
                        yield prefix + name, entry.stat()
                    elif entry.is_dir(follow_symlinks=False):
                        folders.append(f"{prefix}{name}/")
        finally:
            os.close(opened)
