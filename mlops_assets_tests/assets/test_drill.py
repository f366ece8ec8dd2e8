"""The rollback drill runs by itself each week; its figure shows at the live deployments."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import dagster as dg
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator

from mlops_assets.adapters.local.drill import LocalDrillFiles
from mlops_assets.assets.drill import rollback_drill_job, rollback_drill_schedule
from mlops_assets.assets.home import Home
from mlops_assets.definitions import defs
from mlops_assets_tests.fakes.forecast import model_files
from mlops_assets_tests.fakes.serving import NOW, Production
from mlops_assets_tests.flows.test_rollback import C1, C2, release


class DrilledHome(Home):
    """A home in memory that keeps its drills on disk."""

    def __init__(self, production, folder):
        super().__init__()
        self._platform = SimpleNamespace(
            ledger=production.ledger,
            prod=production.prod,
            registry=production.registry,
            clock=SimpleNamespace(now=lambda: NOW),
        )
        self._folder = folder

    def drills(self):
        return LocalDrillFiles(self._folder / "drills", self._folder)


@pytest.fixture
def production():
    made = Production()
    release(made, C1, C2, version=1)
    release(made, C1, version=2)
    return made


def drilled(production, tmp_path):
    """Run the job; returns its result and what was observed of the live deployments."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = rollback_drill_job.execute_in_process(
            resources={"home": DrilledHome(production, tmp_path)},
            instance=instance,
            raise_on_error=False,
        )
        seen = instance.fetch_observations(dg.AssetKey("production_deployment"), limit=10)
    metadata = [record.asset_observation.metadata for record in seen.records]
    return result, [{name: value.value for name, value in each.items()} for each in metadata]


def test_the_time_a_way_back_takes_shows_on_the_live_deployments(production, tmp_path):
    result, (shown,) = drilled(production, tmp_path)
    assert result.success
    assert 0 < shown["rollback_drill_seconds"] < 60
    assert (shown["rollback_drill_circuits"], shown["rollback_drill_broken"]) == (1, 0)
    assert (tmp_path / shown["rollback_drill_file"]).exists()


def test_a_broken_way_back_fails_the_run_and_shows_too(production, tmp_path):
    production.shelf.bytes[C1, 1] = model_files(add=1e9)
    result, (shown,) = drilled(production, tmp_path)
    assert not result.success
    assert shown["rollback_drill_broken"] == 1


def test_the_drill_runs_every_monday_without_anybody_starting_it():
    schedule = defs.get_repository_def().get_schedule_def("rollback_drill_weekly")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert schedule.job_name == "rollback_drill"
    assert schedule.execution_timezone == "UTC"
    monday = datetime(2024, 7, 1, 5, tzinfo=UTC)
    ticks = schedule_execution_time_iterator(
        monday.timestamp() - 3600, schedule.cron_schedule, schedule.execution_timezone
    )
    assert [next(ticks) for _ in range(2)] == [monday, monday.replace(day=8)]
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_schedule_context(instance=instance, scheduled_execution_time=monday)
        assert len(rollback_drill_schedule.evaluate_tick(context).run_requests) == 1
