"""What a proposal would train, beside what is watched; nothing of it is released."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.flows.comparison import compare_ref
from mlops_assets.flows.model import train
from mlops_assets.flows.plan import config_at
from mlops_assets_tests.fakes.config import FakeConfigRepository
from mlops_assets_tests.fakes.engine import FakeFittingEngine, cheap_fit
from mlops_assets_tests.fakes.training import NOW, Desk

SHIPPED = Path(__file__).parents[2] / "config"
AUTHOR = "author@co.example"
SPEC = b"format: 1\ncutoff_date: 2024-06-21\n"
KEYS = [CircuitKey("P1", "C1"), CircuitKey("P1", "C2")]


@pytest.fixture
def desk():
    desk = Desk("P1/C1", "P1/C2")
    desk.git = FakeConfigRepository()
    files = {
        "plants_circuits.yml": b"format: 1\nplants:\n  P1:\n    name: One\n"
        b"    owners: [team:one]\n    circuits: [C1, C2]\n",
        "plants/P1/C1.yml": SPEC,
        "plants/P1/C2.yml": SPEC,
        "release_policy.yml": (SHIPPED / "release_policy.yml").read_bytes(),
        "environments/forecasting/1.0.0.yml": (
            SHIPPED / "environments" / "forecasting" / "1.0.0.yml"
        ).read_bytes(),
    }
    root = desk.git.commit(files, message="First", author=AUTHOR, branch=None)
    data = {"root_commit": root, "ref": desk.git.ref, "kind": "init", "format": 1}
    desk.ledger.append("initialised", "platform", data, NOW)
    desk.home = replace(desk.platform, config=desk.git)
    return desk


def propose(desk, spec):
    desk.git.commit(
        {"plants/P1/C1.yml": spec}, message="Try", author=AUTHOR, branch="try-something"
    )
    return config_at(desk.home, ref="try-something")


def test_only_what_the_proposal_changes_is_trained_and_compared(desk):
    train(desk.home, config_at(desk.home), KEYS, now=NOW)
    report = compare_ref(desk.home, propose(desk, SPEC + b"effort: fast\n"), now=NOW)
    assert report.trained == (KEYS[0],)
    assert report.release is None
    assert report.metrics == {KEYS[0]: {"wape": 0.5, "floor": 0.6, "incumbent": None}}
    assert report.seconds.keys() == {KEYS[0]}
    assert report.seconds[KEYS[0]] >= 0
    assert desk.ledger.events() == ["initialised"]


def test_a_proposal_that_changes_no_spec_trains_nothing(desk):
    report = compare_ref(desk.home, propose(desk, b"# why\n" + SPEC), now=NOW)
    assert report.outcomes == {}


def test_a_selection_narrows_the_comparison(desk):
    proposed = propose(desk, SPEC + b"effort: fast\n")
    assert compare_ref(desk.home, proposed, [KEYS[1]], now=NOW).outcomes == {}


FAST = SPEC + b"effort: fast\n"


def merge(desk, proposed, *, squash=False):
    """Bring a proposal into the watched branch, by its own commit or by another."""
    if squash:
        files = desk.git.files(proposed.commit)
        desk.git.commit(files, message="Squashed", author=AUTHOR, branch=None)
    else:
        desk.git.branches["main"] = proposed.commit
    assert desk.git.contains(proposed.commit, desk.git.head()) != squash


def test_after_the_merge_the_same_digest_trains_nothing_again(desk):
    proposed = propose(desk, FAST)
    compare_ref(desk.home, proposed, now=NOW)
    merge(desk, proposed)
    report = train(desk.home, config_at(desk.home), [KEYS[0]], now=NOW)
    assert report.skipped == (KEYS[0],)
    assert len(desk.engine.fitted) == 1
    assert len(desk.models.versions(KEYS[0])) == 1


def test_after_a_squash_it_trains_nothing_again_and_stands_under_the_commit_of_the_merge(desk):
    proposed = propose(desk, FAST)
    compare_ref(desk.home, proposed, now=NOW)
    merge(desk, proposed, squash=True)
    for _ in range(2):
        report = train(desk.home, config_at(desk.home), [KEYS[0]], now=NOW)
        assert report.skipped == (KEYS[0],)
    assert len(desk.engine.fitted) == 1
    first, second = desk.models.versions(KEYS[0])
    assert (first.config_commit, second.config_commit) == (proposed.commit, desk.git.head())
    assert second.tags["config_commit"] == desk.git.head()
    assert (first.digest, first.spec_digest) == (second.digest, second.spec_digest)
    assert desk.models.proof(first) == desk.models.proof(second)


def test_comparing_an_amended_proposal_makes_no_version_of_the_same_model(desk):
    compare_ref(desk.home, propose(desk, FAST), now=NOW)
    files = {"plants/P1/C1.yml": b"# why\n" + FAST}
    desk.git.commit(files, message="Amended", author=AUTHOR, branch="once-more")
    report = compare_ref(desk.home, config_at(desk.home, ref="once-more"), now=NOW)
    assert report.skipped == (KEYS[0],)
    assert len(desk.models.versions(KEYS[0])) == 1


ENVIRONMENT = "environments/forecasting/1.1.0.yml"


NEWER = SPEC.replace(b"06-21", b"06-20") + b"environment: forecasting:1.1.0\n"


def propose_environment(desk, package, branch, spec=NEWER):
    """A version of the environment that holds another version of a package, and a spec on it."""
    text = (SHIPPED / "environments" / "forecasting" / "1.0.0.yml").read_text()
    changed = text.replace("version: 0.0.20", f"version: {package}")
    assert changed != text
    files = {ENVIRONMENT: changed.encode(), "plants/P1/C1.yml": spec}
    desk.git.commit(files, message="Try", author=AUTHOR, branch=branch)
    return config_at(desk.home, ref=branch)


def test_an_environment_is_registered_by_nobody_who_only_proposes_it(desk):
    first = propose_environment(desk, "0.0.21", "one")
    assert compare_ref(desk.home, first, now=NOW).trained == (KEYS[0],)
    wanted = first.circuits[KEYS[0]].spec.environment_ref
    assert desk.environments.get(wanted) is None

    second = propose_environment(desk, "0.0.22", "two")
    merge(desk, second, squash=True)
    merged = config_at(desk.home)
    assert train(desk.home, merged, [KEYS[0]], now=NOW).failed == {}
    assert desk.environments.get(wanted) == merged.environments[wanted]
    newest = desk.models.versions(KEYS[0])[-1]
    assert newest.environment_digest == merged.environments[wanted].digest


@pytest.mark.parametrize("where", ["desk", "elsewhere"])
def test_a_proposal_that_changes_a_registered_environment_is_refused(desk, elsewhere, where):
    merge(desk, propose_environment(desk, "0.0.21", "one"), squash=True)
    train(desk.home, config_at(desk.home), [KEYS[0]], now=NOW)
    second = propose_environment(desk, "0.0.22", "two", NEWER + b"effort: fast\n")
    report = compare_ref(desk.home if where == "desk" else elsewhere, second, now=NOW)
    assert "forecasting:1.1.0 is registered with other content" in report.failed[KEYS[0]]


# --- where the home lies elsewhere ----------------------------------------------------------------


class OnlyReads:
    """A port that fails the test when anything is called that writes or takes a lock."""

    def __init__(self, port, *writes):
        self._port, self._writes = port, writes

    def __getattr__(self, name):
        assert name not in self._writes, f"{name} writes"
        return getattr(self._port, name)


@pytest.fixture
def elsewhere(desk):
    """The same home where whoever asks may only read."""
    desk.aside = FakeFittingEngine(cheap_fit)
    home = desk.home
    return replace(
        home,
        lake=replace(
            home.lake,
            journal=OnlyReads(home.lake.journal, "lock"),
            readings=OnlyReads(home.lake.readings, "summary", "merge"),
        ),
        ledger=OnlyReads(home.ledger, "append", "lock", "put"),
        dev=replace(
            home.dev,
            models=OnlyReads(home.dev.models, "register", "publish"),
            environments=OnlyReads(home.dev.environments, "register"),
            training_data=OnlyReads(home.dev.training_data, "register", "show"),
        ),
        engine=None,
        slots=None,
        aside=lambda workers: desk.aside,
    )


def test_elsewhere_a_comparison_writes_nothing_and_tells_the_same(desk, elsewhere):
    train(desk.home, config_at(desk.home), KEYS, now=NOW)
    proposed = propose(desk, FAST)
    told = []
    report = compare_ref(elsewhere, proposed, now=NOW, on_result=told.append)
    assert (report.trained, report.release) == ((KEYS[0],), None)
    assert [each.circuit for each in told] == [KEYS[0]]
    assert report.metrics == {KEYS[0]: {"wape": 0.5, "floor": 0.6, "incumbent": None}}
    assert report.seconds.keys() == {KEYS[0]}
    assert len(desk.aside.fitted) == 1
    assert len(desk.models.versions(KEYS[0])) == 1
    here = compare_ref(desk.home, proposed, now=NOW)
    assert (here.metrics, here.seconds.keys()) == (report.metrics, report.seconds.keys())


def test_elsewhere_after_the_merge_the_watched_ref_trains_itself(desk, elsewhere):
    proposed = propose(desk, FAST)
    compare_ref(elsewhere, proposed, now=NOW)
    merge(desk, proposed, squash=True)
    assert train(desk.home, config_at(desk.home), [KEYS[0]], now=NOW).trained == (KEYS[0],)
    assert desk.models.versions(KEYS[0])[-1].config_commit == desk.git.head()


def test_elsewhere_what_is_known_already_is_not_trained(desk, elsewhere):
    proposed = propose(desk, FAST)
    compare_ref(desk.home, proposed, now=NOW)
    report = compare_ref(elsewhere, proposed, now=NOW)
    assert report.skipped == (KEYS[0],)
    assert report.metrics == {KEYS[0]: {"wape": 0.5, "floor": 0.6, "incumbent": None}}


def test_elsewhere_a_circuit_that_cannot_be_trained_is_named_and_stops_no_other(desk, elsewhere):
    files = {"plants/P1/C1.yml": FAST, "plants/P1/C2.yml": SPEC.replace(b"2024", b"2020")}
    desk.git.commit(files, message="Try", author=AUTHOR, branch="both")
    report = compare_ref(elsewhere, config_at(desk.home, ref="both"), now=NOW)
    assert report.trained == (KEYS[0],)
    assert "no readings up to 2020-06-21" in report.failed[KEYS[1]]
