"""What two environments made of the same model, compared bit by bit."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from mlops_assets.domain.errors import DataError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.readings import Series
from mlops_assets.domain.rollout import (
    COLUMNS,
    Applied,
    ApplyJob,
    Move,
    answer_bytes,
    compared,
    document,
    judge_rollout,
    read_answer,
    read_request,
    request_bytes,
)

C1 = CircuitKey("P001", "C001")


def a_move(after="forecasting:1.1.0", circuit=C1):
    return Move(
        circuit=circuit,
        model_version=1,
        model_digest="5" * 64,
        before="forecasting:1.0.0",
        before_digest="a" * 64,
        after=after,
        after_digest="b" * 64,
        live=True,
    )


def forecast(*values, golden=True, **columns):
    return Applied(dict.fromkeys(COLUMNS, values) | columns, golden)


def judged(before, after, move=None):
    move = move or a_move()
    stored = document("r-0", 4, {str(move.circuit): compared(move, before, after)})
    return judge_rollout([move], stored, [])


def test_jobs_and_answers_survive_the_way_between_interpreters():
    series = Series(
        datetime(2024, 6, 1, tzinfo=UTC),
        timedelta(minutes=15),
        np.array([0.1, math.nan, -0.0]),
        {"heat": np.array([1 / 3, 2.0, 3.0])},
    )
    job = ApplyJob(circuit=C1, files={"model.json": b"\x00{}"}, series=series, steps=96)
    (read,) = read_request(request_bytes([job]))
    assert (read.circuit, read.files, read.steps) == (job.circuit, job.files, job.steps)
    assert (read.series.start, read.series.step) == (series.start, series.step)
    np.testing.assert_array_equal(read.series.values, series.values)
    np.testing.assert_array_equal(read.series.features["heat"], series.features["heat"])
    answers = {C1: forecast(0.1, 1 / 3), CircuitKey("P001", "C002"): Applied(error="no")}
    assert read_answer(answer_bytes(answers), where="x") == answers


@pytest.mark.parametrize("data", [b"", b"[]", b'{"applied": {"P001/C001": {}}}', b"\xff"])
def test_an_answer_that_is_none_is_named(data):
    with pytest.raises(DataError, match=r"environment x:1\.0\.0: gave no readable"):
        read_answer(data, where="environment x:1.0.0")


def test_equal_forecasts_pass_gaps_included():
    assert judged(forecast(1.0, math.nan), forecast(1.0, math.nan)).passed


def test_the_last_bit_of_one_interval_is_a_difference():
    verdict = judged(forecast(1.0, 2.0), forecast(1.0, 2.0, hi_95=(1.0, 2.0 + 2**-51)))
    assert verdict.refuses
    assert "differ for 1 of 1 models, most for P001/C001: " in verdict.reason
    assert "MAJOR" in verdict.reason


@pytest.mark.parametrize("other", [forecast(), forecast(1.0), forecast(1.0, math.nan)])
def test_forecasts_that_cannot_be_compared_differ_without_bound(other):
    assert "without bound" in judged(forecast(1.0, 2.0), other).reason


def test_a_golden_forecast_that_does_not_come_is_refused():
    verdict = judged(forecast(1.0), forecast(1.0, golden=False))
    assert verdict.reason == ("P001/C001: does not give its golden forecast in forecasting:1.1.0")


def test_a_model_that_fails_is_refused_with_its_words_once():
    verdict = judged(Applied(error="no numpy"), Applied(error="no numpy"))
    assert verdict.reason == "P001/C001: cannot be applied in forecasting:1.0.0: no numpy"


def test_a_major_version_is_never_rolled_out_without_training():
    verdict = judged(forecast(1.0), forecast(1.0), a_move("forecasting:2.0.0"))
    assert "is MAJOR and needs training" in verdict.reason


def test_circuits_that_would_stay_behind_are_named_and_counted():
    left = [f"P001/C{number}" for number in range(7)]
    reason = judge_rollout([a_move()], None, left).reason
    assert "P001/C0, P001/C1, P001/C2, P001/C3, P001/C4 and 2 more would stay behind" in reason
    assert "were not compared" in reason
    assert "P001/C1 would stay behind" in judge_rollout([a_move()], None, ["P001/C1"]).reason


def test_what_is_stored_is_the_same_text_for_the_same_forecasts():
    rows = {str(C1): compared(a_move(), forecast(1.5), forecast(1.5))}
    assert document("r-0", 4, rows) == document("r-0", 4, rows)
    assert json.loads(document("r-0", 4, rows))["circuits"][str(C1)]["steps"] == 1
