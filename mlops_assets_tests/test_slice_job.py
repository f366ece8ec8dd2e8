"""One slice as a job that knows nothing but its arguments."""

from __future__ import annotations

import pytest

from mlops_assets.domain.slice import SliceOrder
from mlops_assets.flows.readings import slice_id_of
from mlops_assets.slice_job import done_of, main, order_bytes
from mlops_assets.slice_job import order_of as read_order
from mlops_assets_tests.engines.spark.lakes import (
    NOW,
    a_lake_on,
    company,
    ingested,
    odd_files,
    state,
)


def words(root, order):
    """The arguments of a job on the lake in ``root``."""
    (root / "slice").write_bytes(order)
    places = {
        "raw": (root / "raw").as_uri(),
        "readings": (root / "readings").as_uri(),
        "quarantine": (root / "quarantine").as_uri(),
        "slice": str(root / "slice"),
        "outcome": str(root / "outcome"),
    }
    return [word for name, place in places.items() for word in (f"--{name}", place)]


def order_of(lake, config):
    files = lake.landing.files()
    return SliceOrder(slice_id=slice_id_of(files), files=tuple(files), config=config, now=NOW)


@pytest.mark.parametrize("engine", ["polars", pytest.param("spark", marks=pytest.mark.spark)])
def test_a_job_leaves_what_ingest_leaves_and_tells_it_again_when_repeated(
    engine, request, tmp_path
):
    spark = request.getfixturevalue("spark") if engine == "spark" else None
    config, files = company(), odd_files(0)
    here = a_lake_on(tmp_path / "here", "polars")
    report = ingested(here, config, files)
    lake = a_lake_on(tmp_path / "there", "polars")
    for name, data in files.items():
        lake.landing.put(name, data)
    arguments = words(tmp_path / "there", order_bytes(order_of(lake, config)))
    arguments += ["--engine", engine]
    assert main(arguments, spark) == 0
    first = done_of((tmp_path / "there" / "outcome").read_bytes(), "outcome")
    assert first.merged.inserted == report.rows_inserted
    assert {fact.path for fact in first.facts if fact.refused} == set(report.refused)
    assert state(lake) == state(here)
    version = lake.readings.version()
    assert main(arguments, spark) == 0
    again = done_of((tmp_path / "there" / "outcome").read_bytes(), "outcome")
    assert (again.merged.inserted, again.merged.delta_version) == (
        first.merged.inserted,
        first.merged.delta_version,
    )
    assert lake.readings.version() == version
    assert state(lake) == state(here)


def test_an_order_arrives_whole(tmp_path):
    lake = a_lake_on(tmp_path, "polars")
    lake.landing.put("a.csv", b"x")
    order = order_of(lake, company())
    assert read_order(order_bytes(order), "here") == order


def test_what_cannot_be_done_is_one_line(tmp_path, capsys):
    lake = a_lake_on(tmp_path, "polars")
    arguments = words(tmp_path, order_bytes(order_of(lake, company())))
    (tmp_path / "slice").unlink()
    assert main(arguments) == 1
    assert capsys.readouterr().err.endswith(
        "slice: no order of a slice: No such file or directory\n"
    )
    words(tmp_path, order_bytes(order_of(lake, company())))
    arguments[1] = "abfss://lake@account.example/raw"
    assert main(arguments) == 1
    assert "is neither file:///PATH nor abfss://" in capsys.readouterr().err
