"""Sensors and schedules say in one line why they do nothing, and never break a tick."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from types import SimpleNamespace

import dagster as dg
import polars as pl
import pytest

from mlops_assets import automation
from mlops_assets.assets.home import Home
from mlops_assets.definitions import defs
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.settings import Settings
from mlops_assets.settings.azure import ROLES
from mlops_assets.settings.host import NEEDS, starts
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


HOSTS = {
    "etl": {"etl_every_3_hours", "new_raw_files", "upkeep_daily", "prune_daily"},
    "dev": {"config_changes", "upkeep_daily", "prune_daily", "run_failures"},
    "test": {"prune_daily"},
    "review": {"prune_daily"},
    "prod": {
        "daily_forecast_schedule", "daily_after_slice", "degradation", "rollback_drill_weekly",
        "upkeep_daily", "prune_daily", "run_failures",
    },
    "release": {
        "approvals", "waiting_approvals", "ledger_reports", "alerts", "upkeep_daily",
        "prune_daily", "run_failures",
    },
}  # fmt: skip
EVERYTHING = {each.name for each in (*automation.SCHEDULES, *automation.SENSORS)}


@pytest.mark.parametrize("role", ROLES)
def test_a_host_starts_by_itself_what_its_role_may_do(role):
    assert {name for name in EVERYTHING if starts(name, [role])} == HOSTS[role]


def test_hosts_of_all_roles_together_start_everything_once_but_upkeep():
    often = Counter(name for role in ROLES for name in HOSTS[role])
    assert often.keys() == EVERYTHING == {*NEEDS, "prune_daily"}
    assert {name for name, times in often.items() if times > 1} == {
        "upkeep_daily", "prune_daily", "run_failures",
    }  # fmt: skip


def test_the_definitions_of_a_host_are_those_of_its_roles(tmp_path):
    """In a process of its own: Dagster reads the module as the environment is."""
    settings = {
        "backend": "azure", "subscription": "s", "resource_group": "g", "location": "l",
        "storage_account": "account", "registry": "r", "identities": {"etl": "e", "prod": "p"},
        "workspaces": {"dev": "d", "test": "t", "prod": "p"},
    }  # fmt: skip
    (tmp_path / "settings.yml").write_text(json.dumps(settings))
    said = (
        "from mlops_assets.definitions import defs\n"
        "found = defs.get_repository_def()\n"
        "print(*(each.name for each in (*found.schedule_defs, *found.sensor_defs)))"
    )
    for role, wanted in (("etl", HOSTS["etl"]), ("etl,prod", HOSTS["etl"] | HOSTS["prod"])):
        environ = {**os.environ, "MLOPS_HOME": str(tmp_path), "MLOPS_ROLE": role}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", said],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert set(done.stdout.split()) == wanted


def test_a_host_that_lacks_the_workspace_of_a_stage_leaves_it_to_another(instance):
    home = WatchedHome(ReleaseHome(), roles=["release"])
    made = home.made.create()
    home.made.approve(made, "registry", ENGINEER)
    (request,) = tick(home, instance)
    assert request.job_name == "registry"
    home.made.promote(made, "registry")
    assert tick(home, instance) == []
    (request,) = tick(WatchedHome(home.made, roles=["release", "test"]), instance)
    assert request.job_name == "test"


class OtherHost(Home):
    """A host whose Dagster knows no run of today; ``issued`` are the circuits forecast for it."""

    def __init__(self, live, issued):
        super().__init__()
        self._live, self._issued = live, issued

    @property
    def platform(self):
        rows = {"plant_id": ["P001"] * len(self._issued), "circuit_id": self._issued}
        text = {"plant_id": pl.String, "circuit_id": pl.String}
        manifest = SimpleNamespace(
            live={each: SimpleNamespace(circuit=CircuitKey("P001", each)) for each in self._live}
        )
        return SimpleNamespace(
            lake=SimpleNamespace(
                readings=SimpleNamespace(newest=self.now),
                predictions=SimpleNamespace(read=lambda issued_for: pl.DataFrame(rows, text)),
            ),
            prod=SimpleNamespace(
                endpoints=SimpleNamespace(plants=lambda: ["P001"], live=lambda _: manifest)
            ),
        )

    def now(self):
        return datetime(2026, 1, 1, 0, 30, tzinfo=UTC)

    data_now = now


def test_a_day_that_another_host_has_forecast_is_not_forecast_again(instance):
    def answer(issued):
        home = OtherHost(["C001", "C002"], issued)
        context = dg.build_schedule_context(instance=instance, resources={"home": home})
        return automation.daily_forecast_schedule(context)

    assert answer(["C001"]).partition_key == "2026-01-01"
    assert answer(["C002", "C001"]).skip_message == "2026-01-01 is forecast already"
