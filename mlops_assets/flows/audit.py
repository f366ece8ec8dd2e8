"""The audit: whether the log, its anchors, the signatures and everything deployed still agree."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_assets.domain import lifecycle
from mlops_assets.domain.approval import check_content, check_request
from mlops_assets.domain.canonical import shown
from mlops_assets.domain.deployment import content_differences, deployment_of
from mlops_assets.domain.deployment import history as steps_back
from mlops_assets.domain.errors import AbsentRoleError, MlopsError, RefusedError
from mlops_assets.domain.evidence import PRODUCTION_KINDS
from mlops_assets.domain.gates import judge_approval
from mlops_assets.domain.history import History, live_difference
from mlops_assets.domain.ledger import RESTORED, anchor_problems
from mlops_assets.domain.retention import named_by
from mlops_assets.flows.gates import missing_evidence
from mlops_assets.flows.ledger import manifest_of, trust_at
from mlops_assets.flows.retention import collected
from mlops_assets.flows.signed import asked_then, copied_from, given, read_signed
from mlops_assets.flows.trust import doubtful_releases

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from mlops_assets.domain.deployment import Deployment
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.manifest import Manifest
    from mlops_assets.domain.release import Consumed, LedgerEntry, ReleaseView, Signed
    from mlops_assets.domain.retention import Thing
    from mlops_assets.ports import Platform

    # What is wrong, or why this host may not say.
    Answer = str | AbsentRoleError


def verify(platform: Platform, *, now: datetime) -> dict[str, Any]:
    """Check everything that this host may ask; ``problems`` is empty when all of it holds.

    ``not_asked`` is there where a host of some roles may not read what it takes, and says who may.
    Chain and anchors first: where they are broken, nothing that follows means anything.
    """
    try:
        entries = platform.ledger.entries()
    except RefusedError as error:
        return {"ok": False, "entries": 0, "problems": [str(error)]}
    problems = [*_anchors(platform, entries), *_root(platform, entries)]
    absent: list[AbsentRoleError] = []
    try:
        known = lifecycle.fold(entries, now)
    except MlopsError as error:
        problems.append(str(error))
    else:
        manifests = dict(_manifests(platform, known, problems))
        for answers in (
            _approvals(platform, known, manifests),
            _deployments(platform, entries, known, manifests),
        ):
            _sort(answers, problems, absent)
    return {
        "ok": not problems,
        "entries": len(entries),
        "problems": problems,
        **({"not_asked": _not_asked(absent)} if absent else {}),
        **_losses(platform, entries),
    }


def _sort(answers: Iterator[Answer], problems: list[str], absent: list[AbsentRoleError]) -> None:
    """Keep apart what is wrong and what this host may not ask."""
    try:
        for answer in answers:
            if isinstance(answer, AbsentRoleError):
                absent.append(answer)
            else:
                problems.append(answer)
    except AbsentRoleError as error:
        absent.append(error)


def _not_asked(absent: Sequence[AbsentRoleError]) -> str:
    """Return what no role of this host may read, and who may, in one line."""
    more = f"; likewise {len(absent) - 1} more" if len(absent) > 1 else ""
    return f"not asked: {absent[0]}{more}"


def _losses(platform: Platform, entries: Sequence[LedgerEntry]) -> dict[str, Any]:
    """What people accepted as lost with a home or voided, for everybody; nothing where none was."""
    accepted = [
        {
            "entry": entry.seq,
            "operator": entry.actor,
            "reason": entry.data.get("reason"),
            "lost": len(entry.data.get("lost", ())),
        }
        for entry in entries
        if entry.event == RESTORED
    ]
    voided: Mapping[str, str] = {}
    # A broken file is a problem that the anchors tell already.
    with suppress(MlopsError):
        voided = platform.config.voided()
    return ({"restored": accepted} if accepted else {}) | (
        {"voided": dict(voided)} if voided else {}
    )


def _anchors(platform: Platform, entries: Sequence[LedgerEntry]) -> tuple[str, ...]:
    try:
        config = platform.config
        return anchor_problems(entries, config.anchored(), stay=config.anchors_stay)
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
) -> Iterator[Answer]:
    """Every approval that opened a stage, its signature verified again."""
    for view in known:
        if (manifest := manifests.get(view.release)) is not None:
            for done in view.consumed:
                yield from _consumed(platform, view, manifest, done)
        if view.copied_approval is not None:
            yield from _copied(platform, view)
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
) -> Iterator[Answer]:
    where = f"{view.release}: {done.stage}"
    try:
        signed = given(view, done)
    except RefusedError as error:
        yield f"{view.release}: {error}"
        return
    verdict = judge_approval(
        done.stage, approved=[each.principal for each in signed], quorum=1, refused=()
    )
    if not verdict.passed:
        yield f"{where} was done, {verdict.reason}"
    for each in signed:
        try:
            _check_signed(platform, manifest, done, each)
        except AbsentRoleError as error:
            yield error
        except MlopsError as error:
            yield f"{where}: the approval of {each.principal} does not verify: {error}"


def _check_signed(platform: Platform, manifest: Manifest, done: Consumed, each: Signed) -> None:
    """Verify one signature under the trust root that held when it was given."""
    if each.trust_commit and not platform.config.contains(
        each.trust_commit, platform.config.head()
    ):
        raise RefusedError(
            "E_TRUST",
            f"the trust root that it counted under, of {shown(each.trust_commit)}, is not in "
            f"{platform.config.ref}",
        )
    trust = trust_at(platform.config, each.trust_commit)
    statement = read_signed(platform, each, trust, each.at)
    asked = asked_then(platform, manifest, done)
    check_request(statement, asked)
    check_content(statement, asked)


def _copied(platform: Platform, view: ReleaseView) -> Iterator[Answer]:
    try:
        copied_from(platform, view)
    except AbsentRoleError as error:
        yield error
    except MlopsError as error:
        yield f"{view.release}: {error}"


def _deployments(
    platform: Platform,
    entries: Sequence[LedgerEntry],
    known: Sequence[ReleaseView],
    manifests: Mapping[str, Manifest],
) -> Iterator[Answer]:
    """What is live, against what the ledger says is, what people signed, and intact files."""
    serving = _serving(platform)
    if len(now := platform.ledger.entries()) != len(entries):
        # Somebody deployed or rolled back while the signatures were verified.
        entries, serving = now, _serving(platform)
        known = lifecycle.fold(entries, None)
    yield from serving.problems
    try:
        yield from platform.prod.endpoints.differences()
    except AbsentRoleError as error:
        yield error
    history = History(entries)
    begun = {
        circuit: view.release
        for view in known
        if view.begun is not None and view.begun.stage == "production"
        for circuit in view.circuits
    }
    checked: set[tuple[CircuitKey, str]] = set()
    environments: set[tuple[str, str]] = set()
    for circuit in sorted(serving.live.keys() | history.live.keys()):
        if circuit.plant_id in serving.unreadable:
            continue
        live = serving.live.get(circuit)
        difference = live_difference(circuit, live, history, begun.get(circuit))
        if difference:
            yield f"{circuit}: {difference}"
        manifest = None if live is None else manifests.get(live.release)
        if live is not None and manifest is not None and circuit in manifest.circuits:
            yield from _as_signed(platform, manifest, live)
    gone: frozenset[Thing] = frozenset()
    try:
        gone = collected(platform.ledger)
    except MlopsError as error:
        yield str(error)
    needed = set(_ways_back(platform, serving))
    for circuit, release in sorted(history.deployed):
        if (manifest := manifests.get(release)) is not None:
            allowed = frozenset() if (circuit, release) in needed else gone
            yield from _recorded(platform, manifest, circuit, checked, environments, allowed)


def _ways_back(platform: Platform, serving: _Serving) -> Iterator[tuple[CircuitKey, str]]:
    """What is live, and every deployment that a rollback could return to."""
    for circuit, live in serving.live.items():
        yield circuit, live.release
        # A step that is no longer recorded is told where the records are.
        with suppress(MlopsError):
            for before in steps_back(live, platform.prod.endpoints.recorded):
                yield circuit, before.release


@dataclass(slots=True)
class _Serving:
    """What production's endpoints serve, and the plants that cannot say."""

    live: dict[CircuitKey, Deployment] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


def _serving(platform: Platform) -> _Serving:
    found = _Serving()
    for plant in platform.prod.endpoints.plants():
        try:
            live = platform.prod.endpoints.live(plant)
        except MlopsError as error:
            found.unreadable.add(plant)
            found.problems.append(str(error))
            continue
        found.live |= {deployment.circuit: deployment for deployment in live.live.values()}
    return found


def _as_signed(platform: Platform, manifest: Manifest, live: Deployment) -> Iterator[Answer]:
    """Whether what is live has the content and the evidence that people signed."""
    entry = manifest.entry(live.circuit)
    if entry.action != "deploy":
        yield f"{live.circuit}: {manifest.release} is live, but it was signed to retire it"
        return
    signed = deployment_of(entry, release=manifest.release, release_digest=manifest.digest)
    if differences := content_differences(live, signed):
        yield (
            f"{live.circuit}: what is live is not what {manifest.release} was signed with: "
            + ", ".join(differences)
        )
    try:
        for problem in missing_evidence(platform, entry):
            yield f"{live.circuit}: evidence of model {entry.model_version}: {problem}"
        for kind in PRODUCTION_KINDS:
            if platform.dev.evidence.read_release(manifest.release, kind) is None:
                yield f"{manifest.release}: its {kind} is gone"
    except AbsentRoleError as error:
        yield error


def _recorded(  # noqa: PLR0917 private, called once
    platform: Platform,
    manifest: Manifest,
    circuit: CircuitKey,
    checked: set[tuple[CircuitKey, str]],
    environments: set[tuple[str, str]],
    gone: frozenset[Thing],
) -> Iterator[str]:
    """Whether a deployment that was ever made could be made again: the way back stands on it.

    ``gone`` is what the policy let go of deployments that no way back leads to.
    """
    from mlops_assets.flows.deployment import check_bytes

    entry = manifest.entry(circuit)
    if entry.action != "deploy":
        return
    signed = deployment_of(entry, release=manifest.release, release_digest=manifest.digest)
    try:
        kept = platform.prod.endpoints.recorded(circuit, manifest.release)
        if kept is None:
            yield f"{circuit}: the deployment by {manifest.release} is gone from the endpoint"
        elif differences := content_differences(kept, signed):
            yield (
                f"{circuit}: the deployment that is kept for a rollback is not what "
                f"{manifest.release} was signed with: {', '.join(differences)}"
            )
        if (circuit, signed.model_digest) not in checked and gone.isdisjoint(named_by(entry)):
            checked.add((circuit, signed.model_digest))
            check_bytes(platform.registry, [signed], environments)
    except MlopsError as error:
        yield str(error)
