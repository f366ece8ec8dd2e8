"""Releases: what the ledger's entries say of one, and the states it can be in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from mlops_assets.domain.canonical import moment_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mlops_assets.domain.circuit import Policy
    from mlops_assets.domain.identifiers import CircuitKey

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
# Stages that people open, with the state a request needs and the one it leads to.
BEFORE_REQUEST: Mapping[Stage, State] = {"registry": "candidate", "production": "tested"}
AWAITING: Mapping[Stage, State] = {
    "registry": "awaiting_registry",
    "production": "awaiting_production",
}
_WAITS_FOR: Mapping[State, str] = {
    "candidate": "a registry request",
    "registered": "the test stage",
    "tested": "a production request",
}


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
    """The window in which people may sign one stage. ``approvals`` names who approved so far."""

    release: str
    stage: Stage
    nonce: str
    requester: str
    requested_at: datetime
    expires_at: datetime
    approvals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """One recorded statement: who decided what, when, under which nonce and trust root.

    ``statement`` and ``signature`` are SHA-256 of the two stored files.
    """

    stage: Stage
    nonce: str
    principal: str
    decision: Literal["approve", "reject"]
    statement: str
    signature: str
    trust_commit: str
    comment: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumed:
    """A request whose stage has begun, with the statements that opened it."""

    stage: Stage
    nonce: str
    statements: tuple[str, ...]
    requester: str
    requested_at: datetime
    expires_at: datetime
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseView:
    """One release as the ledger tells it.

    ``begun`` is a stage that consumed its request and has not ended; ``deployed`` the circuits it
    put live (a release that failed in production may have put some), ``rolled_back`` those of them
    that were rolled back from it; ``failed`` the reasons by circuit. ``lapsed`` is the nonce of a
    request that ran out and is not recorded as expired yet. ``test_evidence`` is the SHA-256 of the
    test stage's result, once it passed.
    """

    release: str
    digest: str
    state: State
    circuits: tuple[CircuitKey, ...]
    attempt: int
    config_commit: str
    created_at: datetime
    open_request: OpenRequest | None = None
    begun: Consumed | None = None
    consumed: tuple[Consumed, ...] = ()
    signed: tuple[Signed, ...] = ()
    copied_approval: Mapping[str, Any] | None = None
    deployed: tuple[CircuitKey, ...] = ()
    rolled_back: tuple[CircuitKey, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    broken: Stage | None = None
    superseded_by: str | None = None
    superseded_recorded: bool = False
    lapsed: str | None = None
    test_evidence: str | None = None

    @property
    def open(self) -> bool:
        """Whether it may still go on."""
        return self.state in OPEN_STATES

    def waits_for(self, policy: Policy) -> str:
        """What must happen next, for people; empty at an end.

        Signatures are counted here, not verified: the stage itself refuses those that are void.
        """
        if self.begun and self.state != "errored":
            return f"the {self.begun.stage} stage to be finished"
        if self.open_request and self.state != "errored":
            return _asks(self.open_request, policy.stage(self.open_request.stage).quorum)
        if self.state == "errored":
            return f"the {self.broken} stage to be tried again: {self.reason}"
        return _WAITS_FOR.get(self.state, "")


def _asks(request: OpenRequest, quorum: int) -> str:
    """What an open request lacks: signatures, or only the stage that they open."""
    until, signed = moment_text(request.expires_at), len(request.approvals)
    by = f"signed by {', '.join(request.approvals)}"
    if signed >= quorum:
        return (
            f"`mlops release promote {request.release} --stage {request.stage}` until {until}, "
            f"which the daemon does by itself: {by}"
        )
    count = f" ({signed} of {quorum})" if quorum > 1 else ""
    return f"{request.stage} approval{count} until {until}" + (f", {by}" if signed else "")
