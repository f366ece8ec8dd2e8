"""Signed statements: what people were asked, and whether what they signed counts.

That a stage was opened is known from the ledger, and whoever can write to the ledger can say so.
What follows the registry stage therefore asks anew who signed it, as if it were to begin now.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from mlops_assets.domain import lifecycle
from mlops_assets.domain.approval import (
    WINDOW_HOURS,
    Asked,
    Statement,
    authenticate,
    evidence_digests,
    previous_digest,
    verify,
)
from mlops_assets.domain.canonical import shown
from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.evidence import PRODUCTION_KINDS
from mlops_assets.domain.gates import Verdict, judge_approval
from mlops_assets.domain.identifiers import sha256
from mlops_assets.domain.release import OpenRequest
from mlops_assets.domain.review import LATER
from mlops_assets.flows import rollout
from mlops_assets.flows.ledger import (
    authors_of,
    four_eyes,
    live_releases,
    manifest_of,
    trust_at,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from mlops_assets.domain.circuit import Config, StagePolicy
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.manifest import Manifest
    from mlops_assets.domain.release import Consumed, ReleaseView, Signed, Stage
    from mlops_assets.domain.trust import TrustRoot
    from mlops_assets.ports import Platform


def asked(platform: Platform, view: ReleaseView, manifest: Manifest, request: OpenRequest) -> Asked:
    """What a statement for a request must say, recomputed from storage now."""
    live: Mapping[CircuitKey, str | None]
    if view.begun is not None:
        live = {entry.circuit: entry.replaces for entry in manifest.entries}
    else:
        live = live_releases(platform.prod, manifest.circuits)
    return Asked(
        request=request,
        manifest=manifest,
        evidence=evidence_of(platform, manifest, request.stage),
        previous=previous_digest(live),
    )


def evidence_of(platform: Platform, manifest: Manifest, stage: Stage) -> dict[str, str]:
    """The SHA-256 by kind of the evidence that people sign for a stage."""
    if stage == "registry":
        own = {
            kind: platform.dev.evidence.read_release(manifest.release, kind)
            for kind in (rollout.EVIDENCE, LATER)
        }
        extra = {kind: sha256(data) for kind, data in own.items() if data is not None}
        return evidence_digests(manifest) | extra
    stored = {
        kind: platform.dev.evidence.read_release(manifest.release, kind)
        for kind in PRODUCTION_KINDS
    }
    return {kind: sha256(data) for kind, data in stored.items() if data is not None}


def stage_policy(config: Config, stage: Stage) -> StagePolicy:
    """The policy of a stage that people open."""
    return config.policy.stage(stage)


def window_hours(config: Config, stage: Stage) -> int:
    """How long a request stays open; the policy may shorten the day, never lengthen it."""
    return max(1, min(WINDOW_HOURS, stage_policy(config, stage).expires_hours))


def check_statement(
    platform: Platform,
    config: Config,
    signed: Statement,
    asked_for: Asked,
    *,
    trust: TrustRoot,
    now: datetime,
) -> None:
    """Refuse a statement that does not count for its request at ``now``."""
    manifest = asked_for.manifest
    reviewed = signed.decision == "approve" and not (
        manifest.four_eyes == "off" and four_eyes(platform.ledger.entries(), config.policy) == "off"
    )
    verify(
        signed,
        asked=asked_for,
        trust=trust,
        policy=stage_policy(config, asked_for.request.stage),
        authors=authors_of(platform, manifest, trust) if reviewed else None,
        now=now,
    )


def approval(
    platform: Platform,
    config: Config,
    view: ReleaseView,
    manifest: Manifest,
    stage: Stage,
    *,
    now: datetime,
) -> Verdict:
    """Verify every recorded statement of the stage's request again."""
    quorum = stage_policy(config, stage).quorum
    request = view.open_request
    if request is None or request.stage != stage:
        done = next((c for c in reversed(view.consumed) if c.stage == stage), None)
        return _past(view, stage, done, quorum)
    decided_at = view.begun.at if view.begun else now
    recorded = [each for each in view.signed if each.nonce == request.nonce]
    asked_for = asked(platform, view, manifest, request)
    return _count(platform, config, asked_for, recorded, decided_at=decided_at, now=now)


def _count(
    platform: Platform,
    config: Config,
    asked_for: Asked,
    recorded: Iterable[Signed],
    *,
    decided_at: datetime,
    now: datetime | None,
) -> Verdict:
    """Verify recorded approvals under the trust root of now; without ``now`` as they were given."""
    stage, trust = asked_for.request.stage, trust_at(platform.config)
    approved: list[str] = []
    refused: list[str] = []
    for each in recorded:
        if each.decision != "approve":
            continue
        try:
            signed = read_signed(platform, each, trust, now or each.at)
            check_statement(platform, config, signed, asked_for, trust=trust, now=decided_at)
        except RefusedError as error:
            refused.append(f"{each.principal}: {error.code} {error.reason}")
        else:
            approved.append(signed.approver)
    quorum = stage_policy(config, stage).quorum
    return judge_approval(stage, approved=approved, quorum=quorum, refused=refused)


def _past(view: ReleaseView, stage: Stage, done: Consumed | None, quorum: int) -> Verdict:
    """What was decided, for people; it opens nothing, because the stage is not to be begun."""
    if done is not None:
        names = [s.principal for s in view.signed if s.statement in done.statements]
        return judge_approval(stage, approved=names, quorum=quorum, refused=())
    if stage == "registry" and view.copied_approval is not None:
        copied = view.copied_approval
        return Verdict("registry_approval", passed=True, reason=f"as in {copied['release']}")
    return judge_approval(stage, approved=(), quorum=quorum, refused=("no request is open",))


def read_signed(platform: Platform, recorded: Signed, trust: TrustRoot, now: datetime) -> Statement:
    """One recorded statement, its files checked and its signature verified again."""
    data = platform.ledger.get("approvals", f"{recorded.statement}.json")
    armored = platform.ledger.get("approvals", f"{recorded.signature}.sig")
    if (
        data is None
        or armored is None
        or (sha256(data), sha256(armored)) != (recorded.statement, recorded.signature)
    ):
        raise RefusedError("E_APPROVAL_FILE", "its statement or signature is gone or changed")
    signed = authenticate(data, armored, trust=trust, now=now)
    if (signed.approver, signed.decision) != (recorded.principal, recorded.decision):
        raise RefusedError("E_APPROVER", f"{signed.approver} signed it")
    return signed


def registered(
    platform: Platform, config: Config, view: ReleaseView, manifest: Manifest
) -> Verdict:
    """Ask again whether the right people signed a release for the registry.

    Each signature counts under the trust root and the policy of now, by the key that was good when
    it was given.
    """
    stage, quorum = "registry", stage_policy(config, "registry").quorum
    try:
        source = copied_from(platform, view) if view.copied_approval else (view, manifest)
        done = next((done for done in source[0].consumed if done.stage == stage), None)
        if done is None:
            return judge_approval(stage, approved=(), quorum=quorum, refused=())
        recorded = given(source[0], done)
    except RefusedError as error:
        why = f"{view.release}: {error.code} {error.reason}"
        return judge_approval(stage, approved=(), quorum=quorum, refused=(why,))
    asked_for = asked_then(platform, source[1], done)
    return _count(platform, config, asked_for, recorded, decided_at=done.at, now=None)


def asked_then(platform: Platform, manifest: Manifest, done: Consumed) -> Asked:
    """What a statement had to say for a stage that has begun, recomputed from storage."""
    request = OpenRequest(
        release=manifest.release,
        stage=done.stage,
        nonce=done.nonce,
        requester=done.requester,
        requested_at=done.requested_at,
        expires_at=done.expires_at,
    )
    return Asked(
        request=request,
        manifest=manifest,
        evidence=evidence_of(platform, manifest, done.stage),
        previous=previous_digest({entry.circuit: entry.replaces for entry in manifest.entries}),
    )


def given(view: ReleaseView, done: Consumed) -> Sequence[Signed]:
    """The approvals that opened a stage, each as it was recorded for it.

    Raises:
        RefusedError: it was opened by one that nobody recorded.
    """
    found = {
        each.statement: each
        for each in view.signed
        if each.nonce == done.nonce and each.decision == "approve"
    }
    if not found.keys() >= set(done.statements):
        raise RefusedError(
            "E_APPROVAL", f"{done.stage} was opened by statements that nobody recorded"
        )
    return [found[name] for name in dict.fromkeys(done.statements)]


def copied_from(platform: Platform, view: ReleaseView) -> tuple[ReleaseView, Manifest]:
    """The release whose registry approval another carries on, with its manifest.

    Raises:
        RefusedError: it has no such approval, or one that is not for these entries: they must be
            those of a release that failed in test, and the approval was less than a day old.
    """
    copied, known = view.copied_approval or {}, lifecycle.fold(platform.ledger.entries(), None)
    name = copied.get("release")
    source = next((each for each in known if each.release == name), None)
    consumed = source.consumed if source else ()
    done = next((each for each in consumed if each.stage == "registry"), None)
    opened = None if done is None else (done.nonce, list(done.statements))
    if source is None or done is None or opened != (copied.get("nonce"), copied.get("statements")):
        raise RefusedError("E_COPIED", f"it copied an approval that {shown(name)} never had")
    ours, theirs = manifest_of(platform.ledger, view), manifest_of(platform.ledger, source)
    same = {each.digest for each in ours.entries} <= {each.digest for each in theirs.entries}
    first = min((each.at for each in given(source, done)), default=view.created_at)
    for wrong, why in (
        (not same or ours.four_eyes != theirs.four_eyes, "for other content"),
        (source.state != "failed" or len(consumed) > 1, "which did not fail in test"),
        (view.created_at - first >= timedelta(hours=WINDOW_HOURS), "more than a day old"),
    ):
        if wrong:
            raise RefusedError("E_COPIED", f"it copied the approval of {source.release}, {why}")
    return source, theirs
