"""Alerts: the sensors that find incidents and tell people; no flow waits for them."""

import dagster as dg

from mlops_assets.assets.home import Home
from mlops_assets.domain.errors import MlopsError
from mlops_assets.domain.occasion import FailedRun

TICK_SECONDS = 60


@dg.sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=TICK_SECONDS,
    description="Finds open incidents and sends each once: failed releases, approvals that wait or "
    "run out, degraded releases, silent plants, missing forecasts. A receiver that is down is "
    "tried again.",
)
def alerts(context: dg.SensorEvaluationContext, home: dg.ResourceParam[Home]) -> dg.SkipReason:
    """Raise what is new and send what waits."""
    from mlops_assets.flows.alert import watch
    from mlops_assets.flows.refusal import config_or_last_good

    try:
        report = watch(
            home.platform,
            home.alerting,
            config_or_last_good(home.platform),
            now=home.now(),
            data_now=home.data_now(),
        )
    except (MlopsError, OSError) as error:
        return dg.SkipReason(str(error))
    for problem in report.problems:
        context.log.warning(problem)
    for alert in report.raised:
        context.log.warning("%s: %s", alert.severity, alert.subject)
    waits = f", {report.sending.waiting} wait for their receiver" if report.sending.waiting else ""
    return dg.SkipReason(f"{len(report.raised)} raised, {report.sending.sent} sent{waits}")


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=TICK_SECONDS // 2,
    description="Raises an alert for each run that failed, with its reason in one line.",
)
def run_failures(context: dg.RunFailureSensorContext, home: dg.ResourceParam[Home]) -> None:
    """Raise each failed run once."""
    from mlops_assets.flows.alert import report_failed_run
    from mlops_assets.flows.refusal import config_or_last_good

    run, reason = context.dagster_run, _reason(context)
    context.log.error("run %s of %s failed: %s", run.run_id, run.job_name, reason)
    failed = FailedRun(
        run_id=run.run_id,
        job=run.job_name,
        reason=reason,
        partition=run.tags.get("dagster/partition", ""),
        release=run.tags.get("mlops/release", ""),
    )
    try:
        config = config_or_last_good(home.platform)
        report_failed_run(home.platform, home.alerting, config, failed, now=home.now())
    except (MlopsError, OSError) as error:
        context.log.warning("no alert could be raised for run %s: %s", run.run_id, error)


def _reason(context: dg.RunFailureSensorContext) -> str:
    """What the step that failed says, else what the run does."""
    for event in context.get_step_failure_events():
        error = event.step_failure_data.user_failure_data
        if error is not None and error.description:
            return " ".join(error.description.split())
    return " ".join((context.failure_event.message or "").split())
