"""Named attacks on windows and order: late, again, elsewhere, at once, and with the clock."""

from __future__ import annotations

from mlops_assets.domain.signature import NAMESPACE
from mlops_assets_tests.attacks.named import attack
from mlops_assets_tests.attacks.scene import signed
from mlops_assets_tests.fakes.release import C1, C2, ENGINEER, MANAGER


def _paper(home, person=ENGINEER, stage="registry", decision="approve"):
    data = home.statement(home.made, stage, person, decision)
    return data, signed(data, person)


def _submit(home, paper):
    return lambda: home.again().submit(*paper)


def _promote(home, stage="registry"):
    return lambda: home.again().promote(home.made, stage)


@attack("asked", "E_EXPIRED", "E_NO_REQUEST")
def a_statement_comes_with_the_first_second_after_the_day(home):
    paper = _paper(home)
    home.tick(days=1)
    return _submit(home, paper)


@attack("asked", "E_NO_REQUEST", "E_EXPIRED")
def a_statement_comes_a_year_later(home):
    paper = _paper(home)
    home.tick(days=366)
    return _submit(home, paper)


@attack("asked", "E_NONCE")
def a_statement_of_the_window_before_comes_in_the_next(home):
    paper = _paper(home)
    home.tick(days=1)
    home.request(home.made, "registry")
    return _submit(home, paper)


@attack("approved", "E_STATE")
def an_approval_is_used_after_its_day(home):
    home.tick(days=1)
    return _promote(home)


@attack("approved", "E_APPROVAL", "E_STATE")
def an_approval_of_the_window_before_is_used_in_the_next(home):
    home.tick(days=1)
    home.request(home.made, "registry")
    return _promote(home)


@attack("approved", "E_CLOCK")
def the_clock_is_set_back_two_days(home):
    home.tick(hours=-48)
    return _promote(home)


@attack("asked", "E_CLOCK")
def the_clock_is_set_back_to_use_a_statement_that_ran_out(home):
    from mlops_assets.flows.approval import expire

    paper = _paper(home)
    home.tick(days=1)
    expire(home.platform, now=home.now)
    home.tick(hours=-2)
    return _submit(home, paper)


@attack("asked", "E_NO_REQUEST", "E_NONCE")
def the_clock_is_set_back_within_what_clocks_may_differ(home):
    from mlops_assets.flows.approval import expire

    paper = _paper(home)
    home.tick(days=1)
    expire(home.platform, now=home.now)
    home.tick(minutes=-4)
    return _submit(home, paper)


@attack("approved", "E_CONSUMED")
def a_statement_is_handed_in_after_its_stage_began(home):
    entry = home.ledger.entries()[-1].data
    paper = (
        home.ledger.get("approvals", f"{entry['statement']}.json"),
        home.ledger.get("approvals", f"{entry['signature']}.sig"),
    )
    home.promote(home.made, "registry")
    return _submit(home, paper)


@attack("tested", "E_CONSUMED", "E_NO_REQUEST")
def the_registry_statement_is_handed_in_for_production(home):
    entry = next(e.data for e in home.ledger.entries()[::-1] if e.event == "approved")
    paper = (
        home.ledger.get("approvals", f"{entry['statement']}.json"),
        home.ledger.get("approvals", f"{entry['signature']}.sig"),
    )
    home.request(home.made, "production")
    return _submit(home, paper)


@attack("asked", "E_APPROVER", "E_SIGNATURE", "E_NONCE", "E_RELEASE")
def the_statement_of_a_sister_release_is_handed_in(home):
    home.train(C2, spec="9")
    sister = home.create(C2)
    home.request(sister, "registry")
    data = home.statement(sister, "registry", ENGINEER).replace(sister.encode(), home.made.encode())
    return _submit(home, (data, signed(data, ENGINEER)))


@attack("asked", "E_REJECTED")
def an_approval_follows_a_rejection(home):
    paper = _paper(home)
    assert home.reject(home.made, "registry", ENGINEER).accepted
    return _submit(home, paper)


@attack("approved", "E_STATE", "E_REJECTED")
def a_stage_begins_after_a_rejection(home):
    assert home.reject(home.made, "registry", ENGINEER).accepted
    return _promote(home)


@attack("created", "E_STATE")
def a_stage_begins_that_nobody_asked_for(home):
    return _promote(home)


@attack("asked", "E_APPROVAL")
def a_stage_begins_that_nobody_signed(home):
    return _promote(home)


@attack("created", "E_STATE")
def production_begins_before_the_registry(home):
    return _promote(home, "production")


@attack("approved", "E_STATE")
def the_test_stage_begins_before_the_registry(home):
    return _promote(home, "test")


@attack("tested", "E_STATE")
def production_begins_unasked(home):
    return _promote(home, "production")


@attack("ready", "E_STALE_BASE", "E_STATE")
def the_base_was_rolled_back_meanwhile(home):
    from mlops_assets.flows.rollback import rollback

    home.edit(C1, author=MANAGER)
    newer = home.create(C1)
    home.approve(newer, "registry", ENGINEER)
    home.promote(newer, "registry")
    home.promote(newer, "test")
    assert home.approve(newer, "production", ENGINEER).accepted
    home.promote(newer, "production")
    rollback(home.platform, [C1], operator="op@co.example", reason="worse", now=home.now)
    return _promote(home, "production")


@attack("ready", "E_STATE", "E_STALE_BASE")
def another_release_of_the_circuit_deployed_first(home):
    home.edit(C1, author=MANAGER)
    newer = home.create(C1)
    home.approve(newer, "registry", ENGINEER)
    home.promote(newer, "registry")
    home.promote(newer, "test")
    assert home.approve(newer, "production", ENGINEER).accepted
    home.promote(newer, "production")
    return _promote(home, "production")


@attack("asked", "E_SIGNATURE", "E_NAMESPACE")
def a_signature_of_a_git_commit_is_handed_in(home):
    from mlops_assets_tests.attacks.armor import armored, dearmored, string

    data, paper = _paper(home)
    blob = dearmored(paper).replace(string(NAMESPACE.encode()), string(b"git"))
    return _submit(home, (data, armored(blob)))


@attack("asked", "E_SIZE")
def a_statement_larger_than_any_is_handed_in(home):
    data, paper = _paper(home)
    return _submit(home, (data + b" " * 3 * 2**20, paper))


@attack("asked", "E_SIZE")
def a_signature_larger_than_any_is_handed_in(home):
    data, paper = _paper(home)
    return _submit(home, (data, paper * 1000))


@attack("asked", "E_ARMOR")
def an_empty_signature_is_handed_in(home):
    return _submit(home, (_paper(home)[0], b""))


@attack("asked", "E_SIGNATURE")
def an_empty_statement_is_handed_in(home):
    return _submit(home, (b"", _paper(home)[1]))
