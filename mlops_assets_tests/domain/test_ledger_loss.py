"""A log restored from before its newest entries: what an accepted loss allows, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.ledger import (
    RESTORED,
    anchor_of,
    anchor_problems,
    anchored_heads,
    following,
    hash_of,
    lost_heads,
    standing_heads,
    voided_anchors,
)

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def grown(entries, *events, **data):
    for event in events:
        last = entries[-1] if entries else None
        entry = following(last, event=event, actor="a@co.example", data=data, now=NOW)
        entries = [*entries, entry]
    return entries


@pytest.fixture
def whole():
    return grown([], "initialised", "released", "requested", "approved", "consumed")


def anchors(entries):
    return [anchor_of(entry) for entry in entries]


def test_what_was_anchored_after_the_end_is_what_was_lost(whole):
    assert lost_heads(whole[:3], anchors(whole)) == [[3, hash_of(whole[3])], [4, hash_of(whole[4])]]
    assert lost_heads(whole, anchors(whole)) == []
    assert anchor_problems(whole[:3], anchors(whole))


def test_an_accepted_loss_lets_the_log_go_on_and_keeps_what_was_lost(whole):
    lost = lost_heads(whole[:3], anchors(whole))
    restored = grown(whole[:3], RESTORED, lost=lost)
    # Killed before its anchor was written, and after.
    assert anchor_problems(restored, anchors(whole)) == ()
    known = anchors(whole) + anchors(restored)
    assert anchor_problems(restored, known) == ()
    after = grown(restored, "released")
    assert anchor_problems(after, known + anchors(after)) == ()
    assert restored[3].seq in standing_heads(restored, known)


def test_the_old_end_is_refused_once_the_loss_was_accepted(whole):
    restored = grown(whole[:3], RESTORED, lost=lost_heads(whole[:3], anchors(whole)))
    assert anchor_problems(whole, anchors(whole) + anchors(restored))


def test_a_loss_may_happen_again(whole):
    once = grown(whole[:3], RESTORED, lost=lost_heads(whole[:3], anchors(whole)))
    once = grown(once, "released", "requested")
    known = anchors(whole) + anchors(once)
    twice = grown(whole[:2], RESTORED, lost=lost_heads(whole[:2], known))
    assert anchor_problems(twice, known + anchors(twice)) == ()


def test_no_entry_excuses_what_came_before_it(whole):
    other = grown(whole[:1], "unheld", "unheld")
    excuse = grown(other, RESTORED, lost=[[1, hash_of(whole[1])], [2, hash_of(whole[2])]])
    assert any(
        "is not the one that was anchored" in one for one in anchor_problems(excuse, anchors(whole))
    )


def test_a_loss_of_what_nobody_anchored_takes_nothing_away(whole):
    restored = grown(whole, RESTORED, lost=[[9, "f" * 64]])
    assert standing_heads(restored, anchors(restored)) == {
        entry.seq: frozenset({hash_of(entry)}) for entry in restored
    }


def test_an_entry_that_names_too_little_excuses_only_that(whole):
    restored = grown(whole[:3], RESTORED, lost=[[3, hash_of(whole[3])]])
    assert any("cut off" in one for one in anchor_problems(restored, anchors(whole)))


@pytest.mark.parametrize("lost", [None, 3, [[1]], ["ab"], [[None, "x"]]])
def test_an_entry_that_no_platform_wrote_is_refused_by_its_number(whole, lost):
    entries = grown(whole, RESTORED, lost=lost)
    with pytest.raises(RefusedError, match="ledger entry 5"):
        anchor_problems(entries, anchors(entries))


def test_where_anchors_stay_no_entry_says_that_something_was_lost(whole):
    lost = lost_heads(whole[:3], anchors(whole))
    restored = grown(whole[:3], RESTORED, lost=lost)
    known = anchors(whole) + anchors(restored)
    assert anchor_problems(restored, known, stay=True)
    assert standing_heads(restored, known, stay=True) == anchored_heads(known)
    assert anchor_problems(restored, known) == ()


def test_an_anchor_beside_the_right_one_is_named_with_where_to_look(whole):
    stray = "f" * 64
    [problem] = anchor_problems(whole, [*anchors(whole), f"0 {stray}"])
    assert problem.startswith("ledger entry 0 is not the one that was anchored alone")
    assert stray in problem
    assert hash_of(whole[0]) not in problem


def test_anchors_are_voided_each_with_a_reason():
    anchor = f"0 {'f' * 64}"
    document = {"format": 1, "voided": [{"anchor": anchor, "reason": "planted"}]}
    assert voided_anchors(document, "trust/anchors.yml") == {anchor: "planted"}
    assert voided_anchors({"format": 1, "voided": []}, "trust/anchors.yml") == {}


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (None, "is not a JSON object"),
        ({"format": 2, "voided": []}, "is not format 1"),
        ({"format": 1, "voided": {}}, "is not format 1"),
        ({"format": 1}, "lacks voided"),
        ({"format": 1, "voided": ["0"]}, "voided is not a JSON object"),
        ({"format": 1, "voided": [{"anchor": 0, "reason": "x"}]}, "is no anchor"),
        ({"format": 1, "voided": [{"anchor": "0 ff", "reason": "x"}]}, "is no anchor"),
        ({"format": 1, "voided": [{"anchor": f"0 {'f' * 64}", "reason": " "}]}, "write a reason"),
        ({"format": 1, "voided": [{"anchor": f"0 {'f' * 64}"}]}, "lacks reason"),
    ],
)
def test_a_file_that_is_half_understood_voids_nothing(document, says):
    with pytest.raises(RefusedError, match=says) as caught:
        voided_anchors(document, "trust/anchors.yml")
    assert caught.value.code == "E_TRUST"
    assert str(caught.value).startswith("trust/anchors.yml")
