"""A prefix of a container as a tree of files.

A folder is there when its seal is: the seal is written last and removed first, and what a killed
writer left without one is nobody's, and written over. A log is a row of append blobs, each of them
well below the number of blocks that Azure allows, and each line is one block, so none is ever torn.
"""

from __future__ import annotations

import errno
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.azure import blobs as limits
from mlops_assets.adapters.tree import MAXIMUM_BYTES, OddFileError, StrangersError, Thing
from mlops_assets.domain.errors import StaleError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from mlops_assets.adapters.azure.blobs import Blob, Blobs
    from mlops_assets.adapters.tree import Answer


# So many requests of one listing are on their way at once; a client keeps ten connections.
_AT_ONCE = 8
_SMALL = 1 << 14


class BlobTree:
    """The files below a prefix; ``home`` is the name that a home's layout has for it."""

    def __init__(self, blobs: Blobs, home: str) -> None:
        self._blobs = blobs
        self._home = home
        # Parts of logs, and small blobs of folders, by their ETags.
        self._known: dict[str, tuple[str, bytes]] = {}
        self._small: dict[str, tuple[str, bytes]] = {}

    def where(self, name: str = "") -> str:
        """Account, container and path."""
        return self._blobs.where(name)

    def path(self, name: str = "") -> str:
        """The path relative to the home."""
        return f"{self._home}/{name}".rstrip("/")

    def read(self, name: str) -> bytes | None:
        """The bytes of a blob, None when there is none."""
        return self._blobs.get(name)

    def read_folder(
        self, folder: str, names: Iterable[str], *, only: Collection[str] | None = None
    ) -> dict[str, bytes]:
        """Read blobs of a folder; there are no links among blobs."""
        etags: Mapping[str, str] = {}
        if only is not None:
            etags = {name: blob.etag for name, blob in self._below(folder).items()}
            if strangers := set(etags) - set(only):
                raise StrangersError(strangers)
        return {name: self._read_plain(folder, name, etags.get(name)) for name in names}

    def _read_plain(self, folder: str, name: str, etag: str | None) -> bytes:
        """Read a blob, unless it is small and still has the ETag under which it was read before."""
        path = f"{folder}/{name}"
        known = self._small.get(path)
        if known is not None and known[0] == etag:
            return known[1]
        found = self._blobs.get_with_etag(path)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "there is no such blob", name)
        data, etag = found
        if len(data) > MAXIMUM_BYTES:
            raise OddFileError(f"{name} has {len(data)} bytes")
        if len(data) <= _SMALL:
            self._small[path] = (etag, data)
        return data

    def together(self, ask: Callable[[Any], Answer], about: Iterable[Any]) -> list[Answer]:
        """Some at once: most of an answer's time is its way."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(ask, about))

    def write_once(self, name: str, data: bytes) -> bool:
        """Write a blob that never changes again."""
        if self._blobs.put_if_absent(name, data):
            return True
        if self._blobs.get(name) != data:
            raise StaleError(_other(self.where(name)))
        return False

    def write_atomic(self, name: str, data: bytes) -> None:
        """Replace a blob."""
        self._blobs.put(name, data)

    def write_changed(self, name: str, data: bytes) -> None:
        """Replace a blob unless it holds these bytes already; a new one is not asked for first."""
        if not self._blobs.put_if_absent(name, data) and self._blobs.get(name) != data:
            self._blobs.put(name, data)

    def write_folder_once(self, folder: str, files: Mapping[str, bytes], *, seal: str) -> bool:
        """Write a folder that never changes again: its seal last, under the lock of its parent."""
        if seal not in self._below(folder):
            parent = folder.rpartition("/")[0]
            with self._blobs.lease(f"{parent}/.writing" if parent else ".writing"):
                left = self._below(folder)
                if seal not in left:
                    self._write_folder(folder, files, seal, left)
                    return True
        existing = {name: self._blobs.get(f"{folder}/{name}") for name in self._below(folder)}
        if existing != dict(files):
            raise StaleError(_other(self.where(folder)))
        return False

    def swap(self, name: str, expected: bytes | None, data: bytes) -> None:
        """Replace a blob that holds ``expected``, by its ETag."""
        found = self._blobs.get_with_etag(name)
        if expected is None and found is None and self._blobs.put_if_absent(name, data):
            return
        if found is None or found[0] != expected:
            raise StaleError(
                f"{self.where(name)}: somebody else changed it first; read it again and repeat"
            )
        self._blobs.replace(name, data, found[1])

    def read_log(self, name: str) -> bytes:
        """Everything in the row of append blobs; one that did not change is not read again."""
        return b"".join(self._part(part) for part in self._parts(name))

    def append(self, name: str, line: bytes, *, at: int) -> None:
        """Add a line as one block, if the log still ends ``at`` bytes."""
        parts = self._parts(name)
        end = sum(part.size for part in parts)
        if end != at:
            raise StaleError(
                f"{self.where(name)}: has {end} bytes, not {at}: somebody else wrote first; read "
                "it again and repeat"
            )
        last = parts[-1] if parts else None
        if last is None or self._is_full(last):
            self._blobs.append(f"{name}/{len(parts):08d}", line, 0)
        else:
            self._blobs.append(last.name, line, last.size)

    def remove(self, name: str) -> None:
        """Remove a blob, if it is there."""
        self._blobs.delete(name)

    def remove_folder(self, folder: str, *, seal: str) -> None:
        """Remove a folder, if it is there, its seal first."""
        self._blobs.delete(f"{folder}/{seal}")
        for name in self._below(folder):
            self._blobs.delete(f"{folder}/{name}")

    def sweep(self, *, depth: int, seal: str, before: datetime) -> int:
        """Remove folders that lost or never got their seal; returns how many there were."""
        removed = 0
        for folder, blobs in self._grouped(depth).items():
            whole = any(blob.name == f"{folder}/{seal}" for blob in blobs)
            if not whole and max(blob.at for blob in blobs) < before:
                for blob in blobs:
                    self._blobs.delete(blob.name, etag=blob.etag)
                removed += 1
        return removed

    def names(self, folder: str = "", *, depth: int = 1) -> Sequence[str]:
        """Names of blobs."""
        if depth == 1:
            return sorted(self.states(folder))
        return sorted(name for name in self._below(folder) if name.count("/") == depth - 1)

    def folders(
        self, folder: str = "", *, depth: int = 1, seal: str | None = None
    ) -> Sequence[str]:
        """Names of folders; without a ``seal`` everything that has blobs below it is one."""
        if seal is None and depth == 1:
            return self._blobs.folders(folder)
        parts = [name.split("/") for name in self._below(folder)]
        deep = [each for each in parts if len(each) > depth]
        sealed = [each for each in deep if seal is None or each[depth:] == [seal]]
        return sorted({"/".join(each[:depth]) for each in sealed})

    def things(self, *, depth: int, seal: str | None = None) -> Iterator[Thing]:
        """Folders with their seal's moment, or blobs with theirs."""
        if seal is None:
            for name, blob in sorted(self._below("").items()):
                if name.count("/") == depth - 1 and not _hidden(name):
                    yield Thing(name, blob.at, blob.size)
            return
        for folder, blobs in sorted(self._grouped(depth).items()):
            moments = [blob.at for blob in blobs if blob.name == f"{folder}/{seal}"]
            if moments and not _hidden(folder):
                yield Thing(folder, moments[0], sum(blob.size for blob in blobs))

    def state(self, name: str) -> str | None:
        """The ETag of a blob."""
        found = self._blobs.find(name)
        return None if found is None else found.etag

    def states(self, folder: str) -> Mapping[str, str]:
        """The ETag of each blob of a folder."""
        prefix = f"{folder}/" if folder else ""
        found = self._blobs.files(prefix)
        return {blob.name.removeprefix(prefix): blob.etag for blob in found}

    @contextmanager
    def locked(self, name: str, *, wait: bool = True) -> Iterator[None]:
        """Hold a blob by a lease."""
        with self._blobs.lease(name, wait=wait):
            yield

    def _write_folder(
        self, folder: str, files: Mapping[str, bytes], seal: str, left: Mapping[str, Blob]
    ) -> None:
        """Write a folder over what a killed writer may have left of it."""
        for name in set(left) - set(files):
            self._blobs.delete(f"{folder}/{name}", etag=left[name].etag)
        for name, data in files.items():
            if name != seal and name in left:
                # Also where the bytes are the same: whoever left it must not write over it later.
                self._blobs.replace(f"{folder}/{name}", data, left[name].etag)
            elif name != seal:
                self._first(f"{folder}/{name}", data)
        self._first(f"{folder}/{seal}", files[seal])

    def _first(self, name: str, data: bytes) -> None:
        if not self._blobs.put_if_absent(name, data):
            raise StaleError(f"{self.where(name)}: somebody else is writing it; repeat")

    def _below(self, folder: str) -> dict[str, Blob]:
        """Every blob below a folder, by its name relative to it."""
        prefix = f"{folder}/" if folder else ""
        return {blob.name.removeprefix(prefix): blob for blob in self._blobs.list(prefix)}

    def _grouped(self, depth: int) -> dict[str, list[Blob]]:
        """Blobs by the folder so many levels below that holds them."""
        found: dict[str, list[Blob]] = {}
        for name, blob in self._below("").items():
            parts = name.split("/")
            if len(parts) > depth:
                found.setdefault("/".join(parts[:depth]), []).append(blob)
        return found

    def _parts(self, name: str) -> list[Blob]:
        """The append blobs of a log, in order."""
        return list(self._blobs.list(f"{name}/"))

    def _is_full(self, part: Blob) -> bool:
        """Whether a log goes on in another blob; one that is small is not asked."""
        if part.size >= limits.MAXIMUM_LOG_BYTES:
            return True
        return (
            part.size >= limits.MAXIMUM_BLOCKS
            and self._blobs.blocks(part.name) >= limits.MAXIMUM_BLOCKS
        )

    def _part(self, part: Blob) -> bytes:
        known = self._known.get(part.name)
        if known is None or known[0] != part.etag:
            data, etag = self._blobs.get_with_etag(part.name) or (b"", "")
            known = self._known[part.name] = (etag, data)
        # Whoever added lines since the listing has them seen by the next one.
        return known[1][: part.size]


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _other(where: str) -> str:
    return f"{where}: is written once and holds other content; use another name"
