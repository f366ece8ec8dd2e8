"""What a pull request is told, and that no text of it means more than it says."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.errors import DataError
from mlops_assets.domain.pull_request import MARKER, comment_text

pytestmark = pytest.mark.azure

PLAN = [
    {"circuit": "P001/C001", "action": "train", "reason": "spec changed"},
    {"circuit": "P001/C002", "action": "none", "reason": "live as wanted"},
]
TRAINED = {
    "release": None,
    "trained": ["P001/C001"],
    "skipped": [],
    "failed": {"P001/C003": "no reading"},
    "metrics": {"P001/C001": {"wape": 0.0512, "floor": 0.08, "incumbent": None}},
}


def told(plan, train=None):
    return comment_text(
        json.dumps(plan).encode(), None if train is None else json.dumps(train).encode()
    )


def test_what_changes_and_what_training_gives_are_two_tables():
    assert told(PLAN, TRAINED) == (
        "### What this change asks for\n"
        "1 circuit(s) change, 1 stay as they are.\n"
        "\n"
        "| circuit | action | reason |\n"
        "|---|---|---|\n"
        "| P001/C001 | train | spec changed |\n"
        "\n"
        "### What training it gives\n"
        "1 circuit(s) trained to compare; nothing of it is registered or released.\n"
        "\n"
        "| circuit | WAPE | seasonal naive | live model |\n"
        "|---|---|---|---|\n"
        "| P001/C001 | 5.1% | 8.0% | &#45; |\n"
        "&#45; P001/C003: no reading\n"
    ).replace("&#45; P001/C003", "- P001/C003")


def test_a_config_that_is_refused_shows_every_mistake_with_its_line():
    error = "plants/P001/C001.yml:3: horizon: 0 is too small\nplants/P001/C002.yml:1: x"
    assert told({"error": error}, {"error": "config was refused"}).splitlines()[1:5] == [
        "The config is refused:",
        "",
        "- plants/P001/C001.yml:3: horizon: 0 is too small",
        "- plants/P001/C002.yml:1: x",
    ]


def test_a_change_of_the_whole_fleet_is_told_in_part():
    plan = [{"circuit": f"P/{n}", "action": "train", "reason": "x"} for n in range(2000)]
    text = told(plan)
    assert text.splitlines()[-1] == "and 1800 more"
    assert len(text) < 150_000


@pytest.mark.parametrize("many", ["failed", "error"])
def test_of_many_lines_the_first_are_told_and_how_many_there_are(many):
    lines = {f"P/{n:04}": "no reading" for n in range(500)}
    text = (
        told([], {**TRAINED, "failed": lines})
        if many == "failed"
        else told({"error": "\n".join(lines)})
    )
    assert text.count("\n- P/") == 200
    assert text.splitlines()[-1] == "and 300 more"


@pytest.mark.parametrize("letter", ["{", "x", "\N{SNOWMAN}", "\N{PILE OF POO}"])
def test_no_texts_are_too_long_for_a_comment(letter):
    said = letter * 400
    plan = [{"circuit": said, "action": said, "reason": said} for _ in range(2000)]
    text = MARKER + "\n" + told(plan, {**TRAINED, "failed": {f"P/{n}": said for n in range(999)}})
    assert 100_000 < len(text.encode("utf-16-le")) / 2 < 150_000
    assert text.splitlines()[-1].endswith(" lines more")


@given(st.text(max_size=400))
def test_no_text_becomes_markup_a_mention_or_another_line(said):
    plan = [{"circuit": "P/C", "action": "train", "reason": said}]
    lines = told(plan).splitlines()
    assert len(lines) == 6
    cell = lines[-1].removeprefix("| P/C | train | ").removesuffix(" |")
    assert not set(cell) & set("`*_{}[]()+!|~@<>\\")


@pytest.mark.parametrize(
    ("plan", "train"),
    [
        (b"{", b"{}"),
        (b"[1]", None),
        (b'[{"circuit": "x"}]', None),
        (b'"x"', None),
        (b"[]", b"[]"),
        (b"[]", b'{"metrics": {}}'),
        (b"[]", b'{"metrics": {"a": {"wape": "x"}}, "failed": {}}'),
        (b"[" * 100_000, None),
    ],
)
def test_what_no_command_of_ours_prints_is_refused(plan, train):
    with pytest.raises(DataError, match="is not what `mlops --json"):
        comment_text(plan, train)
