"""A home that reads an SQL table: declared by a commit, told in Dagster, and missed by name."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from click.testing import CliRunner

from mlops_assets.cli import main
from mlops_assets.resources import open_platform
from mlops_assets.resources.home import initialise
from mlops_assets.settings import Settings
from mlops_assets_tests.fakes.readings import csv_of

START = datetime(2024, 6, 1, tzinfo=UTC)
DECLARED = (
    "format: 1\ntables:\n  north:\n    kind: sqlite\n    url_variable: MLOPS_TEST_NORTH_URL\n"
    "    table: readings\n"
)


def rows(first, last):
    return [
        ("P001", "C001", (START + timedelta(hours=h)).strftime("%Y-%m-%d %H:%M:%S"), 50.0 + h % 24)
        for h in range(first, last)
    ]


@pytest.fixture
def home(tmp_path):
    """A home of one circuit with three days in a file, the next hours in a table."""
    given = tmp_path / "readings.csv"
    given.write_bytes(csv_of(rows(0, 72)))
    with sqlite3.connect(tmp_path / "plant.db") as database:
        database.execute("create table readings (plant_id, circuit_id, timestamp, value)")
        database.executemany("insert into readings values (?, ?, ?, ?)", rows(72, 78))
    database.close()
    settings = Settings.find(tmp_path / "home", None, {}, tmp_path)
    initialise(settings, readings=given)
    config = settings.layout.config
    (config / "sources.yml").write_text(DECLARED)
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    for words in (["add", "sources.yml"], [*who, "commit", "-qm", "Declare the historian"]):
        subprocess.run(["git", *words], cwd=config, check=True)
    return Settings.find(tmp_path / "home", None, {}, tmp_path)


def ingest(settings):
    done = CliRunner().invoke(main, ["--home", str(settings.home), "--json", "ingest"])
    lines = done.stderr.splitlines()
    return done.exit_code, json.loads(done.stdout), lines


def test_a_table_is_ingested_with_the_files_told_in_dagster_and_missed_by_name(
    home, tmp_path, monkeypatch
):
    monkeypatch.setenv("MLOPS_TEST_NORTH_URL", f"sqlite:///{tmp_path / 'plant.db'}")
    code, document, _ = ingest(home)
    assert (code, document["rows_read"], document["rows_inserted"]) == (0, 78, 78)
    with dg.DagsterInstance.from_config(str(home.layout.dagster)) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey("historian_tables"))
    assert event.asset_materialization.metadata["rows"].value == {"north": 6}

    monkeypatch.setenv("MLOPS_TEST_NORTH_URL", f"sqlite:///{tmp_path / 'gone.db'}")
    open_platform(home).lake.landing.put("late.csv", csv_of(rows(78, 80)))
    code, document, lines = ingest(home)
    assert (code, document["rows_inserted"]) == (1, 2)
    [line] = [line for line in lines if line.startswith("could not read")]
    assert line == (
        f"could not read north: {tmp_path / 'gone.db'}: there is no such database; the files of "
        "the slice are ingested, run ingest again"
    )
    with dg.DagsterInstance.from_config(str(home.layout.dagster)) as instance:
        [run] = instance.get_runs(limit=1)
    assert run.status == dg.DagsterRunStatus.FAILURE
