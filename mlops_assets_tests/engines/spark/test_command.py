"""A command on Spark by settings alone, through Dagster, as people type it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mlops_assets.adapters.local.readings import LocalReadingsTable
from mlops_assets.resources.home import initialise
from mlops_assets.settings import Settings
from mlops_assets_tests.fakes.readings import csv_of
from mlops_assets_tests.journeys.command import ENVIRONMENT
from mlops_assets_tests.spark_cluster import JAVA

pytestmark = pytest.mark.spark


def command(home, *words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "mlops_assets", "--home", str(home), "--json", *words],
        capture_output=True,
        text=True,
        env={**ENVIRONMENT, "JDK_JAVA_OPTIONS": JAVA, **environment},
        check=False,
        timeout=900,
    )


@pytest.fixture
def home(tmp_path):
    rows = [("P1", "C1", f"2024-05-{1 + h // 24:02}T{h % 24:02}:00Z", h) for h in range(48)]
    (tmp_path / "a.csv").write_bytes(csv_of(rows))
    settings = Settings(home=tmp_path / "home", config=tmp_path / "home" / "config")
    initialise(settings, readings=tmp_path / "a.csv")
    return settings.home


def test_ingest_runs_on_spark_through_dagster_and_says_one_document(home):
    done = command(home, "ingest", MLOPS_ENGINE="spark", MLOPS_SPARK_MASTER="local[1]")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["rows_inserted"], document["delta_version"]) == (48, 0)
    assert "Traceback" not in done.stderr
    rows = LocalReadingsTable(home / "lake" / "readings").read()
    assert rows["value"].to_list() == list(map(float, range(48)))
    log = home / "lake" / "readings" / "_delta_log" / f"{0:020}.json"
    assert "Apache-Spark" in log.read_text()
    again = command(home, "ingest")
    assert json.loads(again.stdout)["rows_read"] == 0


def test_an_engine_that_there_is_not_is_one_line(home):
    done = command(home, "ingest", MLOPS_ENGINE="flink")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"].startswith("MLOPS_ENGINE is 'flink'")


def test_without_java_the_command_says_what_to_install(home, tmp_path):
    done = command(
        home, "ingest", MLOPS_ENGINE="spark", MLOPS_SPARK_MASTER="local[1]", JAVA_HOME=str(tmp_path)
    )
    assert done.returncode == 1
    assert "there is no Java" in json.loads(done.stdout)["error"]
    assert "Traceback" not in done.stderr
