"""The event log is a view: told again when it was lost, kept small without losing what is true."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

import dagster as dg

from mlops_assets.assets.events import EventWriter, stored_versions
from mlops_assets.assets.home import Home
from mlops_assets.assets.partitions import add_circuits
from mlops_assets.domain.errors import AbsentRoleError, MlopsError
from mlops_assets.domain.identifiers import CircuitKey


@dg.op(description="Tells every asset's newest fact again.")
def tell_everything(context: dg.OpExecutionContext, home: dg.ResourceParam[Home]) -> None:
    """Log every fact of the home into this run."""
    from mlops_assets.assets import facts

    with home.explained():
        add_circuits(context.instance, sorted(home.config().circuits))
        writer, counts = EventWriter(context), dict[str, int]()
        for fact, verdicts in facts.told(home):
            if fact.partition and "/" in fact.partition:
                add_circuits(context.instance, [CircuitKey.parse(fact.partition)])
            writer.materialized(fact, verdicts)
            counts[fact.asset] = counts.get(fact.asset, 0) + 1
        shown = set[str]()
        with suppress(AbsentRoleError):  # Where nothing of production is read, no page is written.
            shown = _shown_releases(home)
        for release in sorted(shown):
            try:
                home.publish(home.config(), release)
            except MlopsError as error:
                context.log.warning("%s: its page cannot be written: %s", release, error)
        home.answers["rebuild"] = counts


def _shown_releases(home: Home) -> set[str]:
    """Return the releases whose pages people open from what was told: open ones, and live ones."""
    from mlops_assets.flows.deployment import live_deployments
    from mlops_assets.flows.ledger import views

    open_ones = {view.release for view in views(home.platform, home.now()) if view.open}
    return open_ones | {live.release for live in live_deployments(home.platform.prod).values()}


@dg.job(name="rebuild", description="Refills this database from the facts and the ledger.")
def rebuild_job() -> None:
    """Tell everything."""
    tell_everything()


@dg.op(description="Deletes runs older than the policy keeps, then tells what they had told.")
def delete_old_runs(context: dg.OpExecutionContext, home: dg.ResourceParam[Home]) -> None:
    """Delete old runs; facts whose newest event went with them are told again."""
    from mlops_assets.assets import facts

    with home.explained():
        oldest = home.now() - timedelta(days=home.config().policy.keep_runs_days)
        old = context.instance.get_run_records(dg.RunsFilter(created_before=oldest))
        for record in old:
            if record.dagster_run.is_finished:
                context.instance.delete_run(record.dagster_run.run_id)
        context.log.info("%s runs deleted", len(old))
        if old:
            writer = EventWriter(context)
            for fact in facts.newer(facts.told(home), Versions(context.instance)):
                writer.materialized(fact)


@dg.job(name="prune", description="Old runs go, what they told stays.")
def prune_job() -> None:
    """Delete old runs."""
    delete_old_runs()


class Versions(dict[str, dict[str, str]]):
    """What Dagster was told, by asset and partition, looked up when first asked for."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        super().__init__()
        self._instance = instance

    def get(self, asset: str, default: Any = None) -> Any:  # noqa: ANN401 as dict has it
        """Return an asset's data versions by partition, "" where it has none."""
        if asset not in self:
            self[asset] = stored_versions(self._instance, asset)
        return super().get(asset, default)
