"""The ingest journal as files: one a slice, first an intent, then what became of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.local.files import flush_folder, locked, read_bytes, write_atomic
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.readings import RawFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

_FORMAT = 1


class LocalIngestJournal:
    """``intents/SLICE.json`` until the slice is in the table, then ``slices/SLICE.json``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._intents = folder / "intents"
        self._slices = folder / "slices"

    def confirmed(self) -> frozenset[RawFile]:
        """Files already merged or quarantined whole."""
        return frozenset(
            file for path in self._slices.glob("*.json") for file in _files(_read(path))
        )

    def intend(self, slice_id: str, files: Sequence[RawFile]) -> None:
        """Say what the next merge will hold."""
        write_atomic(self._intents / f"{slice_id}.json", _written(slice_id, files, None))

    def pending(self) -> dict[str, tuple[RawFile, ...]]:
        """Intents not yet confirmed, by slice id."""
        return {
            path.stem: _files(_read(path))
            for path in sorted(self._intents.glob("*.json"))
            if not (self._slices / path.name).exists()
        }

    def confirm(self, slice_id: str, delta_version: int | None) -> None:
        """Close an intent; repeating it changes nothing."""
        name = f"{slice_id}.json"
        if not (self._slices / name).exists():
            files = _files(_read(self._intents / name))
            write_atomic(self._slices / name, _written(slice_id, files, delta_version))
        self.withdraw(slice_id)

    def withdraw(self, slice_id: str) -> None:
        """Forget an intent of which nothing was merged."""
        (self._intents / f"{slice_id}.json").unlink(missing_ok=True)
        if self._intents.is_dir():
            flush_folder(self._intents)

    def lock(self) -> AbstractContextManager[None]:
        """Hold the ETL against other slices of this home."""
        return locked(self._folder / ".lock")


def _written(slice_id: str, files: Sequence[RawFile], delta_version: int | None) -> bytes:
    document = {
        "format": _FORMAT,
        "slice": slice_id,
        "delta_version": delta_version,
        "files": [{"path": f.path, "size": f.size, "sha256": f.sha256} for f in files],
    }
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"


def _read(path: Path) -> dict[str, Any]:
    data = read_bytes(path)
    try:
        document = json.loads(data or b"")
        if document["format"] == _FORMAT:
            return dict(document)
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{path}: is no journal of a slice; restore it from a backup, or delete it to read "
            "its files again"
        ) from error
    raise DataError(f"{path}: has format {document['format']}, this version reads {_FORMAT}")


def _files(document: dict[str, Any]) -> tuple[RawFile, ...]:
    return tuple(RawFile(f["path"], f["size"], f["sha256"]) for f in document["files"])
