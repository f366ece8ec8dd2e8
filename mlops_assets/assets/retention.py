"""Upkeep: the daily job that sweeps leftovers, and removes what the policy lets go."""

from dataclasses import asdict

import dagster as dg

from mlops_assets.assets.home import Home
from mlops_assets.domain.errors import AbsentRoleError


@dg.op(
    description="Joins small files of the lake's tables and checkpoints them, and removes what "
    "killed processes left for a day; where the policy says automatic, also what nobody needs any "
    "more."
)
def keep_house(context: dg.OpExecutionContext, home: dg.ResourceParam[Home]) -> None:
    """Sweep always, collect where people agreed to it in the policy."""
    from mlops_assets.flows.retention import collect
    from mlops_assets.flows.upkeep import tidy

    with home.explained():
        tidied = tidy(home.platform.lake, now=home.now())
        storage, config = home.storage(), home.config()
        if config.policy.retention.automatic and home.keeps_all:
            done = collect(home.platform, config, storage, now=home.now(), remove=True)
            swept, removed = done.swept, len(done.plan.going)
        else:
            try:
                with storage.lock():
                    swept, removed = storage.sweep(home.now()), 0
            except AbsentRoleError as error:
                swept, removed = 0, 0
                context.log.info("nothing is swept here: %s", error)
            if config.policy.retention.automatic:
                context.log.info("nothing is removed by policy here: a host of every role does")
    told = {f"lake/{name}": asdict(each) for name, each in tidied.items()}
    context.add_output_metadata({"leftovers": swept, "removed": removed, **told})
    if "readings" in tidied:
        context.log_event(
            dg.AssetObservation("readings", metadata={"upkeep": told["lake/readings"]})
        )
    context.log.info("%s leftovers swept, %s things removed", swept, removed)


@dg.job(
    name="upkeep",
    description="Leftovers of killed processes go; what the retention policy lets go, goes where "
    "it says automatic.",
)
def upkeep_job() -> None:
    """Keep house."""
    keep_house()


upkeep_schedule = dg.ScheduleDefinition(
    name="upkeep_daily",
    job=upkeep_job,
    cron_schedule="30 4 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
