"""The ledger as files: `log.jsonl` that only grows, and write-once files beside it.

An append writes the line for good, and anchors its hash outside before it is acknowledged. A crash
can leave a torn line (never acknowledged: the next append takes its place) or a whole line without
its anchor (anchored by the next holder of the lock). Anything else that differs is refused.
"""

from __future__ import annotations

import re
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.tree import step
from mlops_assets.domain.errors import DataError, RefusedError
from mlops_assets.domain.ledger import (
    RESTORED,
    anchor_of,
    anchor_problems,
    following,
    line_of,
    lost_heads,
    read_log,
    standing_heads,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from mlops_assets.adapters.tree import Tree
    from mlops_assets.domain.release import LedgerEntry

_LOG = "log.jsonl"
_LOCK = ".lock"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", re.ASCII)
_KINDS = ("releases", "requests", "approvals", "consumed", "collected")


class TreeLedger:
    """The ledger of one home; ``anchor`` and ``anchored`` keep its head outside of it.

    Where anchors ``stay`` for good no entry can say that what they name was lost.
    """

    def __init__(
        self,
        tree: Tree,
        anchor: Callable[[str], None],
        anchored: Callable[[], Sequence[str]],
        *,
        stay: bool = False,
    ) -> None:
        self._tree = tree
        self._stay = stay
        self._anchor = anchor
        self._anchored = anchored
        self._thread = threading.RLock()
        self._depth = 0
        self._known: tuple[bytes, tuple[LedgerEntry, ...]] = (b"", ())

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the ledger over a read and an append; may be nested in one process."""
        with self._thread, ExitStack() as stack:
            if self._depth == 0:
                stack.enter_context(self._tree.locked(_LOCK))
                self._recover()
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1

    def append(self, event: str, actor: str, data: Mapping[str, Any], now: datetime) -> LedgerEntry:
        """Add one entry under the lock, fsynced and anchored before this returns."""
        with self.lock():
            log = self._whole_lines()
            entries = self._read(log)
            last = entries[-1] if entries else None
            entry = following(last, event=event, actor=actor, data=data, now=now)
            self._tree.append(_LOG, line_of(entry), at=len(log))
            step("ledger.written", self._tree.where(_LOG))
            self._anchor(anchor_of(entry))
            step("ledger.anchored", self._tree.where(_LOG))
        return entry

    def entries(self) -> Sequence[LedgerEntry]:
        """All entries; a broken chain is refused by name, a line in writing is not seen yet."""
        return self._read(self._whole_lines())

    def accept_loss(self, operator: str, reason: str, now: datetime) -> int:
        """Go on from a log that ends before what was anchored, as after a restore.

        The entry names each lost one by number and hash for good. Returns how many there were;
        a log that differs from its anchors in any other way is refused as ever.
        """
        if self._stay:
            raise RefusedError(
                "E_ANCHOR",
                f"{self._tree.where(_LOG)}: its anchors stay for good, so no entry says that "
                "decisions were lost; docs/identities.md says who may void them",
            )
        with self._thread, self._tree.locked(_LOCK):
            log = self._whole_lines()
            entries = self._read(log)
            lost = lost_heads(entries, self._anchored())
            if not lost:
                return 0
            data = {"lost": lost, "operator": operator, "reason": reason}
            entry = following(entries[-1], event=RESTORED, actor=operator, data=data, now=now)
            if problems := anchor_problems([*entries, entry], self._anchored()):
                raise RefusedError("E_ANCHOR", f"{problems[0]}; see `mlops verify`")
            self._tree.append(_LOG, line_of(entry), at=len(log))
            self._anchor(anchor_of(entry))
        return len({seq for seq, _ in lost})

    def put(self, kind: str, name: str, data: bytes) -> bool:
        """Write ``ledger/<kind>/<name>`` once; False when the same bytes were there already."""
        return self._tree.write_once(_path(kind, name), data)

    def get(self, kind: str, name: str) -> bytes | None:
        """Read such a file."""
        return self._tree.read(_path(kind, name))

    def names(self, kind: str) -> Sequence[str]:
        """Names under ``ledger/<kind>``, sorted."""
        _path(kind, "any")
        return [name for name in self._tree.names(kind) if _NAME.fullmatch(name)]

    def _whole_lines(self) -> bytes:
        log = self._tree.read_log(_LOG)
        return log[: log.rfind(b"\n") + 1]

    def _read(self, log: bytes) -> tuple[LedgerEntry, ...]:
        """Read whole lines; the same bytes are checked once."""
        if log != self._known[0]:
            self._known = (log, read_log(log, self._anchored))
        return self._known[1]

    def _recover(self) -> None:
        """Finish what a killed append left, and refuse what no crash can leave."""
        entries = self.entries()
        anchors = self._anchored()
        if problems := anchor_problems(entries, anchors, stay=self._stay):
            raise RefusedError("E_ANCHOR", f"{problems[0]}; see `mlops verify`")
        if entries and entries[-1].seq not in standing_heads(entries, anchors, stay=self._stay):
            self._anchor(anchor_of(entries[-1]))


def _path(kind: str, name: str) -> str:
    if kind not in _KINDS or not _NAME.fullmatch(name):
        raise DataError(f"ledger/{kind}/{name}: is not a name that the ledger keeps files under")
    return f"{kind}/{name}"
