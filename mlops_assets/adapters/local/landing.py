"""The landing zone as a folder: every visible file below it, as plants sent it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mlops_assets.adapters.local.files import read_bytes, write_once
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.readings import RawFile

if TYPE_CHECKING:
    from pathlib import Path


class LocalLandingZone:
    """Raw files below ``root``; a root that is one file is a zone of that file.

    Names that start with a dot or an underscore are not data: writers use them while they write.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def files(self) -> tuple[RawFile, ...]:
        """Every file, sorted by path; DataError when there is no such folder."""
        if self._root.is_file():
            return (_described(self._root.name, self._bytes(self._root.name)),)
        if not self._root.is_dir():
            raise DataError(f"{self._root}: no such file or folder; raw files are read from there")
        found = []
        for path in sorted(self._root.rglob("*")):
            relative = path.relative_to(self._root)
            if path.is_file() and not any(part.startswith((".", "_")) for part in relative.parts):
                found.append(_described(relative.as_posix(), self._bytes(relative.as_posix())))
        return tuple(sorted(found, key=lambda file: file.path))

    def read(self, file: RawFile) -> bytes:
        """The bytes; DataError when they are no longer those of ``file``."""
        data = self._bytes(file.path)
        if _described(file.path, data) != file:
            raise DataError(f"{file.path}: changed while it was read; run ingest again")
        return data

    def put(self, path: str, data: bytes) -> RawFile:
        """Add one file atomically; a file that is there is never replaced by another."""
        target = (self._root / path).resolve()
        if not target.is_relative_to(self._root.resolve()):
            raise DataError(f"{path}: leads out of the landing zone; use a relative name inside it")
        write_once(target, data)
        return _described(path, data)

    def _bytes(self, path: str) -> bytes:
        place = self._root if self._root.is_file() else self._root / path
        data = read_bytes(place)
        if data is None:
            raise DataError(f"{path}: is no longer in the landing zone; put it back")
        return data


def _described(path: str, data: bytes) -> RawFile:
    return RawFile(path, len(data), hashlib.sha256(data).hexdigest())
