"""Releases carry what should be live and is not, each thing proposed once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mlops_assets.domain.contract import ReadingLimits
from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.flows import release
from mlops_assets.flows.ledger import manifest_of
from mlops_assets.flows.rollback import rollback
from mlops_assets_tests.fakes.release import (
    C1,
    C2,
    C3,
    ENGINEER,
    MANAGER,
    ReleaseHome,
    environment,
)


@pytest.fixture
def home():
    return ReleaseHome()


def cut(home, *circuits):
    """What training proposes."""
    return release.cut(home.platform, home.config, circuits or home.circuits, now=home.now)


def manifest(home, made):
    return manifest_of(home.ledger, home.view(made))


def roll_back(home, *circuits):
    done = rollback(home.platform, circuits, operator="op@co.example", reason="worse", now=home.now)
    assert done.circuits == circuits


def test_a_release_pins_everything_that_a_circuit_is_served_by(home):
    entry = manifest(home, home.create()).entry(C1)
    record = home.dev.models.get(C1, 1)

    assert (entry.action, entry.replaces) == ("deploy", None)
    assert (entry.model_version, entry.model_digest) == (1, record.digest)
    assert entry.forecaster == "auto_ets"
    assert (entry.data_version, entry.data_digest) == ("2024-06-14", record.data_digest)
    assert entry.delta_version == home.dev.training_data.versions(C1)[0].delta_version
    assert (entry.environment, entry.environment_digest) == ("forecasting:1.0.0", "e" * 64)
    assert entry.spec_digest == "2" * 64
    assert entry.config_commit == home.git.head()
    assert dict(entry.evidence) == dict(home.dev.evidence.get(C1, 1).digests)
    assert (entry.previous_model_version, entry.seasonal_naive_hours) == (None, 24)
    assert entry.serving.cutoff_date == "2024-06-14"


def test_creating_again_returns_the_open_release(home):
    made = home.create(C1)
    log = home.ledger.log
    assert home.create(C1) == made
    assert home.ledger.log == log


def test_without_names_only_what_no_open_release_proposes_is_released(home):
    one = home.create(C1)
    two = home.create()
    assert home.view(two).circuits == (C2,)
    assert home.create() is None
    home.train(C1, spec="3")
    three = home.create()
    assert home.view(three).circuits == (C1,)
    assert three != one


def test_circuits_may_be_left_out(home):
    made = home.create(without=(C1,))
    assert home.view(made).circuits == (C2,)
    assert home.view(home.create(C1, C2, without=(C2,))).circuits == (C1,)


def test_what_is_live_as_wanted_is_not_released_again(home):
    home.deployed()
    assert home.create() is None
    assert home.create(C1, C2) is None


def test_the_same_content_is_a_new_attempt_after_its_end(home):
    first = home.create()
    home.request(first, "registry")
    home.reject(first, "registry", ENGINEER)
    second = home.create()

    assert second != first
    assert home.view(second).attempt == 2
    assert manifest(home, second).entries == manifest(home, first).entries
    assert cut(home) == (None, ())


def test_the_previous_model_stands_behind_the_new_one(home):
    first = home.deployed()
    home.edit(C1)
    entry = manifest(home, home.create()).entry(C1)

    assert entry.replaces == first
    assert entry.previous_model_version == 1
    assert entry.previous_model_digest == home.dev.models.get(C1, 1).digest


def test_a_new_environment_is_released_with_the_same_model(home):
    home.deployed()
    home.edit(C1)
    home.deployed()
    home.environments.append(environment("1.1.0", "a"))
    made = home.create()

    entry = manifest(home, made).entry(C1)
    assert home.view(made).circuits == (C1, C2)
    assert (entry.environment, entry.environment_digest) == ("forecasting:1.1.0", "a" * 64)
    assert entry.model_version == 2
    assert entry.previous_model_version == 1
    assert cut(home) == (None, ())


def test_circuits_that_cannot_be_released_are_left_out_or_refused_by_name(home):
    home.spec_digests[C1] = "7" * 64
    del home.dev.evidence.bundles[C2, 1]["metrics.json"]
    assert home.create() is None
    with pytest.raises(RefusedError) as caught:
        home.create(C1, C2, C3)
    assert "P001/C001 has no model for its spec" in caught.value.reason
    assert "P001/C002 model 1 lacks evidence (metrics)" in caught.value.reason
    assert "P001/C003 is neither in config nor live" in caught.value.reason


def test_a_model_without_any_evidence_names_every_kind(home):
    home.dev.evidence.bundles.clear()
    with pytest.raises(RefusedError, match="pull_request, scoring_notebook, training_log"):
        home.create(C1)


def test_an_environment_that_the_config_lacks_is_refused(home):
    config = home.config
    config.environments.clear()
    with pytest.raises(RefusedError, match=r"forecasting:1\.0\.0 is not known"):
        release.create(home.platform, config, [C1], now=home.now)


def test_training_data_of_other_content_is_refused(home):
    other = SimpleNamespace(content_digest="9" * 64, delta_version=4)
    home.dev.training_data.get = lambda *_: other
    with pytest.raises(RefusedError, match="is not what it learned from"):
        home.create(C1)


def test_the_floor_may_have_another_season(home):
    home.dev.models.proofs[C1, 1] = b'{"floor": {"season_hours": 168}}'
    home.dev.models.proofs[C2, 1] = b"none"
    made = manifest(home, home.create())
    assert [entry.seasonal_naive_hours for entry in made.entries] == [168, 24]


def test_limits_are_signed_as_text(home):
    from dataclasses import replace

    config = home.config
    circuit = config.circuits[C1]
    limits = ReadingLimits(minimum=0.1, maximum=7.0)
    config.circuits[C1] = replace(circuit, spec=replace(circuit.spec, limits=limits))
    made, _ = release.create(home.platform, config, [C1], now=home.now)
    serving = manifest(home, made).entry(C1).serving
    assert (serving.minimum, serving.maximum) == ("0.1", "7.0")


# --- what training proposes -------------------------------------------------------------------


def test_training_proposes_what_was_in_no_release_under_its_spec(home):
    made, circuits = cut(home)
    assert circuits == (C1, C2)
    assert home.state(made) == "candidate"
    assert cut(home) == (None, ())
    home.train(C1, spec="3")
    assert cut(home)[1] == (C1,)


def test_training_proposes_only_what_it_was_asked_for(home):
    assert cut(home, C2, C3)[1] == (C2,)
    assert cut(home)[1] == (C1,)


def test_training_does_not_propose_again_what_failed(home):
    home.train(C2, spec="3", error="no convergence")
    home.promote(home.registered(), "test")
    assert cut(home) == (None, ())
    assert home.view(home.create(C1)).circuits == (C1,)


# --- rollback, holding, retirement ------------------------------------------------------------


def test_a_model_that_was_rolled_back_from_is_held(home):
    home.deployed()
    home.edit(C1)
    second = home.deployed(C1)
    roll_back(home, C1)

    assert home.state(second) == "rolled_back"
    assert home.create() is None
    with pytest.raises(RefusedError, match=f"--unhold {C1}"):
        home.create(C1)
    again = home.create(C1, unhold=(C1,))
    assert home.view(again).circuits == (C1,)
    assert home.ledger.events()[-2:] == ["unheld", "released"]
    assert home.create(C1, unhold=(C1,)) == again


def test_a_new_spec_lets_a_held_circuit_go_on(home):
    home.deployed()
    home.edit(C1)
    home.deployed(C1)
    roll_back(home, C1)
    home.edit(C1)
    entry = manifest(home, home.create()).entry(C1)
    assert (entry.model_version, entry.previous_model_version) == (3, 1)


def test_a_circuit_that_left_the_config_is_retired(home):
    first = home.deployed()
    home.circuits.remove(C2)
    made = home.create()
    entry = manifest(home, made).entry(C2)
    assert (entry.action, entry.replaces) == ("retire", first)
    assert home.create() is None


def test_a_retired_circuit_may_come_back(home):
    home.deployed()
    home.circuits.remove(C2)
    home.deployed()
    home.circuits.append(C2)
    again = home.deployed()
    assert home.view(again).circuits == (C2,)
    assert home.view(again).attempt == 1
    assert home.live(C2) == again


def test_a_fleet_is_one_signature_a_stage():
    fleet = [CircuitKey(f"P{number // 20:03}", f"C{number:03}") for number in range(60)]
    home = ReleaseHome(*fleet)
    made = home.create(without=fleet[:1])
    assert len(home.view(made).circuits) == 59
    home.reject(made, "registry", ENGINEER)
    made = home.deployed()
    view = home.view(made)
    assert len(view.circuits) == len(view.deployed) == 60
    assert [(each.stage, each.principal) for each in view.signed] == [
        ("registry", ENGINEER),
        ("production", MANAGER),
    ]
    assert {home.live(key) for key in fleet} == {made}


# --- showing ----------------------------------------------------------------------------------


def show(home, made):
    return release.show(home.platform, home.config, made, now=home.now)


def test_a_release_shows_its_manifest_state_verdicts_and_signatures(home):
    made = home.create()
    home.request(made, "registry", requester=MANAGER)
    home.approve(made, "registry", ENGINEER)
    shown = show(home, made)

    assert shown["release"] == made
    assert shown["state"] == "awaiting_registry"
    assert shown["stage"] == "registry"
    assert shown["reviewed"] is True
    assert shown["request"]["requester"] == MANAGER
    assert [each["principal"] for each in shown["signatures"]] == [ENGINEER]
    assert all(verdict["passed"] for verdict in shown["verdicts"])
    assert shown["manifest"] == manifest(home, made).document()


def test_each_state_shows_the_stage_that_comes_next(home):
    stages = []
    made = home.create()
    stages.append(show(home, made)["stage"])
    for stage in ("registry", "test", "production"):
        if stage != "test":
            home.approve(made, stage, ENGINEER)
        home.promote(made, stage)
        stages.append(show(home, made)["stage"])
    assert stages == ["registry", "test", "production", None]
    asked = {verdict["gate"]: verdict["passed"] for verdict in show(home, made)["verdicts"]}
    assert asked["lineage"]
    assert asked["skill"]
    assert asked["fallback_ladder"]


def test_what_broke_shows_the_stage_to_try_again(home):
    made = home.registered()
    home.production.lake.readings.summary = None
    with pytest.raises(TypeError):
        home.promote(made, "test")
    home.ledger.append(
        "errored", "platform", {"release": made, "stage": "test", "reason": "disk"}, home.now
    )
    assert show(home, made)["stage"] == "test"
    assert show(home, made)["waits_for"] == "the test stage to be tried again: disk"


def test_a_home_without_review_says_so():
    home = ReleaseHome(four_eyes="off")
    assert show(home, home.create())["reviewed"] is False


def test_a_copied_approval_is_shown(home):
    home.train(C2, spec="3", error="no convergence")
    failed = home.registered()
    home.promote(failed, "test")
    assert show(home, failed)["failed"]
    assert show(home, home.create(C1))["copied_approval"]["release"] == failed
