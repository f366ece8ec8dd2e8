"""What every adapter of the QualityTable port must do."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date, timedelta

import polars as pl
import pytest

from mlops_assets.adapters.azure.quality import open_quality
from mlops_assets.adapters.local.quality import LocalQualityTable
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.quality import DayQuality, days_of, quality_frame
from mlops_assets_tests.fakes.quality import FakeQualityTable

DAY = date(2024, 6, 20)
C1, C2 = CircuitKey("P1", "C1"), CircuitKey("P1", "C2")


@pytest.fixture(params=["fake", "local", pytest.param("azure", marks=pytest.mark.azure)])
def table(request, tmp_path):
    if request.param == "azure":
        account = request.getfixturevalue("storage_account")
        return open_quality(account.backend(), "prod", environ=account.environ)
    if request.param == "fake":
        return FakeQualityTable()
    return LocalQualityTable(tmp_path / "lake" / "quality")


def a_day(circuit=C1, issued_for=DAY, **changed):
    usual = DayQuality(
        circuit=circuit,
        issued_for=issued_for,
        release="r-" + "1" * 12,
        model_version=1,
        fallback="none",
        rows=24,
        mae=1.0,
        mase=0.5,
        wape=0.1,
        bias=-0.25,
        coverage_80=0.75,
        coverage_95=1.0,
        absolute_error=24.0,
        absolute_actual=240.0,
    )
    return replace(usual, **changed)


def test_nothing_scored_is_an_empty_frame(table):
    assert table.read().equals(quality_frame(()))


def test_days_are_read_back_in_key_order(table):
    days = (a_day(), a_day(issued_for=DAY + timedelta(days=1)), a_day(C2))
    assert table.replace(quality_frame(reversed(days))) == 3
    assert days_of(table.read()) == days


def test_scoring_the_same_again_changes_nothing(table):
    table.replace(quality_frame([a_day(), a_day(C2, mase=math.nan)]))
    assert table.replace(quality_frame([a_day(), a_day(C2, mase=math.nan)])) == 0


def test_only_what_changed_is_counted_and_the_rest_stays(table):
    table.replace(quality_frame([a_day(), a_day(C2)]))
    assert table.replace(quality_frame([a_day(mae=2.0), a_day(C2)])) == 1
    assert days_of(table.read()) == (a_day(mae=2.0), a_day(C2))


def test_reads_are_by_first_day_and_circuit(table):
    later = a_day(issued_for=DAY + timedelta(days=3))
    table.replace(quality_frame([a_day(), later, a_day(C2)]))
    assert days_of(table.read(first=DAY + timedelta(days=1))) == (later,)
    assert days_of(table.read(circuits=[C2])) == (a_day(C2),)


def test_a_figure_without_meaning_is_null_in_the_table_and_nan_here(table):
    table.replace(quality_frame([a_day(wape=math.nan)]))
    assert table.read()["wape"].to_list() == [None]
    (read,) = days_of(table.read())
    assert math.isnan(read.wape)


def test_a_key_given_twice_is_refused(table):
    with pytest.raises(DataError, match="two rows have one key"):
        table.replace(pl.concat([quality_frame([a_day()]), quality_frame([a_day(mae=2.0)])]))


def test_other_columns_are_refused(table):
    with pytest.raises(DataError, match="differ from the table"):
        table.replace(quality_frame([a_day()]).drop("bias"))


def test_days_before_one_go_and_the_others_stay(table):
    days = [a_day(issued_for=DAY + timedelta(days=number)) for number in range(3)]
    assert table.drop(before=DAY) == 0
    table.replace(quality_frame(days))
    assert table.drop(before=DAY + timedelta(days=2)) == 2
    assert table.drop(before=DAY + timedelta(days=2)) == 0
    assert days_of(table.read()) == (days[2],)
    assert table.replace(quality_frame(days)) == 2
