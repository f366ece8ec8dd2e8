"""Making the page of a release: everything on it is read from storage and the ledger."""

from __future__ import annotations

import json
from difflib import ndiff
from typing import TYPE_CHECKING, Any

from mlops_assets.domain import lifecycle
from mlops_assets.domain.canonical import moment_text
from mlops_assets.domain.circuit import STEP
from mlops_assets.domain.errors import MlopsError
from mlops_assets.domain.evidence import Proof, proof_of
from mlops_assets.domain.gates import by_gate
from mlops_assets.domain.occasion import sign_command
from mlops_assets.domain.page import CircuitPart, ReleasePage, Signature, render
from mlops_assets.domain.restatement import EVIDENCE, acknowledged_cells
from mlops_assets.domain.review import review_document
from mlops_assets.domain.scoring import backtest_chart
from mlops_assets.domain.signature import NAMESPACE
from mlops_assets.flows.alert import signers
from mlops_assets.flows.awaited import keeps_from_signing, next_stage
from mlops_assets.flows.gates import (
    circuit_verdicts,
    judge,
    read_test_validation,
)
from mlops_assets.flows.ledger import manifest_of
from mlops_assets.flows.review import shown
from mlops_assets.flows.signed import stage_policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from mlops_assets.domain.circuit import Config
    from mlops_assets.domain.gates import Verdict
    from mlops_assets.domain.manifest import Entry, Manifest
    from mlops_assets.domain.release import ReleaseView, Stage
    from mlops_assets.ports import Platform

# Plots of more circuits than this show fewer origins, so that the page stays small.
_MANY = 40
_BY_HAND = (
    "With OpenSSH alone, on another machine (Windows' own too): here the statement is written,"
)
# Of acknowledged changes so many are shown; the release's evidence has them all.
_CELLS = 20


def page(platform: Platform, config: Config, release: str, *, now: datetime) -> bytes:
    """Return a release's page as it stands now, and keep it beside the release's evidence."""
    html = render(described(platform, config, release, now=now))
    platform.dev.evidence.publish_page(release, html)
    return html


def described(
    platform: Platform, config: Config, release: str, *, now: datetime, plots: bool = True
) -> ReleasePage:
    """Return all that is told of a release, for its page and for a terminal alike."""
    view = lifecycle.find(lifecycle.fold(platform.ledger.entries(), now), release)
    manifest = manifest_of(platform.ledger, view)
    stage = next_stage(view)
    parts = _parts(platform, config, view, manifest, plots=plots)
    verdicts = judge(platform, config, view, stage, now) if stage else ()
    return ReleasePage(
        release=release,
        digest=view.digest,
        state=view.state,
        waits_for=view.waits_for(config.policy),
        reason=view.reason,
        created_at=moment_text(view.created_at),
        attempt=view.attempt,
        config_commit=view.config_commit,
        reviewed=manifest.four_eyes == "required",
        commits=_commits(platform, manifest, release),
        # At an end no stage is asked: what was asked of each circuit is told of all of them.
        verdicts=verdicts or by_gate({part.circuit: part.verdicts for part in parts}),
        signatures=[
            Signature(
                stage=each.stage,
                principal=each.principal,
                decision=each.decision,
                at=moment_text(each.at),
                statement=each.statement,
                comment=each.comment,
            )
            for each in view.signed
        ],
        circuits=parts,
        rollback_command="mlops rollback --circuit KEY --as YOUR-E-MAIL --reason TEXT",
        commands=_commands(view, stage, verdicts),
        signers=_signers(platform, config, view, now),
    )


def _signers(platform: Platform, config: Config, view: ReleaseView, now: datetime) -> str:
    """Who may sign and until when, where a request is open."""
    request = view.open_request
    if request is None or view.begun is not None:
        return ""
    if len(request.approvals) >= stage_policy(config, request.stage).quorum:
        return ""
    people = ", ".join(signers(platform, config, view, request, now=now)) or "nobody else"
    return f"May sign: {people}. The request is open until {moment_text(request.expires_at)}."


def _commands(
    view: ReleaseView, stage: Stage | None, verdicts: Sequence[Verdict]
) -> list[tuple[str, str]]:
    """What a person types to sign, where a signature is what the release waits for."""
    if stage is None or stage == "test" or view.begun is not None:
        return []
    about = f"{view.release} --stage {stage}"
    if keeps_from_signing(view, stage, verdicts):
        return [
            (
                "Nobody can sign while a check below refuses. This tells what is missing:",
                f"mlops release request {about}",
            )
        ]
    refuse = f"mlops release reject {about} --key ~/.ssh/id_ed25519"
    if all(verdict.passed for verdict in verdicts if verdict.gate == f"{stage}_approval"):
        return [("Enough people have signed. To refuse it all the same:", refuse)]
    written = f"mlops release statement {about} --as YOUR-E-MAIL --out statement.json"
    return [
        (
            f"With your ed25519 key (its file, or one in ssh-agent), to open the {stage} stage:",
            sign_command(view.release, stage),
        ),
        ("To refuse it:", refuse),
        (_BY_HAND, f"mlops release request {about}\n{written}"),
        (
            "there its signer signs it,",
            f"ssh-keygen -Y sign -n {NAMESPACE} -f ~/.ssh/id_ed25519 statement.json",
        ),
        (
            "and here both files come back:",
            "mlops release submit statement.json statement.json.sig",
        ),
    ]


def _commits(platform: Platform, manifest: Manifest, release: str) -> list[dict[str, str]]:
    """Every reviewed or unreviewed change in the evidence, with the circuits it is about."""
    found: dict[str, dict[str, str]] = {}
    circuits: dict[str, list[str]] = {}
    for entry in manifest.entries:
        for change in _review(platform, release, entry):
            commit = change["commit"]
            circuits.setdefault(commit, []).append(str(entry.circuit))
            found[commit] = {
                "commit": commit[:12],
                "subject": change["subject"],
                "author": change["author"],
                "review": change["review"] or "none",
                "pull request": change["pull_request"] or "",
            }
    return [row | {"circuits": _some(circuits[commit])} for commit, row in found.items()]


def _review(platform: Platform, release: str, entry: Entry) -> Sequence[Mapping[str, Any]]:
    try:
        if entry.action == "retire":
            return _removal(platform, entry)
        changes: Sequence[Mapping[str, Any]] = shown(platform, release, entry)["changes"]
    except (MlopsError, ValueError, KeyError):
        return ()
    return changes


def _removal(platform: Platform, entry: Entry) -> Sequence[Mapping[str, Any]]:
    """The commits that took a circuit out of the config since what it replaces was released."""
    views = {each.release: each for each in lifecycle.fold(platform.ledger.entries(), None)}
    replaced = views.get(entry.replaces or "")
    since, until = (replaced.config_commit if replaced else None), entry.config_commit
    repository, file = platform.config, f"plants/{entry.circuit}.yml"
    commits = repository.log(file, since=since, until=until)
    document = review_document(
        entry.circuit, file, commits, since=since, until=until, root=repository.root_commit()
    )
    changes: Sequence[Mapping[str, Any]] = document["changes"]
    return changes


def _some(circuits: Sequence[str], shown: int = 5) -> str:
    more = f" and {len(circuits) - shown} more" if len(circuits) > shown else ""
    return ", ".join(circuits[:shown]) + more


def _parts(
    platform: Platform, config: Config, view: ReleaseView, manifest: Manifest, *, plots: bool
) -> list[CircuitPart]:
    judged = dict(circuit_verdicts(platform, config, manifest))
    stored = platform.dev.evidence.read_release(view.release, "test_validation")
    tested = {} if stored is None else read_test_validation(stored)
    planned = platform.dev.evidence.read_release(view.release, "rollback_plan")
    plan = {} if planned is None else json.loads(planned)
    origins = (7 if len(manifest.entries) <= _MANY else 2) if plots else 0
    changes = _Changes(platform)
    return [
        _part(
            platform,
            config,
            entry,
            verdicts=(
                *judged.get(entry.circuit, ()),
                *tested.get(str(entry.circuit), ()),
            ),
            rollback=_way_back(plan, str(entry.circuit)),
            release=view.release,
            origins=origins,
            diff=changes.of(entry),
        )
        for entry in manifest.entries
    ]


def _part(
    platform: Platform,
    config: Config,
    entry: Entry,
    *,
    verdicts: Sequence[Verdict],
    rollback: str,
    release: str,
    origins: int,
    diff: Sequence[str],
) -> CircuitPart:
    if entry.action == "retire":
        return CircuitPart(
            circuit=str(entry.circuit),
            action="retire",
            changes=f"is no longer forecast; replaces {entry.replaces}",
            verdicts=verdicts,
            rollback=rollback,
        )
    proof = _proof(platform, entry)
    circuit = config.circuits.get(entry.circuit)
    plot = ""
    if origins and proof is not None and entry.serving is not None:
        step = next(step for name, step in STEP.items() if name == entry.serving.interval)
        unit = circuit.spec.unit if circuit else ""
        plot = backtest_chart(entry.circuit, proof, step, unit, origins)
    return CircuitPart(
        circuit=str(entry.circuit),
        action="deploy",
        changes=f"model version {entry.model_version} ({entry.forecaster}), "
        + (f"replaces {entry.replaces}" if entry.replaces else "the first deployment"),
        diff=diff,
        chain=_chain(entry, release),
        facts=[*_facts(platform, entry), *_acknowledged(platform, entry, release)],
        model=proof.metrics if proof else None,
        floor=proof.floor if proof else None,
        incumbent=proof.incumbent if proof else None,
        plot=plot,
        verdicts=verdicts,
        rollback=rollback,
    )


class _Changes:
    """What changed in specs since the releases that are replaced, read once a commit."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._commits = {
            each.release: each.config_commit
            for each in lifecycle.fold(platform.ledger.entries(), None)
        }
        self._files: dict[str, Mapping[str, bytes]] = {}

    def of(self, entry: Entry) -> list[str]:
        """Return the fields that differ, old with a minus and new with a plus; no comments."""
        before = self._commits.get(entry.replaces or "")
        if before is None or entry.action == "retire":
            return []
        old, new = (self._lines(commit, entry) for commit in (before, entry.config_commit))
        return [line for line in ndiff(old, new) if line[:1] in "+-"]

    def _lines(self, commit: str, entry: Entry) -> list[str]:
        if commit not in self._files:
            try:
                self._files[commit] = self._platform.config.files(commit)
            except MlopsError:
                self._files[commit] = {}
        text = self._files[commit].get(f"plants/{entry.circuit}.yml", b"").decode(errors="replace")
        return [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]


def _proof(platform: Platform, entry: Entry) -> Proof | None:
    try:
        record = platform.dev.models.get(entry.circuit, entry.model_version)
        return proof_of(record, platform.dev.models.proof(record))
    except MlopsError:
        return None


def _chain(entry: Entry, release: str) -> list[tuple[str, str]]:
    return [
        ("readings", f"Delta version {entry.delta_version}"),
        ("training data", entry.data_version),
        ("model", f"version {entry.model_version}, {entry.model_digest[:12]}"),
        ("release", release),
        ("shared registry", f"model {entry.model_version}"),
        ("test endpoint", entry.circuit.plant_id),
        ("production endpoint", entry.circuit.plant_id),
    ]


def _facts(platform: Platform, entry: Entry) -> list[tuple[str, str]]:
    fallback = f"the same hour {entry.seasonal_naive_hours} h before"
    if entry.previous_model_version is not None:
        fallback = f"model version {entry.previous_model_version}, then {fallback}"
    evidence = platform.dev.evidence.folder(entry.circuit, entry.model_version)
    return [
        ("training data digest", entry.data_digest),
        ("model digest", entry.model_digest),
        ("environment", f"{entry.environment}, {entry.environment_digest}"),
        ("spec digest", entry.spec_digest),
        ("config commit", entry.config_commit),
        ("if the model fails", fallback),
        ("executed notebook", f"{evidence}/scoring_notebook.html"),
    ]


def _acknowledged(platform: Platform, entry: Entry, release: str) -> list[tuple[str, str]]:
    """What changed under the model, as those who sign acknowledge it."""
    if entry.restated is None:
        return []
    stored = platform.dev.evidence.read_release(release, EVIDENCE)
    try:
        cells = acknowledged_cells(json.loads(stored or b""), entry)
    except (ValueError, KeyError, TypeError) as error:
        return [("acknowledged changes", f"UNREADABLE: {error}; digest {entry.restated}")]
    rows = [
        (f"{moment} {column}", f"{learned} was learned, {now or 'nothing'} is there now")
        for moment, column, learned, now in cells[:_CELLS]
    ]
    more = f", the first {_CELLS} below" if len(cells) > _CELLS else ""
    return [("acknowledged changes", f"{len(cells)} values, digest {entry.restated}{more}"), *rows]


def _way_back(plan: Mapping[str, Any], circuit: str) -> str:
    if circuit in plan.get("refused", {}):
        return f"BROKEN: {plan['refused'][circuit]}"
    step = plan.get("circuits", {}).get(circuit)
    if step is None:
        return ""
    if step["target"] is None:
        return str(step["reason"])
    return f"{step['target']}, model version {step['model_version']}"
