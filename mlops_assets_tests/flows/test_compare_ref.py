"""What a proposal would train, beside what is watched; nothing of it is released."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.flows.model import compare_ref, train
from mlops_assets.flows.plan import config_at
from mlops_assets_tests.fakes.config import FakeConfigRepository
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


def test_after_the_merge_the_same_digest_trains_nothing_again(desk):
    proposed = propose(desk, SPEC + b"effort: fast\n")
    compare_ref(desk.home, proposed, now=NOW)
    merged = {"plants/P1/C1.yml": SPEC + b"effort: fast\n"}
    desk.git.commit(merged, message="Merge", author=AUTHOR, branch=None)
    report = train(desk.home, config_at(desk.home), [KEYS[0]], now=NOW)
    assert report.skipped == (KEYS[0],)
    assert len(desk.engine.fitted) == 1
