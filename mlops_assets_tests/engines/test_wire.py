"""What travels arrives as it was, and nothing else travels."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest

from mlops_assets.domain.circuit import Spec
from mlops_assets.domain.slice import FileFact
from mlops_assets.domain.warm_start import Learned, WarmStart
from mlops_assets.engines.wire import decode, encode
from mlops_assets_tests.engines.test_processes import job
from mlops_assets_tests.fakes.engine import cheap_fit


def test_a_job_arrives_with_its_spec_and_every_digit():
    sent = job("A")
    found = decode(encode(sent))
    assert (found.circuit, found.spec, found.seed) == (sent.circuit, sent.spec, sent.seed)
    assert np.array_equal(found.series.values, sent.series.values)
    assert (found.series.start, found.series.step) == (sent.series.start, sent.series.step)


def test_a_job_arrives_with_its_features_and_what_it_begins_from():
    plain = job("A")
    learned = Learned(
        question="q",
        since=datetime(2024, 5, 1, tzinfo=UTC),
        variants={"mstl_ets": "damped"},
        left={"mstl_ets:log": datetime(2024, 5, 8, tzinfo=UTC)},
        ratio=0.1 + 0.2,
    )
    sent = replace(
        plain,
        series=replace(plain.series, features={"heat": plain.series.values[::-1].copy()}),
        warm_start=WarmStart(model="ab" * 32, learned=learned),
    )
    found = decode(encode(sent))
    assert found.warm_start == sent.warm_start
    assert np.array_equal(found.series.features["heat"], sent.series.features["heat"])


def test_a_result_arrives_with_its_files_and_arrays():
    sent = cheap_fit(job("A"))
    found = decode(encode(sent))
    assert (found.files, found.metrics, found.candidates) == (
        sent.files,
        sent.metrics,
        sent.candidates,
    )
    assert np.array_equal(found.backtest.forecast, sent.backtest.forecast)
    assert found.backtest.origins == sent.backtest.origins


@pytest.mark.parametrize(
    "value",
    [
        "took longer than 1 s",
        FileFact(path="a.csv", unknown_columns=("x",), unread_cells={"y": 2}, order=None),
        Spec(cutoff_date=date(2024, 6, 1), hyperparameters={"a": 1.5, "b": True}),
        {"a": (1, [2.5, None]), "b": b"\0\1"},
        np.float64(0.1),
    ],
)
def test_plain_values_arrive_equal(value):
    assert decode(encode(value)) == value


def test_what_is_no_number_arrives_as_that():
    assert math.isnan(decode(encode(math.nan)))
    assert decode(encode(math.inf)) == math.inf


def test_an_object_of_another_class_does_not_travel():
    with pytest.raises(TypeError, match="object does not travel"):
        encode(object())
