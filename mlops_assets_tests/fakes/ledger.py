"""The ledger in memory, with its anchors beside it."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mlops_assets.domain.errors import DataError, RefusedError, StaleError
from mlops_assets.domain.ledger import anchor_of, anchor_problems, following, line_of, read_log

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from mlops_assets.domain.release import LedgerEntry

KINDS = ("releases", "requests", "approvals", "consumed", "collected")


class FakeLedger:
    """Keeps the log as bytes, so that tests can break any of them.

    ``crash_after`` raises once that many more appends were written, as a killed process would.
    """

    def __init__(self) -> None:
        self.log = b""
        self.anchors: list[str] = []
        self.files: dict[tuple[str, str], bytes] = {}
        self.crash_after: int | None = None
        self._lock = threading.RLock()
        self._known: tuple[bytes, Sequence[LedgerEntry]] = (b"", ())

    @contextmanager
    def lock(self) -> Iterator[None]:
        with self._lock:
            entries = self._read()
            if problems := anchor_problems(entries, self.anchors):
                raise RefusedError("E_ANCHOR", problems[0])
            yield

    def append(self, event: str, actor: str, data: Mapping[str, Any], now: datetime) -> LedgerEntry:
        with self.lock():
            if self.crash_after == 0:
                raise KeyboardInterrupt
            entries = self._read()
            last = entries[-1] if entries else None
            entry = following(last, event=event, actor=actor, data=data, now=now)
            self.log += line_of(entry)
            self.anchors.append(anchor_of(entry))
            if self.crash_after is not None:
                self.crash_after -= 1
        return entry

    def entries(self) -> Sequence[LedgerEntry]:
        return self._read()

    def put(self, kind: str, name: str, data: bytes) -> bool:
        if (known := self.files.get(self._name(kind, name))) is not None:
            if known != data:
                raise StaleError(f"ledger/{kind}/{name}: is written once and holds other content")
            return False
        self.files[kind, name] = data
        return True

    def get(self, kind: str, name: str) -> bytes | None:
        return self.files.get(self._name(kind, name))

    def names(self, kind: str) -> Sequence[str]:
        return sorted(name for other, name in self.files if other == kind)

    def _read(self) -> Sequence[LedgerEntry]:
        """Return the entries; the same bytes are read once."""
        if self._known[0] != self.log:
            self._known = (self.log, read_log(self.log, lambda: self.anchors))
        return self._known[1]

    def events(self) -> list[str]:
        """The events in order."""
        return [entry.event for entry in self.entries()]

    @staticmethod
    def _name(kind: str, name: str) -> tuple[str, str]:
        if kind not in KINDS or "/" in name or name.startswith("."):
            raise DataError(
                f"ledger/{kind}/{name}: is not a name that the ledger keeps files under"
            )
        return kind, name
