"""The ingest journal as files: one a slice, first an intent, then what became of it.

Confirmed slices are gathered in one file from time to time, so that knowing all files that were
ever merged costs one read.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.local.files import locked, read_bytes, remove_file, write_atomic
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.readings import RawFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_FORMAT = 2
# Format 1 knew the readings' version alone.
_READ = (1, _FORMAT)
# More confirmed slices than these lying alone are gathered.
_ALONE = 64
# Comes after every version of a table.
_NEW = 1 << 62


@dataclass(frozen=True, slots=True)
class _Slice:
    """A slice as its document tells it; ``versions`` are those of the tables that hold it."""

    files: tuple[RawFile, ...]
    versions: dict[str, int]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> _Slice:
        tables = {"readings": document["delta_version"], **document.get("logs", {})}
        versions = {name: int(version) for name, version in tables.items() if version is not None}
        return cls(_files(document), versions)

    def document(self, slice_id: str) -> dict[str, Any]:
        logs = {name: v for name, v in self.versions.items() if name != "readings"}
        more = {"delta_version": self.versions.get("readings"), "logs": logs}
        return _document(slice_id, self.files, **more)


@dataclass(frozen=True, slots=True)
class _Known:
    """What one file holds, and the inode, size and time it had."""

    state: tuple[int, int, int]
    slices: dict[str, _Slice]
    files: frozenset[RawFile]


class LocalIngestJournal:
    """``intents/SLICE.json`` until the slice is in the table, then ``slices/SLICE.json``.

    ``slices.json`` holds the slices that were gathered.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._intents = folder / "intents"
        self._slices = folder / "slices"
        self._gathered = folder / "slices.json"
        self._known: dict[Path, _Known] = {}

    def confirmed(self) -> frozenset[RawFile]:
        """Files already merged or quarantined whole."""
        return frozenset().union(*(known.files for known in self._documents()))

    def made(self) -> dict[str, dict[str, int]]:
        """By confirmed slice, the version of each table that holds a part of it."""
        return {slice_id: each.versions for slice_id, each in self._confirmed().items()}

    def intend(self, slice_id: str, files: Sequence[RawFile]) -> None:
        """Say what the next merge will hold."""
        write_atomic(self._intents / f"{slice_id}.json", _text(_document(slice_id, files)))

    def pending(self) -> dict[str, tuple[RawFile, ...]]:
        """Intents not yet confirmed, by slice id."""
        return {slice_id: _files(document) for slice_id, document in self._open().items()}

    def reopened(self) -> frozenset[str]:
        """Pending slices that had been confirmed before."""
        return frozenset(
            slice_id for slice_id, document in self._open().items() if "again" in document
        )

    def confirm(
        self, slice_id: str, delta_version: int | None, *, logs: Mapping[str, int] | None = None
    ) -> None:
        """Close an intent; repeating it changes nothing."""
        if slice_id not in self._confirmed():
            name = f"{slice_id}.json"
            files = _files(_read(self._intents / name))
            more = {"delta_version": delta_version, "logs": dict(logs or {})}
            write_atomic(self._slices / name, _text(_document(slice_id, files, **more)))
        self.withdraw(slice_id)
        if len(list(self._slices.glob("*.json"))) > _ALONE:
            self._gather(self._confirmed())

    def withdraw(self, slice_id: str) -> None:
        """Forget an intent of which nothing was merged."""
        remove_file(self._intents / f"{slice_id}.json")

    def reopen(self, slice_id: str) -> None:
        """Make a confirmed slice pending again: a table has lost its part of it."""
        slices = self._confirmed()
        if (lost := slices.pop(slice_id, None)) is None:
            return
        again = _document(slice_id, lost.files, again=lost.versions.get("readings", 0))
        write_atomic(self._intents / f"{slice_id}.json", _text(again))
        self._gather(slices)
        remove_file(self._slices / f"{slice_id}.json")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the ETL against other slices of this home."""
        with locked(self._folder / ".lock"):
            left = [path.stem for path in self._intents.glob("*.json")]
            for slice_id in set(left) & set(self._confirmed() if left else ()):
                # Confirmed by a process that was killed before it closed the intent.
                self.withdraw(slice_id)
            yield

    def _open(self) -> dict[str, dict[str, Any]]:
        """Intents that are not confirmed: those reopened first, in the order they were made in."""
        paths = sorted(self._intents.glob("*.json"))
        confirmed = self._confirmed() if paths else {}
        found = {path.stem: _read(path) for path in paths if path.stem not in confirmed}
        return dict(sorted(found.items(), key=lambda item: item[1].get("again", _NEW)))

    def _confirmed(self) -> dict[str, _Slice]:
        """Every confirmed slice by its id."""
        slices: dict[str, _Slice] = {}
        for known in self._documents():
            slices |= known.slices
        return slices

    def _documents(self) -> list[_Known]:
        """The file of gathered slices and those of slices alone, as far as they are there."""
        paths = [self._gathered, *self._slices.glob("*.json")]
        return [known for path in paths if (known := self._read_once(path)) is not None]

    def _read_once(self, path: Path) -> _Known | None:
        """What a file holds; it is read once for as long as it stays the same."""
        try:
            stat = path.stat()
        except FileNotFoundError:
            return None
        state = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        known = self._known.get(path)
        if known is None or known.state != state:
            document = _read(path)
            documents = document["slices"] if path == self._gathered else [document]
            slices = {document["slice"]: _Slice.of(document) for document in documents}
            files = frozenset(file for each in slices.values() for file in each.files)
            known = self._known[path] = _Known(state, slices, files)
        return known

    def _gather(self, slices: Mapping[str, _Slice]) -> None:
        """Put slices into the one file; those lying alone go once it is there."""
        ordered = [slices[slice_id].document(slice_id) for slice_id in sorted(slices)]
        write_atomic(self._gathered, _text({"format": _FORMAT, "slices": ordered}))
        for path in list(self._slices.glob("*.json")):
            if path.stem in slices:
                remove_file(path)
                self._known.pop(path, None)


def _document(slice_id: str, files: Sequence[RawFile], **more: Any) -> dict[str, Any]:  # noqa: ANN401 JSON
    described = [{"path": f.path, "size": f.size, "sha256": f.sha256} for f in files]
    return {"format": _FORMAT, "slice": slice_id, "files": described, **more}


def _text(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True).encode() + b"\n"


def _read(path: Path) -> dict[str, Any]:
    data = read_bytes(path)
    try:
        document = json.loads(data or b"")
        if document["format"] in _READ:
            return dict(document)
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{path}: is no journal of a slice; restore it from a backup, or delete it to read "
            "its files again"
        ) from error
    raise DataError(f"{path}: has format {document['format']}, this version reads {_FORMAT}")


def _files(document: Mapping[str, Any]) -> tuple[RawFile, ...]:
    return tuple(RawFile(f["path"], f["size"], f["sha256"]) for f in document["files"])
