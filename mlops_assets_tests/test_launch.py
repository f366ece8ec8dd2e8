"""What a run through Dagster comes to, as the command line tells it."""

from __future__ import annotations

from mlops_assets.assets.training import Trained
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.training import TrainOutcome, TrainReport
from mlops_assets.launch import _summary

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
