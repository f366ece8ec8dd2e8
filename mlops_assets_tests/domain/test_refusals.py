"""What people read when a paper is refused: code and sentence, whole.

`refusals.json` holds the sentence of every named attack on a single paper. A changed sentence is
changed there too, by whoever has read it as the one who meets it at night.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlops_assets_tests.attacks.papers_named import NAMED
from mlops_assets_tests.attacks.tally import Outcome, outcome_of

SENTENCES = json.loads(Path(__file__).with_name("refusals.json").read_text(encoding="ascii"))


def test_every_named_attack_on_a_paper_has_its_sentence():
    assert SENTENCES.keys() == NAMED.keys()


@pytest.mark.parametrize("name", NAMED)
def test_a_paper_is_refused_with_its_code_and_its_sentence(name):
    code, attempt = NAMED[name]
    assert outcome_of(attempt) == Outcome(code, SENTENCES[name])
