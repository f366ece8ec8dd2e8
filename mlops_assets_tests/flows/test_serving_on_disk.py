"""Serving with real models on real folders: deploy, test, predict, score and roll back."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.readings import window_end
from mlops_assets.flows.deployment import deploy, live_deployments
from mlops_assets.flows.forecast import predict
from mlops_assets.flows.quality import pooled_skill, score
from mlops_assets.flows.rollback import rollback
from mlops_assets.flows.validation import validate_in_test
from mlops_assets_tests.fakes.deployment import a_release, a_serving, an_entry
from mlops_assets_tests.fakes.trained_home import NOW, TrainedHome

DAY = date(2024, 6, 24)
IN_TIME = window_end(DAY, "UTC") + timedelta(hours=3)
KEYS = [CircuitKey("P1", "C1"), CircuitKey("P2", "C1")]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    made = TrainedHome(tmp_path_factory.mktemp("home"), *map(str, KEYS))
    platform = made.platform
    platform.registry.environments.register(made.environment)
    for record in made.records.values():
        platform.registry.models.register(record, platform.dev.models.files(record))
    return made


def manifest(home, *, attempt=1, replaces=None):
    return a_release(
        *(
            an_entry(
                key,
                digest=record.digest,
                environment=str(record.environment),
                environment_digest=record.environment_digest,
                serving=a_serving(cutoff_date="2024-06-21"),
                replaces=replaces,
            )
            for key, record in home.records.items()
        ),
        attempt=attempt,
    )


def serve(home, day=DAY, now=IN_TIME):
    platform = home.platform
    return predict(platform.lake, platform.prod, platform.registry, day=day, now=now, data_now=now)


@pytest.fixture(scope="module")
def live(home):
    platform = home.platform
    release = manifest(home)
    deploy(platform.prod, platform.registry, release, now=NOW)
    data = {"release": release.release, "circuits": dict.fromkeys(map(str, KEYS))}
    platform.ledger.append("deployed", "platform", data, NOW)
    return release


def test_real_models_pass_the_test_stage(home):
    platform = home.platform
    verdicts = validate_in_test(
        platform.test,
        platform.registry,
        platform.lake,
        manifest(home),
        home.policy,
        now=NOW,
        data_now=NOW,
    )
    assert {v.gate: v.reason for found in verdicts.values() for v in found if not v.passed} == {}
    assert len(list((home.layout.prediction_files("test")).rglob("2024-07-01.parquet"))) == 2


def test_a_day_is_predicted_from_the_readings_before_it(home, live):
    report = serve(home)
    assert report.failed == {}
    assert {one.fallback for one in report.circuits.values()} <= {"none"}
    rows = pl.scan_delta(str(home.layout.predictions)).filter(pl.col("issued_for") == DAY)
    assert len(rows.collect()) == 48
    again = serve(home)
    assert (again.rows, [one.kept for one in again.circuits.values()]) == (0, [True, True])
    file = home.layout.prediction_files("prod") / "P2" / "C1" / f"{DAY}.parquet"
    assert len(pl.read_parquet(file)) == 24


def test_what_was_predicted_is_scored_against_what_came(home, live):
    serve(home)
    platform = home.platform
    reports = score(
        platform.lake, platform.prod, platform.registry, home.policy, up_to=DAY, circuits=KEYS
    )
    assert {report.days for report in reports.values()} == {1}
    assert len(platform.lake.quality.read()) == 2
    skill = pooled_skill(platform.lake, first=DAY, last=DAY)
    assert skill is not None
    assert abs(skill) < 1


def test_a_rollback_on_disk_returns_to_the_release_before(home, live):
    platform = home.platform
    newer = manifest(home, attempt=2, replaces=live.release)
    deploy(platform.prod, platform.registry, newer, now=NOW)
    data = {"release": newer.release, "circuits": dict.fromkeys(map(str, KEYS), live.release)}
    platform.ledger.append("deployed", "platform", data, NOW)
    report = rollback(platform, KEYS, operator="ann@example.com", reason="off", now=NOW)
    assert report.circuits == tuple(KEYS)
    assert {one.release for one in live_deployments(platform.prod).values()} == {live.release}
    assert report.seconds < 5
