"""The ingest journal as files: one a slice, first an intent, then what became of it.

Confirmed slices are gathered in one file from time to time, so that knowing all files that were
ever merged costs one read.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlops_assets.domain.addition import Addition, Catalogue, SliceRecord, Then, in_order
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.readings import RawFile

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    from mlops_assets.adapters.tree import Tree

_FORMAT = 3
# Format 1 knew the readings' version alone, format 2 no additions and no order.
_READ = (1, 2, _FORMAT)
# More confirmed slices than these lying alone are gathered.
_ALONE = 64
# Comes after every version of a table.
_NEW = 1 << 62
_INTENTS, _SLICES = "intents", "slices"
_GATHERED, _CATALOGUE = "slices.json", "catalogue.json"


@dataclass(frozen=True, slots=True)
class _Known:
    """What one file holds, and the state it had."""

    state: Hashable
    slices: dict[str, SliceRecord]
    files: frozenset[RawFile]


class TreeIngestJournal:
    """``intents/SLICE.json`` until the slice is in the table, then ``slices/SLICE.json``.

    ``slices.json`` holds the slices that were gathered, ``catalogue.json`` what all of them were
    read with.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._known: dict[str, _Known] = {}

    def confirmed(self) -> frozenset[RawFile]:
        """Files already merged or quarantined whole."""
        return frozenset().union(*(known.files for known in self._documents()))

    def made(self) -> dict[str, Mapping[str, int]]:
        """By confirmed slice, the version of each table that holds a part of it."""
        return {slice_id: each.versions for slice_id, each in self._confirmed().items()}

    def history(self) -> list[SliceRecord]:
        """Confirmed slices in the order in which they were merged."""
        return in_order(self._confirmed().values())

    def catalogue(self) -> Catalogue | None:
        """What confirmed slices were read with; None where that was never said."""
        return self._catalogue(self._tree.read(_CATALOGUE))

    def _catalogue(self, data: bytes | None) -> Catalogue | None:
        return None if data is None else _catalogue_of(_parsed(data, self._tree.where(_CATALOGUE)))

    def know(self, catalogue: Catalogue) -> None:
        """Say what confirmed slices were read with; writing the same again changes nothing."""
        before = self._tree.read(_CATALOGUE)
        if catalogue != self._catalogue(before):
            self._tree.swap(_CATALOGUE, before, _text(_catalogue_document(catalogue)))

    def intend(
        self,
        slice_id: str,
        files: Sequence[RawFile],
        *,
        at: datetime | None = None,
        addition: Addition | None = None,
    ) -> None:
        """Say what the next merge will hold."""
        open_ = [int(document.get("order", 0)) for document in self._open().values()]
        merged = [record.order for record in self._confirmed().values()]
        record = SliceRecord(
            slice_id=slice_id,
            files=tuple(files),
            versions={},
            order=max([*open_, *merged], default=0) + 1,
            at=at,
            addition=addition,
        )
        self._tree.write_atomic(f"{_INTENTS}/{slice_id}.json", _text(_document(record)))

    def pending(self) -> dict[str, SliceRecord]:
        """Intents not yet confirmed, by slice id."""
        return {slice_id: _record(document) for slice_id, document in self._open().items()}

    def reopened(self) -> frozenset[str]:
        """Pending slices that had been confirmed before."""
        return frozenset(
            slice_id for slice_id, document in self._open().items() if "again" in document
        )

    def confirm(
        self,
        slice_id: str,
        delta_version: int | None,
        *,
        logs: Mapping[str, int] | None = None,
        left_out: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Close an intent; repeating it changes nothing."""
        if slice_id not in self._confirmed():
            versions = {"readings": delta_version, **(logs or {})}
            record = replace(
                _record(self._read(f"{_INTENTS}/{slice_id}.json")),
                versions={each: v for each, v in versions.items() if v is not None},
                left_out=None if left_out is None else {n: tuple(p) for n, p in left_out.items()},
            )
            self._tree.write_atomic(f"{_SLICES}/{slice_id}.json", _text(_document(record)))
        self.withdraw(slice_id)
        if len(self._ids(_SLICES)) > _ALONE:
            before = self._tree.read(_GATHERED)
            self._gather(self._confirmed(), before)

    def withdraw(self, slice_id: str) -> None:
        """Forget an intent of which nothing was merged."""
        self._tree.remove(f"{_INTENTS}/{slice_id}.json")

    def reopen(self, slice_id: str) -> None:
        """Make a confirmed slice pending again: a table has lost its part of it."""
        before, slices = self._tree.read(_GATHERED), self._confirmed()
        if (lost := slices.pop(slice_id, None)) is None:
            return
        again = _document(lost) | {"again": lost.versions.get("readings", 0)}
        self._tree.write_atomic(f"{_INTENTS}/{slice_id}.json", _text(again))
        self._gather(slices, before)
        self._tree.remove(f"{_SLICES}/{slice_id}.json")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the ETL against other slices of this home."""
        with self._tree.locked(".lock"):
            left = self._ids(_INTENTS)
            for slice_id in set(left) & set(self._confirmed() if left else ()):
                # Confirmed by a process that was killed before it closed the intent.
                self.withdraw(slice_id)
            yield

    def _open(self) -> dict[str, dict[str, Any]]:
        """Intents that are not confirmed: those reopened first, in the order they were made in."""
        ids = self._ids(_INTENTS)
        confirmed = self._confirmed() if ids else {}
        found = {
            each: self._read(f"{_INTENTS}/{each}.json") for each in ids if each not in confirmed
        }
        return dict(sorted(found.items(), key=lambda item: item[1].get("again", _NEW)))

    def _confirmed(self) -> dict[str, SliceRecord]:
        """Every confirmed slice by its id."""
        slices: dict[str, SliceRecord] = {}
        for known in self._documents():
            slices |= known.slices
        return slices

    def _documents(self) -> list[_Known]:
        """The file of gathered slices and those of slices alone, as far as they are there."""
        # Whoever gathers meanwhile has written what is listed here into the file asked after it.
        alone = self._tree.states(_SLICES)
        states: dict[str, Hashable | None] = {_GATHERED: self._tree.state(_GATHERED)}
        states |= {f"{_SLICES}/{name}": alone[name] for name in alone if name.endswith(".json")}
        found = [self._read_once(name, state) for name, state in states.items() if state]
        return [known for known in found if known is not None]

    def _read_once(self, name: str, state: Hashable) -> _Known | None:
        """What a file holds; it is read once for as long as it stays the same."""
        known = self._known.get(name)
        if known is None or known.state != state:
            if (data := self._tree.read(name)) is None:
                return None
            document = _parsed(data, self._tree.where(name))
            documents = document["slices"] if name == _GATHERED else [document]
            slices = {document["slice"]: _record(document) for document in documents}
            files = frozenset(file for each in slices.values() for file in each.files)
            known = self._known[name] = _Known(state, slices, files)
        return known

    def _ids(self, folder: str) -> list[str]:
        """Slices that have a file of their own in a folder, sorted."""
        names = self._tree.names(folder)
        return [name.removesuffix(".json") for name in names if name.endswith(".json")]

    def _read(self, name: str) -> dict[str, Any]:
        return _parsed(self._tree.read(name), self._tree.where(name))

    def _gather(self, slices: Mapping[str, SliceRecord], before: bytes | None) -> None:
        """Put slices into the one file, if it is as ``before``; those alone go once it is there."""
        ordered = [_document(slices[slice_id]) for slice_id in sorted(slices)]
        # A holder that lost the lock must never put its older set over a newer one.
        self._tree.swap(_GATHERED, before, _text({"format": _FORMAT, "slices": ordered}))
        for slice_id in self._ids(_SLICES):
            if slice_id in slices:
                name = f"{_SLICES}/{slice_id}.json"
                self._tree.remove(name)
                self._known.pop(name, None)


def _document(record: SliceRecord) -> dict[str, Any]:
    """A slice as it is written."""
    document: dict[str, Any] = {
        "format": _FORMAT,
        "slice": record.slice_id,
        "files": _described(record.files),
        "order": record.order,
        "delta_version": record.versions.get("readings"),
        "logs": {name: v for name, v in record.versions.items() if name != "readings"},
    }
    if record.at is not None:
        document["at"] = record.at.isoformat()
    if record.left_out is not None:
        document["left_out"] = _left_out_document(record.left_out, _members(record))
    if (addition := record.addition) is not None:
        document["addition"] = {
            "files": [
                {
                    **_described([then.file])[0],
                    "slice": then.slice_id,
                    "at": None if then.at is None else then.at.isoformat(),
                    "circuits": [str(key) for key in then.circuits],
                    "features": list(then.features),
                }
                for then in addition.files
            ],
        }
    return document


def _record(document: Mapping[str, Any]) -> SliceRecord:
    files = _files(document["files"])
    addition = _addition(document["addition"]) if "addition" in document else None
    members = files if addition is None else tuple(then.file for then in addition.files)
    tables = {"readings": document.get("delta_version"), **document.get("logs", {})}
    return SliceRecord(
        slice_id=document["slice"],
        files=files,
        versions={name: int(version) for name, version in tables.items() if version is not None},
        order=int(document.get("order", 0)),
        at=_moment(document.get("at")),
        left_out=_left_out(document.get("left_out"), members),
        addition=addition,
    )


def _members(record: SliceRecord) -> Sequence[RawFile]:
    addition = record.addition
    return record.files if addition is None else [then.file for then in addition.files]


def _left_out_document(
    left: Mapping[str, Sequence[str]], files: Sequence[RawFile]
) -> dict[str, Any]:
    """Columns with the places of their files in the slice; true stands for all of them."""
    places = {file.path: place for place, file in enumerate(files)}
    return {
        name: len(paths) == len(files) or [places[path] for path in paths]
        for name, paths in sorted(left.items())
    }


def _left_out(
    document: Mapping[str, Any] | None, files: Sequence[RawFile]
) -> dict[str, tuple[str, ...]] | None:
    if document is None:
        return None
    every = tuple(file.path for file in files)
    return {
        name: every if places is True else tuple(every[place] for place in places)
        for name, places in document.items()
    }


def _addition(document: Mapping[str, Any]) -> Addition:
    rows = document["files"]
    return Addition(
        tuple(
            Then(
                file=file,
                slice_id=row["slice"],
                at=_moment(row["at"]),
                circuits=tuple(map(CircuitKey.parse, row["circuits"])),
                features=tuple(row["features"]),
            )
            for file, row in zip(_files(rows), rows, strict=True)
        )
    )


def _catalogue_document(catalogue: Catalogue) -> dict[str, Any]:
    absent = sorted(catalogue.absent, key=lambda file: (file.path, file.sha256))
    return {
        "format": _FORMAT,
        "circuits": sorted(map(str, catalogue.circuits)),
        "features": sorted(catalogue.features),
        "absent": _described(absent),
    }


def _catalogue_of(document: Mapping[str, Any]) -> Catalogue:
    return Catalogue(
        circuits=frozenset(map(CircuitKey.parse, document["circuits"])),
        features=frozenset(document["features"]),
        absent=frozenset(_files(document["absent"])),
    )


def _described(files: Sequence[RawFile]) -> list[dict[str, Any]]:
    return [{"path": f.path, "size": f.size, "sha256": f.sha256} for f in files]


def _files(rows: Sequence[Mapping[str, Any]]) -> tuple[RawFile, ...]:
    return tuple(RawFile(row["path"], row["size"], row["sha256"]) for row in rows)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _text(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True).encode() + b"\n"


def _parsed(data: bytes | None, where: str) -> dict[str, Any]:
    try:
        document = json.loads(data or b"")
        if document["format"] in _READ:
            return dict(document)
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{where}: is no journal of a slice; restore it from a backup, or delete it to read "
            "its files again"
        ) from error
    raise DataError(f"{where}: has format {document['format']}, this version reads {_FORMAT}")
