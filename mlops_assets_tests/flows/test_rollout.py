"""A new environment rolls out without training only where every forecast stays bit for bit."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mlops_assets.domain.errors import DataError, RefusedError
from mlops_assets.domain.lifecycle import holds
from mlops_assets.flows import rollout
from mlops_assets.flows.gates import gate
from mlops_assets.flows.ledger import manifest_of
from mlops_assets.flows.rollback import rollback
from mlops_assets.flows.signed import evidence_of
from mlops_assets_tests.fakes.interpreters import FakeInterpreters
from mlops_assets_tests.fakes.release import C1, C2, C3, ENGINEER, MANAGER, ReleaseHome, environment


class RolloutHome(ReleaseHome):
    interpreters = None

    @property
    def platform(self):
        return replace(super().platform, interpreters=self.interpreters)


@pytest.fixture
def home():
    """Two circuits live in 1.0.0, and a config that names 1.1.0."""
    made = RolloutHome()
    made.deployed()
    made.interpreters = FakeInterpreters()
    made.environments.append(environment("1.1.0", "a"))
    return made


def verdict(home, made):
    found = {v.gate: v for v in gate(home.platform, home.config, made, "registry", now=home.now)}
    return found.get("environment")


def stored(home, made):
    return home.dev.evidence.read_release(made, "environment")


def test_where_no_model_changes_its_environment_nothing_is_asked():
    home = ReleaseHome()
    made = home.create()
    assert verdict(home, made) is None
    assert home.request(made, "registry").nonce


def test_equal_forecasts_roll_out_as_one_release_without_training(home):
    made = home.create()
    assert not verdict(home, made).passed
    assert "were not compared" in verdict(home, made).reason
    assert home.request(made, "registry").nonce
    assert home.interpreters.asked == ["forecasting:1.0.0", "forecasting:1.1.0"]
    assert "2 models forecast the same, bit for bit" in verdict(home, made).reason
    versions = {key: home.dev.models.next_version(key) for key in (C1, C2)}
    assert home.approve(made, "registry", ENGINEER).accepted
    home.promote(made, "registry")
    home.promote(made, "test")
    assert home.approve(made, "production", MANAGER).accepted
    assert home.promote(made, "production").state == "deployed"
    assert versions == {C1: 2, C2: 2}
    assert {home.live(key) for key in (C1, C2)} == {made}
    assert verdict(home, made).passed


def test_a_forecast_that_differs_is_refused_with_the_largest_difference_and_its_circuit(home):
    home.interpreters.shift = {
        ("forecasting:1.1.0", C1): 0.25,
        ("forecasting:1.1.0", C2): 1.5,
    }
    made = home.create()
    window = home.request(made, "registry")
    assert window.nonce is None
    (reason,) = window.missing
    assert "forecasts differ for 2 of 2 models, most for P001/C002: 1.5 where" in reason
    assert "from forecasting:1.0.0 to forecasting:1.1.0" in reason


@pytest.mark.parametrize("name", ["forecasting:1.0.0", "forecasting:1.1.0"])
def test_a_model_that_cannot_be_applied_is_refused_by_name(home, name):
    home.interpreters.errors = {(name, C2): "ImportError: no numpy"}
    made = home.create()
    (reason,) = home.request(made, "registry").missing
    assert f"P001/C002: cannot be applied in {name}: ImportError: no numpy" in reason


def test_a_part_of_the_live_circuits_is_refused(home):
    made = home.create(C1)
    (reason,) = home.request(made, "registry").missing
    assert "all or nothing: P001/C002 would stay behind" in reason


def test_the_comparison_is_made_once_and_signed_with_the_release(home):
    made = home.create()
    home.request(made, "registry")
    home.interpreters.asked.clear()
    home.production.send(C3)
    home.request(made, "registry")
    assert home.interpreters.asked == []
    manifest = manifest_of(home.ledger, home.view(made))
    assert "environment" in evidence_of(home.platform, manifest, "registry")
    assert home.approve(made, "registry", ENGINEER).accepted
    signed = stored(home, made)
    home.dev.evidence.releases[made, "environment"] = signed + b" "
    with pytest.raises(RefusedError, match="E_EVIDENCE"):
        home.promote(made, "registry")
    home.dev.evidence.releases[made, "environment"] = b"{}"
    assert "is not as it was stored" in verdict(home, made).reason
    home.dev.evidence.releases[made, "environment"] = signed
    assert home.promote(made, "registry").state == "registered"


def test_a_comparison_that_lay_there_before_it_was_asked_for_is_never_believed(home):
    made = home.create()
    assert home.request(made, "registry").nonce
    equal = stored(home, made)
    home.tick(days=2)
    home.interpreters.shift = {("forecasting:1.1.0", C1): 0.25}
    assert "forecasts differ for 1 of 2" in "; ".join(home.request(made, "registry").missing)
    assert stored(home, made) != equal


def test_a_comparison_of_something_else_counts_for_nothing(home):
    made = home.create()
    home.request(made, "registry")
    document = json.loads(stored(home, made))
    document["circuits"]["P001/C001"]["model_digest"] = "9" * 64
    home.dev.evidence.releases[made, "environment"] = json.dumps(document).encode()
    assert "P001/C001: was not compared as it is released" in verdict(home, made).reason
    del document["circuits"]["P001/C001"]
    home.dev.evidence.releases[made, "environment"] = json.dumps(document).encode()
    assert "P001/C001: was not compared as it is released" in verdict(home, made).reason


def test_the_readings_are_frozen_at_one_version(home):
    made = home.create()
    home.request(made, "registry")
    assert json.loads(stored(home, made))["delta_version"] == (
        home.production.lake.readings.version()
    )


def test_a_model_that_waited_for_its_first_release_is_compared_too():
    home = RolloutHome(C1)
    home.interpreters = FakeInterpreters()
    home.environments.append(environment("1.1.0", "a"))
    made = home.create()
    (move,) = rollout.moves(home.platform, manifest_of(home.ledger, home.view(made)))
    assert (move.before, move.after, move.live) == ("forecasting:1.0.0", "forecasting:1.1.0", False)
    assert home.request(made, "registry").nonce


def test_a_home_without_interpreters_says_so(home):
    made = home.create()
    home.interpreters = None
    with pytest.raises(RefusedError, match="can apply models in no environment"):
        home.request(made, "registry")


def test_an_answer_that_leaves_a_circuit_out_is_refused(home):
    made = home.create()
    home.interpreters.missing = True
    with pytest.raises(DataError, match="gave no forecast for P001/C001"):
        home.request(made, "registry")


def test_an_environment_that_is_gone_is_refused(home):
    made = home.create()
    home.dev.environments.known.clear()
    with pytest.raises(DataError, match="is not registered in dev with digest"):
        home.request(made, "registry")


def test_a_rollout_rolls_back_in_one_go_and_holds_no_model_that_stays(home):
    made = home.create()
    home.request(made, "registry")
    home.approve(made, "registry", ENGINEER)
    home.promote(made, "registry")
    home.promote(made, "test")
    home.approve(made, "production", MANAGER)
    home.promote(made, "production")
    done = rollback(home.platform, (C1, C2), operator="op@co.example", reason="slow", now=home.now)
    assert done.circuits == (C1, C2)
    live = home.production.prod.endpoints.live("P001").live
    assert {each.environment for each in live.values()} == {"forecasting:1.0.0"}
    assert home.view(made).state == "rolled_back"
    assert holds(home.ledger.entries()) == {}
