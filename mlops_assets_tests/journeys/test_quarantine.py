"""A home made from a feed with faults: its contract, its quarantine, and people's word on it."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest

from mlops_assets.flows.plan import config_at
from mlops_assets.flows.readings import ingest
from mlops_assets.resources import open_platform
from mlops_assets.resources.home import initialise
from mlops_assets.settings import Settings
from mlops_assets_tests.fakes.readings import csv_of
from mlops_assets_tests.journeys.command import mlops

START = datetime(2024, 5, 1, tzinfo=UTC)
SPIKE = "2024-05-20T08:00:00Z"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Thirty days of one circuit, read in, with a spike and a stuck afternoon."""
    root = tmp_path_factory.mktemp("quarantine")
    values = [100 + 20 * math.sin(hour / 3.82) + hour * 37 % 11 * 0.7 for hour in range(720)]
    values[19 * 24 + 8] *= 9
    values[600:606] = [values[600]] * 6
    file = root / "readings.csv"
    rows = [("P1", "C1", START + timedelta(hours=hour), v) for hour, v in enumerate(values)]
    file.write_bytes(csv_of(rows))
    settings = Settings.find(root / "home", root / "home" / "config", {}, root)
    initialise(settings, readings=file, features=(), horizon=24, effort="fast")
    platform = open_platform(settings)
    ingest(platform.lake, config_at(platform), now=platform.clock.now())
    return root / "home"


def test_a_new_spec_carries_the_contract_that_its_readings_suggest(home):
    spec = (home / "config" / "plants" / "P1" / "C1.yml").read_text()
    stated = "limits:\n  sign: positive\n  stuck_hours: 3\n  spike_jump: 3\n  spike_factor: 2\n"
    assert spec.endswith(stated)


def test_people_see_release_and_hold_back(home):
    held = mlops(home, "quarantine", "list", "--circuit", "P1/C1")
    assert [row["reason"] for row in held] == ["jump", *["stuck"] * 5]
    (spike,) = mlops(home, "quarantine", "list", "--reason", "jump", "--since", SPIKE[:10])
    assert (spike["timestamp"], spike["file"], spike["row"]) == (SPIKE, "readings.csv", 466)
    words = ("--as", "ada@x.example", "--reason", "a test of the line")
    done = mlops(home, "quarantine", "release", spike["id"], *words)
    assert (done["entered"], done["refused"]) == (1, {})
    assert len(mlops(home, "quarantine", "list")) == 5
    span = ("--circuit", "P1/C1", "--from", "2024-05-20T08:00", "--to", "2024-05-20T09:00")
    done = mlops(home, "quarantine", "hold", *span, *words)
    assert done["withdrawn"] == 1
    said = mlops(home, "quarantine", "list", "--words")
    assert [word["state"] for word in said] == ["released", "withheld"]
    assert {word["by"] for word in said} == {"ada@x.example"}


def test_a_release_of_nothing_is_wrong_usage_in_one_line(home):
    named = ("--as", "a@b", "--reason", "x")
    said = mlops(home, "quarantine", "release", "q-0", *named, expect=2)
    assert said == {"error": "q-0 is not in quarantine; see `mlops quarantine list`"}
    said = mlops(home, "quarantine", "release", *named, expect=2)
    assert said["error"].startswith("name rows by ID, or by --circuit KEY")
