"""The audit: whether the log, its anchors, the signatures and everything deployed still agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_assets.domain import lifecycle
from mlops_assets.domain.approval import Asked, check_content, check_request, previous_digest
from mlops_assets.domain.deployment import deployment_of
from mlops_assets.domain.errors import MlopsError, RefusedError
from mlops_assets.domain.evidence import PRODUCTION_KINDS
from mlops_assets.domain.gates import judge_approval
from mlops_assets.domain.ledger import anchor_problems
from mlops_assets.domain.release import OpenRequest
from mlops_assets.flows.gates import evidence_of, missing_evidence, read_signed
from mlops_assets.flows.ledger import manifest_of, trust_at
from mlops_assets.flows.trust import doubtful_releases

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from mlops_assets.domain.deployment import Deployment
    from mlops_assets.domain.manifest import Manifest
    from mlops_assets.domain.release import Consumed, LedgerEntry, ReleaseView, Signed
    from mlops_assets.ports import Platform


def verify(platform: Platform, *, now: datetime) -> dict[str, Any]:
    """Check everything that can be checked; ``problems`` is empty when all of it holds.

    Chain and anchors first: where they are broken, nothing that follows means anything.
    """
    try:
        entries = platform.ledger.entries()
    except RefusedError as error:
        return {"ok": False, "entries": 0, "problems": [str(error)]}
    problems = [*_anchors(platform, entries), *_root(platform, entries)]
    try:
        known = lifecycle.fold(entries, now)
    except MlopsError as error:
        problems.append(str(error))
    else:
        manifests = dict(_manifests(platform, known, problems))
        problems += _approvals(platform, known, manifests)
        problems += _deployments(platform, known, manifests)
    return {"ok": not problems, "entries": len(entries), "problems": problems}


def _anchors(platform: Platform, entries: Sequence[LedgerEntry]) -> tuple[str, ...]:
    try:
        return anchor_problems(entries, platform.config.anchored())
    except MlopsError as error:
        return (str(error),)


def _root(platform: Platform, entries: Sequence[LedgerEntry]) -> Iterator[str]:
    """Whether the config repository is the one that this home was made with, not rewound."""
    if not entries or entries[0].event != "initialised":
        yield "the ledger does not begin with the making of this home"
        return
    try:
        head, root = platform.config.head(), platform.config.root_commit()
    except MlopsError as error:
        yield str(error)
        return
    if root != entries[0].data["root_commit"]:
        yield f"the config repository begins with {root[:12]}, not with the one of this home"
    for entry in reversed(entries):
        commit = entry.data.get("config_commit") or entry.data.get("trust_commit")
        if commit:
            if not platform.config.contains(commit, head):
                yield (
                    f"{platform.config.ref} is at {head[:12]}, which does not contain "
                    f"{commit[:12]} of ledger entry {entry.seq}: it was rewound"
                )
            return


def _manifests(
    platform: Platform, known: Sequence[ReleaseView], problems: list[str]
) -> Iterator[tuple[str, Manifest]]:
    for view in known:
        try:
            yield view.release, manifest_of(platform.ledger, view)
        except MlopsError as error:
            problems.append(str(error))


def _approvals(
    platform: Platform,
    known: Sequence[ReleaseView],
    manifests: dict[str, Manifest],
) -> Iterator[str]:
    """Every approval that opened a stage, its signature verified again."""
    for view in known:
        if (manifest := manifests.get(view.release)) is not None:
            for done in view.consumed:
                yield from _consumed(platform, view, manifest, done)
        if view.copied_approval is not None:
            yield from _copied(view, known)
    try:
        trust = trust_at(platform.config)
    except MlopsError as error:
        yield str(error)
        return
    for each in doubtful_releases(platform, trust):
        yield (
            f"{each['release']}: {each['principal']} signed {each['stage']} after the key "
            f"{each['fingerprint']} had to be revoked"
        )


def _consumed(
    platform: Platform, view: ReleaseView, manifest: Manifest, done: Consumed
) -> Iterator[str]:
    where = f"{view.release}: {done.stage}"
    signed = [each for each in view.signed if each.statement in done.statements]
    if len(signed) != len(done.statements):
        yield f"{where} was opened by statements that nobody recorded"
    verdict = judge_approval(
        done.stage, approved=[each.principal for each in signed], quorum=1, refused=()
    )
    if not verdict.passed:
        yield f"{where} was done, {verdict.reason}"
    for each in signed:
        try:
            _check_signed(platform, view, manifest, done, each)
        except MlopsError as error:
            yield f"{where}: the approval of {each.principal} does not verify: {error}"


def _check_signed(
    platform: Platform, view: ReleaseView, manifest: Manifest, done: Consumed, each: Signed
) -> None:
    """Verify one signature under the trust root that held when it was given."""
    trust = trust_at(platform.config, each.trust_commit)
    statement = read_signed(platform, each, trust, each.at)
    request = OpenRequest(
        release=view.release,
        stage=done.stage,
        nonce=done.nonce,
        requester="",
        requested_at=done.requested_at,
        expires_at=done.expires_at,
    )
    asked = Asked(
        request=request,
        manifest=manifest,
        evidence=evidence_of(platform, manifest, done.stage),
        previous=previous_digest({entry.circuit: entry.replaces for entry in manifest.entries}),
    )
    check_request(statement, asked)
    check_content(statement, asked)


def _copied(view: ReleaseView, known: Sequence[ReleaseView]) -> Iterator[str]:
    copied = view.copied_approval or {}
    source = next((each for each in known if each.release == copied.get("release")), None)
    if source is None or not any(
        done.nonce == copied["nonce"] and list(done.statements) == list(copied["statements"])
        for done in source.consumed
    ):
        yield f"{view.release}: it copied an approval that {copied.get('release')} never had"


def _deployments(
    platform: Platform, known: Sequence[ReleaseView], manifests: dict[str, Manifest]
) -> Iterator[str]:
    """Everything that is live: deployed by the ledger, as it was signed, from intact files."""
    deployed = {view.release: view for view in known if view.deployed}
    endpoints = platform.prod.endpoints
    for plant in endpoints.plants():
        try:
            live = endpoints.live(plant)
        except MlopsError as error:
            yield str(error)
            continue
        for deployment in live.live.values():
            view = deployed.get(deployment.release)
            manifest = manifests.get(deployment.release)
            if view is None or manifest is None or deployment.circuit not in view.deployed:
                yield (
                    f"{deployment.circuit}: {deployment.release} is live, "
                    "but the ledger never deployed it"
                )
                continue
            yield from _deployment(platform, manifest, deployment)


def _deployment(platform: Platform, manifest: Manifest, live: Deployment) -> Iterator[str]:
    from mlops_assets.flows.deployment import check_bytes

    entry = manifest.entry(live.circuit)
    signed = deployment_of(entry, release=manifest.release, release_digest=manifest.digest)
    if live != signed:
        yield f"{live.circuit}: what is live is not what {manifest.release} was signed with"
    try:
        check_bytes(platform.registry, [signed])
    except MlopsError as error:
        yield str(error)
    for problem in missing_evidence(platform, entry):
        yield f"{live.circuit}: evidence of model {entry.model_version}: {problem}"
    for kind in PRODUCTION_KINDS:
        if platform.dev.evidence.read_release(manifest.release, kind) is None:
            yield f"{manifest.release}: its {kind} is gone"
