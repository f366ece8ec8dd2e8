"""Units: exact both ways within a kind, and nothing between kinds."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.unit import UNCHANGED, UNITS, conversion, factor_conversion


def converted(value, sent, wanted):
    return conversion(sent, wanted).apply(pl.Series([value], dtype=pl.Float64))[0]


@pytest.mark.parametrize(
    ("value", "sent", "wanted", "result"),
    [
        (1500.0, "kW", "MW", 1.5),
        (0.3, "MW", "kW", 300.0),
        (1.0, "kWh", "MJ", 3.6),
        (20.0, "degC", "degF", 68.0),
        (0.0, "degC", "K", 273.15),
        (3600.0, "l/h", "l/s", 1.0),
        (50.0, "%", "1", 0.5),
        (1.0, "bar", "kPa", 100.0),
        (7.0, "MW", "MW", 7.0),
    ],
)
def test_values_are_converted_within_a_kind(value, sent, wanted, result):
    assert converted(value, sent, wanted) == pytest.approx(result, rel=1e-14)


def test_a_thousandth_is_a_division_and_so_the_nearest_number():
    assert converted(0.7, "kW", "MW") == 0.7 / 1000
    assert factor_conversion(0.001).apply(pl.Series([0.7]))[0] == 0.7 / 1000


@pytest.mark.parametrize(("sent", "wanted"), [("kW", "kWh"), ("kW", ""), ("x", "kW"), ("", "kW")])
def test_there_is_no_way_between_kinds_or_from_what_is_unknown(sent, wanted):
    assert conversion(sent, wanted) is None


def test_a_unit_that_nobody_knows_is_itself():
    assert conversion("widgets", "widgets") == UNCHANGED


@given(st.sampled_from(UNITS), st.sampled_from(UNITS), st.sampled_from(UNITS))
def test_there_and_back_and_by_a_third_is_the_same(one, two, three):
    there, back, on = conversion(one, two), conversion(two, one), conversion(two, three)
    assert (there is None) == (back is None)
    if there is not None:
        assert there.scale * back.scale == 1
        assert there.offset * back.scale + back.offset == 0
    if there is not None and on is not None:
        direct = conversion(one, three)
        assert direct.scale == there.scale * on.scale
        assert direct.offset == there.offset * on.scale + on.offset
