"""The daily batch over fakes: what is written, what is kept, and what never stops the others."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.errors import DataError
from mlops_assets.domain.forecast import COLUMNS
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets_tests.fakes.deployment import a_serving, an_entry
from mlops_assets_tests.fakes.forecast import model_files
from mlops_assets_tests.fakes.readings import readings
from mlops_assets_tests.fakes.serving import DAY, MIDNIGHT, NOW, Production

C1, C2, C3 = (CircuitKey("P1", name) for name in ("C1", "C2", "C3"))


@pytest.fixture
def production():
    return Production()


def test_rows_run_from_midnight_over_the_horizon(production):
    release = production.serve(C1, add=3.0)
    report = production.predict()
    rows = production.rows()
    assert rows.columns == list(COLUMNS)
    assert rows["timestamp"].to_list() == [MIDNIGHT + timedelta(hours=h) for h in range(24)]
    assert rows["value"].to_list() == [103.0 + hour for hour in range(24)]
    assert set(rows["release"]) == {release}
    assert set(rows["data_version"]) == {"0"}
    assert set(rows["fallback"]) == {"none"}
    assert report.rows == 24
    done = report.circuits[C1]
    assert (done.rows, done.kept, done.hindcast) == (24, False, False)
    assert (done.minimum, done.maximum) == (103.0, 126.0)
    assert done.plot_svg.startswith("<svg")
    assert production.prod.predictions.files[C1, DAY].equals(rows)


def test_predicting_twice_writes_nothing(production):
    production.serve(C1, C2)
    first = production.predict()
    again = production.predict(now=NOW + timedelta(hours=1))
    assert first.rows == 48
    assert again.rows == 0
    assert all(one.kept for one in again.circuits.values())
    assert production.lake.predictions.commits == 1
    assert production.prod.predictions.writes == 2


def test_newer_readings_that_the_day_cannot_know_change_nothing(production):
    production.serve(C1)
    production.predict()
    before = production.rows()
    production.lake.readings.merge(readings([999.0] * 3, start=MIDNIGHT), slice_id="later")
    report = production.predict(now=NOW + timedelta(hours=3))
    assert report.rows == 0
    assert report.circuits[C1].kept
    assert production.rows().equals(before)


def test_a_reading_at_midnight_or_later_never_reaches_the_forecast(production):
    production.serve(C1)
    production.predict()
    before = production.rows().drop("data_version", "issued_at")
    later = Production()
    later.serve(C1)
    later.send(C1, until=MIDNIGHT + timedelta(days=1), days=1, level=-5000.0)
    later.predict()
    assert later.rows().drop("data_version", "issued_at").equals(before)


@given(st.permutations([C1, C2, C3]), st.integers(0, 3))
def test_the_batch_and_runs_for_each_circuit_alone_agree_in_any_order(order, together):
    alone, batch = Production(), Production()
    for production in (alone, batch):
        production.serve(C1, C2, C3)
    batch.predict()
    if together:
        alone.predict(circuits=order[:together])
    for circuit in order[together:]:
        alone.predict(circuits=[circuit])
    assert alone.rows().equals(batch.rows())


def test_a_retry_of_one_circuit_keeps_the_others(production):
    production.serve(C1, C2)
    good = production.shelf.bytes[C2, 1]
    production.shelf.bytes[C2, 1] = model_files(error="damaged")
    assert production.predict().circuits[C2].fallback == "seasonal_naive"
    kept = production.rows(C1)
    production.shelf.bytes[C2, 1] = good
    report = production.predict(circuits=[C2], now=NOW + timedelta(minutes=5))
    assert report.rows == 24
    assert set(production.rows(C2)["fallback"]) == {"none"}
    assert production.rows(C1).equals(kept)


def test_a_failing_circuit_never_stops_the_others(production):
    production.serve(C1, C2, C3)
    newest = production.lake.readings.versions[-1]
    production.lake.readings.versions.append(newest.filter(newest["circuit_id"] != "C2"))
    report = production.predict()
    assert set(report.circuits) == {C1, C3}
    assert report.failed == {C2: f"no reading in the 28 days before {DAY}"}


def test_a_circuit_that_is_not_live_is_refused_by_name(production):
    production.serve(C1)
    report = production.predict(circuits=[C1, C2])
    assert set(report.circuits) == {C1}
    assert report.failed[C2].startswith("is not deployed: promote a release")


def test_nothing_live_is_an_empty_report(production):
    report = production.predict()
    assert (report.circuits, report.failed, report.rows) == ({}, {}, 0)


def test_a_live_circuit_without_any_readings_says_to_ingest(production):
    production.serve(C1)
    production.lake.readings.versions.clear()
    with pytest.raises(DataError, match="run `mlops ingest`"):
        production.predict()


def test_a_model_that_learned_from_the_day_is_refused_for_it(production):
    production.serve(C1, serving=a_serving(cutoff_date="2024-06-20"))
    report = production.predict()
    assert report.failed[C1] == (
        "the live model learned from 2024-06-20, which is not before 2024-06-20; "
        "forecast a later day"
    )
    assert production.rows().is_empty()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"golden": False}, "environment mismatch: version 2"),
        ({"error": "no convergence"}, "RuntimeError: no convergence"),
        ({"shorten": 1}, "the model gave 23 rows"),
        ({"infinite": True}, "values that are not finite"),
    ],
)
def test_what_a_live_model_cannot_do_the_previous_one_does(production, settings, reason):
    production.serve(C1, previous={"add": 1.0}, **settings)
    done = production.predict().circuits[C1]
    assert (done.fallback, done.model_version) == ("previous_model", 1)
    assert reason in done.fallback_reason
    assert production.rows()["value"][0] == 101.0


def test_what_neither_model_can_do_the_seasonal_naive_does(production):
    production.serve(C1, previous={"error": "first"}, error="second")
    done = production.predict().circuits[C1]
    assert (done.fallback, done.model_version) == ("seasonal_naive", 0)
    assert done.fallback_reason == (
        "live model: RuntimeError: second; previous model: RuntimeError: first"
    )


def test_swapped_bytes_are_never_served(production):
    production.serve(C1, add=1.0)
    production.shelf.bytes[C1, 1] = model_files(add=1e9)
    done = production.predict().circuits[C1]
    assert done.fallback == "seasonal_naive"
    assert "is damaged" in done.fallback_reason


def test_a_swapped_record_is_never_served(production):
    production.serve(C1, add=1.0)
    production.shelf.add(C1, 1, add=1e9)
    done = production.predict().circuits[C1]
    assert done.fallback == "seasonal_naive"
    assert "was signed with" in done.fallback_reason


def test_a_previous_model_that_learned_from_the_day_is_no_rung(production):
    production.serve(C1, previous={"cutoff": DAY}, error="broken")
    done = production.predict().circuits[C1]
    assert done.fallback == "seasonal_naive"
    assert f"learned from {DAY}, which is not before {DAY}" in done.fallback_reason


@pytest.mark.parametrize(("hours", "fallback"), [(6, "none"), (7, "seasonal_naive")])
def test_a_gap_over_the_limit_uses_the_fallback(production, hours, fallback):
    silent = [MIDNIGHT - timedelta(hours=hour + 1) for hour in range(hours)]
    production.send(C1, drop=silent)
    production.release(an_entry(C1, digest=production.shelf.add(C1, 1)))
    done = production.predict().circuits[C1]
    assert done.fallback == fallback
    assert production.rows()["value"].to_list() == [100.0 + hour for hour in range(24)]
    assert production.rows()["timestamp"][0] == MIDNIGHT
    if fallback != "none":
        assert done.fallback_reason == (
            "no reading for 7 h before the day's start; the limit is 6 h"
        )


def test_more_than_a_day_late_is_a_hindcast(production):
    production.serve(C1)
    on_time = production.predict(now=MIDNIGHT + timedelta(hours=24))
    assert not on_time.circuits[C1].hindcast
    late = production.predict(day=DAY - timedelta(days=1), now=MIDNIGHT + timedelta(seconds=1))
    assert late.circuits[C1].hindcast


def test_a_hindcast_never_replaces_rows_issued_in_time(production):
    production.serve(C1, add=1.0)
    production.predict()
    before = production.rows()
    newer = production.shelf.add(C1, 2, add=2.0)
    production.release(an_entry(C1, version=2, digest=newer, replaces=production.live(C1)))
    report = production.predict(now=NOW + timedelta(days=3))
    assert report.circuits[C1].kept
    assert report.rows == 0
    assert production.rows().equals(before)


def test_a_newer_release_replaces_a_hindcast(production):
    production.serve(C1, add=1.0)
    late = NOW + timedelta(days=3)
    production.predict(now=late)
    newer = production.shelf.add(C1, 2, add=2.0)
    production.release(an_entry(C1, version=2, digest=newer, replaces=production.live(C1)))
    assert production.predict(now=late).rows == 24
    assert set(production.rows()["model_version"]) == {2}


def test_a_batch_killed_before_its_files_is_completed_by_running_it_again(production):
    production.serve(C1, C2)
    production.predict()
    whole = dict(production.prod.predictions.files)
    production.prod.predictions.files.clear()
    production.predict(now=NOW + timedelta(minutes=1))
    assert production.prod.predictions.files.keys() == whole.keys()
    assert all(production.prod.predictions.files[name].equals(whole[name]) for name in whole)


def test_a_plant_whose_manifest_cannot_be_read_does_not_stop_the_others(production):
    other = CircuitKey("P2", "C1")
    production.serve(C1, other)

    class Broken:
        def __init__(self, inner):
            self.inner = inner

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def live(self, plant_id):
            if plant_id == "P2":
                raise DataError("P2/live.json: does not match its own digest")
            return self.inner.live(plant_id)

    production.prod = replace(production.prod, endpoints=Broken(production.prod.endpoints))
    report = production.predict(circuits=[C1, other])
    assert set(report.circuits) == {C1}
    assert report.failed == {other: "P2/live.json: does not match its own digest"}
    assert set(report.unreadable) == {"P2"}


def test_values_outside_the_circuits_limits_are_stored_as_the_limit(production):
    production.serve(C1, serving=a_serving(minimum="110.0", maximum="115.5"))
    production.predict()
    rows = production.rows()
    for name in ("value", "lo_80", "hi_80", "lo_95", "hi_95"):
        assert rows[name].min() >= 110.0
        assert rows[name].max() <= 115.5


@pytest.mark.parametrize(
    ("zone", "day", "first"),
    [
        ("Europe/Paris", date(2024, 3, 31), datetime(2024, 3, 30, 23, tzinfo=UTC)),
        ("Europe/Paris", date(2024, 10, 27), datetime(2024, 10, 26, 22, tzinfo=UTC)),
        ("America/New_York", date(2024, 11, 3), datetime(2024, 11, 3, 4, tzinfo=UTC)),
    ],
)
def test_a_day_with_23_or_25_hours_has_each_hour_of_the_horizon_once(production, zone, day, first):
    production.send(C1, until=first)
    digest = production.shelf.add(C1, 1, cutoff=day - timedelta(days=7))
    serving = a_serving(timezone=zone, cutoff_date=str(day - timedelta(days=7)))
    production.release(an_entry(C1, digest=digest, serving=serving))
    production.predict(day=day, now=first)
    stamps = production.rows(day=day)["timestamp"].to_list()
    assert stamps == [first + timedelta(hours=hour) for hour in range(24)]


@pytest.mark.parametrize(("interval", "rows"), [("15min", 96), ("30min", 48), ("1h", 24)])
def test_each_interval_fills_its_horizon(production, interval, rows):
    production.serve(C1, serving=a_serving(interval=interval))
    production.predict()
    stamps = production.rows()["timestamp"]
    assert len(stamps) == rows
    assert np.unique(np.diff(stamps.to_numpy())).size == 1
