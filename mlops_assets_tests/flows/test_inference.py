"""Where endpoints apply models themselves, a release is tried there, and the batch is theirs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlops_assets.domain.forecast import Issued
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.flows.deployment import validate_in_test
from mlops_assets_tests.fakes.deployment import a_release, an_entry
from mlops_assets_tests.fakes.forecast import FORECASTING
from mlops_assets_tests.fakes.readings import a_config
from mlops_assets_tests.fakes.serving import DAY, NOW, Production

pytestmark = pytest.mark.azure

C1, C2 = CircuitKey("P1", "C1"), CircuitKey("P1", "C2")


class FakeBatchEngine:
    """Endpoints that apply models with the fake forecasters; ``change`` says what they answer."""

    def __init__(self, change=lambda issued: issued):
        self.change = change
        self.asked = []

    def issue(self, work, circuits):
        self.asked.append((work.day, tuple(circuits)))
        for issued in replace(work, forecasting=FORECASTING)(circuits):
            yield self.change(issued)


@pytest.fixture
def production():
    made = Production()
    for circuit in (C1, C2):
        made.send(circuit)
    return made


def tried(production, change):
    batch = FakeBatchEngine(change)
    test = replace(production.test, batch=batch)
    entries = [an_entry(circuit, digest=production.shelf.add(circuit, 1)) for circuit in (C1, C2)]
    found = validate_in_test(
        test,
        production.registry,
        production.lake,
        a_release(*entries),
        a_config().policy,
        now=NOW,
        data_now=NOW,
        forecasting=FORECASTING,
    )
    return found, batch


def reason_of(verdicts):
    (verdict,) = [each for each in verdicts if each.gate == "no_errors"]
    return verdict.passed, verdict.reason


def test_a_model_that_the_test_endpoint_serves_alike_passes(production):
    found, batch = tried(production, lambda issued: issued)

    assert batch.asked == [(DAY, (C1, C2))]
    assert all(verdict.passed for verdicts in found.values() for verdict in verdicts)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda issued: Issued(circuit=issued.circuit, failed="the job was lost"),
            "the test endpoint gave no forecast: the job was lost",
        ),
        (
            lambda issued: replace(
                issued,
                issue=replace(issued.issue, fallback="seasonal_naive", fallback_reason="no bytes"),
            ),
            "the test endpoint fell back to seasonal_naive: no bytes",
        ),
        (
            lambda issued: replace(
                issued,
                issue=replace(
                    issued.issue,
                    values=replace(
                        issued.issue.values, value=issued.issue.values.value * (1 + 1e-15)
                    ),
                ),
            ),
            "the test endpoint gave another forecast than the same model gives here",
        ),
    ],
)
def test_what_goes_wrong_at_the_endpoint_fails_the_circuit_and_no_other(production, change, said):
    found, _ = tried(production, lambda each: change(each) if each.circuit == C1 else each)

    assert reason_of(found[C1]) == (False, said)
    assert not any(verdict.passed for verdict in found[C1])
    assert all(verdict.passed for verdict in found[C2])


def test_the_daily_batch_is_asked_of_the_endpoints(production):
    batch = FakeBatchEngine()
    production.prod = replace(production.prod, batch=batch)
    production.serve(C1)

    production.predict()

    assert batch.asked == [(DAY, (C1,))]
    assert len(production.rows(C1)) > 0
