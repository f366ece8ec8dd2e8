"""Requests and approvals: a window of 24 hours, statements to sign, signatures that count."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mlops_assets.domain import lifecycle
from mlops_assets.domain.approval import PLATFORM, Decision, authenticate
from mlops_assets.domain.approval import statement as statement_for
from mlops_assets.domain.canonical import moment_text, shown
from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.gates import refusals
from mlops_assets.domain.identifiers import canonical_json, sha256
from mlops_assets.domain.key_file import KeyFile
from mlops_assets.domain.ledger import check_clock
from mlops_assets.domain.release import AWAITING, BEFORE_REQUEST
from mlops_assets.domain.trust import checked_email
from mlops_assets.flows import review, rollout
from mlops_assets.flows.gates import before_request
from mlops_assets.flows.ledger import manifest_of, stale_circuits, trust_at
from mlops_assets.flows.signed import asked, check_statement, window_hours

if TYPE_CHECKING:
    from datetime import datetime

    from mlops_assets.domain.approval import Statement
    from mlops_assets.domain.circuit import Config, Policy
    from mlops_assets.domain.manifest import Manifest
    from mlops_assets.domain.release import OpenRequest, ReleaseView, Stage
    from mlops_assets.ports import Platform, Signer

ACCEPTED = "OK"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """An opened request; without nonce it was refused and ``missing`` says why."""

    release: str
    stage: Stage
    nonce: str | None
    expires_at: datetime | None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What became of one signed statement."""

    accepted: bool
    code: str
    reason: str


def request(
    platform: Platform,
    config: Config,
    release: str,
    stage: Stage,
    *,
    requester: str = PLATFORM,
    decision: Decision = "approve",
    now: datetime,
) -> Window:
    """Open the window of a stage, or return the one that is open.

    For production the way back is planned and dry-run first; for the registry, models that are to
    run in another environment are applied in both. Nothing is opened while a gate
    refuses, but to reject; all the reasons are in ``missing``.
    """
    if requester != PLATFORM:
        checked_email(requester, "the requester")
    compared = None
    if stage == "registry":
        # Before the ledger is held: applying models may take minutes.
        entries = platform.ledger.entries()
        found = lifecycle.find(lifecycle.fold(entries, check_clock(entries, now)), release)
        asked_for = manifest_of(platform.ledger, found)
        if found.state == BEFORE_REQUEST[stage]:
            compared = rollout.prove(platform, asked_for)
        review.keep(platform, config, asked_for)
    with platform.ledger.lock():
        moment, view = _current(platform, release, now)
        if (open_now := view.open_request) is not None and open_now.stage == stage:
            return Window(
                release=release, stage=stage, nonce=open_now.nonce, expires_at=open_now.expires_at
            )
        if view.state != BEFORE_REQUEST.get(stage):
            raise RefusedError("E_STATE", _wrong_state(view, stage, config.policy))
        manifest = manifest_of(platform.ledger, view)
        if compared is not None:
            platform.dev.evidence.replace_release(release, rollout.EVIDENCE, compared)
        if stage == "production" and not stale_circuits(platform, view, manifest):
            _plan_rollback(platform, manifest)
        verdicts = before_request(platform, config, view, manifest, stage)
        missing = refusals(verdicts)
        if missing and decision == "approve":
            return Window(
                release=release, stage=stage, nonce=None, expires_at=None, missing=missing
            )
        nonce = secrets.token_hex(32)
        expires_at = moment + timedelta(hours=window_hours(config, stage))
        data = {
            "release": release,
            "stage": stage,
            "nonce": nonce,
            "expires_at": moment_text(expires_at),
        }
        platform.ledger.put(
            "requests", f"{nonce}.json", canonical_json(data | {"requester": requester})
        )
        platform.ledger.append("requested", requester, data, moment)
    return Window(release=release, stage=stage, nonce=nonce, expires_at=expires_at)


def _current(platform: Platform, release: str, now: datetime) -> tuple[datetime, ReleaseView]:
    """Record what ran out, and look a release up; the caller holds the ledger."""
    expire(platform, now=now)
    entries = platform.ledger.entries()
    moment = check_clock(entries, now)
    return moment, lifecycle.find(lifecycle.fold(entries, moment), release)


def _wrong_state(view: ReleaseView, stage: Stage, policy: Policy) -> str:
    awaited = view.waits_for(policy)
    waits = f"it waits for {awaited}" if awaited else "that is an end"
    return f"{view.release} is {view.state}, so {stage} cannot be requested: {waits}"


def _plan_rollback(platform: Platform, manifest: Manifest) -> None:
    from mlops_assets.flows.deployment import rollback_plan

    plan = rollback_plan(platform.prod, platform.registry, manifest)
    # No request that names another plan is open: the caller holds the ledger and opens one.
    platform.dev.evidence.replace_release(manifest.release, "rollback_plan", canonical_json(plan))


def statement(  # noqa: PLR0917 the contract of tools that call it
    platform: Platform,
    config: Config,
    release: str,
    stage: Stage,
    principal: str,
    decision: Decision = "approve",
    *,
    now: datetime,
) -> bytes:
    """The bytes that one person has to sign for the open request."""
    checked_email(principal, "the principal")
    entries = platform.ledger.entries()
    moment = check_clock(entries, now)
    view = lifecycle.find(lifecycle.fold(entries, moment), release)
    open_request = _open_request(view, stage)
    manifest = manifest_of(platform.ledger, view)
    if decision == "approve":
        missing = refusals(before_request(platform, config, view, manifest, stage))
        if missing:
            raise RefusedError("E_EVIDENCE", "; ".join(missing))
    return statement_for(asked(platform, view, manifest, open_request), principal, decision)


def _open_request(view: ReleaseView, stage: str) -> OpenRequest:
    """The request that is open for a stage, or the reason why none is."""
    if view.state == "rejected":
        raise RefusedError("E_REJECTED", f"{view.release} was rejected: create a new release")
    if view.begun is not None or any(done.stage == stage for done in view.consumed):
        raise RefusedError("E_CONSUMED", f"{view.release}: the {stage} stage has begun already")
    if view.lapsed is not None:
        raise RefusedError(
            "E_EXPIRED", f"{view.release}: the request expired; request {stage} again"
        )
    if view.open_request is None or view.state not in AWAITING.values():
        raise RefusedError(
            "E_NO_REQUEST",
            f"{view.release} is {view.state} and no request is open: "
            f"`mlops release request {view.release} --stage {stage}`",
        )
    if stage != view.open_request.stage:
        raise RefusedError(
            "E_STAGE", f"{view.release} asks for {view.open_request.stage}, not for {stage}"
        )
    return view.open_request


def submit(
    platform: Platform,
    config: Config,
    statement: bytes,
    signature: bytes,
    *,
    now: datetime,
    comment: str = "",
) -> Submission:
    """Verify a signed statement and record it; a refusal is a result with its code."""
    try:
        with platform.ledger.lock():
            return _record(platform, config, statement, signature, now=now, comment=comment)
    except RefusedError as error:
        return Submission(accepted=False, code=error.code, reason=error.reason)


def _record(
    platform: Platform,
    config: Config,
    data: bytes,
    armored: bytes,
    *,
    now: datetime,
    comment: str,
) -> Submission:
    entries = platform.ledger.entries()
    moment = check_clock(entries, now)
    trust = trust_at(platform.config)
    signed = authenticate(data, armored, trust=trust, now=moment)
    view = lifecycle.find(lifecycle.fold(entries, moment), shown(signed.release))
    open_request = _open_request(view, shown(signed.predicate["stage"]))
    manifest = manifest_of(platform.ledger, view)
    asked_for = asked(platform, view, manifest, open_request)
    check_statement(platform, config, signed, asked_for, trust=trust, now=moment)
    if any(signed.sha256 == known.statement for known in view.signed):
        return _accepted(signed, view, "recorded before")
    if signed.decision == "approve":
        missing = refusals(before_request(platform, config, view, manifest, open_request.stage))
        if missing:
            raise RefusedError("E_EVIDENCE", "; ".join(missing))
    platform.ledger.put("approvals", f"{signed.sha256}.json", data)
    platform.ledger.put("approvals", f"{sha256(armored)}.sig", armored)
    content: dict[str, Any] = {
        "release": view.release,
        "stage": open_request.stage,
        "nonce": open_request.nonce,
        "principal": signed.approver,
        "statement": signed.sha256,
        "signature": sha256(armored),
        "trust_commit": trust.commit,
    }
    if comment:
        content["comment"] = comment
    event = "approved" if signed.decision == "approve" else "rejected"
    platform.ledger.append(event, signed.approver, content, moment)
    return _accepted(signed, view, "recorded")


def _accepted(signed: Statement, view: ReleaseView, how: str) -> Submission:
    verb = "approves" if signed.decision == "approve" else "rejects"
    return Submission(
        accepted=True,
        code=ACCEPTED,
        reason=f"{how}: {signed.approver} {verb} {signed.predicate['stage']} of {view.release}",
    )


def approve(  # noqa: PLR0917 as `statement`
    platform: Platform,
    config: Config,
    release: str,
    stage: Stage,
    key: bytes | Signer,
    comment: str = "",
    *,
    now: datetime,
) -> Submission:
    """Request if none is open, state, sign, and submit.

    ``key`` holds the bytes of a private key's file without passphrase, or whoever else signs.
    """
    return _decide(platform, config, release, stage, "approve", key=key, comment=comment, now=now)


def reject(  # noqa: PLR0917 as `statement`
    platform: Platform,
    config: Config,
    release: str,
    stage: Stage,
    key: bytes | Signer,
    comment: str = "",
    *,
    now: datetime,
) -> Submission:
    """The same, and end the release."""
    return _decide(platform, config, release, stage, "reject", key=key, comment=comment, now=now)


def _decide(
    platform: Platform,
    config: Config,
    release: str,
    stage: Stage,
    decision: Decision,
    *,
    key: bytes | Signer,
    comment: str,
    now: datetime,
) -> Submission:
    signer = KeyFile(key) if isinstance(key, bytes) else key
    try:
        public = signer.public_key
        with platform.ledger.lock():
            _, view = _current(platform, release, now)
        principal = trust_at(platform.config).signer(public, now).principal
        if view.state == BEFORE_REQUEST.get(stage):
            window = request(platform, config, release, stage, decision=decision, now=now)
            if window.nonce is None:
                return Submission(
                    accepted=False, code="E_EVIDENCE", reason="; ".join(window.missing)
                )
        data = statement(platform, config, release, stage, principal, decision, now=now)
        armored = signer.sign(data)
    except RefusedError as error:
        return Submission(accepted=False, code=error.code, reason=error.reason)
    return submit(platform, config, data, armored, now=now, comment=comment)


def expire(platform: Platform, *, now: datetime) -> tuple[str, ...]:
    """Record requests that ran out and releases that were superseded; returns those changed."""
    with platform.ledger.lock():
        entries = platform.ledger.entries()
        moment = check_clock(entries, now)
        changed: list[str] = []
        data: dict[str, Any]
        for view in lifecycle.fold(entries, moment):
            if view.lapsed is not None:
                stage = next(s for s, before in BEFORE_REQUEST.items() if before == view.state)
                data = {"release": view.release, "stage": stage, "nonce": view.lapsed}
                platform.ledger.append("expired", PLATFORM, data, moment)
                changed.append(view.release)
            elif view.state == "superseded" and not view.superseded_recorded:
                data = {"release": view.release, "by": view.superseded_by}
                platform.ledger.append("superseded", PLATFORM, data, moment)
                changed.append(view.release)
    return tuple(changed)
