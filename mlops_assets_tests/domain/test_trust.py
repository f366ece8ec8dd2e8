"""A trust root counts whole or not at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.signature import NAMESPACE, fingerprint, key_pair, read_public_line
from mlops_assets.domain.trust import Person, Revocation, Signer, read_trust

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LINE = " ".join(key_pair(bytes(range(32)), "x").public_line.split()[:2])
OTHER = " ".join(key_pair(bytes(32), "x").public_line.split()[:2])
KEY = read_public_line(LINE)
EMAIL = "eng@co.example"
ROLES = {
    "format": 1,
    "people": {
        EMAIL: {"roles": ["ml_engineer"], "git_emails": ["Eng@Git.example"]},
        "boss@co.example": {"roles": ["engineering_manager"], "git_emails": []},
    },
}
REVOKED = {"format": 1, "keys": []}
GOOD = f'{EMAIL} namespaces="{NAMESPACE}" {LINE}\n'


def read(signers=GOOD, roles=ROLES, revoked=REVOKED):
    data = signers if isinstance(signers, bytes) else signers.encode()
    return read_trust(data, roles, revoked, commit="c" * 40)


def test_a_key_speaks_for_its_person():
    root = read(f"# people\n\n{GOOD}")
    assert root.signer(KEY, NOW).principal == EMAIL
    assert root.roles(EMAIL) == {"ml_engineer"}
    assert root.roles("nobody@co.example") == frozenset()


def test_commits_are_matched_by_address_whatever_their_case():
    root = read()
    assert root.person_of("ENG@git.EXAMPLE") == EMAIL
    assert root.person_of(EMAIL) == EMAIL
    assert root.person_of("other@co.example") is None


def test_a_written_line_is_read_back():
    when = datetime(2026, 1, 1, tzinfo=UTC)
    signer = Signer(
        principal=EMAIL, key=KEY, valid_after=when, valid_before=when + timedelta(days=365)
    )
    assert read(signer.line + "\n").signers == {KEY: signer}
    assert read(signer.line + " a comment\n").signers == {KEY: signer}


def test_a_key_counts_only_while_it_is_valid():
    when = datetime(2026, 1, 1, tzinfo=UTC)
    later = when + timedelta(days=1)
    root = read(Signer(principal=EMAIL, key=KEY, valid_after=when, valid_before=later).line)
    assert root.signer(KEY, when)
    assert root.signer(KEY, later - timedelta(seconds=1))
    for moment in (when - timedelta(seconds=1), later):
        with pytest.raises(RefusedError) as caught:
            root.signer(KEY, moment)
        assert caught.value.code == "E_KEY_VALIDITY"


def test_an_unknown_key_is_refused():
    with pytest.raises(RefusedError) as caught:
        read().signer(read_public_line(OTHER), NOW)
    assert caught.value.code == "E_KEY_UNKNOWN"


def test_a_revoked_key_is_refused_whenever_it_was_revoked():
    key = {"fingerprint": fingerprint(KEY), "since": "2030-01-01T00:00:00Z", "reason": "lost"}
    root = read(revoked={"format": 1, "keys": [key]})
    with pytest.raises(RefusedError, match="lost") as caught:
        root.signer(KEY, NOW)
    assert caught.value.code == "E_KEY_REVOKED"


SIGNERS = {
    "a key twice": GOOD + GOOD,
    "a key for two people": GOOD + GOOD.replace(EMAIL, "boss@co.example"),
    "a wildcard": GOOD.replace(EMAIL, "*@co.example"),
    "everybody": GOOD.replace(EMAIL, "*"),
    "a question mark": GOOD.replace(EMAIL, "e?g@co.example"),
    "two principals": GOOD.replace(EMAIL, f"{EMAIL},boss@co.example"),
    "a negation": GOOD.replace(EMAIL, f"!{EMAIL}"),
    "capitals": GOOD.replace(EMAIL, EMAIL.upper()),
    "a homoglyph": GOOD.replace("eng", "\u0435ng"),
    "a person without roles": GOOD.replace(EMAIL, "new@co.example"),
    "an authority": GOOD.replace("namespaces", "cert-authority,namespaces"),
    "no namespace": f"{EMAIL} {LINE}\n",
    "a validity alone": GOOD.replace(f'namespaces="{NAMESPACE}"', 'valid-before="20300101000000Z"'),
    "another namespace": GOOD.replace(NAMESPACE, "git"),
    "more namespaces": GOOD.replace(NAMESPACE, f"{NAMESPACE},git"),
    "a namespace for all": GOOD.replace(NAMESPACE, "*"),
    "namespaces twice": GOOD.replace(" ssh-", f',namespaces="{NAMESPACE}" ssh-'),
    "no quotes": GOOD.replace('"', ""),
    "an unknown option": GOOD.replace(" ssh-", ',no-touch-required="" ssh-'),
    "a local time": GOOD.replace(" ssh-", ',valid-before="20260101000000" ssh-'),
    "a day": GOOD.replace(" ssh-", ',valid-before="20260101" ssh-'),
    "a day that is none": GOOD.replace(" ssh-", ',valid-before="20261301000000Z" ssh-'),
    "tabs": GOOD.replace(" ssh-", "\tssh-"),
    "a carriage return": GOOD.replace("\n", "\r\n"),
    "NUL": GOOD.replace(EMAIL, f"{EMAIL}\0"),
    "an rsa key": GOOD.replace("ssh-ed25519", "ssh-rsa"),
    "half a key": GOOD[:-20] + "\n",
    "a name alone": f"{EMAIL}\n",
    "bad UTF-8": b"\xff\n",
    "too long": b"#" * 300_000,
}


@pytest.mark.parametrize("signers", SIGNERS.values(), ids=SIGNERS)
def test_one_bad_line_refuses_the_whole_root(signers):
    with pytest.raises(RefusedError) as caught:
        read(signers)
    assert caught.value.code == "E_TRUST"
    assert "trust/" in caught.value.reason


def person(**changed):
    usual = {"roles": ["ml_engineer"], "git_emails": []}
    return ROLES | {"people": ROLES["people"] | {"new@co.example": usual | changed}}


PEOPLE = {
    "nothing": {},
    "no mapping": [],
    "another format": ROLES | {"format": 2},
    "a format that is true": ROLES | {"format": True},
    "more fields": ROLES | {"extra": 1},
    "people that are a list": ROLES | {"people": []},
    "a wildcard": ROLES | {"people": {"*@co.example": {"roles": [], "git_emails": []}}},
    "a key that is no text": ROLES | {"people": {1: {"roles": [], "git_emails": []}}},
    "an unknown role": person(roles=["root"]),
    "roles that are text": person(roles="ml_engineer"),
    "an address that is a number": person(git_emails=[1]),
    "somebody else's address": person(git_emails=["eng@git.example"]),
    "somebody else's name": person(git_emails=[EMAIL]),
    "a person with more fields": person(extra=1),
    "a person that is none": ROLES | {"people": {EMAIL: None}},
}


@pytest.mark.parametrize("roles", PEOPLE.values(), ids=PEOPLE)
def test_people_that_are_not_clear_refuse_the_whole_root(roles):
    with pytest.raises(RefusedError) as caught:
        read(roles=roles)
    assert caught.value.code == "E_TRUST"


def revoked(**changed):
    usual = {"fingerprint": fingerprint(KEY), "since": "2026-01-01T00:00:00Z", "reason": "lost"}
    return {"format": 1, "keys": [usual | changed]}


KEYS = {
    "nothing": {},
    "keys that are a mapping": {"format": 1, "keys": {}},
    "a fingerprint of another kind": revoked(fingerprint="MD5:00"),
    "a fingerprint that is a number": revoked(fingerprint=1),
    "one twice": {"format": 1, "keys": revoked()["keys"] * 2},
    "no reason": revoked(reason=""),
    "a revocation with more fields": revoked(extra=1),
    "a day": revoked(since="2026-01-01"),
    "a moment that is none": revoked(since="2026-13-01T00:00:00Z"),
    "no moment": revoked(since=None),
}


@pytest.mark.parametrize("document", KEYS.values(), ids=KEYS)
def test_revocations_that_are_not_clear_refuse_the_whole_root(document):
    with pytest.raises(RefusedError) as caught:
        read(revoked=document)
    assert caught.value.code == "E_TRUST"


def key_refused(root, key, now=NOW):
    with pytest.raises(RefusedError) as caught:
        root.signer(key, now)
    return caught.value.reason


def test_a_key_that_does_not_count_reads_why():
    name = fingerprint(KEY)
    lost = {"fingerprint": name, "since": "2030-01-01T00:00:00Z", "reason": "lost"}
    assert key_refused(read(revoked={"format": 1, "keys": [lost]}), KEY) == (
        f"the key {name} was revoked on 2030-01-01T00:00:00Z: lost"
    )
    assert key_refused(read(), read_public_line(OTHER)) == (
        f"the key {fingerprint(read_public_line(OTHER))} is not in trust/allowed_signers at "
        "cccccccccccc: add it with `mlops trust add-key`"
    )
    when = datetime(2027, 1, 1, tzinfo=UTC)
    early = Signer(principal=EMAIL, key=KEY, valid_after=when)
    assert key_refused(read(early.line), KEY) == (
        f"the key {name} is valid only from 2027-01-01T00:00:00Z"
    )
    late = Signer(principal=EMAIL, key=KEY, valid_before=NOW)
    assert key_refused(read(late.line), KEY) == (
        f"the key {name} was valid only before 2026-06-01T00:00:00Z"
    )


def test_a_revocation_keeps_what_was_written():
    lost = {"fingerprint": fingerprint(KEY), "since": "2030-01-01T00:00:00Z", "reason": "lost"}
    root = read(revoked={"format": 1, "keys": [lost]})
    assert root.revoked == {
        fingerprint(KEY): Revocation(
            fingerprint=fingerprint(KEY), since=datetime(2030, 1, 1, tzinfo=UTC), reason="lost"
        )
    }


def test_a_person_keeps_what_was_written_addresses_in_small_letters():
    assert read().people[EMAIL] == Person(
        email=EMAIL, roles=("ml_engineer",), git_emails=("eng@git.example",)
    )


def test_a_root_of_the_greatest_size_is_read():
    comment = "#" * (256 * 2**10 - len(GOOD) - 1) + "\n"
    assert read(comment + GOOD).signers.keys() == {KEY}
    with pytest.raises(RefusedError, match="more than 262144 bytes"):
        read("#" + comment + GOOD)
