"""Releases: the states one goes through, folded from the ledger's entries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

Stage = Literal["registry", "test", "production"]
State = Literal[
    "candidate",
    "awaiting_registry",
    "registered",
    "tested",
    "awaiting_production",
    "deployed",
    "failed",
    "rejected",
    "superseded",
    "rolled_back",
    "errored",
]
OPEN_STATES: frozenset[State] = frozenset(
    {"candidate", "awaiting_registry", "registered", "tested", "awaiting_production", "errored"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One line of the hash-chained log.

    ``prev`` is the SHA-256 of the previous line's bytes; entry 0 has 64 zeros. ``data`` is a JSON
    object without floats whose keys depend on ``event``.
    """

    seq: int
    prev: str
    at: datetime
    event: str
    actor: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRequest:
    """The window in which people may sign one stage."""

    release: str
    stage: Stage
    nonce: str
    requester: str
    requested_at: datetime
    expires_at: datetime
    approvals: tuple[str, ...] = ()
