"""Sensors and schedules say in one line why they do nothing, and never break a tick."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
import pytest

from mlops_assets import automation
from mlops_assets.assets.home import Home
from mlops_assets.definitions import defs
from mlops_assets.settings import Settings

SENSORS = [
    "config_changes",
    "new_raw_files",
    "approvals",
    "waiting_approvals",
    "ledger_reports",
    "degradation",
]


@pytest.fixture
def no_home(tmp_path) -> Home:
    return Home(Settings.find(tmp_path / "nowhere", None, {}, tmp_path))


@pytest.fixture(scope="module")
def instance(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dagster")
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(folder)) as made:
        yield made


@pytest.mark.parametrize("name", SENSORS)
def test_a_sensor_without_a_home_says_how_to_make_one(name, no_home, instance):
    context = dg.build_sensor_context(instance=instance, resources={"home": no_home})
    answer = getattr(automation, name)(context)
    assert isinstance(answer, dg.SkipReason)
    assert "mlops demo" in answer.skip_message
    assert "\n" not in answer.skip_message


def test_the_daily_schedule_without_a_home_says_how_to_make_one(no_home, instance):
    context = dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=datetime(2026, 1, 1, 0, 30, tzinfo=UTC),
        resources={"home": no_home},
    )
    answer = automation.daily_forecast_schedule(context)
    assert isinstance(answer, dg.SkipReason)
    assert "mlops demo" in answer.skip_message


def test_every_stage_has_a_job_of_its_name():
    repository = defs.get_repository_def()
    for stage in automation.STAGE_JOBS:
        assert repository.has_job(stage)


def test_a_command_of_the_terminal_and_the_daemon_use_the_same_jobs():
    names = {job.name for job in defs.get_repository_def().get_all_jobs()}
    assert {"etl", "training", "registry", "test", "production", "daily", "rebuild"} <= names
