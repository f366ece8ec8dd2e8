"""Approvals as people see them: each circuit's check says who signed, who may, and the command.

Runs never wait for people. What a release waits for is told by a short run whenever it changes, so
that the check of a waiting circuit is never older than a tick; what opens a stage is asked of the
ledger alone.
"""

import json

import dagster as dg

from mlops_assets.assets.deployment import ASSET_OF
from mlops_assets.assets.events import EventWriter
from mlops_assets.assets.home import Home
from mlops_assets.assets.partitions import add_circuits
from mlops_assets.assets.release import page_of
from mlops_assets.domain.errors import MlopsError
from mlops_assets.domain.identifiers import digest_of

TICK_SECONDS = 30
_OP = "tell_approvals"


@dg.op(
    name=_OP,
    description="Tells on each circuit's approval check what its release waits for from people.",
    config_schema={"releases": dg.Field([str], default_value=[])},
)
def tell_approvals(context: dg.OpExecutionContext, home: dg.ResourceParam[Home]) -> None:
    """Write the page as things stand now, and log one check evaluation a circuit that names it.

    Without named releases it tells all that wait.
    """
    from mlops_assets.flows.awaited import marks, newest_awaited
    from mlops_assets.flows.ledger import views

    writer = EventWriter(context)
    with home.explained():
        platform, config, now = home.platform, home.config(), home.now()
        every = views(platform, now)
        only = set(context.op_config["releases"]) or set(marks(every, config.commit))
        for told in newest_awaited(platform, config, every, only=only, now=now):
            try:
                home.publish(config, told.release)
            except MlopsError as error:
                context.log.warning("%s: its page cannot be written: %s", told.release, error)
            add_circuits(context.instance, sorted(told.verdicts))
            about = {
                "release": told.release,
                "signed_by": told.signed or None,
                "may_sign": told.may_sign or None,
                "expires_at": told.expires_at,
                "command": told.command or None,
                **page_of(told.release),
            }
            for circuit, verdict in sorted(told.verdicts.items()):
                writer.judged(ASSET_OF[told.stage], str(circuit), [verdict], about)
            context.log.info("%s: %s circuits told", told.release, len(told.verdicts))


@dg.job(
    name="approval_checks",
    description="Tells what releases wait for from people, on the checks of their circuits.",
)
def approval_checks_job() -> None:
    """Tell every release that waits."""
    tell_approvals()


@dg.sensor(
    job=approval_checks_job,
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=TICK_SECONDS,
    description="Tells on each circuit's check who signed a waiting release and when, who may, "
    "and the command to sign, whenever that changes.",
)
def waiting_approvals(
    context: dg.SensorEvaluationContext, home: dg.ResourceParam[Home]
) -> dg.SensorResult | dg.SkipReason:
    """Ask for one run over the releases of which there is news."""
    from mlops_assets.flows.awaited import marks
    from mlops_assets.flows.ledger import views

    try:
        found = marks(views(home.platform, home.now()), home.platform.config.head())
    except MlopsError as error:
        return dg.SkipReason(str(error))
    before = json.loads(context.cursor) if context.cursor else {}
    news = sorted(name for name, mark in found.items() if before.get(name) != mark)
    if not news:
        return dg.SkipReason("nobody is asked for anything new")
    config = {"ops": {_OP: {"config": {"releases": news}}}}
    request = dg.RunRequest(
        run_key=digest_of({name: found[name] for name in news}), run_config=config
    )
    return dg.SensorResult(run_requests=[request], cursor=json.dumps(found))
