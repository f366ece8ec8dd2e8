"""Plots: small, the same for the same numbers, and safe to put into a page."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.plot import SPARKLINE_BYTES, Band, Line, chart, sparkline

START = datetime(2025, 12, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
numbers = st.floats(allow_nan=True, allow_infinity=True) | st.none()
texts = st.text(max_size=300)


def wave(count):
    return [50 + 10 * math.sin(i / 24 * math.tau) for i in range(count)]


@given(st.lists(numbers, max_size=400), texts)
def test_a_sparkline_is_valid_xml_and_never_too_large(values, title):
    text = sparkline(values, values, values, values, title=title)
    assert len(text.encode()) <= SPARKLINE_BYTES
    ET.fromstring(text)  # noqa: S314 our own text


@pytest.mark.parametrize("count", [0, 1, 2, 24, 96, 97, 672, 20_000])
def test_a_sparkline_fits_whatever_its_length(count):
    lo = [value - 8 for value in wave(count)]
    hi = [value + 8 for value in wave(count)]
    text = sparkline(wave(count), lo, hi, wave(count), title="&" * 400)
    assert len(text.encode()) <= SPARKLINE_BYTES


@given(st.lists(numbers, max_size=300), texts, texts)
def test_a_chart_is_valid_xml_whatever_the_numbers(values, title, unit):
    text = chart(
        [Line(title, values, "actual"), Line("model", values[::-1], "forecast")],
        title=title,
        start=START,
        step=HOUR,
        unit=unit,
        band=Band("95 %", values, values),
    )
    ET.fromstring(text)  # noqa: S314 our own text
    assert "nan" not in text.split("</title>")[1].replace(title, "")


def test_the_same_numbers_give_the_same_text():
    assert sparkline(wave(48), title="a") == sparkline(wave(48), title="a")


def test_a_title_is_text_and_no_markup():
    assert "<script>" not in sparkline([1, 2], title="<script>")
    assert "&lt;script&gt;" in sparkline([1, 2], title="<script>")


def test_a_line_breaks_at_a_gap():
    text = sparkline([1.0, 2.0, None, 3.0, 4.0], title="")
    assert text.count("M") == 2


def test_a_peak_survives_thinning():
    values = [0.0] * 5000
    values[2345] = 100.0
    text = sparkline(values, title="")
    assert ",3 " in text


def test_axes_are_labelled_with_round_numbers_and_times():
    text = chart([Line("load", wave(48), "forecast")], title="", start=START, step=HOUR, unit="MW")
    for label in ("40", "60", "06:00", "12-02", "time, UTC", "MW", "load"):
        assert f">{label}</text>" in text


def test_small_and_large_numbers_keep_their_digits():
    small = [value / 1e6 for value in wave(48)]
    text = chart([Line("x", small, "forecast")], title="", start=START, step=HOUR)
    assert ">0.000040</text>" in text
    assert ">0.000060</text>" in text
