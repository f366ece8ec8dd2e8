"""What a run through Dagster comes to, as the command line tells it."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from mlops_assets.assets.partitions import days
from mlops_assets.assets.training import Trained
from mlops_assets.domain.errors import UsageError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.training import TrainOutcome, TrainReport
from mlops_assets.launch import _summary, check_day

GOOD, REFUSED, KNOWN = (CircuitKey("P1", f"C{number}") for number in range(3))


def test_each_circuit_of_a_training_is_counted_once():
    outcomes = {
        GOOD: TrainOutcome(circuit=GOOD, status="trained", reason=""),
        REFUSED: TrainOutcome(circuit=REFUSED, status="trained", reason=""),
        KNOWN: TrainOutcome(circuit=KNOWN, status="unchanged", reason="same spec, same data"),
    }
    report = TrainReport(release=None, outcomes=outcomes)
    done = Trained(report=report, failed={REFUSED: "skill -1 is under 0"})
    summary = _summary(done, {})
    assert summary.trained == (GOOD,)
    assert summary.skipped == (KNOWN,)
    assert dict(summary.failed) == {REFUSED: "skill -1 is under 0"}
    assert summary.broken == (REFUSED,)


def test_the_days_that_can_be_forecast_are_the_partitions_of_the_graph():
    # Of days that are over the last is yesterday: two more end with tomorrow.
    assert (days.start.date(), days.end_offset) == (date(2000, 1, 1), 2)
    today = date(2026, 11, 23)
    first, last = days.start.date(), today + timedelta(days=days.end_offset - 1)
    check_day(first, today)
    check_day(last, today)
    for day in (first - timedelta(days=1), last + timedelta(days=1)):
        with pytest.raises(UsageError, match=f"name one of {first} to {last}"):
            check_day(day, today)
