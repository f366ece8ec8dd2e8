"""What every adapter of the PredictionsTable port must do."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.adapters.azure.forecast import open_predictions
from mlops_assets.adapters.local.forecast import LocalPredictionsTable
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.forecast import COLUMNS, PREDICTION_KEY, Issue, frame_of
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets_tests.fakes.forecast import FakePredictionsTable, values_of

DAY = date(2024, 6, 20)
C1, C2 = CircuitKey("P1", "C1"), CircuitKey("P1", "C2")


@pytest.fixture(params=["fake", "local", pytest.param("azure", marks=pytest.mark.azure)])
def table(request, tmp_path):
    if request.param == "azure":
        account = request.getfixturevalue("storage_account")
        return open_predictions(account.backend(), "prod", environ=account.environ)
    if request.param == "fake":
        return FakePredictionsTable()
    return LocalPredictionsTable(tmp_path / "lake" / "predictions")


def rows(*circuits, day=DAY, level=1.0, steps=24):
    """A day's rows of some circuits."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    issues = [
        Issue(
            circuit=circuit,
            release="r-" + "1" * 12,
            model_version=1,
            fallback="none",
            fallback_reason="",
            values=values_of(start, timedelta(hours=1), np.full(steps, level)),
        )
        for circuit in circuits
    ]
    return frame_of(
        issues,
        issued_for=day,
        data_version="3",
        issued_at=start,
        hindcast=dict.fromkeys(circuits, False),
    )


def test_nothing_predicted_is_an_empty_frame_of_all_columns(table):
    assert table.version() is None
    assert table.read().columns == list(COLUMNS)
    assert table.read(issued_for=DAY).is_empty()


def test_what_was_written_is_read_back_in_key_order(table):
    written = rows(C2, C1)
    assert table.replace(written, issued_for=DAY) == 48
    assert table.read(issued_for=DAY).equals(written.sort(PREDICTION_KEY))
    assert table.version() == 0


def test_writing_the_same_again_is_no_commit(table):
    table.replace(rows(C1), issued_for=DAY)
    assert table.replace(rows(C1), issued_for=DAY) == 0
    assert table.version() == 0


def test_replacing_one_circuit_keeps_the_others_and_the_other_days(table):
    before = DAY - timedelta(days=1)
    table.replace(rows(C1, day=before), issued_for=before)
    table.replace(rows(C1, C2), issued_for=DAY)
    table.replace(rows(C1, level=5.0), issued_for=DAY)
    assert table.read(issued_for=DAY, circuits=[C2]).equals(rows(C2))
    assert table.read(issued_for=DAY, circuits=[C1]).equals(rows(C1, level=5.0))
    assert table.read(issued_for=before).equals(rows(C1, day=before))
    assert table.version() == 2


def test_a_shorter_forecast_leaves_no_old_rows_behind(table):
    table.replace(rows(C1, steps=48), issued_for=DAY)
    table.replace(rows(C1, steps=24), issued_for=DAY)
    assert len(table.read(issued_for=DAY)) == 24


def test_days_are_read_from_the_first_to_the_last(table):
    days = [DAY + timedelta(days=number) for number in range(4)]
    for day in days:
        table.replace(rows(C1, day=day), issued_for=day)
    found = table.read(first=days[1], last=days[2])
    assert found["issued_for"].unique().sort().to_list() == days[1:3]
    assert len(table.read(first=days[3])) == 24
    assert len(table.read(circuits=[C2])) == 0


def test_days_before_one_go_and_the_others_stay(table):
    before = DAY - timedelta(days=1)
    assert table.drop(before=DAY) == 0
    table.replace(rows(C1, day=before), issued_for=before)
    table.replace(rows(C1), issued_for=DAY)
    assert table.drop(before=DAY) == 24
    assert table.drop(before=DAY) == 0
    assert table.read().equals(rows(C1))


def test_rows_of_another_day_are_refused(table):
    with pytest.raises(DataError, match=f"not {DAY}|than {DAY}"):
        table.replace(rows(C1, day=DAY + timedelta(days=1)), issued_for=DAY)


def test_a_key_given_twice_is_refused(table):
    twice = pl.concat([rows(C1), rows(C1)])
    with pytest.raises(DataError, match="two rows have one key"):
        table.replace(twice, issued_for=DAY)
    assert table.version() is None


def test_other_columns_are_refused(table):
    with pytest.raises(DataError, match="differ from the table"):
        table.replace(rows(C1).with_columns(pl.lit(1).alias("more")), issued_for=DAY)


@given(st.lists(st.tuples(st.sampled_from([C1, C2]), st.floats(-9, 9)), max_size=6))
def test_the_last_write_of_each_circuit_is_what_is_read(writes):
    table = FakePredictionsTable()
    for circuit, level in writes:
        table.replace(rows(circuit, level=level), issued_for=DAY)
    for circuit, level in dict(writes).items():
        assert table.read(circuits=[circuit]).equals(rows(circuit, level=level))
