"""What plants send, parsed and merged with the last arrival winning, is what meters recorded."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest

from mlops_assets.catalog import load
from mlops_assets.domain.raw_file import parse
from mlops_assets.domain.simulation import simulate
from mlops_assets.flows.simulation import send
from mlops_assets.forecasters.catalogue import ALGORITHMS
from mlops_assets.resources.home import shipped_config
from mlops_assets_tests.fakes.readings import FakeLandingZone

FIRST, LAST = date(2026, 3, 1), date(2026, 4, 4)


@pytest.fixture(scope="module")
def company():
    """Two circuits of each plant, so that every way of sending is taken."""
    config = load(shipped_config(), commit="c" * 40, algorithms=ALGORITHMS)
    kept = {
        key: each for key, each in config.circuits.items() if key.circuit_id in ("C001", "C002")
    }
    return replace(config, circuits=kept)


@pytest.fixture(scope="module")
def sent(company):
    zone = FakeLandingZone()
    send(zone, company, first=FIRST, last=LAST)
    return zone


def test_what_arrives_last_is_what_was_recorded(company, sent):
    parsed = [parse(file.path, sent.read(file), ()).rows for file in sent.files()]
    rows = pl.concat(
        each.select("plant_id", "circuit_id", "timestamp", "value", "reason") for each in parsed
    )
    assert rows["timestamp"].null_count() == 0
    assert set(rows["reason"].drop_nulls()) == {"missing"}
    last = rows.filter(pl.col("value").is_not_null()).unique(
        ["plant_id", "circuit_id", "timestamp"], keep="last", maintain_order=True
    )
    for key, meter in simulate(company.circuits.values(), first=FIRST, last=LAST).items():
        ours = last.filter(plant_id=key.plant_id, circuit_id=key.circuit_id)
        found = dict(ours.select("timestamp", "value").iter_rows())
        recorded = {
            meter.moment(place): value
            for place, value in enumerate(meter.recorded.tolist())
            if not np.isnan(value)
        }
        assert found == recorded, key


def test_rows_come_twice_late_and_revised(company, sent):
    parsed = [parse(file.path, sent.read(file), ()).rows for file in sent.files()]
    rows = pl.concat(each.select("plant_id", "circuit_id", "timestamp", "value") for each in parsed)
    keys = ["plant_id", "circuit_id", "timestamp"]
    values = rows.drop_nulls().group_by(keys).agg(pl.len(), pl.col("value").n_unique().alias("n"))
    assert (values["len"] > 1).sum() > 50
    assert (values["n"] > 1).sum() > 5


def test_each_plant_sends_in_its_own_way(sent):
    names = [file.path for file in sent.files()]
    assert {name.rpartition(".")[2] for name in names if name.startswith("P001")} == {"parquet"}
    first = {name.partition("/")[0]: sent.data[name] for name in reversed(names)}
    assert b"T19:00:00-05:00," in first["P002"]
    assert first["P003"].startswith("\ufeffplant_id;".encode())
    assert b"P003;C001;01.03.2026 00:00;" in first["P003"]
    american = b"".join(data for name, data in sent.data.items() if name.startswith("P004"))
    assert b'P004,C001,3/7/2026 23:00,"' in american
    assert any(word in american for word in (b",NA\n", b",MISSING\n", b",EMPTY\n"))


def test_sending_again_gives_the_same_bytes(company, sent):
    zone = FakeLandingZone()
    send(zone, company, first=FIRST, last=LAST)
    assert zone.data == sent.data


def test_there_are_few_files(sent):
    assert len(sent.files()) == 4 * 6
