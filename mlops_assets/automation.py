"""What runs by itself: jobs, schedules, sensors. They only say when; assets say what."""

import json
from collections.abc import Iterator, Sequence

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import (
    UnresolvedAssetJobDefinition,
)

from mlops_assets.assets.alert import alerts, run_failures
from mlops_assets.assets.approval import approval_checks_job, waiting_approvals
from mlops_assets.assets.config import config_facts
from mlops_assets.assets.deployment import ASSET_OF
from mlops_assets.assets.drill import rollback_drill_job, rollback_drill_schedule
from mlops_assets.assets.events import stored_versions
from mlops_assets.assets.home import Home
from mlops_assets.assets.partitions import add_circuits, circuits, launch_on
from mlops_assets.assets.rebuild import Versions, prune_job, rebuild_job
from mlops_assets.assets.retention import upkeep_job, upkeep_schedule
from mlops_assets.assets.training import STEPS
from mlops_assets.domain.errors import MlopsError
from mlops_assets.domain.identifiers import CircuitKey, digest_of
from mlops_assets.domain.release import ReleaseView, Stage
from mlops_assets.settings.host import STAGE_ROLES

RUNNING = dg.DefaultSensorStatus.RUNNING
ALWAYS = dg.DefaultScheduleStatus.RUNNING
TICK_SECONDS = 30
QUALITY_TICK_SECONDS = 600


def _only(*assets: str) -> dg.AssetSelection:
    """Return a selection of assets by key: one by text would load a parser at every import."""
    return dg.AssetSelection.assets(*assets)


etl_job = dg.define_asset_job(
    "etl", selection=_only("readings"), description="One slice of new raw files and rows."
)
training_job = dg.define_asset_job(
    "training",
    selection=_only(*STEPS),
    description="Training data, model, evidence and one release of the circuits in its config.",
)
registry_job = dg.define_asset_job("registry", selection=_only(ASSET_OF["registry"]))
test_job = dg.define_asset_job("test", selection=_only(ASSET_OF["test"]))
production_job = dg.define_asset_job("production", selection=_only(ASSET_OF["production"]))
daily_job = dg.define_asset_job(
    "daily", selection=_only("daily_forecast"), description="The batch of one day."
)
circuit_forecast_job = dg.define_asset_job(
    "circuit_forecast",
    selection=_only("predictions"),
    description="The newest day for some circuits.",
)
quality_job = dg.define_asset_job(
    "quality", selection=_only("forecast_quality"), description="Forecasts against actuals."
)
STAGE_JOBS = {"registry": registry_job, "test": test_job, "production": production_job}


# --- schedules ------------------------------------------------------------------------------

etl_schedule = dg.ScheduleDefinition(
    name="etl_every_3_hours",
    job=etl_job,
    cron_schedule="0 */3 * * *",
    execution_timezone="UTC",
    default_status=ALWAYS,
)
prune_schedule = dg.ScheduleDefinition(
    name="prune_daily",
    job=prune_job,
    cron_schedule="0 4 * * *",
    execution_timezone="UTC",
    default_status=ALWAYS,
)


@dg.schedule(
    job=daily_job,
    cron_schedule="30 0 * * *",
    execution_timezone="UTC",
    default_status=ALWAYS,
    description="The day's batch, where no ETL slice of the day has started it before.",
)
def daily_forecast_schedule(
    context: dg.ScheduleEvaluationContext, home: dg.ResourceParam[Home]
) -> dg.RunRequest | dg.SkipReason:
    """Forecast today, 30 minutes late at most."""
    return _daily(context.instance, home)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[etl_job],
    request_job=daily_job,
    default_status=RUNNING,
    minimum_interval_seconds=TICK_SECONDS,
    description="Starts the day's batch as soon as the first ETL slice of the day is merged.",
)
def daily_after_slice(
    context: dg.RunStatusSensorContext, home: dg.ResourceParam[Home]
) -> dg.RunRequest | dg.SkipReason:
    """Forecast today once its first slice is in."""
    return _daily(context.instance, home)


def _daily(instance: dg.DagsterInstance, home: Home) -> dg.RunRequest | dg.SkipReason:
    from mlops_assets.flows.deployment import live_deployments

    try:
        newest = home.platform.lake.readings.newest()
        if newest is None:
            return dg.SkipReason("there are no readings yet")
        live = live_deployments(home.platform.prod)
        if not live:
            return dg.SkipReason("nothing is live: promote a release to production first")
        today = home.data_now().date()
        day, age = today.isoformat(), home.data_now() - newest
        # Another host's runs are in another database; the forecasts are in the one table.
        issued = home.platform.lake.predictions.read(issued_for=today)
        rows = issued.select("plant_id", "circuit_id").unique().iter_rows()
        if live.keys() <= {CircuitKey(plant, circuit) for plant, circuit in rows}:
            return dg.SkipReason(f"{day} is forecast already")
    except MlopsError as error:
        return dg.SkipReason(str(error))
    filters = dg.RunsFilter(job_name=daily_job.name, tags={"dagster/partition": day})
    for run in instance.get_runs(filters):
        if not run.is_failure_or_canceled:
            return dg.SkipReason(f"{day} was started by run {run.run_id}")
    tags = {"mlops/newest_reading": newest.isoformat(), "mlops/age": str(age)}
    return dg.RunRequest(partition_key=day, run_key=day, tags=tags)


# --- sensors --------------------------------------------------------------------------------


@dg.sensor(
    job=training_job,
    default_status=RUNNING,
    minimum_interval_seconds=TICK_SECONDS,
    description="Compares the watched ref with what is registered: adds new circuits as "
    "partitions, tells changed specs, and trains what changed, in one tick and one run.",
)
def config_changes(
    context: dg.SensorEvaluationContext, home: dg.ResourceParam[Home]
) -> dg.SensorResult | dg.SkipReason:
    """Train what the config wants and the registry does not have."""
    from mlops_assets.flows.plan import plan

    try:
        platform, config = home.platform, home.config()
        lines = [line for line in plan(platform, config, now=home.now()) if line.action == "train"]
        told = stored_versions(context.instance, "circuit_config")
        news = list(config_facts(platform, config, told))
        before = context.cursor
        changed = platform.config.changed(before, config.commit) if before else ()
    except MlopsError as error:
        return dg.SkipReason(str(error))
    order = context.instance.get_dynamic_partitions(str(circuits.name))
    new = sorted({str(key) for key in config.circuits} - set(order))
    wanted = {str(line.circuit): config.circuits[line.circuit].spec_digest for line in lines}
    requests = []
    if wanted:
        launch = launch_on([*order, *new], wanted)
        requests.append(
            dg.RunRequest(
                # The same wish is asked for once: a circuit that failed waits for a change or a
                # person.
                run_key=digest_of(wanted),
                partition_key=launch.partition_key,
                run_config={"ops": {"train": {"config": launch.config}}},
                tags={
                    **launch.tags,
                    "mlops/config_commit": config.commit,
                    "mlops/changed_files": json.dumps(list(changed)[:20]),
                },
            )
        )
    context.log.info("%s: changed %s; to train %s", config.commit, list(changed), len(wanted))
    only_environment = all(fact.asset == "environment" for fact in news)
    if not requests and not new and (only_environment or not news):
        context.update_cursor(config.commit)
        return dg.SkipReason(f"registered as wanted at {config.commit[:12]}")
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=[circuits.build_add_request(new)] if new else [],
        asset_events=[fact.materialization() for fact in news],
        cursor=config.commit,
    )


def _request(
    context: dg.SensorEvaluationContext,
    job: str,
    asset: str,
    keys: Sequence[CircuitKey],
    *,
    run_key: str,
    release: str = "",
) -> dg.RunRequest:
    """Ask for one run of an asset over circuits that are partitions."""
    add_circuits(context.instance, keys)
    order = context.instance.get_dynamic_partitions(str(circuits.name))
    launch = launch_on(order, [str(key) for key in keys], release=release)
    about = {"mlops/release": release} if release else {}
    return dg.RunRequest(
        job_name=job,
        run_key=run_key,
        partition_key=launch.partition_key,
        run_config={"ops": {asset: {"config": launch.config}}},
        tags={**launch.tags, **about},
    )


@dg.sensor(
    job=etl_job,
    default_status=RUNNING,
    minimum_interval_seconds=TICK_SECONDS,
    description="Starts a slice when raw files wait in the landing zone.",
)
def new_raw_files(
    context: dg.SensorEvaluationContext, home: dg.ResourceParam[Home]
) -> dg.RunRequest | dg.SkipReason:
    """Merge files that arrived between two slices."""
    from mlops_assets.flows.readings import slice_id_of, waiting_files

    try:
        waiting = waiting_files(home.platform.lake)
    except (MlopsError, OSError) as error:
        return dg.SkipReason(str(error))
    if not waiting:
        return dg.SkipReason("no new raw files")
    context.log.info("%s files wait, such as %s", len(waiting), waiting[0].path)
    return dg.RunRequest(run_key=slice_id_of(waiting))


@dg.sensor(
    jobs=list(STAGE_JOBS.values()),
    default_status=RUNNING,
    minimum_interval_seconds=TICK_SECONDS,
    description="Starts a stage as soon as its gate is open, and records requests that expired.",
)
def approvals(
    context: dg.SensorEvaluationContext, home: dg.ResourceParam[Home]
) -> dg.SensorResult | dg.SkipReason:
    """Start the next stage of every release that nothing stops."""
    from mlops_assets.flows.approval import expire
    from mlops_assets.flows.ledger import views

    try:
        expired = expire(home.platform, now=home.now())
        requests = [
            _request(
                context,
                stage,
                ASSET_OF[stage],
                view.circuits,
                run_key=f"{view.release}:{stage}:{nonce}",
                release=view.release,
            )
            for view in views(home.platform, home.now())
            for stage, nonce in _ready(context, home, view)
        ]
    except MlopsError as error:
        return dg.SkipReason(str(error))
    for release in expired:
        context.log.warning("a request of %s expired: request it again", release)
    if not requests:
        return dg.SkipReason("no stage waits for anything but people")
    return dg.SensorResult(run_requests=requests)


def _ready(
    context: dg.SensorEvaluationContext, home: Home, view: ReleaseView
) -> Iterator[tuple[Stage, str]]:
    """Yield the stage of a release whose gate is open, with what makes this opening unique."""
    from mlops_assets.domain.gates import refusals
    from mlops_assets.flows.gates import gate
    from mlops_assets.flows.signed import stage_policy

    stages: dict[str, Stage] = {
        "awaiting_registry": "registry",
        "registered": "test",
        "awaiting_production": "production",
    }
    stage = stages.get(view.state)
    if stage is None or STAGE_ROLES[stage] not in home.roles:
        return
    config, request = home.config(), view.open_request
    if request and len(request.approvals) < stage_policy(config, request.stage).quorum:
        # Nobody asks the gates of a large release every tick for as long as people may take.
        context.log.info("%s: %s waits for signatures", view.release, stage)
        return
    reasons = refusals(gate(home.platform, config, view.release, stage, now=home.now()))
    if reasons:
        context.log.info("%s: %s waits: %s", view.release, stage, "; ".join(reasons))
        return
    yield stage, view.open_request.nonce if view.open_request else "unattended"


@dg.sensor(
    default_status=RUNNING,
    minimum_interval_seconds=TICK_SECONDS,
    description="Tells what was decided outside of Dagster, such as a rollback at the terminal.",
)
def ledger_reports(
    context: dg.SensorEvaluationContext, home: dg.ResourceParam[Home]
) -> dg.SensorResult | dg.SkipReason:
    """Fill in events of releases and deployments that no run of this database has told."""
    from mlops_assets.assets import facts

    try:
        head = str(len(home.platform.ledger.entries()))
        if head == context.cursor:
            return dg.SkipReason("the ledger has not moved")
        told = facts.released(home, home.config())
        events = [
            fact.materialization("told from the ledger")
            for fact in facts.newer(told, Versions(context.instance))
        ]
    except MlopsError as error:
        return dg.SkipReason(str(error))
    return dg.SensorResult(asset_events=events, cursor=head)


@dg.sensor(
    job=quality_job,
    default_status=RUNNING,
    minimum_interval_seconds=QUALITY_TICK_SECONDS,
    description="Judges every live circuit when actuals or forecasts arrived: a degraded one fails "
    "its check, which shows the exact rollback command. Where the policy says automatic, it takes "
    "a degraded release one step back, once, and never to a model that did worse.",
)
def degradation(
    context: dg.SensorEvaluationContext, home: dg.ResourceParam[Home]
) -> dg.SensorResult | dg.SkipReason:
    """Act on what was scored, then score again when there is something new to score."""
    from mlops_assets.flows.degradation import roll_back_degraded
    from mlops_assets.flows.deployment import live_deployments

    try:
        for done in roll_back_degraded(home.platform, home.config(), now=home.now()):
            for key, target in done.report.to.items():
                context.log.warning("%s: %s rolled back to %s", done.incident.incident, key, target)
            for key, why in done.refused.items():
                context.log.warning("%s: %s stays: %s", done.incident.incident, key, why)
        lake = home.platform.lake
        live = sorted(live_deployments(home.platform.prod))
        if not live or not lake.readings.exists():
            return dg.SkipReason("nothing is live")
        state = f"{lake.readings.version()}:{lake.predictions.version()}"
    except MlopsError as error:
        return dg.SkipReason(str(error))
    if state == context.cursor:
        return dg.SkipReason("no new actuals and no new forecasts")
    request = _request(context, "quality", "forecast_quality", live, run_key=state)
    return dg.SensorResult(run_requests=[request], cursor=state)


JOBS: list[dg.JobDefinition | UnresolvedAssetJobDefinition] = [
    etl_job,
    training_job,
    registry_job,
    test_job,
    production_job,
    daily_job,
    circuit_forecast_job,
    quality_job,
    approval_checks_job,
    rebuild_job,
    prune_job,
    rollback_drill_job,
    upkeep_job,
]
SCHEDULES = [
    etl_schedule,
    daily_forecast_schedule,
    prune_schedule,
    rollback_drill_schedule,
    upkeep_schedule,
]
SENSORS = [
    config_changes,
    new_raw_files,
    approvals,
    waiting_approvals,
    ledger_reports,
    degradation,
    daily_after_slice,
    alerts,
    run_failures,
]
