"""A training begins from what the live model learned, and can be repeated from its own proof."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from mlops_assets.domain.errors import ModelError
from mlops_assets.domain.proof import write_proof
from mlops_assets.domain.warm_start import (
    Learned,
    WarmStart,
    learned_document,
    read_learned,
    read_warm_start,
    warm_start_document,
)
from mlops_assets.flows.warm_start import begun_from
from mlops_assets_tests.fakes.engine import cheap_fit
from mlops_assets_tests.fakes.training import Desk, Notes

LATER = date(2024, 6, 25)
LEARNED = Learned(
    question="q" * 64,
    since=datetime(2024, 5, 25, tzinfo=UTC),
    variants={"mstl_ets": "damped"},
    left={"mstl_ets:log": datetime(2024, 6, 1, tzinfo=UTC)},
    ratio=0.75,
)


def learning_fit(job):
    return replace(cheap_fit(job), learned=LEARNED, warm_start=job.warm_start)


@pytest.fixture
def desk():
    return Desk("P1/C1", fit=learning_fit)


def trained_again(desk, first, proof):
    """Make a model live with a proof, ask for a later cutoff date, and train."""
    desk.put_live(first.record, write_proof(proof))
    desk.want("P1/C1", cutoff_date=LATER)
    notes = Notes()
    return desk.one(progress=notes), notes.lines


def test_a_training_begins_from_what_the_live_model_learned_and_says_so(desk):
    first = desk.one()
    assert first.record.tags["warm_start"] == "none"
    assert desk.engine.fitted[-1].warm_start is None
    second, _ = trained_again(desk, first, first.proof)
    warm_start = desk.engine.fitted[-1].warm_start
    assert warm_start == WarmStart(model=first.record.digest, learned=LEARNED)
    assert second.record.tags["warm_start"] == first.record.digest
    assert read_warm_start(second.proof["warm_start"]) == warm_start


def test_what_a_model_began_from_is_read_from_its_own_proof_in_dev_or_in_the_registry(desk):
    first = desk.one()
    second, _ = trained_again(desk, first, first.proof)
    key, digest = second.circuit, second.record.digest
    assert begun_from(desk.platform, key, 1, first.record.digest) is None
    assert begun_from(desk.platform, key, 2, digest) == desk.engine.fitted[-1].warm_start
    desk.registry.stored[key, 2] = desk.models.stored.pop((key, 2))
    assert begun_from(desk.platform, key, 2, digest) == desk.engine.fitted[-1].warm_start
    with pytest.raises(ModelError, match="has digest"):
        begun_from(desk.platform, key, 1, digest)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"learned": {"since": "yesterday"}}, "does not say what was learned"),
        ({"format": 9}, "proof has format 9"),
    ],
)
def test_a_proof_that_cannot_be_read_is_said_and_nothing_begins_from_it(desk, change, said):
    first = desk.one()
    second, lines = trained_again(desk, first, {**first.proof, **change})
    assert second.status == "trained"
    assert desk.engine.fitted[-1].warm_start is None
    assert any("P1/C1: trained from nothing" in line and said in line for line in lines)


@pytest.mark.parametrize("learned", [None, "absent"])
def test_a_model_that_hands_on_nothing_is_no_warm_start_and_no_news(desk, learned):
    first = desk.one()
    proof = {name: part for name, part in first.proof.items() if name != "learned"}
    _, lines = trained_again(desk, first, proof if learned else {**proof, "learned": None})
    assert desk.engine.fitted[-1].warm_start is None
    assert not any("from nothing" in line for line in lines)


def test_what_was_learned_is_the_same_when_it_is_read_back():
    warm_start = WarmStart(model="ab" * 32, learned=LEARNED)
    assert read_learned(learned_document(LEARNED)) == LEARNED
    assert read_warm_start(warm_start_document(warm_start)) == warm_start
    assert read_learned(None) is None
    assert read_warm_start(None) is None


@pytest.mark.parametrize(
    "change",
    [
        {"question": 7},
        {"since": "2024-05-25T00:00:00"},
        {"since": None},
        {"variants": ["mstl_ets"]},
        {"variants": {"mstl_ets": 1}},
        {"left": {"mstl_ets": "soon"}},
        {"ratio": "low"},
        {"ratio": float("nan")},
    ],
)
def test_anything_else_is_refused_in_one_line(change):
    document = {**learned_document(LEARNED), **change}
    with pytest.raises(ModelError, match="does not say what was learned"):
        read_learned(document)
    with pytest.raises(ModelError, match="does not say what was learned"):
        read_warm_start({"model": "ab", "learned": document})


@pytest.mark.parametrize("document", [[], {}, {"model": 1}, {"model": "ab", "learned": None}])
def test_a_warm_start_from_nobody_or_from_nothing_is_refused(document):
    with pytest.raises(ModelError, match="does not say what its training began from"):
        read_warm_start(document)
