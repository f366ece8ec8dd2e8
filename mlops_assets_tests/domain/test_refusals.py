"""What people read when a paper is refused: code and sentence, whole.

`refusals.json` holds the sentence of every named attack on a single paper. A changed sentence is
changed there too, by whoever has read it as the one who meets it at night.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mlops_assets.domain.approval import Authors, statement
from mlops_assets.domain.canonical import shown
from mlops_assets.domain.circuit import StagePolicy
from mlops_assets.domain.errors import RefusedError
from mlops_assets_tests.attacks.papers_named import NAMED
from mlops_assets_tests.attacks.tally import Outcome, outcome_of
from mlops_assets_tests.domain.test_approval import ASKED, BOTH, REQUEST, P, S, bent, judge
from mlops_assets_tests.fakes.release import ENGINEER, VIEWER

SENTENCES = json.loads(Path(__file__).with_name("refusals.json").read_text(encoding="ascii"))


def test_every_named_attack_on_a_paper_has_its_sentence():
    assert SENTENCES.keys() == NAMED.keys()


@pytest.mark.parametrize("name", NAMED)
def test_a_paper_is_refused_with_its_code_and_its_sentence(name):
    code, attempt = NAMED[name]
    assert outcome_of(attempt) == Outcome(code, SENTENCES[name])


def said(**changed):
    with pytest.raises(RefusedError) as caught:
        judge(**changed)
    return caught.value.reason


def test_whoever_may_not_sign_reads_who_may():
    assert said(data=statement(ASKED, VIEWER, "approve"), person=VIEWER) == (
        f"{VIEWER} may not open registry: it needs ml_engineer"
    )
    production = replace(ASKED, request=replace(REQUEST, stage="production"))
    assert said(
        data=statement(production, VIEWER, "approve"), person=VIEWER, asked=production, policy=BOTH
    ) == (f"{VIEWER} may not open production: it needs engineering_manager or ml_engineer")
    assert said(policy=StagePolicy(roles=())) == (
        f"{ENGINEER} may not open registry: it needs a role, but the policy names none that may"
    )


def test_whoever_wrote_it_reads_that_somebody_else_must_sign():
    assert said(authors=Authors(people=frozenset({ENGINEER}))) == (
        f"{ENGINEER} wrote a part of this change; somebody else must sign"
    )
    assert said(asked=replace(ASKED, request=replace(REQUEST, requester=ENGINEER))) == (
        f"{ENGINEER} asked for this approval; somebody else must sign"
    )
    assert said(authors=Authors(newcomers=frozenset({ENGINEER}))) == (
        f"{ENGINEER} got a key, a role or an address by the very commit that is released; "
        "somebody must sign whom the trust root knew before"
    )
    unmapped = frozenset({"b@git.example", "a\x1b[2J@git.example"})
    assert said(authors=Authors(unmapped=unmapped)) == (
        "a\\x1b[2J@git.example, b@git.example wrote a part of this change and is nobody in the "
        "trust root: add the address to git_emails of a person in trust/roles.yml"
    )


def test_whoever_comes_late_reads_when_it_ended():
    assert said(now=REQUEST.expires_at) == (
        "the request expired at 2026-06-02T11:00:00Z: request registry again"
    )


@pytest.mark.parametrize(
    ("text", "shown_as"),
    [
        ("plain", "plain"),
        ("\u00e9t\u00e9", "\u00e9t\u00e9"),
        ("a\nb", "a\\nb"),
        ("x" * 65, "x" * 64),
        (7, "7"),
        ("it's\n", "it's\\n"),
    ],
)
def test_what_a_stranger_wrote_is_shown_on_one_short_line(text, shown_as):
    assert shown(text) == shown_as


@pytest.mark.parametrize(
    ("path", "value", "begins"),
    [
        (("x" * 5000,), 1, "the statement has unknown fields: 'x"),
        ((P, "x" * 5000), 1, "the statement's predicate has unknown fields: 'x"),
        ((S, 1, "x" * 5000), 1, "a subject has unknown fields: 'x"),
        ((S, 1, "digest", "x" * 5000), 1, "a subject's digest has unknown fields: 'x"),
    ],
)
def test_of_a_strangers_long_text_200_letters_are_shown(path, value, begins):
    sentence = said(data=bent(path, value))
    assert sentence.startswith(begins)
    assert len(sentence) == 200


def test_of_a_strangers_long_name_200_letters_are_shown():
    sentence = said(data=bent((S, 1, "name"), "circuit/P001/" + "x" * 5000))
    assert sentence.startswith("a subject's name: 'x")
    assert len(sentence.removeprefix("a subject's name: ")) == 200
