"""Stores over a tree of files, wherever that tree is: a folder of a disk, a prefix of a container.

What is kept, under which names, and what is refused is said here once; `adapters.local.tree` and
`adapters.azure.tree` say how bytes are read and written there. Names are relative, parted by ``/``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import (
        Callable,
        Collection,
        Hashable,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

Answer = TypeVar("Answer")
# No file of a model or of evidence is larger.
MAXIMUM_BYTES = 64 * 1024 * 1024


def step(name: str, place: Path | str) -> None:
    """Say that a store is between two changes, to whoever listens to Python's audit events.

    Every function that changes a disk has such a line for each moment at which a kill leaves
    something else behind; the fault programme listens, and kills there.
    """
    sys.audit("mlops_assets.step", name, str(place))


@dataclass(frozen=True, slots=True)
class Thing:
    """A file, or a folder that was written whole: its newest moment, and its size in bytes."""

    name: str
    at: datetime
    bytes: int


class OddFileError(Exception):
    """Something is no plain file, or larger than any that is kept; says which and why."""


class StrangersError(Exception):
    """A folder holds files that are not among those it may hold."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = sorted(names)
        super().__init__(", ".join(self.names))


class Tree(Protocol):
    """What stores need of a disk. Every write is there whole or not at all when it is killed.

    Whatever cannot be read or written is a DataError that names the place.
    """

    def where(self, name: str = "") -> str:
        """The place of a name, as people are told it."""

    def path(self, name: str = "") -> str:
        """The place of a name relative to the home, by the names of its layout."""

    def read(self, name: str) -> bytes | None:
        """The bytes of a file, None when there is no such file."""

    def read_folder(
        self, folder: str, names: Iterable[str], *, only: Collection[str] | None = None
    ) -> dict[str, bytes]:
        """Read files of a folder without following a link.

        Raises:
            FileNotFoundError: one is not there; ``filename`` is its name.
            OddFileError: one is no plain file.
            StrangersError: there is another than ``only`` these.
            OSError: one cannot be read, or a link stands on the way.
        """

    def together(self, ask: Callable[[Any], Answer], about: Iterable[Any]) -> list[Answer]:
        """What ``ask`` says about each, in order; at once, where an answer takes long to come.

        It only reads.
        """

    def write_once(self, name: str, data: bytes) -> bool:
        """Write a file that never changes again; False when the same bytes were there already.

        Raises:
            StaleError: other bytes are there.
        """

    def write_atomic(self, name: str, data: bytes) -> None:
        """Replace a file, or make it, in one step."""

    def write_changed(self, name: str, data: bytes) -> None:
        """Replace a file unless it holds these bytes already."""

    def write_folder_once(self, folder: str, files: Mapping[str, bytes], *, seal: str) -> bool:
        """Write a folder that never changes again; False when the same files were there already.

        ``seal`` is the one of ``files`` by which the folder is there.

        Raises:
            StaleError: the folder holds anything else.
        """

    def swap(self, name: str, expected: bytes | None, data: bytes) -> None:
        """Replace a file that holds ``expected``, None where there was none.

        Raises:
            StaleError: it holds something else by now.
        """

    def read_log(self, name: str) -> bytes:
        """All lines of a log, nothing when there is none; a killed writer may leave half a line."""

    def append(self, name: str, line: bytes, *, at: int) -> None:
        """Add a line, whole or not at all, to a log whose whole lines end ``at`` bytes.

        Raises:
            StaleError: somebody else added lines there.
        """

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    def remove_folder(self, folder: str, *, seal: str) -> None:
        """Remove a folder, if it is there: whole, or it is none any more."""

    def names(self, folder: str = "", *, depth: int = 1) -> Sequence[str]:
        """Files so many levels below a folder, by their names relative to it, sorted."""

    def folders(
        self, folder: str = "", *, depth: int = 1, seal: str | None = None
    ) -> Sequence[str]:
        """Folders so many levels below a folder, by their names relative to it, sorted.

        Those that a killed writer left without their ``seal`` are not among them.
        """

    def things(self, *, depth: int, seal: str | None = None) -> Iterator[Thing]:
        """Folders that hold their ``seal``, or files, so many levels below, sorted by name."""

    def state(self, name: str) -> Hashable | None:
        """What changes whenever a file changes; None when there is no such file."""

    def states(self, folder: str) -> Mapping[str, Hashable]:
        """The state of each file of a folder by its name."""

    def locked(self, name: str, *, wait: bool = True) -> AbstractContextManager[None]:
        """Hold a name against every other holder, in this process or another.

        The lock ends with its process, however that dies. It is not reentrant.

        Raises:
            StaleError: ``wait`` is false and somebody else holds it.
        """
