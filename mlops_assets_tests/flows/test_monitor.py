"""What a monitor is told after a batch was scored, over fakes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mlops_assets.domain.errors import DataError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.flows.monitor import RESENT_DAYS, tell
from mlops_assets.flows.quality import score
from mlops_assets_tests.fakes.monitor import fake_monitoring
from mlops_assets_tests.fakes.readings import a_config, readings
from mlops_assets_tests.fakes.serving import DAY, MIDNIGHT, NOW, Production

pytestmark = pytest.mark.azure

C1, C2 = CircuitKey("P1", "C1"), CircuitKey("P1", "C2")


@pytest.fixture
def production():
    made = Production()
    made.serve(C1, C2)
    return made


@pytest.fixture
def watched():
    return fake_monitoring()


def arrive(production, circuit=C1, *, hours=24, miss=0.0):
    values = [100.0 + hour + miss for hour in range(hours)]
    rows = readings(values, key=str(circuit), start=MIDNIGHT)
    production.lake.readings.merge(rows, slice_id=f"{circuit}-{miss}-{hours}")


def told(production, watched, forecast=None):
    reports = score(
        production.lake, production.prod, production.registry, a_config().policy, up_to=DAY
    )
    _, monitoring = watched
    return tell(production.lake, monitoring, reports, up_to=DAY, data_now=NOW, forecast=forecast)


def test_a_scored_day_is_sent_once_with_exactly_the_figures_of_the_table(production, watched):
    production.predict()
    arrive(production, miss=2.0)
    assert told(production, watched).rows == 1
    monitor, _ = watched
    (day,) = monitor.taken.values()
    (stored,) = production.lake.quality.read().rows(named=True)
    assert (day.circuit, day.issued_for) == (C1, DAY)
    assert (day.mae, day.wape, day.rows) == (stored["mae"], stored["wape"], stored["rows"])
    assert told(production, watched).rows == 0
    assert monitor.sendings == 1


def test_a_day_whose_figures_moved_is_sent_again_and_the_others_are_not(production, watched):
    production.predict()
    arrive(production, C1, hours=12)
    arrive(production, C2)
    told(production, watched)
    arrive(production, C1, hours=24, miss=1.0)
    assert told(production, watched).rows == 1
    monitor, _ = watched
    assert [day.circuit for day in monitor.taken.values()].count(C1) == 2


def test_what_a_monitor_that_was_down_missed_goes_with_the_next_sending(production, watched):
    monitor, _ = watched
    production.predict()
    arrive(production)
    monitor.down = DataError("Logs Ingestion cannot be reached: refused")
    report = told(production, watched)
    assert (report.rows, report.gauges) == (0, 0)
    assert report.problems == ("Logs Ingestion cannot be reached: refused",) * 2
    monitor.down = None
    assert told(production, watched).rows == 1


def test_a_kill_after_the_sending_sends_the_same_rows_and_none_is_counted_twice(
    production, watched
):
    monitor, monitoring = watched
    production.predict()
    arrive(production)
    told(production, watched)
    before = dict(monitor.taken)
    monitoring.sent.write({})
    assert told(production, watched).rows == 1
    assert monitor.taken == before


def test_rows_older_than_the_look_back_are_neither_sent_nor_remembered(production, watched):
    production.predict()
    arrive(production)
    told(production, watched)
    _, monitoring = watched
    later = DAY + timedelta(days=RESENT_DAYS)
    report = tell(production.lake, monitoring, {}, up_to=later, data_now=NOW)
    assert report.rows == 0
    assert monitoring.sent.read() == {}


def test_gauges_say_what_the_batch_did_and_how_old_the_readings_are(production, watched):
    monitor, _ = watched
    forecast = production.predict()
    report = told(production, watched, forecast)
    assert report.gauges == len(monitor.seen)
    assert monitor.values("mlops.forecast_failed") == {C1: 0.0, C2: 0.0}
    assert monitor.values("mlops.forecast_fallback") == {C1: 0.0, C2: 0.0}
    assert monitor.values("mlops.readings_age_hours") == {None: 7.0}


def test_a_circuit_that_failed_is_a_gauge_of_one(production, watched):
    monitor, _ = watched
    production.shelf.bytes.clear()
    forecast = production.predict()
    told(production, watched, forecast)
    seen = monitor.values("mlops.forecast_failed") | monitor.values("mlops.forecast_fallback")
    assert set(seen) == {C1, C2}
    assert 1.0 in seen.values()


def test_figures_that_are_not_known_are_left_out_and_never_zero(production, watched):
    monitor, _ = watched
    production.predict()
    told(production, watched)
    assert monitor.values("mlops.wape") == {}
    assert monitor.values("mlops.scored_days") == {C1: 0.0, C2: 0.0}
