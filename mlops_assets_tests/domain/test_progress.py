"""How far long work is: ten lines at most, the last when all is done."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.progress import Count


def lines(total):
    count = Count("training", total)
    return [line for number in range(total) if (line := count.advance(f"P1/C{number}"))]


def test_a_fleet_is_told_at_each_tenth_of_it():
    assert lines(149)[:2] == ["training: 15 of 149, P1/C14", "training: 30 of 149, P1/C29"]
    assert len(lines(149)) == 10


def test_a_few_are_told_one_by_one():
    assert lines(3) == [
        "training: 1 of 3, P1/C0",
        "training: 2 of 3, P1/C1",
        "training: 3 of 3, P1/C2",
    ]


def test_without_a_label_the_count_stands_alone():
    assert Count("evidence", 1).advance() == "evidence: 1 of 1"


@given(st.integers(0, 3000))
def test_ten_lines_at_most_and_the_last_says_that_all_is_done(total):
    told = lines(total)
    assert len(told) == min(total, 10)
    assert not told or told[-1].startswith(f"training: {total} of {total}, ")
