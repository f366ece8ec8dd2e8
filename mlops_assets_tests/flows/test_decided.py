"""Nothing is forecast by what nobody decided to put live, whatever a live manifest says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlops_assets.domain.errors import DataError
from mlops_assets.flows.forecast import predict
from mlops_assets.flows.rollback import rollback
from mlops_assets_tests.fakes.forecast import FORECASTING
from mlops_assets_tests.fakes.release import C1, C2, C3, MANAGER, ReleaseHome
from mlops_assets_tests.fakes.serving import DAY

OPERATOR = "op@co.example"


@pytest.fixture
def home():
    home = ReleaseHome()
    home.made = home.deployed()
    return home


def batch(home, circuits=None, ledger=None):
    return predict(
        home.production.lake,
        home.production.prod,
        home.registry,
        day=DAY,
        circuits=circuits,
        now=home.now,
        data_now=home.now,
        ledger=ledger or home.ledger,
        forecasting=FORECASTING,
    )


def serve(home, circuit, deployment):
    """Change a plant's live manifest as whoever may write the file can."""
    endpoints = home.production.prod.endpoints
    live = endpoints.live(circuit.plant_id)
    endpoints.swap(live, live.with_changes({circuit: deployment}))


def served(home, circuit=C1):
    return home.production.prod.endpoints.live(circuit.plant_id).of(circuit)


def test_what_was_decided_is_forecast(home):
    report = batch(home)
    assert (set(report.circuits), report.failed) == ({C1, C2}, {})


@pytest.mark.parametrize(
    "change",
    [
        {"model_digest": "f" * 64},
        {"model_version": 7},
        {"previous_model_version": 7, "previous_model_digest": "f" * 64},
        {"seasonal_naive_hours": 168},
        {"environment_digest": "f" * 64},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_live_deployment_that_is_not_the_signed_one_fails_alone(home, change):
    serve(home, C1, replace(served(home), **change))
    report = batch(home)
    assert set(report.circuits) == {C2}
    assert f"what is live is not what {home.made} was signed with" in report.failed[C1]
    assert next(iter(change)) in report.failed[C1]


def test_limits_that_nobody_signed_are_not_used(home):
    standing = served(home)
    serve(home, C1, replace(standing, serving=replace(standing.serving, maximum="1e9")))
    assert "serving.maximum" in batch(home).failed[C1]


def test_a_release_that_the_ledger_never_deployed_serves_nothing(home):
    home.edit(C1)
    waiting = home.create(C1)
    serve(home, C1, replace(served(home), release=waiting))
    report = batch(home)
    assert f"{waiting} is live, but the ledger never deployed it" in report.failed[C1]
    assert set(report.circuits) == {C2}


def test_a_circuit_that_was_taken_away_by_nobody_is_named(home):
    serve(home, C1, None)
    report = batch(home)
    assert "nothing is live; ledger entry" in report.failed[C1]
    assert set(report.circuits) == {C2}


def test_a_manifest_that_was_changed_with_it_is_no_excuse(home):
    name = ("releases", f"{home.made}.json")
    home.ledger.files[name] = home.ledger.files[name].replace(b'"attempt":1', b'"attempt":2')
    assert set(batch(home).failed) == {C1, C2}
    assert "its manifest is gone or changed" in batch(home).failed[C1]


def test_a_circuit_that_was_not_asked_for_is_not_told(home):
    serve(home, C1, replace(served(home), model_version=7))
    assert batch(home, [C2]).failed == {}


def test_a_circuit_that_was_never_deployed_is_told_what_to_do(home):
    assert "promote a release of it" in batch(home, [C3]).failed[C3]


def test_a_deployment_that_is_on_its_way_serves(home):
    home.edit(C1)
    made = home.tested(C1)
    assert home.approve(made, "production", MANAGER).accepted
    home.ledger.crash_after = 1
    with pytest.raises(KeyboardInterrupt):
        home.promote(made, "production")
    home.ledger.crash_after = None
    assert served(home).release == made
    report = batch(home)
    assert report.circuits[C1].release == made
    assert report.failed == {}


def test_a_rollback_that_is_on_its_way_serves_for_as_long_as_it_may_take(home):
    home.edit(C1)
    made = home.deployed(C1)
    left = served(home)
    rollback(home.platform, [C1], operator=OPERATOR, reason="worse", now=home.now)
    assert batch(home).circuits[C1].release == home.made

    serve(home, C1, left)
    home.tick(minutes=14)
    assert batch(home).circuits[C1].release == made
    home.tick(minutes=2)
    report = batch(home)
    assert f"{made} is live still: the rollback to {home.made}" in report.failed[C1]
    assert set(report.circuits) == {C2}


def test_a_circuit_that_is_retired_is_not_missed(home):
    home.circuits.remove(C2)
    home.deployed()
    report = batch(home)
    assert (set(report.circuits), report.failed) == ({C1}, {})


def test_a_deployment_between_both_reads_fails_nothing(home):
    home.edit(C1)
    made = home.tested(C1)
    assert home.approve(made, "production", MANAGER).accepted
    entries = home.ledger.entries

    class Later:
        """The ledger that somebody writes to after the live manifests were read."""

        def entries(self):
            if home.state(made) != "deployed":
                home.promote(made, "production")
            return entries()

        def get(self, kind, name):
            return home.ledger.get(kind, name)

    report = batch(home, ledger=Later())
    assert report.failed == {}
    assert report.circuits[C1].release == made


def test_a_plant_that_cannot_be_read_is_told_once(home):
    def torn(plant_id):
        raise DataError(f"{plant_id}: live.json is torn")

    endpoints = home.production.prod.endpoints
    endpoints.live = torn
    report = batch(home)
    assert report.unreadable == {C1.plant_id: f"{C1.plant_id}: live.json is torn"}
    assert report.failed == {}
