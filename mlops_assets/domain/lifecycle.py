"""The life of a release: which entry of the ledger may follow in which state, and where it leads.

candidate -> awaiting_registry -> registered -> tested -> awaiting_production -> deployed

A request that expires takes its release back to the state before. ``errored`` keeps the stage that
broke and may be tried again. ``failed``, ``rejected``, ``superseded`` and ``rolled_back`` are ends.
The nonce of a request is consumed when its stage begins: from then on the stage is finished or
failed, whatever the hour.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from mlops_assets.domain.canonical import read_moment, shown
from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.ledger import well_formed
from mlops_assets.domain.release import (
    AWAITING,
    BEFORE_REQUEST,
    Consumed,
    LedgerEntry,
    OpenRequest,
    ReleaseView,
    Signed,
    Stage,
    State,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime


def fold(entries: Iterable[LedgerEntry], now: datetime | None) -> tuple[ReleaseView, ...]:
    """Return every release in order of creation, requests that ran out by ``now`` taken back.

    An entry that its release's state does not allow raises RefusedError: nothing is decided on a
    log that no correct platform has written. With ``now`` None nothing runs out.
    """
    views: dict[str, ReleaseView] = {}
    for entry in entries:
        with well_formed(entry):
            _apply(views, entry)
    if now is None:
        return tuple(views.values())
    return tuple(_lapse(view, now) for view in views.values())


def _apply(views: dict[str, ReleaseView], entry: LedgerEntry) -> None:
    if entry.event == "released":
        if entry.data["release"] in views:
            raise _impossible(entry, "is there already")
        views[entry.data["release"]] = _released(entry)
    elif entry.event == "rolled_back":
        _roll_back(views, entry)
    elif entry.event == "unheld":
        _let_go({}, entry)
    elif change := _CHANGES.get(entry.event):
        view = views.get(entry.data["release"])
        if view is None:
            raise _impossible(entry, "was never created")
        view = _lapse(view, entry.at) if entry.event == "requested" else view
        views[view.release] = change(view, entry)
        if entry.event in ("deployed", "failed"):
            _supersede(views, views[view.release])


def _impossible(entry: LedgerEntry, why: str) -> RefusedError:
    release = shown(entry.data.get("release"))
    return RefusedError("E_LEDGER", f"ledger entry {entry.seq}: {entry.event}, but {release} {why}")


def _expect(view: ReleaseView, entry: LedgerEntry, allowed: bool) -> None:  # noqa: FBT001
    if not allowed:
        raise _impossible(entry, f"is {view.state}")


def _released(entry: LedgerEntry) -> ReleaseView:
    data = entry.data
    copied = data.get("copied_approval")
    return ReleaseView(
        release=data["release"],
        digest=data["digest"],
        state="registered" if copied else "candidate",
        circuits=tuple(CircuitKey.parse(key) for key in data["circuits"]),
        attempt=data["attempt"],
        config_commit=data["config_commit"],
        created_at=entry.at,
        copied_approval=copied,
    )


def _requested(view: ReleaseView, entry: LedgerEntry) -> ReleaseView:
    stage: Stage = entry.data["stage"]
    _expect(view, entry, view.state == BEFORE_REQUEST.get(stage))
    request = OpenRequest(
        release=view.release,
        stage=stage,
        nonce=entry.data["nonce"],
        requester=entry.actor,
        requested_at=entry.at,
        expires_at=read_moment(entry.data["expires_at"]),
    )
    return replace(view, state=AWAITING[stage], open_request=request, lapsed=None)


def _asked(view: ReleaseView, entry: LedgerEntry) -> OpenRequest:
    """Return the request that an entry is about, which must be open under the same nonce."""
    request = view.open_request
    if request is None or request.nonce != entry.data["nonce"]:
        raise _impossible(entry, "has no such open request")
    return request


def _signed(
    view: ReleaseView, entry: LedgerEntry, decision: Literal["approve", "reject"]
) -> Signed:
    request = _asked(view, entry)
    _expect(view, entry, view.begun is None and entry.at < request.expires_at)
    data = entry.data
    return Signed(
        stage=request.stage,
        nonce=request.nonce,
        principal=data["principal"],
        decision=decision,
        statement=data["statement"],
        signature=data.get("signature", ""),
        trust_commit=data.get("trust_commit", ""),
        comment=data.get("comment", ""),
        at=entry.at,
    )


def _approved(view: ReleaseView, entry: LedgerEntry) -> ReleaseView:
    signed, request = _signed(view, entry, "approve"), _asked(view, entry)
    if signed.principal in request.approvals:
        raise _impossible(entry, f"was approved by {signed.principal} before")
    approvals = (*request.approvals, signed.principal)
    return replace(
        view,
        open_request=replace(request, approvals=approvals),
        signed=(*view.signed, signed),
    )


def _rejected(view: ReleaseView, entry: LedgerEntry) -> ReleaseView:
    signed = _signed(view, entry, "reject")
    return replace(
        view,
        state="rejected",
        open_request=None,
        signed=(*view.signed, signed),
        reason=f"rejected by {signed.principal}"
        + (f": {signed.comment}" if signed.comment else ""),
    )


def _expired(view: ReleaseView, entry: LedgerEntry) -> ReleaseView:
    request = _asked(view, entry)
    _expect(view, entry, view.begun is None and entry.at >= request.expires_at)
    return replace(view, state=BEFORE_REQUEST[request.stage], open_request=None)


def _lapse(view: ReleaseView, now: datetime) -> ReleaseView:
    request = view.open_request
    if request is None or view.begun or now < request.expires_at:
        return view
    state = BEFORE_REQUEST[request.stage]
    return replace(view, state=state, open_request=None, lapsed=request.nonce)


def _consumed(view: ReleaseView, entry: LedgerEntry) -> ReleaseView:
    request = _asked(view, entry)
    _expect(view, entry, view.begun is None and entry.at < request.expires_at)
    consumed = Consumed(
        stage=request.stage,
        nonce=request.nonce,
        statements=tuple(entry.data["statements"]),
        requester=request.requester,
        requested_at=request.requested_at,
        expires_at=request.expires_at,
        at=entry.at,
    )
    return replace(view, begun=consumed, consumed=(*view.consumed, consumed))


def _begun(view: ReleaseView, stage: Stage) -> bool:
    return view.begun is not None and view.begun.stage == stage


def _done(view: ReleaseView, state: State) -> ReleaseView:
    return replace(view, state=state, open_request=None, begun=None, broken=None, reason="")


def _registered(view: ReleaseView, entry: LedgerEntry) -> ReleaseView:
    _expect(view, entry, _begun(view, "registry"))
    return _done(view, "registered")


def _in_test(view: ReleaseView) -> bool:
    return view.state == "registered" or (view.state == "errored" and view.broken == "test")


def _tested(view: ReleaseView, entry: LedgerEntry) -> ReleaseView:
    _expect(view, entry, _in_test(view))
    return replace(_done(view, "tested"), test_evidence=entry.data.get("evidence"))


def _deployed(view: ReleaseView, entry: LedgerEntry) -> ReleaseView:
    _expect(view, entry, _begun(view, "production"))
    circuits = {CircuitKey.parse(key) for key in entry.data["circuits"]} | set(view.rolled_back)
    return _settled(replace(_done(view, "deployed"), deployed=tuple(sorted(circuits))))


def _settled(view: ReleaseView) -> ReleaseView:
    """A deployed release ends once all its circuits were rolled back from it."""
    ended = view.state == "deployed" and view.rolled_back == view.deployed
    return replace(view, state="rolled_back") if ended else view


def _failed(view: ReleaseView, entry: LedgerEntry) -> ReleaseView:
    stage: Stage = entry.data["stage"]
    _expect(view, entry, _in_test(view) if stage == "test" else _begun(view, stage))
    return replace(
        _done(view, "failed"),
        failed=dict(entry.data["circuits"]),
        deployed=tuple(CircuitKey.parse(key) for key in sorted(entry.data.get("deployed", ()))),
        reason=f"failed in {stage}",
    )


def _errored(view: ReleaseView, entry: LedgerEntry) -> ReleaseView:
    stage: Stage = entry.data["stage"]
    _expect(view, entry, _in_test(view) if stage == "test" else _begun(view, stage))
    return replace(view, state="errored", broken=stage, reason=entry.data["reason"])


def _superseded(view: ReleaseView, entry: LedgerEntry) -> ReleaseView:
    _expect(view, entry, view.state == "superseded" and not view.superseded_recorded)
    return replace(view, superseded_recorded=True)


def _supersede(views: dict[str, ReleaseView], winner: ReleaseView) -> None:
    for other in views.values():
        if other.open and not set(winner.deployed).isdisjoint(other.circuits):
            views[other.release] = replace(
                _done(other, "superseded"),
                superseded_by=winner.release,
                reason=f"{winner.release} deployed first",
            )


def _roll_back(views: dict[str, ReleaseView], entry: LedgerEntry) -> None:
    """Nothing is refused here: a rollback may come before a killed deployment was recorded."""
    for key, step in entry.data["circuits"].items():
        circuit, view = CircuitKey.parse(key), views.get(step["from"])
        if view is not None:
            gone = tuple(sorted({*view.rolled_back, circuit}))
            views[view.release] = _settled(replace(view, rolled_back=gone))


_CHANGES = {
    "requested": _requested,
    "approved": _approved,
    "rejected": _rejected,
    "expired": _expired,
    "consumed": _consumed,
    "registered": _registered,
    "tested": _tested,
    "deployed": _deployed,
    "failed": _failed,
    "errored": _errored,
    "superseded": _superseded,
}


def holds(entries: Iterable[LedgerEntry]) -> Mapping[CircuitKey, frozenset[str]]:
    """Return the model digests that each circuit was rolled back from and nobody unheld."""
    held: dict[CircuitKey, frozenset[str]] = {}
    for entry in entries:
        with well_formed(entry):
            if entry.event == "rolled_back":
                for key, digest in entry.data.get("held", {}).items():
                    circuit = CircuitKey.parse(key)
                    held[circuit] = held.get(circuit, frozenset()) | {digest}
            elif entry.event == "unheld":
                _let_go(held, entry)
    return held


def _let_go(held: dict[CircuitKey, frozenset[str]], entry: LedgerEntry) -> None:
    for key in entry.data["circuits"]:
        held.pop(CircuitKey.parse(key), None)


def find(views: Sequence[ReleaseView], release: str) -> ReleaseView:
    """Return one release, or refuse in one sentence."""
    for view in views:
        if view.release == release:
            return view
    raise RefusedError("E_RELEASE", f"there is no release {release}: see `mlops release list`")
