"""Every named attack is refused with its code and changes nothing; without mischief gates open."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from mlops_assets_tests.attacks import (
    decisions,
    folders,
    histories,
    moments,
    openings,
    papers_named,
    people,
)
from mlops_assets_tests.attacks.named import NAMED, homes_by_point, untouched
from mlops_assets_tests.attacks.tally import ACCEPTED, outcome_of

TABLES = (decisions, folders, histories, moments, openings, people)


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    return homes_by_point(tmp_path_factory.mktemp("homes"))


@pytest.mark.parametrize("begins", ["created", "asked", "approved", "tested", "ready"])
def test_without_mischief_the_gate_opens(homes, begins, tmp_path):
    home = homes[begins].at(tmp_path / "home")
    assert outcome_of(untouched(begins)(home)).code == ACCEPTED


@pytest.mark.parametrize("name", NAMED)
def test_a_named_attack_is_refused_with_its_code_and_changes_nothing(homes, name, tmp_path):
    named = NAMED[name]
    home = homes[named.begins].at(tmp_path / "home")
    attempt = named.mischief(home)
    served = home.again().served()

    outcome = outcome_of(attempt)

    assert outcome.code in named.codes, outcome.reason
    assert home.again().served() == served
    assert not (home.layout.root / "canary").exists()


def test_there_are_more_named_attacks_than_a_hundred_on_homes_alone():
    assert len(NAMED) >= 150
    assert len(papers_named.NAMED) >= 200


def test_two_workers_consume_one_approval_once(homes, tmp_path):
    home = homes["approved"].at(tmp_path / "home")
    # Each worker opens every file anew, so that they meet at the locks as two processes do.
    with ThreadPoolExecutor(2) as workers:
        done = [workers.submit(home.again().promote, home.made, "registry") for _ in range(2)]
        assert {each.result().state for each in done} == {"registered"}
    events = [entry.event for entry in home.again().ledger.entries()]
    # The first release consumed two requests before, and was registered once.
    assert (events.count("consumed"), events.count("registered")) == (3, 2)
