"""Raw files in every form that plants write: the same rows, whatever the form."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.declared import parse_declared
from mlops_assets.domain.source import FolderSource, Sources, TableSource, extract_folder
from mlops_assets_tests.fakes.readings import a_circuit, a_config, csv_of

HEADER = ["plant_id", "circuit_id", "timestamp", "value"]


def config_of(circuit=None, **folder):
    found = a_config(circuit or a_circuit("P1/C1"))
    return replace(found, sources=Sources(folders={"meters": FolderSource(**folder)}))


def values(config, *cells, path="meters/a.csv"):
    rows = [("P1", "C1", f"2024-06-{day:02} 00:00", cell) for day, cell in enumerate(cells, 1)]
    parsed = parse_declared(path, csv_of(rows), config).rows
    return list(zip(parsed["value"].to_list(), parsed["reason"].to_list(), strict=True))


def test_values_become_the_circuits_unit_and_no_other_folder_is_touched():
    config = config_of(a_circuit("P1/C1", unit="MW"), unit="kW")
    assert values(config, "1500", "NA") == [(1.5, None), (None, "missing")]
    assert values(config, "1500", path="other/a.csv") == [(1500.0, None)]
    assert values(config, "1500", path="meters/deep/down/a.csv") == [(1.5, None)]


def test_a_circuits_own_unit_goes_before_its_plants_and_a_factor_before_both():
    circuit = a_circuit("P1/C1", unit="MW")
    assert values(config_of(circuit, unit="W", units={"P1/*": "kW"}), "5") == [(0.005, None)]
    both = {"P1/*": "kW", "P1/C1": "GW"}
    assert values(config_of(circuit, units=both), "5") == [(5000.0, None)]
    assert values(config_of(circuit, units=both, factors={"P1/C1": 2.5}), "5") == [(12.5, None)]


@pytest.mark.parametrize(("unit", "sent"), [("MW", "m3/h"), ("", "kW")])
def test_a_unit_that_does_not_become_the_circuits_is_refused_not_guessed(unit, sent):
    config = config_of(a_circuit("P1/C1", unit=unit), unit=sent)
    assert values(config, "1500", "NA") == [(1500.0, "bad_unit"), (None, "missing")]


def test_the_declared_decimal_mark_and_order_of_dates_hold_against_what_a_file_seems_to_prove():
    point, comma = config_of(decimals="point"), config_of(decimals="comma")
    assert values(point, '"1,234"', '"5,678"') == [(1234.0, None), (5678.0, None)]
    assert values(comma, '"1,234"', '"5,678"') == [(1.234, None), (5.678, None)]
    rows = csv_of([("P1", "C1", "3/4/2024 00:00", 1), ("P1", "C1", "4/4/2024 00:00", 1)])
    for order, first in (("day", (4, 3)), ("month", (3, 4))):
        found = parse_declared("meters/a.csv", rows, config_of(dates=order))
        stamp = found.rows["timestamp"][0]
        assert (stamp.month, stamp.day, found.dates) == (*first, order)


def test_a_drawing_of_a_table_brings_only_the_rows_that_are_new():
    table = TableSource(kind="sqlite", url_variable="X", table="t")
    config = replace(a_config(), sources=Sources(tables={"north": table}))
    frame = pl.DataFrame(
        [
            ("P1", "C1", datetime(2024, 6, 1, tzinfo=UTC), 1.0, True),
            ("P1", "C1", datetime(2024, 6, 2, tzinfo=UTC), 2.0, False),
        ],
        schema=[*HEADER, "seen"],
        orient="row",
    )
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    path = extract_folder("north", table) + "00000001.parquet"
    found = parse_declared(path, buffer.getvalue(), config)
    assert found.rows.select("row", "value").rows() == [(2, 2.0)]
    assert found.unknown_columns == ()


NUMBER = st.decimals(-9_999_999, 9_999_999, places=2).map(float)
FORMS = st.fixed_dictionaries(
    {
        "separator": st.sampled_from([",", ";", "\t"]),
        "decimals": st.sampled_from(["point", "comma"]),
        "thousands": st.booleans(),
        "stamps": st.sampled_from(["%Y-%m-%d %H:%M", "%d/%m/%Y %H:%M", "%m/%d/%Y %I:%M %p"]),
        "bom": st.booleans(),
        "newline": st.sampled_from(["\n", "\r\n", "\r"]),
        "newest_first": st.booleans(),
        "zone": st.sampled_from(["UTC", "Europe/Paris", "America/New_York"]),
        "nothing": st.sampled_from(["NA", "MISSING", "EMPTY", " ", "", "NaN", "null"]),
        "quoted": st.booleans(),
        "minutes": st.sampled_from([15, 30, 60]),
    }
)


@given(st.lists(st.one_of(NUMBER, st.none()), min_size=1, max_size=60), FORMS)
def test_any_table_written_in_any_form_is_read_as_the_same_rows(cells, form):
    start = datetime(2024, 10, 26, 18, tzinfo=UTC)
    moments = [start + timedelta(minutes=form["minutes"] * n) for n in range(len(cells))]
    rows = list(zip(moments, cells, strict=True))
    rows = rows[::-1] if form["newest_first"] else rows
    dates = {"%d": "day", "%m": "month"}.get(form["stamps"][:2], "proved")
    config = config_of(timezone=form["zone"], dates=dates, decimals=form["decimals"])
    found = parse_declared("meters/a.csv", written(rows, form), config).rows
    last_hour = moments[-1] - timedelta(hours=1)
    for (moment, cell), row in zip(rows, found.iter_rows(named=True), strict=True):
        assert (row["plant_id"], row["circuit_id"]) == ("P1", "C1")
        assert row["value"] == cell
        assert row["reason"] == ("missing" if cell is None else None)
        # A file that ends inside the repeated hour may not show which pass it is.
        assert row["timestamp"] == moment or (row["timestamp"] is None and moment > last_hour)


def written(rows, form):
    def cell(value):
        if value is None:
            return form["nothing"]
        text = f"{value:,.2f}" if form["thousands"] else f"{value:.2f}"
        if form["decimals"] == "comma":
            text = text.translate(str.maketrans(",.", ".,"))
        quoted = form["quoted"] or form["separator"] in text
        return f'"{text}"' if quoted else text

    zone = ZoneInfo(form["zone"])
    lines = [form["separator"].join(HEADER)]
    lines += [
        form["separator"].join(
            ["P1", "C1", moment.astimezone(zone).strftime(form["stamps"]), cell(value)]
        )
        for moment, value in rows
    ]
    text = form["newline"].join([*lines, ""])
    return (b"\xef\xbb\xbf" if form["bom"] else b"") + text.encode()
