"""Where endpoints apply models themselves, a release is tried there, and the batch is theirs."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial

import pytest

from mlops_assets.domain.errors import EngineError
from mlops_assets.domain.forecast import Issued, Unanswered
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.flows.validation import validate_in_test
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


def nudged(issued, *, name, by=1e-8):
    """The same forecast but for a share of one column."""
    values = issued.issue.values
    other = replace(values, **{name: getattr(values, name) * (1 + by)})
    return replace(issued, issue=replace(issued.issue, values=other))


def reason_of(verdicts):
    (verdict,) = [each for each in verdicts if each.gate == "no_errors"]
    return verdict.passed, verdict.reason


def test_a_model_that_the_test_endpoint_serves_alike_passes(production):
    found, batch = tried(production, lambda issued: issued)

    assert batch.asked == [(DAY, (C1, C2))]
    assert all(verdict.passed for verdicts in found.values() for verdict in verdicts)


def test_the_last_bits_are_the_processor_s_and_fail_no_circuit(production):
    found, _ = tried(production, partial(nudged, name="value", by=1e-15))

    assert all(verdict.passed for verdicts in found.values() for verdict in verdicts)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda issued: Issued(circuit=issued.circuit, failed="the model diverged"),
            "the test endpoint gave no forecast: the model diverged",
        ),
        (
            lambda issued: replace(
                issued,
                issue=replace(issued.issue, fallback="seasonal_naive", fallback_reason="no bytes"),
            ),
            "the test endpoint fell back to seasonal_naive: no bytes",
        ),
        *(
            (
                partial(nudged, name=name),
                f"the test endpoint gave another forecast than the same model gives here: {name}",
            )
            for name in ("value", "lo_80", "hi_80", "lo_95", "hi_95")
        ),
    ],
)
def test_what_goes_wrong_at_the_endpoint_fails_the_circuit_and_no_other(production, change, said):
    found, _ = tried(production, lambda each: change(each) if each.circuit == C1 else each)

    assert reason_of(found[C1]) == (False, said)
    assert not any(verdict.passed for verdict in found[C1])
    assert all(verdict.passed for verdict in found[C2])


def test_an_endpoint_that_gives_no_answer_says_nothing_about_a_model(production):
    def lost(issued):
        return Unanswered(circuit=issued.circuit, failed="its invocation was lost")

    with pytest.raises(EngineError) as caught:
        tried(production, lambda each: lost(each) if each.circuit == C1 else each)
    assert str(caught.value) == (
        "P1/C1: the endpoint gave no answer: its invocation was lost; run the same command again"
    )
    with pytest.raises(EngineError, match=r"^P1/C1, and 1 others: the endpoint gave no answer: "):
        tried(production, lost)


@pytest.mark.parametrize(("there", "passes"), [(0.5, True), (3600.0, False)])
def test_the_seconds_that_count_are_those_where_the_model_will_be_served(production, there, passes):
    found, _ = tried(production, lambda each: replace(each, seconds=there))

    (latency,) = [each for each in found[C1] if each.gate == "latency"]
    assert latency.passed is passes


def test_the_plants_are_held_until_the_endpoints_have_answered(production):
    """Another release would fill the one place that a circuit has in test, and answer for it."""
    endpoints, free = production.test.endpoints, []

    def another(issued):
        def try_lock():
            # The lock of a plant has no try; what another thread gets within a moment is free.
            with endpoints.lock("P1"):
                free.append(True)

        thread = threading.Thread(target=try_lock, daemon=True)
        thread.start()
        thread.join(0.2)
        assert free == []
        return issued

    found, _ = tried(production, another)
    assert all(verdict.passed for verdicts in found.values() for verdict in verdicts)


def test_the_daily_batch_is_asked_of_the_endpoints(production):
    batch = FakeBatchEngine()
    production.prod = replace(production.prod, batch=batch)
    production.serve(C1)

    production.predict()

    assert batch.asked == [(DAY, (C1,))]
    assert len(production.rows(C1)) > 0
