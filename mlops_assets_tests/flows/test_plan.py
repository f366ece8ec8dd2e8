"""The plan says per circuit what is to be done and why; config counts only with its history."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest

from mlops_assets.catalog import load
from mlops_assets.domain.errors import ConfigError, HomeError, RefusedError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.flows.plan import config_at, left_over, plan
from mlops_assets.flows.release import cut
from mlops_assets.forecasters.catalogue import ALGORITHMS
from mlops_assets_tests.catalog.files import FILES, SPEC, spec
from mlops_assets_tests.fakes.config import FakeConfigRepository
from mlops_assets_tests.fakes.ledger import FakeLedger
from mlops_assets_tests.fakes.release import (
    AUTHOR,
    C1,
    C2,
    C3,
    ENGINEER,
    MANAGER,
    ReleaseHome,
    environment,
)

NOW = datetime(2026, 7, 10, tzinfo=UTC)
WHO = "e@x.example"
KEY = CircuitKey("P001", "C001")
ENOUGH = "; it has enough readings now: `mlops refresh --cutoff 2024-06-19 --circuit P001/C001`"


class ConfigHome:
    """A config repository and the ledger that was begun for it."""

    def __init__(self):
        self.config = FakeConfigRepository()
        self.ledger = FakeLedger()
        files = {name: text.encode() for name, text in FILES.items()}
        self.root = self.config.commit(files, message="Begin", author=WHO, branch=None)
        self.ledger.append(
            "initialised",
            "platform",
            {"root_commit": self.root, "ref": "refs/heads/main", "kind": "init", "format": 1},
            NOW,
        )

    def edit(self, text, branch=None):
        return self.config.commit({SPEC: text.encode()}, message="E", author=WHO, branch=branch)

    def release(self, commit):
        self.ledger.append("released", WHO, {"config_commit": commit}, NOW)

    def read(self, **options):
        return config_at(SimpleNamespace(config=self.config, ledger=self.ledger), **options)


@pytest.fixture
def home():
    return ConfigHome()


def test_config_is_that_of_the_watched_ref(home):
    commit = home.edit(spec("horizon: 48"))
    config = home.read()
    assert config.commit == commit
    assert config.circuits[KEY].spec.horizon == 48


def test_another_ref_is_read_without_being_watched(home):
    commit = home.edit(spec("horizon: 48"), branch="work")
    assert home.read(ref="refs/heads/work").commit == commit
    assert home.read().commit == home.root


def test_the_working_tree_can_be_previewed(home):
    home.config.work_tree[SPEC] = spec("horizon: 48").encode()
    assert home.read(working_tree=True).circuits[KEY].spec.horizon == 48
    assert home.read().circuits[KEY].spec.horizon == 24


def test_mistakes_are_those_of_the_commit(home):
    home.edit(spec("horizon: x"))
    with pytest.raises(ConfigError, match="horizon: x is not a whole number"):
        home.read()


def test_another_repository_is_refused(home):
    other = ConfigHome()
    other.config.add({"x.yml": b""}, parent=None, branch="main", author=WHO, message="Other")
    home.config = other.config
    with pytest.raises(RefusedError, match="give --config the repository") as caught:
        home.read()
    assert caught.value.code == "E_CONFIG_ROOT"


def test_a_ref_of_other_origin_is_refused(home):
    tree = home.config.files(home.root) | {"more.txt": b""}
    home.config.add(tree, parent=None, branch="stranger", author=WHO, message="Other")
    with pytest.raises(RefusedError, match="does not descend from the root"):
        home.read(ref="refs/heads/stranger")


def test_another_watched_ref_is_refused(home):
    home.config.branches["other"] = home.root
    home.config.ref = "refs/heads/other"
    with pytest.raises(RefusedError, match="this home watches refs/heads/main, not refs/heads/oth"):
        home.read()


def test_a_rewound_ref_is_refused(home):
    home.release(home.edit(spec("horizon: 48")))
    assert home.read()
    home.config.branches["main"] = home.root
    with pytest.raises(RefusedError, match="refs/heads/main was rewound") as caught:
        home.read()
    assert caught.value.code == "E_CONFIG_REWOUND"


def test_a_ref_that_went_on_is_not_rewound(home):
    home.release(home.root)
    home.edit(spec("horizon: 48"))
    assert home.read().circuits[KEY].spec.horizon == 48


def test_a_home_without_entry_zero_says_what_to_do(home):
    home.ledger = FakeLedger()
    with pytest.raises(HomeError, match="the ledger has no entry 0: run the `mlops init`"):
        home.read()


# --- the lines --------------------------------------------------------------------------------


def planned(home, **changed):
    """The plan of a release home by circuit."""
    config = replace(home.config, **changed) if changed else home.config
    return {
        line.circuit: (line.action, line.reason)
        for line in plan(home.platform, config, now=home.now)
    }


def with_spec(home, key, digest, **changes):
    """The home's circuits, one of them with another spec."""
    circuit = home.config.circuits[key]
    other = replace(circuit, spec=replace(circuit.spec, **changes), spec_digest=digest * 64)
    return {**home.config.circuits, key: other}


def forget(home, key):
    """A circuit that was never trained."""
    for name in [name for name in home.dev.models.records if name[0] == key]:
        del home.dev.models.records[name]


def test_a_model_that_is_registered_and_not_live_is_deployed():
    home = ReleaseHome()
    assert planned(home)[C1] == ("redeploy", "version 1 is registered, nothing is live")


def test_what_an_open_release_proposes_waits_in_it():
    home = ReleaseHome()
    release = home.create(C1)
    assert planned(home)[C1] == ("none", f"waits in {release}")
    assert planned(home)[C2][0] == "redeploy"


def test_what_is_live_needs_nothing():
    home = ReleaseHome()
    home.deployed()
    assert planned(home) == {C1: ("none", "version 1 is live"), C2: ("none", "version 1 is live")}


def test_a_newer_model_replaces_the_live_one():
    home = ReleaseHome()
    home.deployed()
    home.train(C1, spec="3")
    assert planned(home)[C1] == ("redeploy", "version 2 is registered, version 1 is live")


def test_a_release_that_was_rejected_is_not_cut_again_by_itself():
    home = ReleaseHome()
    release = home.create(C1)
    home.reject(release, "registry", ENGINEER)
    action, reason = planned(home)[C1]
    assert action == "redeploy"
    assert (
        f"{release}, which carried it, is rejected: `mlops release create --circuit P001/C001`"
        in reason
    )


def test_circuits_that_no_release_is_cut_of_are_named_in_one_command():
    home = ReleaseHome(C1, C2, C3)
    one, other = home.tested(C1, C2), home.tested(C1)
    home.approve(other, "production", MANAGER)
    home.promote(other, "production")
    assert home.state(one) == "superseded"
    home.reject(home.create(C3), "registry", ENGINEER)
    lines = plan(home.platform, home.config, now=home.now)
    assert [line.circuit for line in lines if line.by_hand] == [C2]
    command = "mlops release create --circuit P001/C002"
    assert left_over(lines) == f"no release is cut of these by itself: `{command}`"
    assert cut(home.platform, home.config, home.circuits, now=home.now) == (None, ())
    made = home.create(C2)
    assert home.view(made).circuits == (C2,)
    assert left_over(plan(home.platform, home.config, now=home.now)) is None


def test_a_circuit_that_failed_in_test_is_left_alone_and_the_others_go_on():
    home = ReleaseHome()
    home.train(C2, spec="3", error="no convergence")
    made = home.registered()
    home.promote(made, "test")
    assert home.state(made) == "failed"
    lines = plan(home.platform, home.config, now=home.now)
    assert {line.circuit: line.by_hand for line in lines} == {C1: True, C2: False}


def test_what_is_to_be_retired_is_named_in_the_command_too():
    home = ReleaseHome()
    home.deployed()
    home.circuits.remove(C2)
    assert "--circuit P001/C002" in left_over(plan(home.platform, home.config, now=home.now))


def test_a_new_environment_redeploys_the_same_model():
    home = ReleaseHome()
    home.deployed()
    home.environments = [environment("1.1.0", "f")]
    action, reason = planned(home)[C1]
    assert action == "redeploy"
    assert reason.startswith("environment changed: forecasting:1.0.0 to forecasting:1.1.0; ")
    assert reason.endswith("is deployed: `mlops release create --circuit P001/C001`")


def test_a_circuit_that_left_config_is_retired_once():
    home = ReleaseHome()
    home.deployed()
    home.circuits.remove(C2)
    assert planned(home)[C2] == ("retire", "taken out of config")
    release = home.create()
    assert planned(home)[C2] == ("none", f"waits in {release}")


def test_a_model_that_was_rolled_back_from_is_held():
    home = ReleaseHome()
    home.deployed()
    digest = home.dev.models.get(C1, 1).digest
    home.ledger.append(
        "rolled_back",
        MANAGER,
        {
            "circuits": {str(C1): {"from": home.live(C1), "to": home.live(C1)}},
            "operator": MANAGER,
            "reason": "worse",
            "held": {str(C1): digest},
        },
        home.now,
    )
    action, reason = planned(home)[C1]
    assert action == "none"
    assert reason.startswith("held: version 1 was rolled back from")
    assert "`mlops release create --circuit P001/C001 --unhold P001/C001`" in reason


def test_a_circuit_without_a_model_is_new():
    home = ReleaseHome()
    forget(home, C1)
    assert planned(home)[C1] == ("train", "new circuit")


def test_a_circuit_without_readings_is_left_alone():
    home = ReleaseHome()
    home.circuits.append(C3)
    home.spec_digests[C3] = "9" * 64
    assert planned(home)[C3] == ("none", "no reading")
    before = with_spec(home, C1, "9", cutoff_date=date(2024, 1, 1))
    assert planned(home, circuits=before)[C1] == (
        "none",
        f"no reading up to its cutoff date 2024-01-01{ENOUGH}",
    )


def test_a_cutoff_in_the_future_is_not_trained():
    home = ReleaseHome()
    circuits = with_spec(home, C1, "9", cutoff_date=date(2099, 1, 1))
    action, reason = planned(home, circuits=circuits)[C1]
    assert action == "none"
    assert reason == "plants/P001/C001.yml: cutoff_date: 2099-01-01 is not over in UTC"


def test_few_readings_plan_a_cold_start():
    home = ReleaseHome()
    forget(home, C1)
    early = with_spec(home, C1, "9", cutoff_date=date(2024, 5, 25))
    assert planned(home, circuits=early)[C1] == (
        "train",
        f"new circuit, under 14 days of readings: cold_start{ENOUGH}",
    )


def configured(home, *texts):
    """Commit whole configs for C001, one after the other; the newest model is of the first."""
    commits = []
    for text in texts:
        files = {name: content.encode() for name, content in {**FILES, SPEC: text}.items()}
        commits.append(home.git.add(files, author=AUTHOR))
    (record,) = home.dev.models.versions(C1)
    home.dev.models.records[C1, 1] = replace(record, config_commit=commits[0])
    files = home.git.files(commits[-1])
    return load(
        {name: data for name, data in files.items() if name in FILES},
        commit=commits[-1],
        algorithms=ALGORITHMS,
    )


def dated(*lines):
    """A spec whose cutoff the home's readings reach."""
    return spec(*lines).replace("2026-06-23", "2024-06-14")


def test_a_changed_spec_names_its_changed_fields():
    home = ReleaseHome()
    config = configured(home, dated(), dated("horizon: 48", "effort: fast"))
    lines = plan(home.platform, config, now=home.now)
    assert (lines[0].action, lines[0].reason) == ("train", "spec changed: horizon, effort")


def test_a_new_algorithm_version_is_named():
    home = ReleaseHome()
    config = configured(home, dated())
    (line, *_) = plan(home.platform, config, now=home.now)
    assert (line.action, line.reason) == ("train", "auto has a new algorithm version")


def test_a_major_environment_names_every_circuit_that_it_trains(monkeypatch):
    first = "environments/forecasting/1.0.0.yml"
    monkeypatch.setitem(FILES, first.replace("1.0.0", "2.0.0"), FILES[first])
    home = ReleaseHome()
    config = configured(home, dated(), dated("environment: forecasting:2.0.0"))
    (line, *_) = plan(home.platform, config, now=home.now)
    assert (line.action, line.reason) == (
        "train",
        "spec changed: environment MAJOR, forecasting:1.0.0 to forecasting:2.0.0",
    )


def test_the_end_of_a_cold_start_is_named():
    home = ReleaseHome()
    config = configured(home, dated())
    record = home.dev.models.records[C1, 1]
    home.dev.models.records[C1, 1] = replace(record, tags={"forecaster": "cold_start"})
    (line, *_) = plan(home.platform, config, now=home.now)
    assert (line.action, line.reason) == ("train", "14 days of readings are there: auto")


def test_a_spec_that_was_changed_to_too_few_readings_is_a_cold_start():
    home = ReleaseHome()
    early = spec().replace("2026-06-23", "2024-05-25")
    config = configured(home, early)
    (line, *_) = plan(home.platform, config, now=home.now)
    assert (line.action, line.reason) == (
        "train",
        f"under 14 days of readings: cold_start{ENOUGH}",
    )


def test_where_the_former_config_cannot_be_read_the_spec_changed():
    home = ReleaseHome()
    config = configured(home, "broken: [", dated())
    (line, *_) = plan(home.platform, config, now=home.now)
    assert (line.action, line.reason) == ("train", "spec changed")
