"""Asking the gates of a release, from storage and the ledger alone, never from an event log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlops_assets.domain import lifecycle
from mlops_assets.domain.errors import AbsentRoleError, MlopsError, RefusedError
from mlops_assets.domain.evidence import REGISTRY_KINDS
from mlops_assets.domain.gates import (
    Verdict,
    by_gate,
    contests,
    judge_base,
    judge_evidence,
    judge_model,
    judge_rollback_plan,
    judge_test,
)
from mlops_assets.domain.identifiers import EnvironmentRef, sha256
from mlops_assets.domain.ledger import check_clock
from mlops_assets.domain.proof import read_proof
from mlops_assets.domain.review import GATE
from mlops_assets.flows import restatement, review, rollout, signed
from mlops_assets.flows.ledger import (
    four_eyes,
    manifest_of,
    stale_circuits,
    trust_at,
)
from mlops_assets.flows.lineage import confirm

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mlops_assets.domain.circuit import Config
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.manifest import Entry, Manifest
    from mlops_assets.domain.release import ReleaseView, Stage
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
    return (*verdicts, signed.approval(platform, config, view, manifest, stage, now=now))


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
        signed.registered(platform, config, view, manifest),
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
    replaced = review.Replaced(platform)
    proved = {
        entry.circuit: _proved(platform, config, entry, trust, later, replaced)
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


def _proved(  # noqa: PLR0917 private, called once
    platform: Platform,
    config: Config,
    entry: Entry,
    trust: TrustRoot,
    later: Mapping[str, Any] | None,
    replaced: review.Replaced,
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
            reviewed = review.verdict(platform, config, entry, trust, later, replaced)
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
    # What serves the floor or a cold start is judged by its name.
    signed.append(stored.get("forecaster"))
    judged.append(proof.get("forecaster"))
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
    except AbsentRoleError:
        raise  # Nothing is known to be missing.
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
