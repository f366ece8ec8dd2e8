"""What models may learn from, and its one digest."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.identifiers import CircuitKey, DataVersion
from mlops_assets.domain.readings import to_series
from mlops_assets.domain.training_data import (
    TrainingData,
    content_digest,
    next_version,
    verdicts,
)
from mlops_assets_tests.fakes.readings import a_circuit, readings

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)


def learnable(values, **more):
    frame = readings(values, **more)
    return frame.select("plant_id", "circuit_id", "timestamp", "value", *more)


@given(VALUES, st.randoms(use_true_random=False))
def test_the_digest_does_not_depend_on_the_order_of_rows_or_columns(values, random):
    rows = learnable(values)
    places = list(range(len(rows)))
    random.shuffle(places)
    columns = rows.columns
    random.shuffle(columns)
    assert content_digest(rows[places].select(columns)) == content_digest(rows)


@given(VALUES, st.integers(0, 29), st.floats(-1e6, 1e6))
def test_the_digest_tells_any_other_content(values, place, other):
    rows = learnable(values)
    changed = [*values]
    changed[place % len(values)] = other
    same = content_digest(learnable(changed)) == content_digest(rows)
    assert same == (changed == values)


def test_the_digest_tells_rows_columns_and_gaps_apart():
    frames = [
        learnable([1.0]),
        learnable([1.0, 0.0]),
        learnable([1.0], rain=[0.0]),
        learnable([1.0], rain=[None]),
        learnable([1.0], wind=[0.0]),
        learnable([1.0]).with_columns(circuit_id=pl.lit("C2")),
        learnable([1.0]).with_columns(pl.col("timestamp") + timedelta(hours=1)),
    ]
    assert len({content_digest(frame) for frame in frames}) == len(frames)


def test_the_digest_is_what_it_was():
    digest = content_digest(learnable([1.0, 2.5], rain=[None, 0.5]))
    assert digest == "ad0b2f6a7861bd4d0363b9e8788ccebb5bb538b52b06d16ffc7fb8d6c1968d1f"


def test_versions_of_a_date_count_from_the_date_itself():
    day = date(2024, 6, 21)
    taken = [DataVersion(day), DataVersion(day, 9), DataVersion(day, 10), DataVersion(date.max, 99)]
    assert str(next_version(day, [])) == "2024-06-21"
    assert str(next_version(day, taken)) == "2024-06-21.r11"


def pinned(values, cutoff=date(2024, 6, 1)):
    rows = learnable(values)
    return TrainingData(
        circuit=CircuitKey("P1", "C1"),
        version=DataVersion(cutoff),
        content_digest=content_digest(rows),
        delta_version=0,
        rows=len(rows),
        cutoff_date=cutoff,
        timezone="UTC",
        first_timestamp=datetime(2024, 6, 1, tzinfo=UTC),
        last_timestamp=datetime(2024, 6, 1, 23, tzinfo=UTC),
        columns=tuple(rows.columns),
        path="",
    ), rows


def judged(values, cutoff=date(2024, 6, 1), **changes):
    data, rows = pinned(values, cutoff)
    series = to_series(rows, step=timedelta(hours=1), end=data.end)
    return {v.gate: v for v in verdicts(replace(data, **changes), series, a_circuit())}


def test_whole_data_pass_every_check():
    assert all(verdict.passed for verdict in judged([1.0] * 24).values())


def test_a_cold_circuit_needs_one_reading_and_an_old_one_half_of_its_first_days():
    assert judged([1.0])["enough_rows"].passed
    few = judged([1.0] * 24, cutoff=date(2024, 6, 20))["enough_rows"]
    assert not few.passed
    assert few.reason == "24 readings, at least 168 are needed"


def test_many_gaps_warn_with_the_longest_and_do_not_refuse():
    gaps = judged([1.0] * 12)["gaps"]
    assert (gaps.passed, gaps.blocking) == (False, False)
    assert "50.0% of the steps are empty" in gaps.reason
    assert "the longest gap is 12 steps" in gaps.reason


@pytest.mark.parametrize("changes", [{"rows": 23}, {"cutoff_date": date(2024, 6, 2)}])
def test_content_that_is_not_what_was_pinned_is_refused(changes):
    data, rows = pinned([1.0] * 24)
    series = to_series(rows, step=timedelta(hours=1), end=data.end)
    found = {v.gate: v for v in verdicts(replace(data, **changes), series, a_circuit())}
    assert not found["content_as_pinned"].passed
    assert found["content_as_pinned"].blocking
