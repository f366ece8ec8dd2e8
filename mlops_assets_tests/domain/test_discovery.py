"""What a file of readings holds becomes a config that trains."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from mlops_assets.catalog import load
from mlops_assets.domain.circuit import Spec
from mlops_assets.domain.discovery import discover, master_text, spec_text
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.forecasters.catalogue import ALGORITHMS
from mlops_assets_tests.catalog.files import FILES

START = datetime(2024, 6, 1, tzinfo=UTC)


def rows(key="P1/C1", *, count=72, step=timedelta(hours=1), values=None, **features):
    plant, circuit = key.split("/")
    return pl.DataFrame(
        {
            "plant_id": [plant] * count,
            "circuit_id": [circuit] * count,
            "timestamp": [START + each * step for each in range(count)],
            "value": values or [float(each % 24) for each in range(count)],
            **features,
        },
        schema_overrides={"timestamp": pl.Datetime("us", "UTC"), "value": pl.Float64},
    )


def test_circuits_intervals_and_the_last_day_are_found():
    found = discover(
        pl.concat([rows("P2/B"), rows("P1/A", step=timedelta(minutes=15)), rows("P1/C")]),
        (),
        name="f",
    )
    assert {str(key): step for key, step in found.circuits.items()} == {
        "P1/A": "15min",
        "P1/C": "1h",
        "P2/B": "1h",
    }
    assert found.interval == "1h"
    assert found.plants == ["P1", "P2"]
    assert found.last_day == date(2024, 6, 3)
    assert found.cutoff_date == date(2024, 5, 27)
    assert [str(key) for key in found.first(2).circuits] == ["P1/A", "P1/C"]


def test_a_dead_circuit_is_found_and_says_nothing_about_the_last_day():
    later = rows("P1/dead", count=500, values=[None] * 500)
    found = discover(pl.concat([rows(), later]), (), name="f")
    assert len(found.circuits) == 2
    assert found.last_day == date(2024, 6, 3)


def test_gaps_and_repeated_rows_do_not_change_the_interval():
    frame = rows()
    thinned = pl.concat([frame[:10], frame[20:], frame[30:40]])
    assert discover(thinned, (), name="f").interval == "1h"
    assert discover(rows(count=1), (), name="f").interval == "1h"


def test_what_was_found_becomes_a_config_that_loads():
    found = discover(pl.concat([rows("010/no"), rows("P1/C1")]), (), name="f")
    spec = Spec(cutoff_date=found.cutoff_date, horizon=48, effort="fast", features=("wind",))
    files = {
        **{name: FILES[name].encode() for name in FILES if not name.startswith("plants")},
        "plants_circuits.yml": master_text(found),
        **{f"plants/{key}.yml": spec_text(found, key, spec) for key in found.circuits},
    }
    config = load(files, commit="c" * 40, algorithms=ALGORITHMS)
    assert config.circuits[CircuitKey("010", "no")].spec == spec


@pytest.mark.parametrize(
    ("frame", "line"),
    [
        (rows(step=timedelta(minutes=5)), "f: column timestamp: P1/C1 reports every 300 seconds"),
        (rows("P 1/C1"), "f: column plant_id or circuit_id: 'P 1' is not an id"),
        (pl.concat([rows("P1/C1"), rows("p1/c1")]), "p1/c1 and P1/C1 differ only by case"),
        (rows(values=[None] * 72), "f: column value: no row has a time stamp and a number"),
        (rows()[:0], "f: column value: no row has"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(frame, line):
    with pytest.raises(DataError, match=line):
        discover(frame, (), name="f")


def test_a_feature_that_is_the_value_itself_is_refused():
    values = [float(each % 24) for each in range(72)]
    raw = [value * 3 + 1 for value in values]
    with pytest.raises(DataError, match=r"column raw: correlates 1\.0000 with value, above 0\.999"):
        discover(rows(raw=raw), ("raw",), name="f")


def test_an_absent_feature_is_refused_and_an_honest_one_taken():
    wind = [float((each * 7919) % 13) for each in range(72)]
    assert discover(rows(wind=wind), ("wind",), name="f").circuits
    assert discover(rows(wind=[1.0] * 72), ("wind",), name="f").circuits
    with pytest.raises(DataError, match="column sun: missing; --feature names a column"):
        discover(rows(wind=wind), ("sun",), name="f")
