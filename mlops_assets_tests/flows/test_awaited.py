"""Each circuit tells what its release waits for from people: who, when, what, and the command."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mlops_assets.domain.canonical import moment_text
from mlops_assets.flows.awaited import awaited, given, marks, newest_awaited
from mlops_assets.flows.ledger import views
from mlops_assets_tests.fakes.release import (
    AUTHOR,
    C1,
    C2,
    C3,
    ENGINEER,
    MANAGER,
    ReleaseHome,
)


@pytest.fixture
def home():
    return ReleaseHome(quorum=2)


def told(home, made):
    return awaited(home.platform, home.config, home.view(made), now=home.now)


def newest(home, *only):
    every = views(home.platform, home.now)
    return {
        (each.release, key)
        for each in newest_awaited(home.platform, home.config, every, only=only, now=home.now)
        for key in each.verdicts
    }


def test_a_request_is_told_on_each_circuit_with_who_may_sign_until_when_and_how(home):
    made = home.tested()
    home.request(made, "production")
    found = told(home, made)
    until = moment_text(home.now + timedelta(hours=24))
    assert found.stage == "production"
    assert set(found.verdicts) == {C1, C2}
    (said,) = set(found.verdicts.values())
    assert (said.gate, said.passed, said.blocking) == ("production_approval", False, False)
    assert said.reason == (
        f"{made}: signed by nobody, 0 of 2 needed; may sign: {AUTHOR}, {ENGINEER}, {MANAGER}; "
        f"open until {until}; "
        f"`mlops release approve {made} --stage production --key ~/.ssh/id_ed25519` signs it"
    )
    assert found.command in said.reason
    assert found.may_sign == (AUTHOR, ENGINEER, MANAGER)


def test_a_signature_is_told_with_its_moment_and_its_signer_is_asked_no_more(home):
    made = home.tested()
    at = moment_text(home.now)
    home.approve(made, "production", MANAGER)
    home.tick(hours=1)
    found = told(home, made)
    said = found.verdicts[C1]
    assert f"signed by {MANAGER}, 1 of 2 needed ({MANAGER} at {at})" in said.reason
    assert found.signed == (f"{MANAGER} at {at}",)
    assert found.may_sign == (AUTHOR, ENGINEER)

    home.approve(made, "production", ENGINEER)
    said = told(home, made).verdicts[C1]
    assert said.passed
    assert said.blocking
    assert "signs it" not in said.reason


def test_before_a_request_the_command_opens_one_and_signs(home):
    made = home.create()
    found = told(home, made)
    assert found.verdicts[C1].reason == (
        f"{made}: signed by nobody, 0 of 1 needed; does not count: no request is open; "
        f"`mlops release approve {made} --stage registry --key ~/.ssh/id_ed25519` signs it"
    )


def test_a_circuit_that_is_refused_tells_its_own_reasons_and_the_others_name_it(home):
    home.train(C1, spec="3", wape=0.09)
    made = home.create()
    found = told(home, made)
    assert found.command == f"mlops release request {made} --stage registry"
    own, other = found.verdicts[C1], found.verdicts[C2]
    assert own.blocking
    assert not own.passed
    assert "nobody can sign yet; skill: skill -0.500 is below the minimum" in own.reason
    assert "skill" not in other.reason
    assert f"another circuit of it is refused: {C1}" in other.reason


def test_what_is_refused_for_all_circuits_is_told_on_each(home):
    made = home.tested()
    home.dev.evidence.releases.clear()
    found = told(home, made)
    for said in found.verdicts.values():
        assert "test_validation: the test stage has not been run" in said.reason
        assert "rollback_plan" not in said.reason, "the request makes it"


def test_a_rejection_is_told_with_who_and_when(home):
    made = home.create()
    home.reject(made, "registry", ENGINEER)
    said = told(home, made).verdicts[C2]
    assert said.reason == (
        f"{made}: rejected by {ENGINEER} at {moment_text(home.now)}; what is live stays live"
    )


def test_where_nobody_is_asked_nothing_is_told(home):
    assert told(home, home.registered()) is None


def test_signatures_of_a_window_that_ran_out_are_not_told_as_given():
    home = ReleaseHome()
    made = home.create()
    home.request(made, "registry")
    home.stricter(registry=home.policy.registry)
    assert home.approve(made, "registry", ENGINEER).accepted
    home.tick(hours=25)
    home.request(made, "registry")
    assert given(home.view(made), "registry") == ()
    home.approve(made, "registry", ENGINEER)
    home.promote(made, "registry")
    assert given(home.view(made), "registry") == (f"{ENGINEER} at {moment_text(home.now)}",)


def test_a_circuit_is_told_by_the_newest_release_that_holds_it():
    home = ReleaseHome(C1, C2, C3)
    first = home.create(C1, C2)
    home.train(C1, spec="4")
    second = home.create(C1)
    assert newest(home, first, second) == {(first, C2), (second, C1)}
    assert newest(home, first) == {(first, C2)}


def test_what_a_superseded_release_held_alone_is_told_as_such():
    home = ReleaseHome(C1, C2)
    first = home.create(C1, C2)
    home.train(C1, spec="4")
    second = home.deployed(C1)
    assert home.state(first) == "superseded"
    assert newest(home, first, second) == {(first, C2)}
    said = told(home, first).verdicts[C2]
    assert said.reason == (
        f"{first}: superseded by {second} before its registry approval; what is live stays live"
    )


def test_only_news_is_told_again(home):
    made = home.tested()
    before = marks([home.view(made)], home.git.head())
    home.tick(hours=1)
    assert marks([home.view(made)], home.git.head()) == before
    home.request(made, "production")
    requested = marks([home.view(made)], home.git.head())
    assert requested != before
    home.approve(made, "production", MANAGER)
    signed = marks([home.view(made)], home.git.head())
    assert signed not in (before, requested)
    home.revoke(MANAGER)
    assert marks([home.view(made)], home.git.head()) != signed


def test_a_release_that_cannot_be_read_silences_no_other():
    home = ReleaseHome(C1, C2)
    first, second = home.create(C1), home.create(C2)
    home.ledger.files["releases", f"{first}.json"] = b"{}"
    every = views(home.platform, home.now)
    found = newest_awaited(home.platform, home.config, every, only={first, second}, now=home.now)
    assert [each.release for each in found] == [first, second]
    assert f"{first}: " in found[0].verdicts[C1].reason
    assert "signs it" in found[1].verdicts[C2].reason
