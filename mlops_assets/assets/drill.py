"""The weekly rollback drill: a job that tries every way back and says how long that took."""

import dagster as dg

from mlops_assets.assets.home import Home


@dg.op(description="Tries the way back of every live circuit, digests verified; changes nothing.")
def try_every_way_back(context: dg.OpExecutionContext, home: dg.ResourceParam[Home]) -> None:
    """Rehearse a rollback of everything; a way back that is broken fails the run by name."""
    from mlops_assets.flows.drill import drill

    with home.explained():
        found, file = drill(home.platform, home.drills(), now=home.now())
        home.answers["rollback_drill"] = found
    context.add_output_metadata(
        {
            "seconds": found.seconds,
            "circuits": len(found.targets),
            "first_deployments": len(found.first),
            "broken": dict(found.broken),
            "file": file,
        }
    )
    context.log.info("%s ways back tried in %.3f s", len(found.targets), found.seconds)
    # Where people look at what is live, and where Dagster draws numbers over time.
    context.log_event(
        dg.AssetObservation(
            "production_deployment",
            description=f"rollback drill: {len(found.targets)} ways back tried, "
            f"{len(found.broken)} broken",
            metadata={
                "rollback_drill_seconds": found.seconds,
                "rollback_drill_circuits": len(found.targets),
                "rollback_drill_broken": len(found.broken),
                "rollback_drill_file": file,
            },
        )
    )
    if not found.ok:
        key, why = min(found.broken.items())
        count = len(found.broken)
        raise dg.Failure(
            f"{count} of the ways back are broken, such as {key}: {why}",
            metadata={"seconds": found.seconds, "broken": dict(found.broken), "file": file},
            allow_retries=False,
        )


@dg.job(
    name="rollback_drill",
    description="A dry run of rolling back everything that is live, timed and kept in "
    "workspaces/prod/drills.",
)
def rollback_drill_job() -> None:
    """Try every way back."""
    try_every_way_back()


rollback_drill_schedule = dg.ScheduleDefinition(
    name="rollback_drill_weekly",
    job=rollback_drill_job,
    cron_schedule="0 5 * * 1",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
