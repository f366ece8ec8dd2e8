"""Sensors and schedules say in one line why they do nothing, and never break a tick."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
import pytest

from mlops_assets import automation
from mlops_assets.assets.home import Home
from mlops_assets.definitions import defs
from mlops_assets.settings import Settings
from mlops_assets_tests.fakes.release import ENGINEER, MANAGER, ReleaseHome
from mlops_assets_tests.fakes.watched import WatchedHome

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


def tick(home, instance):
    """One tick of the sensor that starts stages."""
    context = dg.build_sensor_context(instance=instance, resources={"home": home})
    answer = automation.approvals(context)
    return [] if isinstance(answer, dg.SkipReason) else answer.run_requests


def test_a_complete_approval_starts_its_stage_within_a_tick_and_no_other_does(instance):
    home = WatchedHome(ReleaseHome(quorum=2))
    made = home.made.create()
    home.made.request(made, "registry")
    assert tick(home, instance) == []
    home.made.approve(made, "registry", ENGINEER)
    (request,) = tick(home, instance)
    assert request.job_name == "registry"
    assert request.tags["mlops/release"] == made
    assert request.run_config["ops"]["registry_model"]["config"]["release"] == made
    again = tick(home, instance)
    assert [each.run_key for each in again] == [request.run_key], "Dagster starts a key once"

    home.made.promote(made, "registry")
    (request,) = tick(home, instance)
    assert request.job_name == "test"
    home.made.promote(made, "test")
    home.made.approve(made, "production", ENGINEER)
    assert tick(home, instance) == [], "one of two has signed"
    home.made.approve(made, "production", MANAGER)
    (request,) = tick(home, instance)
    assert request.job_name == "production"


def test_while_signatures_are_missing_no_gate_is_asked(instance):
    home = WatchedHome(ReleaseHome())
    made = home.made.create()
    home.made.request(made, "registry")
    reads = []
    models = home.made.dev.models
    models.files = lambda record, read=models.files: (reads.append(record), read(record))[1]
    assert tick(home, instance) == []
    assert reads == []
    home.made.approve(made, "registry", ENGINEER)
    reads.clear()
    assert len(tick(home, instance)) == 1
    assert reads


def test_a_request_that_ran_out_is_recorded_by_the_sensor_and_starts_nothing(instance):
    home = WatchedHome(ReleaseHome())
    made = home.made.create()
    home.made.approve(made, "registry", ENGINEER)
    home.made.tick(hours=24)
    assert tick(home, instance) == []
    assert home.made.state(made) == "candidate"
    assert [entry.event for entry in home.made.ledger.entries()][-1] == "expired"


def test_what_a_gate_refuses_since_it_was_signed_starts_nothing(instance):
    home = WatchedHome(ReleaseHome())
    made = home.made.create()
    home.made.approve(made, "registry", ENGINEER)
    home.made.revoke(ENGINEER)
    assert tick(home, instance) == []
