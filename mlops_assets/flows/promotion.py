"""Doing a stage of a release whose gate is open: copy, test, or deploy.

Each stage may be killed anywhere and run again. Registry and production first consume their
request in the ledger, under its lock and after asking every gate: from then on the stage is
finished or failed, and no other release can begin with the same approval or the same circuits.

Production holds its plants from before it begins until it has ended, so that what it replaces stays
live meanwhile. The ledger is held to begin and to end, and never while deployments are made ready,
which takes minutes: whoever decides about other plants waits for nobody. Plants are taken before
the ledger, here and in a rollback.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_assets.domain import lifecycle
from mlops_assets.domain.approval import PLATFORM
from mlops_assets.domain.errors import MlopsError, RefusedError, StaleError
from mlops_assets.domain.gates import refusals
from mlops_assets.domain.identifiers import EnvironmentRef, canonical_json, sha256
from mlops_assets.domain.ledger import check_clock
from mlops_assets.domain.release import AWAITING, BEFORE_REQUEST
from mlops_assets.flows.approval import expire
from mlops_assets.flows.deployment import locked_plants, plants_of, prepared, put_live
from mlops_assets.flows.gates import judge
from mlops_assets.flows.ledger import live_releases, manifest_of, served_after, stale_circuits

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from datetime import datetime

    from mlops_assets.domain.circuit import Config, Policy
    from mlops_assets.domain.gates import Verdict
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.manifest import Manifest
    from mlops_assets.domain.model import ModelRecord
    from mlops_assets.domain.release import ReleaseView, Stage, State
    from mlops_assets.flows.ladder import Forecasting
    from mlops_assets.ports import Platform, Progress

# The states in which a stage has been done already.
DONE: Mapping[Stage, frozenset[State]] = {
    "registry": frozenset(
        {"registered", "tested", "awaiting_production", "deployed", "rolled_back"}
    ),
    "test": frozenset({"tested", "awaiting_production", "deployed", "rolled_back"}),
    "production": frozenset({"deployed", "rolled_back"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """What one call did: ``circuits`` had the stage done for them now, ``refused`` had not."""

    release: str
    stage: Stage
    state: State
    circuits: tuple[CircuitKey, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


def promote(
    platform: Platform,
    config: Config,
    release: str,
    stage: Stage,
    *,
    now: datetime,
    progress: Progress | None = None,
    forecasting: Forecasting | None = None,
) -> Promotion:
    """Do a stage if its gate is open; done already, it changes nothing.

    ``forecasting`` is how models are loaded for the test; None for what is installed.

    Raises:
        RefusedError: a gate refuses, with every reason, or the release is in another state.
    """
    plants: Collection[str] = ()
    ended: Promotion | None
    if stage == "production":
        manifest = manifest_of(platform.ledger, _view(platform, release, now))
        plants = plants_of(manifest.entries)
    with _held(platform, plants) if plants else nullcontext():
        with platform.ledger.lock():
            expire(platform, now=now)
            view = _view(platform, release, now)
            manifest = manifest_of(platform.ledger, view)
            if view.state in DONE[stage]:
                ended = Promotion(release=release, stage=stage, state=view.state)
            else:
                ended = _begin(platform, config, view, manifest, stage, now=now)
        if ended is None and progress is not None:
            progress.begin(f"{stage} of {release}", len(manifest.entries))
        if ended is None and stage == "production":
            ended = _deploy(platform, manifest, now, progress)
    if stage == "production":
        # Also where it was done before: whoever did it may have been killed before it was told.
        platform.prod.endpoints.announce(sorted(plants))
    if ended is not None:
        return ended
    if stage == "test":
        return _test(platform, config, manifest, now, progress, forecasting)
    return _register(platform, manifest, now, progress)


@contextmanager
def _held(platform: Platform, plants: Collection[str]) -> Iterator[None]:
    """Hold plants, and finish first what killed rollbacks left undone, there and elsewhere."""
    from mlops_assets.flows.rollback import resume, unfinished

    while True:
        resume(platform)
        with locked_plants(platform.prod.endpoints, plants):
            if not unfinished(platform, plants):
                yield
                return


def precheck(
    platform: Platform, config: Config, release: str, stage: Stage, *, now: datetime
) -> None:
    """Refuse what cannot be done, before anything heavy is loaded; whether it can, `promote` asks.

    Raises:
        RefusedError: the release is in another state, or too few signed, with every reason.
    """
    view = _view(platform, release, now)
    if view.state in DONE[stage]:
        return
    begun = view.begun is not None and view.begun.stage == stage
    _check_state(view, stage, config.policy, begun=begun)
    asked = view.open_request
    if asked is None or begun or len(asked.approvals) >= config.policy.stage(stage).quorum:
        return
    verdicts = judge(platform, config, view, stage, check_clock(platform.ledger.entries(), now))
    if reasons := refusals(verdicts):
        raise RefusedError(_code(verdicts), f"{view.release}: {'; '.join(reasons)}")


def _view(platform: Platform, release: str, now: datetime) -> ReleaseView:
    entries = platform.ledger.entries()
    return lifecycle.find(lifecycle.fold(entries, check_clock(entries, now)), release)


def _begin(
    platform: Platform,
    config: Config,
    view: ReleaseView,
    manifest: Manifest,
    stage: Stage,
    *,
    now: datetime,
) -> Promotion | None:
    """Ask every gate and consume the request; a stage that had begun and is refused has failed."""
    begun = view.begun is not None and view.begun.stage == stage
    _check_state(view, stage, config.policy, begun=begun)
    if not begun:
        _check_alone(platform, view, stage, now)
    moment = check_clock(platform.ledger.entries(), now)
    verdicts = judge(platform, config, view, stage, moment)
    if reasons := refusals(verdicts):
        if begun and stage == "production":
            return _finish_refused(platform, view, manifest, verdicts, now)
        raise RefusedError(_code(verdicts), f"{view.release}: {'; '.join(reasons)}")
    if stage != "test" and not begun and view.open_request is not None:
        nonce = view.open_request.nonce
        statements = [
            signed.statement
            for signed in view.signed
            if signed.nonce == nonce and signed.decision == "approve"
        ]
        data = {
            "release": view.release,
            "stage": stage,
            "nonce": nonce,
            "statements": statements,
        }
        platform.ledger.put("consumed", f"{nonce}.json", canonical_json(data))
        platform.ledger.append("consumed", PLATFORM, data, moment)
    return None


def _code(verdicts: tuple[Verdict, ...]) -> str:
    gates = {verdict.gate for verdict in verdicts if verdict.refuses}
    if "base" in gates:
        return "E_STALE_BASE"
    return "E_APPROVAL" if all(gate.endswith("_approval") for gate in gates) else "E_GATE"


def _check_state(view: ReleaseView, stage: Stage, policy: Policy, *, begun: bool) -> None:
    right: bool
    if view.state == "errored":
        right = view.broken == stage
    elif stage == "test":
        right = view.state == "registered"
    else:
        right = begun or view.state == AWAITING[stage]
    if not right:
        awaited = view.waits_for(policy)
        waits = f"it waits for {awaited}" if awaited else "that is an end"
        if view.state == BEFORE_REQUEST.get(stage):
            waits += f": `mlops release approve {view.release} --stage {stage} --key KEY`"
        why = f" ({view.reason})" if view.reason and not view.open else ""
        raise RefusedError(
            "E_STATE", f"{view.release} is {view.state}{why}, so {stage} cannot be done: {waits}"
        )


def _check_alone(platform: Platform, view: ReleaseView, stage: Stage, now: datetime) -> None:
    """Refuse to deploy circuits that another release is deploying; that one must end first."""
    if stage != "production":
        return
    entries = platform.ledger.entries()
    for other in lifecycle.fold(entries, check_clock(entries, now)):
        busy = other.begun is not None and other.begun.stage == "production"
        if busy and not set(other.circuits).isdisjoint(view.circuits):
            raise RefusedError(
                "E_BUSY",
                f"{other.release} is being deployed to the same circuits; finish it first: "
                f"`mlops release promote {other.release} --stage production`",
            )


def _finish_refused(
    platform: Platform,
    view: ReleaseView,
    manifest: Manifest,
    verdicts: tuple[Verdict, ...],
    now: datetime,
) -> Promotion | None:
    """End a deployment that was killed half way and may not go on as it is.

    Where only some circuits went stale meanwhile (a rollback came between), the others go on;
    anything else fails the release, with what it put live named, so that people can roll it back.
    """
    stale = stale_circuits(platform, view, manifest)
    others = [v for v in verdicts if v.refuses and v.gate != "base"]
    if not others and len(stale) < len(manifest.entries):
        return None
    live = live_releases(platform.prod, manifest.circuits)
    reason = "; ".join(refusals(verdicts))
    done = [e for e in manifest.entries if live[e.circuit] == served_after(e, view.release)]
    data: dict[str, Any] = {
        "release": view.release,
        "stage": "production",
        "circuits": {str(circuit): reason for circuit in manifest.circuits},
        "deployed": {str(entry.circuit): entry.replaces for entry in done},
        "retired": [str(entry.circuit) for entry in done if entry.action == "retire"],
    }
    platform.ledger.append("failed", PLATFORM, data, now)
    expire(platform, now=now)
    return Promotion(
        release=view.release, stage="production", state="failed", refused=data["circuits"]
    )


@contextmanager
def _errors_recorded(
    platform: Platform, release: str, stage: Stage, now: datetime
) -> Iterator[None]:
    """Keep what broke in the ledger, so that everybody sees why the release waits."""
    try:
        yield
    except MlopsError as error:
        with platform.ledger.lock():
            view = _view(platform, release, now)
            doing = view.begun is not None or view.state in ("registered", "errored")
            if view.open and doing and view.reason != str(error):
                data = {"release": release, "stage": stage, "reason": str(error)}
                platform.ledger.append("errored", PLATFORM, data, now)
        raise


def _end(
    platform: Platform, release: str, stage: Stage, data: dict[str, Any], now: datetime
) -> State:
    """Record the end of a stage once, whoever comes first; returns the state reached."""
    event = {"registry": "registered", "test": "tested", "production": "deployed"}[stage]
    with platform.ledger.lock():
        view = _view(platform, release, now)
        if view.open and view.state not in DONE[stage]:
            event = "failed" if "circuits" in data and stage == "test" else event
            platform.ledger.append(event, PLATFORM, {"release": release, **data}, now)
        expire(platform, now=now)
        return _view(platform, release, now).state


def _register(
    platform: Platform, manifest: Manifest, now: datetime, progress: Progress | None
) -> Promotion:
    """Copy models and environments to the shared registry, byte for byte."""
    release = manifest.release
    copied: list[ModelRecord] = []
    environments: set[EnvironmentRef] = set()
    with _errors_recorded(platform, release, "registry", now):
        for entry in manifest.entries:
            if entry.action != "deploy":
                _advance(progress, entry.circuit)
                continue
            ref = EnvironmentRef.parse(entry.environment)
            environment = platform.dev.environments.get(ref)
            if environment is None or environment.digest != entry.environment_digest:
                raise StaleError(
                    f"{entry.circuit}: {ref} in dev is not the one that {release} pins; "
                    "restore it, or create a new release"
                )
            if ref not in environments:
                platform.registry.environments.register(environment)
                environments.add(ref)
            record = platform.dev.models.get(entry.circuit, entry.model_version)
            if record.digest != entry.model_digest:
                raise StaleError(
                    f"{entry.circuit}: model {entry.model_version} in dev is not the one that "
                    f"{release} pins; restore it, or create a new release"
                )
            models = platform.registry.models
            files, proof = platform.dev.models.files(record), platform.dev.models.proof(record)
            copied.append(models.register(record, files, proof))
        for circuit in platform.registry.models.publish(copied):
            _advance(progress, circuit)
    state = _end(platform, release, "registry", {}, now)
    return Promotion(release=release, stage="registry", state=state, circuits=manifest.circuits)


def _test(  # noqa: PLR0917 private, called once
    platform: Platform,
    config: Config,
    manifest: Manifest,
    now: datetime,
    progress: Progress | None,
    forecasting: Forecasting | None,
) -> Promotion:
    """Deploy to the test endpoints, score on the newest readings, and judge."""
    from mlops_assets.flows.validation import document_of, validated

    release = manifest.release
    with _errors_recorded(platform, release, "test", now):
        judged = validated(platform, config.policy, manifest, now=now, forecasting=forecasting)
    stored = document_of(release, judged)
    failed = {
        str(circuit): "; ".join(reasons)
        for circuit, verdicts in judged.items()
        if (reasons := refusals(verdicts))
    }
    for circuit in manifest.circuits:
        _advance(progress, circuit)
    data: dict[str, Any] = {"evidence": sha256(stored)}
    if failed:
        data |= {"stage": "test", "circuits": failed}
    with platform.ledger.lock():
        view = _view(platform, release, now)
        if not view.open or view.state in DONE["test"]:
            return Promotion(release=release, stage="test", state=view.state, refused=view.failed)
        # What lies there by now nobody has vouched for: a file counts once the ledger names it.
        platform.dev.evidence.replace_release(release, "test_validation", stored)
        state = _end(platform, release, "test", data, now)
    circuits = tuple(c for c in manifest.circuits if str(c) not in failed)
    return Promotion(release=release, stage="test", state=state, circuits=circuits, refused=failed)


def _deploy(
    platform: Platform, manifest: Manifest, now: datetime, progress: Progress | None
) -> Promotion:
    """Put every circuit live that still runs what its entry replaces.

    The caller holds the plants, so that no rollback and no other release comes in between.
    """
    release = manifest.release
    stale = stale_circuits(platform, _view(platform, release, now), manifest)
    entries = [entry for entry in manifest.entries if str(entry.circuit) not in stale]
    circuits = tuple(entry.circuit for entry in entries)
    data = {
        "circuits": {str(entry.circuit): entry.replaces for entry in entries},
        "retired": [str(entry.circuit) for entry in entries if entry.action == "retire"],
    }
    with _errors_recorded(platform, release, "production", now):
        changes = prepared(platform.prod, platform.registry, manifest, circuits)
        # Whoever holds the ledger sees what is live as it says.
        with platform.ledger.lock():
            put_live(platform.prod.endpoints, changes)
            state = _end(platform, release, "production", data, now)
    for circuit in circuits:
        _advance(progress, circuit)
    return Promotion(
        release=release, stage="production", state=state, circuits=circuits, refused=stale
    )


def _advance(progress: Progress | None, circuit: CircuitKey) -> None:
    if progress is not None:
        progress.advance(str(circuit))
