"""A second release degrades in a real home: proposed, done by itself, and rightly refused."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from datetime import date, timedelta

import dagster as dg
import polars as pl
import pytest

from mlops_assets.assets.home import Home
from mlops_assets.assets.quality import incidents_by_circuit, quality_verdicts, scored
from mlops_assets.automation import degradation
from mlops_assets.flows.deployment import live_deployments
from mlops_assets.flows.forecast import predict
from mlops_assets.settings import Settings
from mlops_assets_tests.journeys.command import mlops, mlops_cut_off

STAGES = {"registry": "engineer@demo.example", "test": None, "production": "engineer@demo.example"}
DAYS = 4


def commit(config, message):
    """Commit everything as a manager, reviewed by the engineer."""
    git = ["git", "-C", str(config), "-c", "user.name=M", "-c", "user.email=manager@demo.example"]
    subprocess.run([*git, "add", "-A"], check=True)
    review = "Reviewed-by: Engineer <engineer@demo.example>"
    subprocess.run([*git, "commit", "-q", "-m", f"{message}\n\n{review}"], check=True)


def live(home):
    """Which release serves each circuit."""
    found = live_deployments(home.platform.prod)
    return {str(key): deployment.release for key, deployment in found.items()}


def restate(home, factor):
    """Multiply the actuals of the last days, as a plant that corrects its sensors sends them."""
    root = home.settings.layout.root
    first = home.data_now() - timedelta(days=DAYS)
    rows = home.platform.lake.readings.read(start=first)
    late = rows.select("plant_id", "circuit_id", "timestamp", pl.col("value") * factor)
    late.write_parquet(root / "lake" / "raw" / f"restated-{factor}.parquet")
    mlops(root, "ingest")


def incident_of(home):
    """Score, and return the one incident there is."""
    _, reports = scored(home, None)
    (incident,) = set(incidents_by_circuit(home, reports).values())
    return incident, reports


@pytest.fixture(scope="module")
def made_degraded(made_demo, tmp_path_factory):
    """A home whose second release forecast the last days, which then came out quite different."""
    root = tmp_path_factory.mktemp("degraded") / "home"
    shutil.copytree(made_demo[0], root, symlinks=True)
    for path in (root / "config" / "plants").rglob("*.yml"):
        text = path.read_text()
        before = date.fromisoformat(re.findall(r"(?m)^cutoff_date: (\S+)", text)[0])
        path.write_text(text.replace(str(before), str(before - timedelta(days=1))))
    policy = root / "config" / "release_policy.yml"
    policy.write_text(re.sub(r"automatic: false", "automatic: true", policy.read_text()))
    commit(root / "config", "Learn from a day less")
    made = mlops(root, "train")["release"]
    for stage, who in STAGES.items():
        if who:
            key = str(root / "demo_keys" / who)
            mlops(root, "release", "approve", made, "--stage", stage, "--key", key)
        mlops(root, "release", "promote", made, "--stage", stage)
    home = Home(Settings.find(root, None, {}, root))
    platform, end = home.platform, home.data_now()
    for number in range(1, DAYS + 1):
        day = (end - timedelta(days=number)).date()
        predict(
            platform.lake, platform.prod, platform.registry, day=day, now=home.now(), data_now=end
        )
    restate(home, 0.5)
    return root


@pytest.fixture
def degraded(made_degraded, tmp_path):
    """A copy of it, to be changed at will."""
    root = shutil.copytree(made_degraded, tmp_path / "home", symlinks=True)
    return Home(Settings.find(root, None, {}, root))


def tick(home):
    """One tick of the degradation sensor."""
    with dg.DagsterInstance.ephemeral() as instance:
        degradation(dg.build_sensor_context(instance=instance, resources={"home": home}))


@pytest.mark.slow
def test_a_degraded_release_shows_both_figures_and_a_command_that_works_without_dagster(degraded):
    incident, reports = incident_of(degraded)
    root, second = degraded.settings.layout.root, incident.release
    if not incident.movable:
        # Whichever model forecasts less did worse on lower actuals, and better on higher ones.
        restate(degraded, 2.4)
        incident, reports = incident_of(degraded)
    assert incident.movable
    for each in incident.circuits:
        known = each.comparison
        assert known.days == DAYS
        assert bool(each.obstacle) == (known.previous_wape >= known.live_wape)
        verdict = quality_verdicts(reports[each.circuit], {each.circuit: incident})[0]
        assert not verdict.passed
        assert incident.incident in verdict.reason
        assert incident.advice in verdict.reason
        assert f"{known.previous_wape:.1%}" in verdict.reason
    shutil.rmtree(root / "dagster")
    (command,) = incident.commands
    words = shlex.split(command.replace("YOU", "manager@demo.example"))
    report = mlops_cut_off(root, *words[1:])
    moved = {str(each.circuit) for each in incident.movable}
    assert set(report["circuits"]) == moved
    assert {key for key, release in live(degraded).items() if release != second} == moved
    assert not (root / "dagster").exists()
    held = {line["circuit"]: line["reason"] for line in mlops(root, "plan")}
    assert all("rolled back" in held[key] or "held" in held[key] for key in moved)
    assert mlops(root, "verify") == {
        "ok": True,
        "entries": len(degraded.platform.ledger.entries()),
        "problems": [],
    }


@pytest.mark.slow
def test_the_sensor_goes_back_where_that_helps_and_stays_where_it_does_not(degraded):
    incident, _ = incident_of(degraded)
    second = incident.release
    margin = degraded.config().policy.gates.champion_margin
    movable = {str(each.circuit) for each in incident.movable if each.comparison.better_by(margin)}
    tick(degraded)
    tick(degraded)
    now = live(degraded)
    assert {key for key, release in now.items() if release != second} == movable
    rollbacks = [e for e in degraded.platform.ledger.entries() if e.event == "rolled_back"]
    assert len(rollbacks) == bool(movable)
    assert all(entry.actor == "platform" for entry in rollbacks)
    assert mlops(degraded.settings.layout.root, "verify")["ok"]


def test_the_drill_publishes_its_seconds_in_a_running_job(demo_home):
    from mlops_assets.assets.drill import rollback_drill_job

    home = Home(Settings.find(demo_home, None, os.environ, demo_home))
    result = rollback_drill_job.execute_in_process(resources={"home": home})
    assert result.success
    (name,) = home.drills().names()
    assert home.answers["rollback_drill"].first
    assert (demo_home / "workspaces" / "prod" / "drills" / name).is_file()
