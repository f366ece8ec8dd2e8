"""Asking the gates of a release, from storage and the ledger alone, never from an event log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

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
from mlops_assets.domain.errors import MlopsError, RefusedError
from mlops_assets.domain.evidence import PRODUCTION_KINDS, REGISTRY_KINDS
from mlops_assets.domain.gates import (
    Verdict,
    by_gate,
    contests,
    judge_approval,
    judge_base,
    judge_evidence,
    judge_model,
    judge_rollback_plan,
    judge_test,
)
from mlops_assets.domain.identifiers import EnvironmentRef, sha256
from mlops_assets.domain.ledger import check_clock
from mlops_assets.domain.proof import read_proof
from mlops_assets.domain.review import GATE, LATER
from mlops_assets.flows import restatement, review, rollout
from mlops_assets.flows.ledger import (
    authors_of,
    four_eyes,
    live_releases,
    manifest_of,
    stale_circuits,
    trust_at,
)
from mlops_assets.flows.lineage import confirm

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mlops_assets.domain.circuit import Config, StagePolicy
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.manifest import Entry, Manifest
    from mlops_assets.domain.release import Consumed, OpenRequest, ReleaseView, Signed, Stage
    from mlops_assets.domain.trust import TrustRoot
    from mlops_assets.ports import EnvironmentRegistry, ModelRegistry, Platform

# How JSON shows that has another form than was stored.
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


def gate(
    platform: Platform, config: Config, release: str, stage: Stage, *, now: datetime
) -> tuple[Verdict, ...]:
    """Every verdict on one stage of a release, refusals and all."""
    entries = platform.ledger.entries()
    moment = check_clock(entries, now)
    view = lifecycle.find(lifecycle.fold(entries, moment), release)
    return judge(platform, config, view, stage, moment)


def judge(
    platform: Platform, config: Config, view: ReleaseView, stage: Stage, now: datetime
) -> tuple[Verdict, ...]:
    """The same for a release that was looked up already."""
    manifest = manifest_of(platform.ledger, view)
    verdicts = before_request(platform, config, view, manifest, stage)
    if stage == "test":
        return verdicts
    return (*verdicts, _approval(platform, config, view, manifest, stage, now=now))


def before_request(
    platform: Platform, config: Config, view: ReleaseView, manifest: Manifest, stage: Stage
) -> tuple[Verdict, ...]:
    """What must hold before people may sign, and still when the stage begins."""
    base = judge_base(stale_circuits(platform, view, manifest))
    # What has begun is finished or failed: a half deployment is worse than corrected readings.
    begun = view.begun is not None and view.begun.stage == stage
    if stage == "registry":
        judged = circuit_verdicts(platform, config, manifest, begun=begun)
        merged = by_gate({str(key): verdicts for key, verdicts in judged.items()})
        rolled_out = rollout.verdict(platform, manifest)
        return (
            *merged,
            *([rolled_out] if rolled_out else []),
            _same_policy(platform, config, manifest),
            base,
        )
    endpoints = (platform.test if stage == "test" else platform.prod).endpoints
    room = endpoints.room([each.circuit for each in manifest.entries if each.action == "deploy"])
    verdicts: tuple[Verdict, ...] = (
        _artifacts(manifest, platform.registry.models, platform.registry.environments),
        _same_policy(platform, config, manifest),
        *(() if begun else restatement.merged(platform, manifest.entries)),
        *([room] if room else []),
        base,
    )
    if stage == "production":
        verdicts += (_test_verdict(platform, view, manifest), _plan_verdict(platform, view.release))
    return verdicts


def circuit_verdicts(
    platform: Platform, config: Config, manifest: Manifest, *, begun: bool = False
) -> dict[CircuitKey, tuple[Verdict, ...]]:
    """Evidence, review and figures of each circuit that is deployed, judged one by one."""
    trust = trust_at(platform.config)
    lineage = confirm(platform, manifest.entries)
    later = review.kept(platform, manifest.release)
    restated = {} if begun else restatement.verdicts(platform, manifest.entries)
    proved = {
        entry.circuit: _proved(platform, config, entry, trust, later)
        for entry in manifest.entries
        if entry.action == "deploy"
    }
    limits = config.policy.gates
    compared = contests(
        {str(key): proof for key, (_, proof) in proved.items() if proof}, limits.champion_margin
    )
    return {
        key: (
            *verdicts,
            lineage[key],
            *([restated[key]] if key in restated else []),
            *judge_model(proof, limits, compared.get(str(key))),
        )
        for key, (verdicts, proof) in proved.items()
    }


def _proved(
    platform: Platform,
    config: Config,
    entry: Entry,
    trust: TrustRoot,
    later: Mapping[str, Any] | None,
) -> tuple[tuple[Verdict, ...], dict[str, Any]]:
    """Judge what is kept of one circuit's model, and return its proof."""
    models = platform.dev.models
    missing, proof = missing_evidence(platform, entry), dict[str, Any]()
    reviewed = Verdict(GATE, passed=False, reason="its evidence is incomplete")
    if not missing:
        try:
            _check_model(entry, models)
            record = models.get(entry.circuit, entry.model_version)
            proof = read_proof(models.proof(record), where=f"model {entry.circuit}")
            reviewed = review.verdict(platform, config, entry, trust, later)
            _check_metrics(platform, entry, proof)
        except MlopsError as error:
            missing = (str(error),)
        except UNREADABLE as error:
            missing = (f"{entry.circuit}: its evidence cannot be read: {type(error).__name__}",)
    return (judge_evidence(missing), reviewed), proof


def _check_metrics(platform: Platform, entry: Entry, proof: Mapping[str, Any]) -> None:
    """Refuse figures that are not those of the signed evidence."""
    stored = json.loads(platform.dev.evidence.read(entry.circuit, entry.model_version, "metrics"))
    signed = [(stored.get(name) or {}).get("wape") for name in ("model", "floor", "incumbent")]
    judged = [(proof.get(name) or {}).get("wape") for name in ("metrics", "floor", "incumbent")]
    if stored.get("model_digest") != entry.model_digest or signed != judged:
        raise RefusedError(
            "E_EVIDENCE",
            f"{entry.circuit}: the figures beside model {entry.model_version} are not those of its "
            "evidence",
        )


def missing_evidence(platform: Platform, entry: Entry) -> tuple[str, ...]:
    """What one circuit's evidence lacks, or holds that is not what the manifest pins."""
    try:
        bundle = platform.dev.evidence.get(entry.circuit, entry.model_version)
    except MlopsError as error:
        return (str(error),)
    pinned = entry.evidence or {}
    stored = bundle.digests if bundle else {}
    return tuple(
        f"{kind} is not the one that the release pins"
        if kind in stored and kind in pinned
        else kind
        for kind in REGISTRY_KINDS
        if kind not in pinned or stored.get(kind) != pinned[kind]
    )


def _check_model(entry: Entry, models: ModelRegistry) -> None:
    record = models.get(entry.circuit, entry.model_version)
    if record.digest != entry.model_digest:
        raise RefusedError(
            "E_MODEL",
            f"model {entry.circuit} version {entry.model_version} has digest "
            f"{record.digest[:12]}, the release pins {entry.model_digest[:12]}",
        )
    models.files(record)


def _artifacts(
    manifest: Manifest, models: ModelRegistry, environments: EnvironmentRegistry
) -> Verdict:
    """Whether the shared registry holds exactly the models and environments that were signed."""
    problems: list[str] = []
    for entry in manifest.entries:
        if entry.action != "deploy":
            continue
        try:
            _check_model(entry, models)
            environment = environments.get(EnvironmentRef.parse(entry.environment))
        except MlopsError as error:
            problems.append(str(error))
            continue
        if environment is None or environment.digest != entry.environment_digest:
            problems.append(f"{entry.circuit}: {entry.environment} is not the one signed")
    reason = "; ".join(problems) or "every model and environment is the one signed"
    return Verdict("artifacts", passed=not problems, reason=reason)


def _same_policy(platform: Platform, config: Config, manifest: Manifest) -> Verdict:
    """Whether a release that lets authors sign may still do so in this home."""
    now = four_eyes(platform.ledger.entries(), config.policy)
    allowed = manifest.four_eyes == "required" or now == "off"
    reason = (
        "authors do not sign" if manifest.four_eyes == "required" else "UNREVIEWED: four eyes off"
    )
    if not allowed:
        reason = "the release was made with four_eyes: off, which this home does not allow"
    return Verdict("four_eyes", passed=allowed, reason=reason)


def _test_verdict(platform: Platform, view: ReleaseView, manifest: Manifest) -> Verdict:
    """Whether the test stage passed, by the very result that the ledger names."""
    stored = platform.dev.evidence.read_release(manifest.release, "test_validation")
    deployed = [str(entry.circuit) for entry in manifest.entries if entry.action == "deploy"]
    if stored is not None and sha256(stored) != view.test_evidence:
        reason = "test_validation is not as it was stored"
        return Verdict("test_validation", passed=False, reason=reason)
    try:
        judged = None if stored is None else read_test_validation(stored)
    except RefusedError as error:
        return Verdict("test_validation", passed=False, reason=error.reason)
    return judge_test(judged, deployed)


def read_test_validation(data: bytes) -> dict[str, tuple[Verdict, ...]]:
    """The verdicts of the test stage by circuit, from their stored form."""
    try:
        return {
            key: tuple(
                Verdict(item["gate"], item["passed"] is True, item["reason"], item["blocking"])
                for item in verdicts
            )
            for key, verdicts in json.loads(data)["circuits"].items()
        }
    except UNREADABLE as error:
        raise RefusedError("E_EVIDENCE", "test_validation is not as it was stored") from error


def _plan_verdict(platform: Platform, release: str) -> Verdict:
    stored = platform.dev.evidence.read_release(release, "rollback_plan")
    if stored is None:
        return judge_rollback_plan(None)
    try:
        return judge_rollback_plan(dict(json.loads(stored)["refused"]))
    except UNREADABLE:
        return judge_rollback_plan({release: "rollback_plan is not as it was stored"})


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


def _approval(
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
        return _past_approval(view, stage, done, quorum)
    trust = trust_at(platform.config)
    asked_for = asked(platform, view, manifest, request)
    decided_at = view.begun.at if view.begun else now
    approved: list[str] = []
    refused: list[str] = []
    for recorded in view.signed:
        if recorded.nonce != request.nonce or recorded.decision != "approve":
            continue
        try:
            signed = read_signed(platform, recorded, trust, now)
            check_statement(platform, config, signed, asked_for, trust=trust, now=decided_at)
        except RefusedError as error:
            refused.append(f"{recorded.principal}: {error.code} {error.reason}")
        else:
            approved.append(signed.approver)
    return judge_approval(stage, approved=approved, quorum=quorum, refused=refused)


def _past_approval(view: ReleaseView, stage: Stage, done: Consumed | None, quorum: int) -> Verdict:
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
