"""What `mlops gc` removes, and all that it never does."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from datetime import timedelta

import pytest

from mlops_assets.domain.circuit import RetentionPolicy
from mlops_assets.domain.deployment import history
from mlops_assets.domain.errors import MlopsError, RefusedError
from mlops_assets.flows.audit import verify
from mlops_assets.flows.forecast import predict
from mlops_assets.flows.retention import collect, collected
from mlops_assets.flows.rollback import rehearse, rollback
from mlops_assets.flows.trace import trace
from mlops_assets_tests.fakes.forecast import FORECASTING
from mlops_assets_tests.fakes.release import C1, C2, ENGINEER, MANAGER, ReleaseHome
from mlops_assets_tests.fakes.retention import FakeStorage

SHORT = RetentionPolicy(unused_days=7, proof_days=30, predictions_days=30)
STAGES = ("created", "registered", "tested", "rejected", *["deployed"] * 6)
ACTIONS = (*["release"] * 4, *["forecast"] * 2, "rollback", "wait", "train")
HISTORIES = int(os.environ.get("MLOPS_HISTORIES", "8"))
SEED = 20240620


class KeptHome(ReleaseHome):
    """A home that forecasts and forgets."""

    def __init__(self, *circuits):
        super().__init__(*circuits)
        self.storage = FakeStorage(self)
        self.stricter(retention=SHORT)
        for models in (self.dev.models, self.registry.models):
            models.folder = lambda record: f"models/{record.circuit}/{record.version}"

    def gc(self, *, remove=True):
        return collect(self.platform, self.config, self.storage, now=self.now, remove=remove)

    def old(self, days=60):
        """Let everything that is there grow old."""
        self.storage.look()
        self.tick(days=days)

    def forecast(self):
        ports = (self.production.lake, self.production.prod, self.registry)
        day = self.now.date()
        predict(*ports, day=day, now=self.now, data_now=self.now, forecasting=FORECASTING)

    def back(self, *circuits, to=None):
        return rollback(
            self.platform, circuits, operator=MANAGER, reason="worse", now=self.now, to=to
        )

    def problems(self):
        return verify(self.platform, now=self.now)["problems"]


@pytest.fixture
def home():
    return KeptHome(C1)


def test_what_nothing_names_goes_once_it_is_old(home):
    home.train(C1, spec="3")
    home.train(C1, spec="4")
    home.old(6)
    assert home.gc().plan.going == ()
    home.tick(days=2)
    home.gc()
    assert home.storage.names("dev_model") == {"P001/C001/3"}
    assert home.storage.names("evidence") == {"P001/C001/3"}


def test_without_remove_nothing_is_changed_and_everything_is_said(home):
    home.train(C1, spec="3")
    home.old()
    before = home.storage.names("dev_model")
    shown = home.gc(remove=False)
    assert {each.thing for each in shown.plan.going} >= {("dev_model", "P001/C001/1")}
    assert shown.plan.staying["dev_model", "wanted by the config"] == 1
    assert home.storage.names("dev_model") == before
    assert "collected" not in home.ledger.events()
    assert home.gc().plan == shown.plan


def test_the_ledger_names_what_went_before_it_goes_and_only_once(home):
    home.train(C1, spec="3")
    home.old()
    home.storage.crash_after = 0
    with pytest.raises(KeyboardInterrupt):
        home.gc()
    assert ("dev_model", "P001/C001/1") in collected(home.ledger)
    assert "P001/C001/1" in home.storage.names("dev_model")
    home.storage.crash_after = None
    home.gc()
    home.gc()
    assert home.ledger.events().count("collected") == 1


def test_what_is_live_stays_with_its_whole_way_back_however_old(home):
    made = [home.deployed(C1)]
    for _ in range(3):
        home.edit(C1)
        made.append(home.deployed(C1))
    home.old(4000)
    home.gc()
    assert home.storage.names("registry_model") == {f"P001/C001/{n}" for n in (1, 2, 3, 4)}
    assert home.problems() == []
    assert home.back(C1, to=made[0]).to == {C1: made[0]}


def test_a_deployment_off_the_way_back_goes_after_the_days_of_proof_and_the_audit_knows(home):
    home.deployed(C1)
    home.edit(C1)
    home.deployed(C1)
    home.back(C1)
    home.edit(C1)
    home.deployed(C1)
    home.old()
    home.gc()
    assert home.storage.names("registry_model") == {"P001/C001/1", "P001/C001/3"}
    assert home.problems() == []
    del home.registry.models.records[C1, 1]
    assert any("there is no such version" in problem for problem in home.problems())


def test_what_was_lost_without_the_ledger_knowing_is_still_a_problem(home):
    home.deployed(C1)
    home.edit(C1)
    home.deployed(C1)
    home.back(C1)
    home.edit(C1)
    home.deployed(C1)
    assert home.problems() == []
    del home.registry.models.records[C1, 2]
    assert home.problems()


def test_a_list_of_what_went_that_was_changed_is_found(home):
    home.train(C1, spec="3")
    home.old()
    home.gc()
    [name] = home.ledger.names("collected")
    home.ledger.files["collected", name] += b" "
    with pytest.raises(RefusedError, match="its list of what was removed is gone or changed"):
        collected(home.ledger)
    assert any("list of what was removed" in problem for problem in home.problems())


def test_an_open_release_keeps_all_that_it_names(home):
    made = home.registered(C1)
    home.old()
    home.gc()
    home.promote(made, "test")
    assert home.approve(made, "production", MANAGER).accepted
    assert home.promote(made, "production").state == "deployed"


def test_signed_proof_stays_for_the_days_of_proof(home):
    made = home.create(C1)
    assert home.approve(made, "registry", ENGINEER).accepted
    home.reject(made, "registry", MANAGER)
    home.reject(made, "registry", ENGINEER)
    home.edit(C1)
    home.old(20)
    home.gc()
    assert "P001/C001/1" in home.storage.names("evidence")
    home.tick(days=20)
    home.gc()
    assert "P001/C001/1" not in home.storage.names("evidence")


def test_forecasts_go_by_their_day_and_are_traced_as_long_as_they_stay(home):
    home.deployed(C1)
    home.forecast()
    first = home.now.date()
    home.edit(C1)
    home.tick(days=10)
    home.deployed(C1)
    home.back(C1)
    home.edit(C1)
    home.deployed(C1)
    home.old(25)
    home.gc()
    rows = home.production.lake.predictions.read()
    assert first not in rows["issued_for"].to_list()
    assert f"P001/C001/{first}" not in home.storage.names("prod_predictions")


def test_the_past_of_the_readings_stays_for_all_training_data_that_stay(home):
    home.production.send(C1, level=101.0)
    home.edit(C1)
    home.old()
    home.gc()
    kept = {data.delta_version for data in home.dev.training_data.versions(C1)}
    assert home.production.lake.readings.pinned == kept
    assert kept


@pytest.mark.parametrize("count", range(6))
def test_a_removal_killed_between_any_two_things_is_finished_by_the_next(count):
    homes = [KeptHome(C1), KeptHome(C1)]
    for home in homes:
        home.train(C1, spec="3")
        home.train(C1, spec="4")
        home.old()
    whole, killed = homes
    whole.gc()
    killed.storage.crash_after = count
    try:
        killed.gc()
    except KeyboardInterrupt:
        killed.storage.crash_after = None
        killed.gc()
    for kind in ("dev_model", "evidence", "training_data"):
        assert killed.storage.names(kind) == whole.storage.names(kind)
    assert killed.problems() == []


def test_a_release_cut_while_things_go_keeps_what_it_needs(home):
    home.train(C1, spec="3")
    home.old()
    home.spec_digests[C1] = "2" * 64  # people went back to the first spec
    config = replace(home.config)
    home.spec_digests[C1] = "3" * 64
    genuine = home.storage.remove

    def meanwhile(item):
        home.storage.remove = genuine
        home.spec_digests[C1] = "2" * 64
        genuine(item)

    home.storage.remove = meanwhile
    assert config.circuits[C1].spec_digest == "2" * 64
    home.gc()
    assert home.problems() == []


# --- any history -------------------------------------------------------------------------------


def act(home, choose):
    """One thing that people or the platform do."""
    key = choose.choice(home.circuits)
    match choose.choice(ACTIONS):
        case "release":
            home.edit(key)
            stage = choose.choice(STAGES)
            if stage == "rejected":
                home.reject(home.create(key), "registry", ENGINEER)
            else:
                getattr(home, "create" if stage == "created" else stage)(key)
        case "rollback":
            home.back(key)
        case "forecast":
            home.forecast()
        case "wait":
            home.tick(days=choose.randint(1, 25), hours=1)
        case "train":
            home.train(key, spec=choose.choice("abcdef"))
    home.storage.look()


def ways_back(home):
    """Every rollback that is possible, with where it leads."""
    found = {}
    endpoints = home.production.prod.endpoints
    for key in home.circuits:
        report = rehearse(home.platform, [key])
        found[key] = dict(report.to)
        if (live := endpoints.live(key.plant_id).of(key)) is not None:
            found[key, "all"] = [each.release for each in history(live, endpoints.recorded)]
    return found


def traces(home):
    rows = home.production.lake.predictions.read()
    kept = rows.select("plant_id", "circuit_id", "issued_for").unique().sort(rows.columns[:3])
    found = {}
    for plant, circuit, day in kept.iter_rows():
        key = next(
            one for one in home.circuits if (one.plant_id, one.circuit_id) == (plant, circuit)
        )
        found[key, day] = trace(home.platform, home.config, key, day)
    return found


def test_after_any_history_all_that_was_possible_and_proved_still_is():
    print(f"seed {SEED}, {HISTORIES} histories")
    possible = proved = removed = 0
    for number in range(HISTORIES):
        choose = random.Random(SEED + number)
        home = KeptHome(C1, C2)
        for _ in range(choose.randint(8, 24)):
            try:
                act(home, choose)
            except MlopsError:
                continue
        home.tick(days=choose.choice([0, 5, 20, 60]))
        problems, before, proofs = home.problems(), ways_back(home), traces(home)
        removed += len(home.gc().plan.going)
        assert home.problems() == problems == []
        assert ways_back(home) == before
        left = traces(home)
        assert left == {name: proofs[name] for name in left}
        assert all(chain["verified"] for chain in left.values())
        first = home.now.date() - timedelta(days=SHORT.predictions_days)
        assert set(left) == {(key, day) for key, day in proofs if day >= first}
        assert home.gc().plan.going == ()
        possible += sum(len(steps) for steps in before.values())
        proved += len(left)
    # Histories in which nothing happens prove nothing.
    assert min(possible, proved, removed) > HISTORIES
