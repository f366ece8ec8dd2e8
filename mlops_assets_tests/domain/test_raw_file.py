"""Raw files in the forms that plants write."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.raw_file import RawFileError, parse
from mlops_assets_tests.fakes.readings import csv_of, readings


def moments(*stamps):
    rows = [("P1", "C1", stamp, 1) for stamp in stamps]
    parsed = parse("a.csv", csv_of(rows), ())
    return [
        None if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S")
        for moment in parsed.rows["timestamp"]
    ]


def values(*cells, separator=","):
    header = separator.join(("plant_id", "circuit_id", "timestamp", "value"))
    lines = [separator.join(("P1", "C1", "2024-01-01", cell)) for cell in cells]
    return parse("a.csv", csv_of(lines, header=header), ()).rows["value"].to_list()


def parquet(frame, **options):
    buffer = io.BytesIO()
    frame.write_parquet(buffer, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("stamp", "moment"),
    [
        ("2024-06-01", "2024-06-01 00:00:00"),
        ("2024-06-01 13:00", "2024-06-01 13:00:00"),
        ("2024-06-01T13:00:30Z", "2024-06-01 13:00:30"),
        ("2024-06-01T13:00:30.000+02:00", "2024-06-01 11:00:30"),
        ("2024-06-01 13:00-0530", "2024-06-01 18:30:00"),
        ("2024/6/1 9:00", "2024-06-01 09:00:00"),
        ("13.06.2024 01:00", "2024-06-13 01:00:00"),
        ("01.06.2024 01:00", "2024-06-01 01:00:00"),
        ("6/13/2024 1:00", "2024-06-13 01:00:00"),
        ("6/1/2024 1:00", "2024-06-01 01:00:00"),
        ("6/13/2024 1:00 PM", "2024-06-13 13:00:00"),
        ("6/13/2024 12:00 am", "2024-06-13 00:00:00"),
        ("2024-02-30 00:00", None),
        ("2024-06-01 24:00", None),
        ("6/13/2024 13:00 PM", None),
        ("yesterday", None),
        ("2024", None),
        ("2024-06-01 13:00 Mars/Base", None),
    ],
)
def test_stamps_are_read_in_utc_or_not_at_all(stamp, moment):
    assert moments(stamp) == [moment]


def test_one_proof_settles_the_order_of_all_dates():
    assert moments("3/4/2024 1:00", "25/4/2024 1:00")[0] == "2024-04-03 01:00:00"
    assert moments("3/4/2024 1:00", "4/25/2024 1:00")[0] == "2024-03-04 01:00:00"


def test_without_proof_the_reading_that_covers_fewer_days_is_taken():
    assert moments("1/5/2024 1:00", "2/5/2024 1:00") == [
        "2024-05-01 01:00:00",
        "2024-05-02 01:00:00",
    ]
    assert moments("5/1/2024 1:00", "5/2/2024 1:00") == [
        "2024-05-01 01:00:00",
        "2024-05-02 01:00:00",
    ]


def test_a_file_tells_what_it_proves_about_its_dates():
    def dates(*stamps):
        return parse("a.csv", csv_of([("P1", "C1", stamp, 1) for stamp in stamps]), ()).dates

    assert dates("2024-06-01") == "iso"
    assert dates("13/6/2024") == "day"
    assert dates("6/13/2024") == "month"
    assert dates("6/7/2024") is None
    assert dates("13/6/2024", "6/13/2024") is None


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_columns_may_be_separated_by_any_usual_mark_and_stand_in_any_order(separator):
    data = separator.join(("value", "timestamp", "site", "circuit_id", "plant_id")) + "\r\n"
    data += separator.join(("1.5", "2024-06-01 01:00", "x", "C1", "P1")) + "\r\n"
    parsed = parse("a.csv", b"\xef\xbb\xbf" + data.encode(), ())
    row = parsed.rows.row(0, named=True)
    assert (row["plant_id"], row["circuit_id"], row["value"]) == ("P1", "C1", 1.5)
    assert row["timestamp"] == datetime(2024, 6, 1, 1, tzinfo=UTC)
    assert parsed.unknown_columns == ("site",)


def test_a_cell_of_a_feature_that_is_no_finite_number_is_empty_and_named():
    lines = ["P1,C1,2024-06-01 00:00,1,0.5,oops", "P1,C1,2024-06-01 01:00,2,inf,"]
    data = "\n".join(["plant_id,circuit_id,timestamp,value,rain,wind", *lines])
    parsed = parse("a.csv", data.encode(), ("rain", "wind"))
    assert parsed.rows.select("value", "rain", "wind").rows() == [
        (1.0, 0.5, None),
        (2.0, None, None),
    ]
    first, second = parsed.rows["row"]
    assert parsed.unread_cells.rows() == [(second, "rain"), (first, "wind")]


@pytest.mark.parametrize("token", ["", " ", "NA", "nan", "MISSING", "EMPTY", "null", "n/a"])
def test_a_word_for_nothing_is_a_gap(token):
    row = parse("a.csv", csv_of([("P1", "C1", "2024-01-01", token)]), ()).rows.row(0, named=True)
    assert (row["value"], row["reason"]) == (None, "missing")


def test_thousands_commas_and_decimal_commas_are_told_apart():
    assert values('"1,234.5"', '"12,345"', "7") == [1234.5, 12345.0, 7.0]
    assert values("1,234", "12,345.5", separator=";") == [1234.0, 12345.5]
    assert values("1.234,5", "7,25", "8", separator=";") == [1234.5, 7.25, 8.0]
    assert values("1,234", "5,678", "12,5", separator=";") == [1.234, 5.678, 12.5]
    assert values("1,234", "1,234,567", "12,5", separator="\t") == [1234.0, 1234567.0, None]


def test_what_one_comma_before_three_digits_means_is_proved_by_the_column_or_its_separator():
    assert values("21,288", "23,517", separator=";") == [21.288, 23.517]
    assert values("21,288", "23,517", separator="\t") == [21288.0, 23517.0]
    assert values("0,288", "23,517", separator="\t") == [0.288, 23.517]
    assert values("21,288", "512.5", separator=";") == [21288.0, 512.5]


def test_what_is_no_number_is_kept_as_text():
    row = parse("a.csv", csv_of([("P1", "C1", "2024-01-01", "abc")]), ()).rows.row(0, named=True)
    assert (row["value"], row["reason"], row["value_text"]) == (None, None, "abc")
    assert values("inf", "1e400", "-1.5e3") == [float("inf"), float("inf"), -1500.0]


def test_a_line_with_too_many_or_few_cells_is_bad_and_the_others_are_kept():
    data = csv_of(
        [
            ("P1", "C1", "2024-01-01 00:00", "1"),
            "P1,C1,2024-01-01 01:00,1,234",
            "P1,C1",
            'P1,C1,2024-01-01 02:00,"3',
            ("P1", "C1", "2024-01-01 03:00", "4"),
        ]
    )
    rows = parse("a.csv", data, ()).rows
    assert rows["reason"].to_list() == [None, "bad_row", "bad_row", None, None]
    assert rows["row"].to_list() == [2, 3, 4, 5, 6]
    assert rows["value_text"][1] == "P1,C1,2024-01-01 01:00,1,234"
    assert rows["value"][4] == 4.0


def test_features_are_taken_and_what_is_no_finite_number_in_them_is_unknown():
    data = csv_of(
        ["P1,C1,2024-01-01 00:00,1,2.5", "P1,C1,2024-01-01 01:00,1,inf"],
        header="plant_id,circuit_id,timestamp,value,rain",
    )
    assert parse("a.csv", data, ["rain", "wind"]).rows["rain"].to_list() == [2.5, None]


@pytest.mark.parametrize(
    "stamps",
    [
        pl.col("timestamp"),
        pl.col("timestamp").dt.convert_time_zone("Asia/Tokyo"),
        pl.col("timestamp").dt.replace_time_zone(None),
        pl.col("timestamp").dt.cast_time_unit("ns"),
        pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
    ],
)
def test_parquet_stamps_of_any_type_are_read_in_utc(stamps):
    frame = readings([1.0, 2.0]).with_columns(timestamp=stamps)
    frame = frame.with_columns(value=pl.Series([1, None], dtype=pl.Int32))
    parsed = parse("a.parquet", parquet(frame), ())
    assert parsed.rows["timestamp"].to_list() == readings([1.0, 2.0])["timestamp"].to_list()
    assert parsed.rows["value"].to_list() == [1.0, None]
    assert parsed.rows["reason"].to_list() == [None, "missing"]


def test_parquet_of_odd_types_gives_bad_cells_and_no_error():
    frame = readings([1.0]).with_columns(timestamp=pl.lit(5), value=pl.lit(value=True))
    row = parse("a.parquet", parquet(frame), ()).rows.row(0, named=True)
    assert (row["timestamp"], row["value"]) == (None, None)
    assert (row["timestamp_text"], row["value_text"]) == ("5", "true")
    dates = readings([1.0]).with_columns(pl.col("timestamp").dt.date(), value=None)
    row = parse("a.parquet", parquet(dates), ()).rows.row(0, named=True)
    assert row["timestamp"] == datetime(2024, 6, 1, tzinfo=UTC)
    assert row["reason"] == "missing"


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("a.parquet", b"", "unreadable_file: no readable Parquet"),
        ("a.parquet", b"PAR1 and no more", "unreadable_file: no readable Parquet"),
        ("a.csv", b"", "empty_file"),
        ("a.csv", b"\xff\xff\xff", "unreadable_file: no UTF-8 text at byte 0"),
        ("a.csv", b"a\0b", "unreadable_file: no text"),
        ("a.csv", b"plant_id,circuit_id,stamp,value\n", "missing_column: timestamp"),
        ("a.csv", b"plant_id,circuit_id,timestamp,value,value\n", "double_column: value"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(name, data, code):
    with pytest.raises(RawFileError) as caught:
        parse(name, data, ())
    assert str(caught.value).startswith(code)
    assert "\n" not in str(caught.value)


GOOD_CSV = csv_of([("P1", "C1", f"2024-01-01 {hour:02}:00", hour) for hour in range(5)])
GOOD_PARQUET = parquet(readings([1.0, 2.0, 3.0]))


@given(
    st.sampled_from([("a.csv", GOOD_CSV), ("a.parquet", GOOD_PARQUET)]),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8),
    st.integers(0, 10_000),
)
def test_a_mutated_file_is_read_or_refused_by_name(file, changes, length):
    name, data = file
    mutated = bytearray(data)
    for place, byte in changes:
        mutated[place % len(mutated)] = byte
    try:
        parsed = parse(name, bytes(mutated[: length % len(mutated) or len(mutated)]), ())
    except RawFileError as error:
        said = str(error)
    else:
        said = "read" if parsed.rows["row"].is_unique().all() else "a row came twice\n"
    assert "\n" not in said
