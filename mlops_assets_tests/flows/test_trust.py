"""People and keys enter the trust root by a commit, and never a broken one."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mlops_assets.domain.errors import MlopsError, RefusedError, UsageError
from mlops_assets.domain.signature import fingerprint
from mlops_assets.flows.ledger import trust_at
from mlops_assets.flows.trust import add_key, add_person, check, end_key, revoke_key
from mlops_assets_tests.fakes.release import (
    ENGINEER,
    MANAGER,
    STRANGER,
    VIEWER,
    FakeConfigRepository,
    ReleaseHome,
    keys_of,
    signer,
)


@pytest.fixture
def home():
    return ReleaseHome()


def person(home, email=STRANGER, roles=("ml_engineer",), git_emails=()):
    return add_person(home.platform, email, roles=roles, git_emails=git_emails, now=home.now)


def key(home, email=STRANGER, number=0):
    return add_key(home.platform, email, keys_of(email, number).public_line, now=home.now)


def test_a_person_with_a_key_may_sign(home):
    person(home)
    commit = key(home)
    assert commit == home.git.head()
    root = trust_at(home.git)
    assert root.signer(signer(STRANGER).key, home.now).principal == STRANGER
    assert root.roles(STRANGER) == {"ml_engineer"}
    made = home.create()
    assert home.approve(made, "registry", STRANGER).accepted


def test_adding_what_is_there_makes_no_commit(home):
    person(home, git_emails=("S@Git.example",))
    key(home)
    head = home.git.head()
    assert person(home, git_emails=("s@git.example",)) == head
    assert key(home) == head


def test_a_person_may_get_other_roles(home):
    person(home, roles=("viewer",))
    person(home, roles=("ml_engineer", "engineering_manager"), git_emails=("s@git.example",))
    root = trust_at(home.git)
    assert root.roles(STRANGER) == {"ml_engineer", "engineering_manager"}
    assert root.person_of("s@git.example") == STRANGER


def test_a_person_may_have_two_keys(home):
    person(home)
    key(home)
    key(home, number=1)
    assert (
        len([each for each in trust_at(home.git).signers.values() if each.principal == STRANGER])
        == 2
    )


def test_a_trust_root_may_begin_empty(home):
    home.platform.config.trees[home.git.head()].clear()
    person(home)
    key(home)
    assert [each.principal for each in trust_at(home.git).signers.values()] == [STRANGER]


def test_a_file_without_a_last_newline_stays_readable(home):
    signers = home.git.files(home.git.head())["trust/allowed_signers"]
    home.git.add({"trust/allowed_signers": signers.rstrip()}, author=ENGINEER)
    person(home)
    key(home)
    assert len(trust_at(home.git).signers) == 5


@pytest.mark.parametrize(
    ("email", "roles", "git_emails", "error"),
    [
        ("*@co.example", ("viewer",), (), MlopsError),
        ("Stranger@co.example", ("viewer",), (), MlopsError),
        (STRANGER, ("root",), (), UsageError),
        (STRANGER, ("viewer",), ("nobody",), MlopsError),
        (STRANGER, ("viewer",), ("eng@git.example",), RefusedError),
    ],
)
def test_a_person_that_would_break_the_root_is_refused(home, email, roles, git_emails, error):
    head = home.git.head()
    with pytest.raises(error):
        person(home, email, roles, git_emails)
    assert home.git.head() == head


def test_a_key_needs_a_person_and_speaks_for_one(home):
    with pytest.raises(RefusedError, match="is nobody yet"):
        key(home)
    person(home)
    with pytest.raises(RefusedError, match=f"speaks for {ENGINEER} already"):
        add_key(home.platform, STRANGER, keys_of(ENGINEER).public_line, now=home.now)
    with pytest.raises(RefusedError, match="not ssh-ed25519"):
        add_key(home.platform, STRANGER, "ssh-rsa AAAA", now=home.now)


def test_a_check_tells_people_and_keys(home):
    old = signer(STRANGER, valid_before=home.now - timedelta(days=1))
    person(home)
    signers = home.git.files(home.git.head())["trust/allowed_signers"]
    home.git.add({"trust/allowed_signers": signers + f"{old.line}\n".encode()}, author=ENGINEER)
    told = check(home.platform, now=home.now)
    assert told["problems"] == []
    assert told["people"][ENGINEER] == {"roles": ["ml_engineer"], "has_key": True}
    assert {each["state"] for each in told["keys"]} == {"valid", "E_KEY_VALIDITY"}


def test_a_check_names_what_a_revoked_key_has_signed(home):
    made = home.registered()
    home.revoke(ENGINEER)
    told = check(home.platform, now=home.now)
    assert [each["release"] for each in told["doubtful"]] == [made]
    assert f"{made}: {ENGINEER} signed registry with the revoked key" in told["problems"][0]


@pytest.mark.parametrize(
    ("left", "warned"),
    [
        (timedelta(days=31), False),
        (timedelta(days=30), True),
        (timedelta(0), True),
        (timedelta(seconds=-1), False),
    ],
)
def test_a_key_that_ends_soon_is_warned_of(home, left, warned):
    line = signer(MANAGER, valid_before=home.now + left).line
    home.git.add({"trust/allowed_signers": line.encode() + b"\n"}, author=VIEWER)
    found = check(home.platform, now=home.now)
    assert found["problems"] == []
    assert [MANAGER in warning for warning in found["warnings"]] == [True] * warned


def test_what_a_key_signed_before_it_was_lost_stays_good(home):
    home.registered()
    home.revoke(ENGINEER, since=home.now + timedelta(hours=1))
    assert check(home.platform, now=home.now)["problems"] == []


def test_a_check_survives_signatures_that_are_gone_or_changed(home):
    home.registered()
    home.revoke(ENGINEER)
    name = next(name for name in home.ledger.files if name[1].endswith(".sig"))
    home.ledger.files[name] = b"forged"
    assert check(home.platform, now=home.now)["doubtful"] == []
    del home.ledger.files[name]
    assert check(home.platform, now=home.now)["doubtful"] == []


def revoke(home, key, **changes):
    said = {"since": home.now - timedelta(hours=1), "reason": "stolen", "now": home.now}
    return revoke_key(home.platform, key, **(said | changes))


@pytest.mark.parametrize("named", ["its public line", "its fingerprint"])
def test_a_revoked_key_opens_nothing_and_what_it_signed_is_listed(home, named):
    made = home.create()
    assert home.approve(made, "registry", ENGINEER).accepted
    line = keys_of(ENGINEER).public_line
    revoke(home, line if named == "its public line" else fingerprint(signer(ENGINEER).key))
    with pytest.raises(RefusedError, match=r"was revoked on .*: stolen"):
        trust_at(home.git).signer(signer(ENGINEER).key, home.now)
    with pytest.raises(RefusedError, match="was revoked"):
        home.promote(made, "registry")
    told = check(home.platform, now=home.now)
    assert [each["release"] for each in told["doubtful"]] == [made]


def test_each_release_in_doubt_is_told_with_the_way_out(home):
    key = keys_of(ENGINEER).public_line

    def problems():
        return check(home.platform, now=home.now)["problems"]

    made = home.create()
    assert home.approve(made, "registry", ENGINEER).accepted
    revoke(home, key)
    (said,) = problems()
    assert said.endswith("not live yet, sign again with a key that counts")
    other = ReleaseHome()
    live = other.deployed()
    revoke(other, key)
    (said,) = check(other.platform, now=other.now)["problems"]
    way = "`mlops rollback --circuit P001/C001 --circuit P001/C002 --as YOU --reason TEXT`"
    assert said.startswith(f"{live}: {ENGINEER} signed registry with the revoked key")
    assert said.endswith(f"live, {way} goes back")
    home.reject(made, "registry", "author@co.example")
    (said,) = problems()
    assert said.endswith("nothing of it is live")


def test_a_revocation_is_written_once_and_keeps_the_others(home):
    revoke(home, keys_of(ENGINEER).public_line, reason='a "laptop": \u00fcber, # lost')
    head = home.git.head()
    assert revoke(home, keys_of(ENGINEER).public_line, reason="again") == head
    revoke(home, keys_of(MANAGER).public_line)
    revoked = trust_at(home.git).revoked
    assert {each.reason for each in revoked.values()} == {
        'a "laptop": \u00fcber, # lost',
        "stolen",
    }


def test_a_doubt_may_begin_earlier_and_never_later(home):
    key = keys_of(ENGINEER).public_line
    revoke(home, key)
    earlier = home.now - timedelta(days=3)
    revoke(home, key, since=earlier, reason="found out")
    (found,) = trust_at(home.git).revoked.values()
    assert (found.since, found.reason) == (earlier, "stolen")
    head = home.git.head()
    assert revoke(home, key, since=home.now) == head


def test_what_cannot_be_revoked_says_why(home):
    with pytest.raises(RefusedError, match=r"`mlops trust check` lists them"):
        revoke(home, "SHA256:" + "A" * 43)
    with pytest.raises(RefusedError, match="not ssh-ed25519"):
        revoke(home, "my key")
    with pytest.raises(UsageError, match="is yet to come"):
        revoke(home, keys_of(ENGINEER).public_line, since=home.now + timedelta(seconds=1))
    with pytest.raises(UsageError, match="say why"):
        revoke(home, keys_of(ENGINEER).public_line, reason=" ")


def end(home, key=None, **passed):
    at = home.now + timedelta(**passed)
    return end_key(home.platform, key or keys_of(MANAGER).public_line, at=at, now=home.now)


def test_a_key_that_ends_signs_until_then_and_stays_good_for_what_it_signed(home):
    head = home.git.head()
    assert end(home, days=1) != head
    made = home.tested()
    assert home.approve(made, "production", MANAGER).accepted
    home.promote(made, "production")
    home.tick(days=2)
    with pytest.raises(RefusedError, match="was valid only before"):
        trust_at(home.git).signer(signer(MANAGER).key, home.now)
    assert check(home.platform, now=home.now)["problems"] == []
    others = {each.principal for each in trust_at(home.git).signers.values()}
    assert others == {ENGINEER, MANAGER, "author@co.example", VIEWER}


def test_an_end_may_come_nearer_and_never_go(home):
    end(home, days=9)
    head = home.git.head()
    assert end(home, days=10) == head
    assert end(home, days=8) != head
    with pytest.raises(UsageError, match="is over"):
        end(home, seconds=-1)
    with pytest.raises(RefusedError, match=r"`mlops trust check` lists them"):
        end(home, "SHA256:" + "A" * 43, days=1)


def test_a_broken_root_is_told_in_one_problem(home):
    home.git.add({"trust/allowed_signers": b"everybody\n"}, author=ENGINEER)
    told = check(home.platform, now=home.now)
    assert len(told["problems"]) == 1
    assert "trust/allowed_signers:1" in told["problems"][0]


def test_a_commit_of_the_past_keeps_its_root(home):
    assert isinstance(home.git, FakeConfigRepository)
    before = home.git.head()
    person(home)
    assert STRANGER not in trust_at(home.git, before).people
