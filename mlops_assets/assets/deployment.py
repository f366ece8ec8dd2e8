"""Stages of a release: the shared registry, the test endpoints, production.

A stage runs for a whole release, because people sign a release and not its parts.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.assets.events import EventWriter, Fact, check_specs
from mlops_assets.assets.home import Home, RunProgress
from mlops_assets.assets.partitions import SELECTION, chosen, circuits, each, every, meant
from mlops_assets.assets.release import (
    GROUP,
    OWNERS,
    REGISTRY_CHECK_SPECS,
    REGISTRY_MODEL,
    entry_metadata,
    page_of,
    registry_fact,
)
from mlops_assets.domain.deployment import Deployment
from mlops_assets.domain.errors import MlopsError, RefusedError
from mlops_assets.domain.gates import Verdict, refusals
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.manifest import Entry, Manifest
from mlops_assets.domain.occasion import sign_command
from mlops_assets.domain.release import ReleaseView, Stage
from mlops_assets.domain.validation import TEST_VERDICTS
from mlops_assets.ports import Platform

if TYPE_CHECKING:
    from mlops_assets.flows.promotion import Promotion

ASSET_OF: Mapping[Stage, str] = {
    "registry": "registry_model",
    "test": "test_validation",
    "production": "production_deployment",
}
TEST_VALIDATION = dg.AssetSpec(
    "test_validation",
    description="Stage 2: deployed to the plant's test endpoint, scored on the newest readings, "
    "every rung of the fallback ladder tried, and judged.",
    group_name=GROUP,
    kinds={"azureml"},
    owners=OWNERS,
    deps=[each("registry_model"), every("readings")],
    partitions_def=circuits,
    skippable=True,
)
PRODUCTION_DEPLOYMENT = dg.AssetSpec(
    "production_deployment",
    description="Stage 3: what the plant's production endpoint serves for this circuit, after a "
    "second signature. A rollback shows here too.",
    group_name=GROUP,
    kinds={"azureml"},
    owners=["team:operations"],
    deps=[each("test_validation")],
    partitions_def=circuits,
    skippable=True,
)
_NOTHING_ELSE = Verdict("nothing_else", passed=True, reason="nothing else was asked")
_TEST_QUESTIONS = {
    "no_errors": "Did the model give a forecast without an error?",
    "rows": "Does it have every row?",
    "horizon": "Does it cover the horizon?",
    "no_gaps": "Is there no hour missing?",
    "finite": "Is every value a number?",
    "schema": "Do the intervals enclose the forecast?",
    "in_range": "Is it in the circuit's range?",
    "latency": "Was it quick enough?",
    "golden": "Does this environment reproduce the model bit for bit?",
    "fallback_ladder": "Does every rung of the fallback ladder work?",
}
TEST_CHECKS = {name: _TEST_QUESTIONS.get(name, name) for name in TEST_VERDICTS}
TEST_CHECK_SPECS = check_specs("test_validation", TEST_CHECKS, circuits)
PRODUCTION_CHECKS = {
    "production_approval": "Did the right people sign this release for production?",
    "rollback_plan": "Was the way back tried?",
}
PRODUCTION_CHECK_SPECS = check_specs("production_deployment", PRODUCTION_CHECKS, circuits)


def test_fact(manifest: Manifest, entry: Entry) -> Fact:
    """Tell one circuit's validation in test."""
    about = entry_metadata(manifest, entry)
    return Fact(
        asset="test_validation",
        partition=str(entry.circuit),
        version=str(about["release_digest"]),
        metadata={
            **about,
            "endpoint": f"workspaces/test/endpoints/{entry.circuit.plant_id}",
        },
    )


def deployment_fact(deployment: Deployment, view: ReleaseView | None) -> Fact:
    """Tell what a plant's production endpoint serves for one circuit."""
    from mlops_assets.flows.awaited import given

    circuit = deployment.circuit
    return Fact(
        asset="production_deployment",
        partition=str(circuit),
        version=deployment.release_digest,
        metadata={
            "plant": circuit.plant_id,
            "release": deployment.release,
            "release_digest": deployment.release_digest,
            "model_version": deployment.model_version,
            "model_digest": deployment.model_digest,
            "data_version": deployment.data_version,
            "environment": deployment.environment,
            "previous_model_version": deployment.previous_model_version,
            "replaces": deployment.replaces,
            "signed_by": given(view, "production") or None if view else None,
            "endpoint": f"workspaces/prod/endpoints/{circuit.plant_id}",
            **page_of(deployment.release),
            "rollback": f"mlops rollback --circuit {circuit} --as PRINCIPAL --reason TEXT",
        },
    )


def release_of(
    platform: Platform, keys: Sequence[CircuitKey], stage: Stage, views_now: Sequence[ReleaseView]
) -> ReleaseView:
    """Return the release that a selection of circuits means, or refuse before anything changes."""
    chosen = set(keys)
    holding = [view for view in views_now if chosen <= set(view.circuits)]
    open_ones = [view for view in holding if view.open]
    if open_ones:
        view = open_ones[-1]
        if len(view.circuits) != len(chosen):
            raise RefusedError(
                "E_PARTIAL",
                f"{view.release} holds {len(view.circuits)} circuits and {len(chosen)} of them are "
                "selected, but a stage is done for a whole release: select them all, or run "
                f"`mlops release promote {view.release} --stage {stage}`",
            )
        return view
    if same := [view for view in holding if len(view.circuits) == len(chosen)]:
        return same[-1]
    named = ", ".join(str(key) for key in keys[:3])
    raise RefusedError(
        "E_NO_RELEASE",
        f"no open release of {platform.config.ref} holds {named}"
        f"{' and the others' if len(keys) > 3 else ''}: materialize `release_candidate`, or run "  # noqa: PLR2004
        "`mlops release create`",
    )


def do_stage(context: dg.AssetExecutionContext, home: Home, stage: Stage) -> None:
    """Do a stage for the release that the run means, and tell each circuit what came of it."""
    from mlops_assets.flows.gates import gate
    from mlops_assets.flows.ledger import manifest_of, views
    from mlops_assets.flows.promotion import promote

    asset, writer = ASSET_OF[stage], EventWriter(context, chosen(context))
    with home.explained():
        platform, config, now = home.platform, home.config(), home.now()
        every_view = views(platform, now)
        asked = context.op_execution_context.op_config["release"]
        named = [view for view in every_view if view.release == asked]
        view = named[-1] if named else None
        view = view or release_of(platform, meant(context), stage, every_view)
        manifest = manifest_of(platform.ledger, view)
        verdicts = gate(platform, config, view.release, stage, now=now)
    try:
        with home.explained():
            promotion = promote(
                platform,
                config,
                view.release,
                stage,
                now=now,
                progress=RunProgress(context, home.progress),
            )
    except dg.Failure as failure:
        if isinstance(home.error, RefusedError):
            _tell_refusal(writer, view, stage, verdicts, home.error)
        reason = failure.description or "refused"
        writer.refuse({asset: dict.fromkeys(view.circuits, reason)}, said=reason)
        raise
    home.answers[stage] = promotion
    with home.explained():
        home.publish(config, view.release)
        _tell(writer, home, promotion, manifest, verdicts)
    failed = {asset: promotion.refused}
    writer.refuse(failed)


def _tell(
    writer: EventWriter,
    home: Home,
    promotion: "Promotion",
    manifest: Manifest,
    verdicts: Sequence[Verdict],
) -> None:
    """Log one materialization and its checks for each circuit of a stage that was done."""
    from mlops_assets.flows.gates import read_test_validation
    from mlops_assets.flows.ledger import views

    platform, stage = home.platform, promotion.stage
    view = next(v for v in views(platform, home.now()) if v.release == promotion.release)
    unchanged = "" if promotion.circuits else f"unchanged: {promotion.release} is {promotion.state}"
    live = {}
    if stage == "production":
        from mlops_assets.flows.deployment import live_deployments

        live = live_deployments(platform.prod)
    tested: Mapping[str, tuple[Verdict, ...]] = {}
    if stage == "test":
        stored = platform.dev.evidence.read_release(promotion.release, "test_validation")
        tested = read_test_validation(stored) if stored else {}
    approved = stage_verdicts(stage, verdicts, view)
    for entry in manifest.entries:
        if stage == "production" and str(entry.circuit) in promotion.refused:
            continue
        fact = _fact(stage, manifest, entry, view, live.get(entry.circuit))
        said = tested.get(str(entry.circuit), ()) if stage == "test" else approved
        writer.materialized(fact, said, status=unchanged)


def _fact(
    stage: Stage, manifest: Manifest, entry: Entry, view: ReleaseView, live: Deployment | None
) -> Fact:
    match stage:
        case "registry":
            return registry_fact(manifest, entry, view)
        case "test":
            return test_fact(manifest, entry)
        case "production":
            return retired_fact(manifest, entry) if live is None else deployment_fact(live, view)


def retired_fact(manifest: Manifest, entry: Entry) -> Fact:
    """Tell that a circuit is no longer served."""
    about = entry_metadata(manifest, entry)
    return Fact(
        asset="production_deployment",
        partition=str(entry.circuit),
        version=str(about["release_digest"]),
        metadata=about,
    )


def stage_verdicts(
    stage: Stage, verdicts: Sequence[Verdict], view: ReleaseView
) -> tuple[Verdict, ...]:
    """Answer the checks of a stage that people open, from the gate's verdicts."""
    from mlops_assets.flows.awaited import with_moments

    names = {"registry": ("registry_approval",), "production": tuple(PRODUCTION_CHECKS)}.get(
        stage, ()
    )
    found = {verdict.gate: verdict for verdict in verdicts}
    missing = refusals(
        [verdict for verdict in verdicts if verdict.gate not in names] or [_NOTHING_ELSE]
    )
    said = []
    for name in names:
        verdict = found.get(name) or Verdict(name, passed=False, reason="it was not asked")
        if name.endswith("_approval"):
            verdict = with_moments(verdict, view, stage)
            if not verdict.passed:
                command = f"`{sign_command(view.release, stage)}` signs it"
                reason = "; ".join([verdict.reason, *missing, command])
                verdict = Verdict(name, passed=False, reason=reason)
        said.append(verdict)
    return tuple(said)


def _tell_refusal(
    writer: EventWriter,
    view: ReleaseView,
    stage: Stage,
    verdicts: Sequence[Verdict],
    error: MlopsError,
) -> None:
    """Log the checks of a stage that was refused, with every reason, and no materialization."""
    said = stage_verdicts(stage, verdicts, view)
    if stage == "test":
        said = (Verdict("no_errors", passed=False, reason=str(error)),)
    elif all(verdict.passed for verdict in said):
        others = "; ".join(refusals(verdicts)) or str(error)
        said = (Verdict(f"{stage}_approval", passed=False, reason=others), *said[1:])
    for circuit in view.circuits:
        writer.judged(ASSET_OF[stage], str(circuit), said)


def _stage_asset(
    spec: dg.AssetSpec, checks: Sequence[dg.AssetCheckSpec], stage: Stage
) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=ASSET_OF[stage],
        specs=[spec],
        check_specs=checks,
        partitions_def=circuits,
        backfill_policy=dg.BackfillPolicy.single_run(),
        can_subset=True,
        config_schema=SELECTION,
    )
    def do(
        context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]
    ) -> Iterator[dg.MaterializeResult]:
        do_stage(context, home, stage)
        yield from ()

    return do


registry_model = _stage_asset(REGISTRY_MODEL, REGISTRY_CHECK_SPECS, "registry")
test_validation = _stage_asset(TEST_VALIDATION, TEST_CHECK_SPECS, "test")
production_deployment = _stage_asset(PRODUCTION_DEPLOYMENT, PRODUCTION_CHECK_SPECS, "production")
