"""A short part of the generated attacks, and that their controls can fail."""

from __future__ import annotations

import random

import pytest

from mlops_assets_tests.attacks.generate import CONTROL_EVERY, SEED, generated
from mlops_assets_tests.attacks.papers import FAMILIES
from mlops_assets_tests.attacks.scene import requests
from mlops_assets_tests.attacks.tally import ACCEPTED, CRASHED, Outcome, Tally, outcome_of

ATTACKS = 3000


@pytest.fixture(scope="module")
def tally():
    print(f"seed {SEED}")
    return generated(ATTACKS)


def test_no_generated_attack_is_accepted_and_none_crashes(tally):
    assert tally.wrong == [], tally.table()
    assert tally.tried == ATTACKS


def test_every_family_is_tried_in_equal_parts_with_its_controls(tally):
    shares = {name: sum(codes.values()) for name, codes in tally.codes.items()}
    assert shares.keys() == FAMILIES.keys()
    assert max(shares.values()) - min(shares.values()) <= 1
    assert all(tally.controls[name] >= share / CONTROL_EVERY for name, share in shares.items())


def test_all_attacks_differ_from_each_other(tally):
    assert sum(map(len, tally.distinct.values())) == tally.tried


def test_a_family_that_has_no_more_attacks_says_so():
    with pytest.raises(RuntimeError, match="another person has no more than"):
        generated(10**6, families=["signature of another person"], releases=1, again=9)


def test_every_reason_to_refuse_a_statement_is_met(tally):
    met = {code for codes in tally.codes.values() for code in codes}
    assert met >= {
        "E_APPROVER", "E_ARMOR", "E_AUTHOR_UNKNOWN", "E_ENVIRONMENT", "E_EVIDENCE", "E_EXPIRED",
        "E_HASH", "E_KEY_REVOKED", "E_KEY_TYPE", "E_KEY_UNKNOWN", "E_KEY_VALIDITY", "E_NAME",
        "E_NAMESPACE", "E_NONCE", "E_RELEASE", "E_ROLE", "E_SELF_APPROVAL", "E_SIGNATURE",
        "E_SIGNATURE_FORMAT", "E_STAGE", "E_STALE_BASE", "E_STATEMENT", "E_SUBJECT", "E_WINDOW",
    }  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_bends_what_is_accepted(name):
    good, bad = FAMILIES[name](random.Random(SEED), requests(3))
    assert outcome_of(good).code == ACCEPTED
    assert bad.identity != good.identity


def test_the_same_seed_makes_the_same_attacks():
    assert generated(40).table() == generated(40).table() != generated(40, seed=1).table()


def test_what_is_accepted_or_breaks_is_counted_as_wrong():
    def breaks():
        raise KeyError("nonce")

    tally = Tally()
    tally.add("f", outcome_of(lambda: "engineer"), identity=1, what="an attack")
    tally.add("f", outcome_of(breaks), identity=2, what="another")
    tally.control("f", Outcome("E_NONCE", "no"))
    assert [line.split(":")[1].strip() for line in tally.wrong] == [
        ACCEPTED,
        CRASHED,
        "control was refused",
    ]
