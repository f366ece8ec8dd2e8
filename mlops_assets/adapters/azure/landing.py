"""The landing zone as blobs: every visible one below its prefix, as plants sent it.

A file is named by the SHA-256 of its bytes. A listing does not read again what it has read before:
an ETag changes with every write, so the digest of a blob is remembered with its ETag, beside the
zone.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from operator import attrgetter
from typing import TYPE_CHECKING

from mlops_assets.adapters.tree.landing import (
    described,
    found,
    is_visible,
    leads_out,
    unchanged,
    worth_remembering,
)
from mlops_assets.domain.errors import StaleError
from mlops_assets.domain.readings import RawFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.adapters.azure.blobs import Blob, Blobs

_AT_ONCE = 8
_FORMAT = 1
_SEEN = "seen.json"


class BlobLandingZone:
    """Raw files below a prefix.

    Names that start with a dot or an underscore are not data: writers use them while they write.
    Digests are remembered in ``seen.json`` of ``beside``; without it every listing reads every
    file that this object has not read yet.
    """

    def __init__(self, blobs: Blobs, beside: Blobs | None = None) -> None:
        self._blobs = blobs
        self._beside = beside
        self._known: Mapping[str, tuple[str, RawFile]] | None = None

    def files(self) -> tuple[RawFile, ...]:
        """Every file, sorted by path."""
        known = self._remembered()
        listed = {blob.name: blob for blob in self._blobs.list() if is_visible(blob.name)}
        kept = {
            name: known[name] for name in listed if known.get(name, ("",))[0] == listed[name].etag
        }
        new = [blob for name, blob in listed.items() if name not in kept]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            looked = {each[1].path: each for each in pool.map(self._look, new) if each is not None}
        self._known = {**kept, **looked}
        if self._beside is not None and worth_remembering(
            [file for _, file in looked.values()], len(known)
        ):
            self._remember(self._beside)
        return tuple(sorted((file for _, file in self._known.values()), key=attrgetter("path")))

    def read(self, file: RawFile) -> bytes:
        """The bytes; DataError when they are no longer those of ``file``."""
        return unchanged(file, found(file.path, self._blobs.get(file.path)))

    def put(self, path: str, data: bytes) -> RawFile:
        """Add one file; a file that is there is never replaced by another."""
        if any(part in {"", ".", ".."} for part in path.split("/")):
            raise leads_out(path)
        if not self._blobs.put_if_absent(path, data) and self._blobs.get(path) != data:
            raise StaleError(
                f"{self._blobs.where(path)}: is written once and holds other content; use another "
                "name"
            )
        return described(path, data)

    def _look(self, blob: Blob) -> tuple[str, RawFile] | None:
        """Read a file; None where it is gone again."""
        read = self._blobs.get_with_etag(blob.name)
        if read is None:
            return None
        data, etag = read
        return etag, described(blob.name, data)

    def _remembered(self) -> Mapping[str, tuple[str, RawFile]]:
        """What earlier listings saw; nothing where that cannot be read, since it is only a hint."""
        if self._known is None:
            self._known = {}
            data = None if self._beside is None else self._beside.get(_SEEN)
            with suppress(ValueError, TypeError, KeyError, AttributeError):
                document = json.loads(data or b"")
                if document["format"] == _FORMAT:
                    self._known = {
                        path: (etag, RawFile(path, size, sha256))
                        for path, (etag, size, sha256) in document["blobs"].items()
                    }
        return self._known

    def _remember(self, beside: Blobs) -> None:
        rows = {
            path: (etag, file.size, file.sha256)
            for path, (etag, file) in sorted((self._known or {}).items())
        }
        document = {"format": _FORMAT, "blobs": rows}
        beside.put(_SEEN, json.dumps(document, separators=(",", ":")).encode())
