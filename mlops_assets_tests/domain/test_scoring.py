"""What the scoring notebook insists on, each with a forecast that breaks it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from mlops_assets.domain import scoring
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.gates import Verdict
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.model import ForecastValues
from mlops_assets.domain.readings import Series
from mlops_assets_tests.domain.test_evidence import PROOF, RECORD, proof, training_data

START = datetime(2024, 6, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
CIRCUIT = CircuitKey("P001", "C001")


def forecast(values):
    value = np.array(values, dtype=float)
    return ForecastValues(
        start=START,
        step=HOUR,
        value=value,
        lo_80=value - 1,
        hi_80=value + 1,
        lo_95=value - 2,
        hi_95=value + 2,
        approximate=False,
    )


def series(*values):
    return Series(START, HOUR, np.array(values, dtype=float))


def test_a_whole_forecast_passes():
    assert all(check.passed for check in scoring.check_forecast("x", forecast([1, 2, 3]), 3))


def test_missing_rows_are_counted():
    rows, _ = scoring.check_forecast("x", forecast([1, 2]), 3)
    assert not rows.passed
    assert rows.reason == "2 rows for 3 steps"


@pytest.mark.parametrize(
    "broken",
    [
        forecast([1, np.nan]),
        forecast([1, np.inf]),
        replace(forecast([1, 2]), lo_80=np.array([0.0, np.nan])),
        replace(forecast([1, 2]), hi_80=np.array([9.0, 9.0])),
        replace(forecast([1, 2]), lo_95=np.array([1.0, 1.9])),
    ],
)
def test_what_is_no_number_or_crosses_is_found(broken):
    assert not scoring.check_forecast("x", broken, 2)[1].passed


def test_the_range_is_what_was_read_and_a_tolerance_around_it():
    history = series(0, 10, np.nan)
    assert scoring.check_range([forecast([-10, 20])], history, None, None, 1.0).passed
    assert not scoring.check_range([forecast([-10.1])], history, None, None, 1.0).passed
    assert not scoring.check_range([forecast([20.1])], history, None, None, 1.0).passed


def test_limits_of_the_spec_come_before_the_range():
    history = series(0, 10)
    verdict = scoring.check_range([forecast([-1])], history, 0.0, 100.0, 1.0)
    assert not verdict.passed
    assert verdict.reason == "forecasts from -1 to -1, limits 0 to 100"


@pytest.mark.parametrize("same", [True, False])
def test_the_golden_forecast_decides(same):
    model = SimpleNamespace(reproduces_golden=lambda: same)
    assert scoring.check_golden(model).passed is same


def test_skill_below_the_floor_is_refused():
    assert scoring.check_skill(proof(), 0.0).passed
    worse = PROOF["floor"] | {"wape": 0.04}
    assert not scoring.check_skill(proof(floor=worse), 0.0).passed


def test_another_digest_is_refused():
    assert scoring.check_digest("model", "a", "a").passed
    assert not scoring.check_digest("model", "a", "b").passed


def test_insisting_names_all_that_does_not_hold():
    checks = [
        Verdict("a", passed=False, reason="one"),
        Verdict("b", passed=True, reason="two"),
        Verdict("c", passed=False, reason="three"),
    ]
    with pytest.raises(AssertionError, match=r"^a: one; c: three$"):
        scoring.insist(checks)
    assert scoring.insist(checks[1:2]) == "all 1 assertions hold"


def test_nothing_checked_is_no_yes():
    with pytest.raises(AssertionError, match="nothing was checked"):
        scoring.insist([])


def test_the_newest_steps_are_held_out_with_their_features():
    whole = Series(START, HOUR, np.arange(5.0), {"a": np.arange(5.0) * 2})
    known, actual = scoring.held_out(whole, 2)
    assert known.values.tolist() == [0, 1, 2]
    assert known.features["a"].tolist() == [0, 2, 4]
    assert known.end == START + 3 * HOUR
    assert actual.tolist() == [3, 4]


def test_of_a_first_day_half_is_held_out_and_the_rest_is_not_there_yet():
    known, actual = scoring.held_out(series(1, 2, 3), 4)
    assert known.values.tolist() == [1, 2]
    np.testing.assert_array_equal(actual, [3, np.nan, np.nan, np.nan])
    known, actual = scoring.held_out(series(1), 2)
    assert known.values.tolist() == [1]
    assert np.isnan(actual).tolist() == [True, True]


def test_no_newest_reading_is_refused():
    with pytest.raises(DataError, match="no newest readings"):
        scoring.held_out(series(), 2)


def test_the_floor_is_not_below_itself_whatever_its_choice_cost():
    worse = PROOF["floor"] | {"wape": 0.04}
    assert scoring.check_skill(proof(floor=worse, forecaster="seasonal_naive"), 0.0).passed
    assert not scoring.check_skill(proof(floor=worse, forecaster="seasonal_naive"), 0.1).passed


@pytest.mark.parametrize(("forecaster", "refused"), [("cold_start", False), ("ridge", True)])
def test_a_cold_start_that_no_day_could_score_is_a_warning(forecaster, refused):
    nothing = dict.fromkeys(PROOF["metrics"]) | {"points": 0}
    check = scoring.check_skill(proof(metrics=nothing, floor=nothing, forecaster=forecaster), 0.0)
    assert not check.passed
    assert check.refuses is refused
    if not refused:
        held = scoring.insist([check, scoring.check_digest("model", "a", "a")])
        assert held == "all 2 assertions hold, with a warning of skill"


def test_the_score_says_whether_the_hours_were_learned_from():
    actual = np.array([1.0, np.nan])
    seen = training_data(last_timestamp=START + 99 * HOUR)
    unseen = training_data(last_timestamp=START - HOUR)
    text = scoring.score_table(forecast([2, 2]), forecast([3, 3]), actual, seen)
    assert "not how good it is" in text
    assert "<td>MAE</td><td>1</td><td>2</td>" in text
    assert "<td>WAPE</td><td>100.00 %</td><td>200.00 %</td>" in text
    assert "<td>no</td>" in scoring.score_table(forecast([2, 2]), forecast([3, 3]), actual, unseen)


def test_a_score_without_any_reading_has_no_figures():
    nothing = np.array([np.nan, np.nan])
    text = scoring.score_table(forecast([2, 2]), forecast([3, 3]), nothing, training_data())
    assert "<td>MAE</td><td>-</td><td>-</td>" in text


def test_gaps_are_counted_by_run():
    text = scoring.data_table(training_data(), series(np.nan, 1, np.nan, np.nan, 2, np.nan))
    assert "<td>steps without a reading</td><td>4</td>" in text
    assert "<td>gaps</td><td>3</td>" in text
    assert "<td>longest gap</td><td>2 steps</td>" in text


def test_tables_show_every_side_that_was_compared():
    text = scoring.metrics_table(proof(incumbent=PROOF["metrics"]))
    assert "<th>model</th><th>seasonal naive</th><th>incumbent</th>" in text
    assert "<td>WAPE</td><td>5.00 %</td><td>10.00 %</td><td>5.00 %</td>" in text
    assert "<td>MASE</td><td>0.8</td><td>-</td>" in text
    assert "auto_ets" in scoring.candidates_table(proof())
    assert RECORD.digest in scoring.record_table(RECORD)


def test_the_backtest_chart_shows_an_incumbent_where_there_is_one():
    rows = PROOF["backtest"] | {"incumbent": [[1.0, 2.0], [3.0, None]]}
    with_one = scoring.backtest_chart(CIRCUIT, proof(backtest=rows), HOUR, "MW")
    without = scoring.backtest_chart(CIRCUIT, proof(), HOUR, "MW")
    assert ">incumbent</text>" in with_one
    assert ">incumbent</text>" not in without


def test_a_backtest_without_origins_has_no_chart():
    none = {"origins": [], "actual": [], "forecast": [], "floor": [], "incumbent": None}
    assert scoring.backtest_chart(CIRCUIT, proof(backtest=none), HOUR, "MW") == ""


def test_charts_of_newest_readings_begin_before_the_forecast():
    known = series(*range(10))
    drawn = scoring.score_chart(
        CIRCUIT, known, forecast([1, 2]), forecast([1, 2]), np.array([1.0, 2.0]), unit="MW"
    )
    assert ">95 % interval</text>" in drawn
    assert ">95 % interval</text>" in scoring.ahead_chart(CIRCUIT, known, forecast([1, 2]), "MW")
    assert ">reading</text>" in scoring.data_chart(CIRCUIT, known, "MW")


def test_checks_are_shown_with_their_answers():
    text = scoring.checks_table([Verdict("a", passed=False, reason="<b>")])
    assert "<td>a</td><td>NO</td><td>&lt;b&gt;</td>" in text
