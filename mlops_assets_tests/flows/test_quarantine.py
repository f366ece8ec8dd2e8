"""Quarantine: what people see, release and hold back, and that a replay keeps their word."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mlops_assets.domain.contract import ReadingLimits
from mlops_assets.domain.errors import UsageError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.flows.quarantine import Choice, listed, release, withhold, words
from mlops_assets.flows.readings import ingest
from mlops_assets_tests.fakes.readings import (
    NOW,
    FakeReadingsTable,
    a_circuit,
    a_config,
    a_lake,
    csv_of,
)
from mlops_assets_tests.flows.test_readings import KilledError, balanced, hours, local_lake

C1 = CircuitKey("P1", "C1")
CONFIG = a_config(
    a_circuit("P1/C1", limits=ReadingLimits(maximum=50.0, sign="nonnegative", stuck_hours=3)),
    a_circuit("P1/C2"),
)
DAY = Choice(
    circuits=[C1], start=datetime(2024, 6, 1, tzinfo=UTC), end=datetime(2024, 6, 2, tzinfo=UTC)
)
ADA = {"by": "ada@example.com", "note": "the meter is right", "now": NOW}
UNTIL = {"trained_until": lambda: {C1: NOW}}


@pytest.fixture(params=["local", "fake"])
def lake(request, tmp_path):
    return local_lake(tmp_path) if request.param == "local" else a_lake()


def send(lake, name, rows):
    lake.landing.put(name, csv_of(rows))
    report = ingest(lake, CONFIG, now=NOW, **UNTIL)
    assert balanced(report)
    return report


def values(lake):
    return lake.readings.read(columns=["value"])["value"].to_list()


def held(lake, choice=DAY):
    return listed(lake, choice).select("value", "reason").rows()


def test_a_run_is_taken_out_when_it_proves_stuck_and_restated_where_a_model_learned_from_it(lake):
    send(lake, "a.csv", hours([1, 2, 2]))
    report = send(lake, "b.csv", hours([2], first=3))
    assert (report.rows_withdrawn, report.reasons, report.rows_restated) == (1, {"stuck": 1}, 1)
    assert values(lake) == [1.0, 2.0]
    assert held(lake) == [("2.0", "stuck")] * 2
    told = lake.restatements.read().select("old_value", "new_value").rows()
    assert told == [(2.0, None)]
    report = send(lake, "c.csv", hours([5], first=2))
    assert (report.rows_returned, report.rows_inserted, report.rows_read) == (1, 1, 1)
    assert (values(lake), held(lake)) == ([1.0, 2.0, 5.0, 2.0], [])


def test_a_list_names_circuit_reason_and_time(lake):
    send(lake, "a.csv", [*hours([60, "NA", -1]), *hours([1, "x"], "C2")])
    assert held(lake) == [("60.0", "out_of_range"), ("NA", "missing"), ("-1.0", "wrong_sign")]
    assert len(listed(lake, Choice())) == 4
    assert len(listed(lake, Choice(), reasons=["missing", "bad_value"])) == 2
    late = Choice(start=datetime(2024, 6, 1, 2, tzinfo=UTC))
    assert listed(lake, late)["reason"].to_list() == ["wrong_sign"]
    ids = listed(lake, DAY)["id"].to_list()
    assert len(set(ids)) == 3
    assert listed(lake, Choice(ids=ids[:1]))["reason"].to_list() == ["out_of_range"]
    with pytest.raises(UsageError, match="q-0000 is not in quarantine"):
        listed(lake, Choice(ids=["q-0000"]))


def test_a_released_row_is_a_reading_and_stays_one_whatever_arrives_again(lake):
    send(lake, "a.csv", hours([1, 2, 2, 2, 60, -1, "NA"]))
    assert values(lake) == [1.0, 2.0]
    done = release(lake, CONFIG, DAY, **ADA)
    assert (done.rows, done.entered, dict(done.refused)) == (4, 4, {"missing": 1})
    assert values(lake) == [1.0, 2.0, 2.0, 2.0, 60.0, -1.0]
    assert lake.readings.read()["source"].unique().to_list() == ["a.csv"]
    assert held(lake) == [("NA", "missing")]
    report = send(lake, "b.csv", [*hours([1, 2, 2, 2, 60, -1, "NA"]), *hours([3], "C2")])
    assert (report.rows_inserted, report.rows_updated, report.rows_unchanged) == (1, 0, 6)
    report = send(lake, "c.csv", hours([61, -2], first=4))
    assert report.reasons == {"out_of_range": 1, "wrong_sign": 1}
    assert values(lake)[:6] == [1.0, 2.0, 2.0, 2.0, 60.0, -1.0]
    said = words(lake, DAY).select("value", "state", "by", "note").rows()
    assert said[-1] == ("-1.0", "released", "ada@example.com", "the meter is right")


def test_a_row_is_released_by_its_id_alone(lake):
    send(lake, "a.csv", hours([60, 70]))
    first = listed(lake, DAY)["id"][0]
    assert release(lake, CONFIG, Choice(ids=[first]), **ADA).entered == 1
    assert values(lake) == [60.0]
    assert held(lake) == [("70.0", "out_of_range")]


def test_a_release_leaves_the_reading_that_its_hour_has(lake):
    send(lake, "a.csv", hours([60]))
    send(lake, "b.csv", hours([6]))
    done = release(lake, CONFIG, DAY, **ADA)
    assert (done.entered, dict(done.refused), values(lake)) == (0, {"has_reading": 1}, [6.0])


def test_a_reading_is_held_back_by_hand_and_a_release_taken_back(lake):
    send(lake, "a.csv", [*hours([1, 60]), *hours([5, 6], "C2")])
    release(lake, CONFIG, DAY, **ADA)
    done = withhold(lake, CONFIG, DAY, **ADA, **UNTIL)
    assert (done.withdrawn, done.restated) == (2, 2)
    assert values(lake) == [5.0, 6.0]
    assert [reason for _, reason in held(lake)].count("withheld") == 2
    report = send(lake, "b.csv", hours([1, 60, 2]))
    assert report.reasons == {"out_of_range": 1, "withheld": 1}
    assert values(lake) == [2.0, 5.0, 6.0]
    assert release(lake, CONFIG, DAY, **ADA).entered == 2
    assert values(lake) == [1.0, 60.0, 2.0, 5.0, 6.0]


def test_words_without_a_name_a_reason_or_rows_are_refused(lake):
    with pytest.raises(UsageError, match="names nobody"):
        release(lake, CONFIG, DAY, by="ada", note="x", now=NOW)
    with pytest.raises(UsageError, match="say --reason"):
        release(lake, CONFIG, DAY, by="a@b", note=" ", now=NOW)
    with pytest.raises(UsageError, match="nothing of that is in quarantine"):
        release(lake, CONFIG, DAY, **ADA)
    with pytest.raises(UsageError, match="--circuit KEY --from TIME --to TIME"):
        withhold(lake, CONFIG, Choice(circuits=[C1]), **ADA)
    send(lake, "a.csv", hours([5], "C2"))
    with pytest.raises(UsageError, match="there are no readings of that"):
        withhold(lake, CONFIG, DAY, **ADA)


def test_a_release_killed_before_the_merge_is_done_by_repeating_it():
    class Dying(FakeReadingsTable):
        deaths = 1

        def merge(self, rows, **more):
            if more["slice_id"] and len(rows) == 2 and self.deaths:
                self.deaths = 0
                raise KilledError
            return super().merge(rows, **more)

    lake = a_lake(readings=Dying())
    send(lake, "a.csv", hours([2, 2, 2, 60]))
    send(lake, "b.csv", hours([9], first=6))
    lake.readings.deaths = 1
    both = Choice(circuits=[C1], start=DAY.start, end=DAY.start + timedelta(hours=3))
    with pytest.raises(KilledError):
        release(lake, CONFIG, both, **ADA)
    assert values(lake) == [2.0, 9.0]
    assert release(lake, CONFIG, both, **ADA).entered == 2
    assert values(lake) == [2.0, 2.0, 2.0, 9.0]
