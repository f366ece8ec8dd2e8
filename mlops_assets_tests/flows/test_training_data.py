"""What a model may learn from ends with its cutoff day, in every zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlops_assets.adapters.local.readings import LocalReadingsTable
from mlops_assets.adapters.local.training_data import LocalTrainingDataStore
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.readings import window_end
from mlops_assets.flows.readings import ingest
from mlops_assets.flows.training_data import register, series_of, trained_until, verdicts
from mlops_assets_tests.fakes.readings import (
    NOW,
    a_circuit,
    a_config,
    a_lake,
    csv_of,
    readings,
)
from mlops_assets_tests.fakes.training_data import FakeTrainingDataStore

HEADER = "plant_id,circuit_id,timestamp,value"
ZONES = sorted(available_timezones() - {"localtime", "Factory", "posixrules"})


def filled(lake, values, slice_id="a", **more):
    lake.readings.merge(readings(values, **more), slice_id=slice_id)
    return lake


@pytest.fixture(params=["local", "fake"])
def store(request, tmp_path):
    return (
        LocalTrainingDataStore(tmp_path / "a" / "b" / "c")
        if request.param == "local"
        else (FakeTrainingDataStore())
    )


def test_rows_up_to_the_end_of_the_cutoff_date_are_pinned_once(store, tmp_path):
    lake = filled(
        a_lake(readings=LocalReadingsTable(tmp_path / "t")), [float(n) for n in range(50)]
    )
    circuit = a_circuit(cutoff_date=date(2024, 6, 1))
    data, new = register(lake, store, circuit, data_now=NOW)
    assert new
    assert (data.rows, str(data.version), data.delta_version) == (24, "2024-06-01", 0)
    assert data.last_timestamp == datetime(2024, 6, 1, 23, tzinfo=UTC)
    assert data.columns == ("plant_id", "circuit_id", "timestamp", "value")
    filled(lake, [1.0], "b", start=datetime(2024, 6, 20, tzinfo=UTC))
    assert register(lake, store, circuit, data_now=NOW) == (data, False)
    series = series_of(store, data, circuit.spec)
    np.testing.assert_array_equal(series.values, np.arange(24.0))
    assert series.end == datetime(2024, 6, 2, tzinfo=UTC)
    assert all(verdict.passed for verdict in verdicts(data, series, circuit))


def test_other_content_for_the_same_date_is_a_revision_and_old_content_is_found_again(store):
    lake = filled(a_lake(), [1.0, 2.0])
    circuit = a_circuit(cutoff_date=date(2024, 6, 1))
    first, _ = register(lake, store, circuit, data_now=NOW)
    filled(lake, [1.0, 3.0], "b")
    second, new = register(lake, store, circuit, data_now=NOW)
    assert (str(second.version), new) == ("2024-06-01.r1", True)
    filled(lake, [1.0, 2.0], "c")
    assert register(lake, store, circuit, data_now=NOW) == (first, False)
    assert store.rows(first)["value"].to_list() == [1.0, 2.0]


def test_only_features_that_the_spec_names_and_the_table_has_are_pinned(store):
    lake = filled(a_lake(), [1.0], rain=[0.5], wind=[2.0])
    circuit = a_circuit(cutoff_date=date(2024, 6, 1), features=("rain", "hour_of_day"))
    data, _ = register(lake, store, circuit, data_now=NOW)
    assert data.columns[-2:] == ("value", "rain")
    assert series_of(store, data, circuit.spec).features["rain"][0] == 0.5


def test_a_cutoff_day_that_is_not_over_is_refused_with_file_and_field(store):
    lake = filled(a_lake(), [1.0])
    circuit = a_circuit(cutoff_date=date(2024, 6, 1), timezone="America/New_York")
    end = datetime(2024, 6, 2, 4, tzinfo=UTC)
    with pytest.raises(DataError) as caught:
        register(lake, store, circuit, data_now=end - timedelta(seconds=1))
    assert str(caught.value) == (
        "plants/P1/C1.yml: cutoff_date: 2024-06-01 is not over in America/New_York at "
        "2024-06-02T03:59+00:00; choose an earlier date"
    )
    assert register(lake, store, circuit, data_now=end)[1]


def test_a_circuit_without_readings_is_named(store):
    with pytest.raises(DataError, match="P1/C1: no readings up to 2024-06-21"):
        register(a_lake(), store, a_circuit(), data_now=NOW)


def test_trained_until_is_the_newest_end_of_each_circuit(store):
    lake = filled(a_lake(), [1.0] * 60)
    for day in (2, 1):
        register(lake, store, a_circuit(cutoff_date=date(2024, 6, day)), data_now=NOW)
    keys = [a_circuit("P1/C1").key, a_circuit("P1/C2").key]
    assert trained_until(store, keys) == {keys[0]: datetime(2024, 6, 3, tzinfo=UTC)}


class Late(FakeTrainingDataStore):
    """Something happens to the lake just before the first rows are stored, or just after."""

    def __init__(self, happens, *, before):
        super().__init__()
        self.happens, self.before = [happens], before

    def register(self, data, rows):
        if self.before and self.happens:
            self.happens.pop()()
        stored = super().register(data, rows)
        if self.happens:
            self.happens.pop()()
        return stored


def sent(lake, store, value, name, *, features=()):
    """Let the ETL take a file with one row, ``rain`` beside it where that is a feature."""
    rows = [("P1", "C1", "2024-06-01T00:00Z", value, *(1 for _ in features))]
    lake.landing.put(name, csv_of(rows, header=",".join([HEADER, *features])))
    keys = [a_circuit().key]
    config = a_config(a_circuit(features=features), features=features)
    return ingest(lake, config, now=NOW, trained_until=lambda: trained_until(store, keys))


@pytest.mark.parametrize("before", [True, False])
def test_a_merge_beside_a_registration_is_in_its_rows_or_is_recorded(before):
    lake = a_lake()
    store = Late(lambda: sent(lake, store, 2, "b.csv"), before=before)
    sent(lake, store, 1, "a.csv")
    circuit = a_circuit(cutoff_date=date(2024, 6, 1))
    data, new = register(lake, store, circuit, data_now=NOW)
    assert new
    assert store.rows(data)["value"].to_list() == [2.0]
    assert data.delta_version == lake.readings.version()
    # Recorded also under the rows that were stored first, where the merge could see them.
    assert len(lake.restatements.read()) == (0 if before else 1)
    sent(lake, store, 3, "c.csv")
    assert lake.restatements.read()["new_value"].to_list()[-1] == 3.0


def test_a_column_that_the_table_gets_while_it_is_read_is_pinned_too():
    lake, store = a_lake(), FakeTrainingDataStore()
    sent(lake, store, 1, "a.csv")
    circuit = a_circuit(cutoff_date=date(2024, 6, 1), features=("rain",))
    columns, late = (
        lake.readings.columns,
        [lambda: sent(lake, store, 1, "b.csv", features=("rain",))],
    )

    def told():
        if late:
            late.pop()()
        return columns()

    lake.readings.columns = told
    data, _ = register(lake, store, circuit, data_now=NOW)
    assert data.columns[-1] == "rain"
    assert store.rows(data)["rain"].to_list() == [1.0]


@given(
    st.sampled_from(ZONES),
    st.dates(date(2000, 1, 1), date(2035, 12, 31)),
    st.integers(0, 3),
    st.sampled_from(["15min", "30min", "1h"]),
)
@example("America/Sao_Paulo", date(2018, 11, 4), 0, "1h")
@example("America/Havana", date(2024, 11, 3), 0, "1h")
@example("Europe/Paris", date(2024, 10, 27), 0, "15min")
@example("Europe/Paris", date(2024, 3, 31), 0, "15min")
@example("Australia/Lord_Howe", date(2024, 4, 7), 1, "30min")
@example("Pacific/Apia", date(2011, 12, 30), 0, "1h")
@example("America/St_Johns", date(2010, 11, 7), 0, "30min")
def test_no_row_of_a_day_reaches_a_model_that_is_accepted_for_it(zone, day, days_before, interval):
    # A model is accepted for D only if its cutoff date is before D.
    cutoff = day - timedelta(days=1 + days_before)
    circuit = a_circuit(cutoff_date=cutoff, timezone=zone, interval=interval)
    middle = datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)
    around = [middle + n * timedelta(minutes=15) for n in range(-4 * 24 * 5, 4 * 50)]
    frame = readings([float(n) for n in range(len(around))]).with_columns(
        pl.Series("timestamp", around, dtype=pl.Datetime("us", "UTC")),
    )
    frame = frame.with_columns(pl.col("timestamp").dt.date().alias("date"))
    lake, store = a_lake(), FakeTrainingDataStore()
    lake.readings.merge(frame, slice_id="a")
    data, _ = register(lake, store, circuit, data_now=middle + timedelta(days=3))
    taken = store.rows(data)["timestamp"].to_list()
    assert all(moment.astimezone(ZoneInfo(zone)).date() <= cutoff for moment in taken)
    assert all(moment < window_end(day, zone) for moment in taken)
    left_out = set(around) - set(taken)
    first_left_out = min(left_out)
    assert first_left_out >= window_end(cutoff + timedelta(days=1), zone)
    series = series_of(store, data, circuit.spec)
    assert series.end <= window_end(day, zone)
