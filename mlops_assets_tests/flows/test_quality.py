"""Scoring over fakes: forecasts meet the actuals that arrived."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.quality import days_of
from mlops_assets.flows import quality
from mlops_assets.flows.quality import pooled_skill, score, score_days
from mlops_assets_tests.fakes.deployment import a_serving
from mlops_assets_tests.fakes.forecast import FORECASTING
from mlops_assets_tests.fakes.readings import a_config, readings
from mlops_assets_tests.fakes.serving import DAY, MIDNIGHT, NOW, Production

C1, C2 = CircuitKey("P1", "C1"), CircuitKey("P1", "C2")


@pytest.fixture
def production():
    return Production()


def arrive(production, circuit=C1, *, day=0, hours=24, miss=0.0):
    """The actuals of a day; the fake model forecasts 100 + the hour."""
    start = MIDNIGHT + timedelta(days=day)
    values = [100.0 + hour + miss for hour in range(hours)]
    production.lake.readings.merge(
        readings(values, key=str(circuit), start=start), slice_id=f"{circuit}-{day}-{miss}-{hours}"
    )


def scored(production, up_to=DAY, **changed):
    return score(
        production.lake,
        production.prod,
        production.registry,
        a_config().policy,
        up_to=up_to,
        **changed,
    )


def stored(production):
    return days_of(production.lake.quality.read())


def test_a_day_is_scored_when_its_actuals_arrive(production):
    release = production.serve(C1, add=3.0)
    production.predict()
    assert scored(production)[C1].days == 0
    assert stored(production) == ()
    arrive(production)
    scored(production)
    (day,) = stored(production)
    assert (day.circuit, day.issued_for, day.rows) == (C1, DAY, 24)
    assert (day.release, day.model_version, day.fallback) == (release, 1, "none")
    assert (day.mae, day.bias) == (3.0, 3.0)
    assert day.wape == pytest.approx(3.0 / 111.5)
    assert day.mase != day.mase or day.mase >= 0


def test_scoring_twice_stores_nothing_new(production):
    production.serve(C1)
    production.predict()
    arrive(production)
    first = scored(production)
    before = production.lake.quality.rows
    assert scored(production) == first
    assert production.lake.quality.rows.equals(before)


def test_half_a_day_is_scored_by_what_is_there_and_again_when_it_is_whole(production):
    production.serve(C1)
    production.predict()
    arrive(production, hours=12, miss=1.0)
    scored(production)
    assert stored(production)[0].rows == 12
    arrive(production, hours=24, miss=2.0)
    scored(production)
    assert (stored(production)[0].rows, stored(production)[0].mae) == (24, 2.0)


def a_week(production, miss):
    for number in range(-3, 1):
        day = DAY + timedelta(days=number)
        production.predict(day=day, now=MIDNIGHT + timedelta(days=number, hours=1))
        arrive(production, day=number, miss=miss)


def test_a_model_far_from_its_backtest_is_degraded(production):
    production.serve(C1, add=50.0)
    a_week(production, miss=0.0)
    report = scored(production)[C1]
    assert report.days == 4
    assert report.backtest_wape == 0.05
    assert report.degraded
    assert "times the signed backtest's 5.0%" in report.reason


def test_a_model_near_its_backtest_is_not(production):
    production.serve(C1)
    a_week(production, miss=0.1)
    report = scored(production)[C1]
    assert not report.degraded
    assert report.wape is not None


def test_hindcasts_count_only_where_data_time_stands_still(production):
    production.serve(C1)
    for number in range(4):
        day = DAY - timedelta(days=number)
        production.predict(day=day, now=NOW + timedelta(days=9))
    arrive(production)
    assert scored(production)[C1].days == 0
    assert scored(production, hindcasts_count=True)[C1].days == 4
    assert all(day.hindcast for day in stored(production))


def test_only_the_named_circuits_are_scored(production):
    production.serve(C1, C2)
    production.predict()
    for circuit in (C1, C2):
        arrive(production, circuit)
    assert set(scored(production, circuits=[C2])) == {C2}
    assert {day.circuit for day in stored(production)} == {C2}


def test_a_fleet_is_scored_alike_some_circuits_at_a_time(production, monkeypatch):
    for circuit, add in ((C2, 4.0), (C1, 3.0), (CircuitKey("P0", "C9"), 5.0)):
        production.serve(circuit, add=add)
        arrive(production, circuit)
    production.predict()
    rows = production.lake.predictions.read()
    together = quality.days_scored(production.lake, rows)
    assert [day.mae for day in together] == [5.0, 3.0, 4.0]
    monkeypatch.setattr(quality, "_TOGETHER", 1)
    assert quality.days_scored(production.lake, rows) == together


def test_a_registry_that_cannot_say_leaves_no_opinion(production):
    production.serve(C1, add=50.0)
    a_week(production, miss=0.0)
    production.shelf.records.clear()
    report = scored(production)[C1]
    assert report.backtest_wape is None
    assert not report.degraded


def test_forecasts_of_a_zone_meet_the_actuals_of_their_hours(production):
    production.serve(C1, serving=a_serving(timezone="Asia/Kolkata"))
    production.predict()
    arrive(production)
    (day,) = score_days(production.lake, first=DAY, last=DAY)
    assert (day.rows, day.mae) == (24, 0.0)


def test_nothing_predicted_scores_nothing(production):
    production.serve(C1)
    assert score_days(production.lake, first=DAY, last=DAY) == ()


def skill(production):
    days = {"first": DAY - timedelta(days=3), "last": DAY}
    return pooled_skill(production.lake, **days, forecasting=FORECASTING)


def test_skill_is_the_share_of_the_naives_error_that_was_avoided(production):
    production.serve(C1, add=3.0)
    for number in range(-1, 1):
        production.predict(day=DAY + timedelta(days=number))
    assert skill(production) is None
    arrive(production, miss=4.0)
    assert skill(production) == pytest.approx(1 - (24 * 1.0 + 24 * 3.0) / (24 * 4.0))


def test_without_predictions_there_is_no_skill(production):
    production.serve(C1)
    assert skill(production) is None
