"""Whatever is done to the log shows: every bit, every line, and its end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.canonical import moment_text, read_moment
from mlops_assets.domain.errors import HomeError, RefusedError
from mlops_assets.domain.identifiers import IdentifierError
from mlops_assets.domain.ledger import (
    GENESIS,
    anchor_of,
    anchor_problems,
    check_clock,
    first_changed,
    following,
    hash_of,
    line_of,
    read_log,
)

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DATA = st.dictionaries(
    st.text(max_size=5),
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5) | st.just(["a", 1]),
    max_size=3,
)


def a_log(*data, step=timedelta(minutes=1)):
    """The entries of a log with these data."""
    entries = []
    for number, content in enumerate(data):
        last = entries[-1] if entries else None
        entries.append(
            following(last, event="e", actor="a@b.example", data=content, now=NOW + number * step)
        )
    return entries


LOG = a_log({"n": 1}, {"n": 2}, {"n": 3})
TEXT = b"".join(line_of(entry) for entry in LOG)
ANCHORS = [anchor_of(entry) for entry in LOG]


def found(text):
    """What is said about a log beside the anchors of `LOG`; nothing when it holds."""
    try:
        return "; ".join(anchor_problems(read_log(text), ANCHORS))
    except RefusedError as error:
        return f"{error.code}: {error.reason}"


@given(st.lists(DATA, max_size=5))
def test_what_is_written_is_read_back(data):
    entries = a_log(*data)
    assert list(read_log(b"".join(line_of(entry) for entry in entries))) == entries


def test_each_entry_names_the_one_before():
    assert LOG[0].prev == GENESIS
    assert LOG[1].prev == hash_of(LOG[0])
    assert [entry.seq for entry in LOG] == [0, 1, 2]


def test_time_never_runs_back_in_the_log():
    entries = a_log({}, {}, step=-timedelta(hours=1))
    assert entries[1].at == entries[0].at


@given(st.integers(0, len(TEXT) * 8 - 1))
def test_every_flipped_bit_is_found(bit):
    flipped = bytearray(TEXT)
    flipped[bit // 8] ^= 1 << bit % 8
    assert found(bytes(flipped))


@given(st.permutations(range(3)), st.integers(0, 3))
def test_swapped_dropped_and_doubled_lines_are_found(order, kept):
    lines = [line_of(LOG[number]) for number in order][:kept] * 2
    if lines == [line_of(entry) for entry in LOG]:
        return
    assert found(b"".join(lines))


def test_every_truncation_is_found():
    for end in range(len(TEXT)):
        assert "cut off" in found(TEXT[:end])


def test_the_first_broken_entry_is_named():
    with pytest.raises(RefusedError, match="ledger entry 2 does not follow entry 1"):
        read_log(TEXT.replace(b'"n":2', b'"n":9'))
    with pytest.raises(RefusedError, match="ledger entry 0 says that it is entry 1"):
        read_log(line_of(LOG[1]))
    with pytest.raises(RefusedError, match="ledger entry 0 does not follow"):
        read_log(TEXT.replace(GENESIS.encode(), b"1" * 64))


def test_an_entry_that_is_older_than_the_one_before_is_refused():
    late = replace(LOG[1], at=NOW - timedelta(days=1))
    with pytest.raises(RefusedError, match="ledger entry 1 is older"):
        read_log(line_of(LOG[0]) + line_of(late))


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"x",
        b"[]",
        line_of(LOG[0]).replace(b'"data":{"n":1}', b'"data":[]'),
        line_of(LOG[0]).replace(b'"event":"e"', b'"event":1'),
        line_of(LOG[0]).replace(b'"seq":0', b'"seq":false'),
        line_of(LOG[0]).replace(b"2026-06-01T", b"2026-06-99T"),
        line_of(LOG[0]).replace(b"2026-06-01T12", b"2026-06-01 12"),
    ],
)
def test_a_line_that_is_no_entry_is_refused(line):
    with pytest.raises(RefusedError, match="ledger entry 0") as caught:
        read_log(line.rstrip(b"\n") + b"\n")
    assert caught.value.code == "E_CHAIN"


def test_the_newest_entry_may_still_lack_its_anchor_and_no_other():
    assert anchor_problems(LOG, ANCHORS) == ()
    assert anchor_problems(LOG, ANCHORS[:-1]) == ()
    assert anchor_problems(LOG, ANCHORS[1:]) == (
        "ledger entry 0 has no anchor in the config repository",
    )


def test_a_log_that_was_written_anew_is_found():
    again = a_log({"n": 1}, {"n": 7}, {"n": 3})
    problems = anchor_problems(again, ANCHORS)
    assert problems[0] == "ledger entry 1 is not the one that was anchored"
    both = [*ANCHORS, *(anchor_of(entry) for entry in again)]
    assert anchor_problems(again, both)


def test_notes_of_others_are_no_anchors():
    assert anchor_problems(LOG, [*ANCHORS, "a note", "1 cafe"]) == ()


def test_the_clock_may_not_run_back_far():
    assert check_clock((), NOW) == NOW
    newest = LOG[-1].at
    assert check_clock(LOG, newest + timedelta(seconds=1.5)) == newest + timedelta(seconds=1)
    assert check_clock(LOG, newest - timedelta(minutes=5)) == newest
    with pytest.raises(RefusedError, match="set the clock right") as caught:
        check_clock(LOG, newest - timedelta(minutes=5, seconds=1))
    assert caught.value.code == "E_CLOCK"


@given(st.integers(0, 2**33))
def test_a_moment_has_one_text(seconds):
    aware = datetime.fromtimestamp(seconds / 1.5, UTC)
    assert read_moment(moment_text(aware)) == aware.replace(microsecond=0)


@pytest.mark.parametrize("text", [None, 7, "", "2026-01-01", "2026-02-30T00:00:00Z"])
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(IdentifierError, match="moment"):
        read_moment(text)


def refused(log, anchors=None):
    with pytest.raises(RefusedError) as caught:
        read_log(log, None if anchors is None else lambda: anchors)
    return caught.value.code, caught.value.reason


def test_a_broken_log_is_refused_in_a_whole_sentence():
    old = replace(LOG[1], at=NOW - timedelta(days=1))
    assert refused(TEXT[:-1]) == ("E_CHAIN", "ledger entry 2 is cut off")
    assert refused(line_of(LOG[1])) == ("E_CHAIN", "ledger entry 0 says that it is entry 1")
    assert refused(line_of(LOG[0]) + line_of(replace(LOG[1], prev="1" * 64))) == (
        "E_CHAIN",
        "ledger entry 1 does not follow entry 0",
    )
    assert refused(line_of(LOG[0]) + line_of(old)) == (
        "E_CHAIN",
        "ledger entry 1 is older than entry 0",
    )
    assert refused(b"{}\n") == (
        "E_CHAIN",
        "ledger entry 0 lacks actor, at, data, event, prev, seq",
    )
    assert refused(b"x\n") == ("E_CHAIN", "ledger entry 0 is not JSON: JSONDecodeError")
    assert refused(line_of(LOG[0]).replace(b"06-01T", b"06-99T")) == (
        "E_CHAIN",
        "ledger entry 0: '2026-06-99T12:00:00Z' is not a moment that exists",
    )
    assert refused(line_of(LOG[0]).replace(b'"seq":0', b'"seq":"0"')) == (
        "E_CHAIN",
        "ledger entry 0 has a field of the wrong type",
    )


def test_the_anchors_tell_which_entry_was_changed():
    changed = TEXT.replace(b'"n":2', b'"n":9')
    assert refused(changed, ANCHORS) == (
        "E_CHAIN",
        "ledger entry 1 is not the one that was anchored (ledger entry 2 does not follow entry 1)",
    )
    # Without its own anchor it is the next one that shows it.
    assert refused(changed, ANCHORS[:1])[1] == "ledger entry 2 does not follow entry 1"
    assert first_changed(TEXT, ANCHORS) is None
    assert first_changed(changed, ANCHORS) == 1
    assert first_changed(TEXT.replace(b'"n":3', b'"n":9'), ANCHORS) == 2
    spaced = a_log({"n": "a b"}, {"n": 2})
    text = b"".join(line_of(entry) for entry in spaced)
    assert first_changed(text, [anchor_of(entry) for entry in spaced]) is None


def test_a_broken_log_is_refused_though_the_anchors_cannot_be_read():
    def unreadable():
        raise HomeError("config: no git repository")

    with pytest.raises(RefusedError) as caught:
        read_log(TEXT[:-1], unreadable)
    assert caught.value.reason == "ledger entry 2 is cut off"


def test_the_anchors_of_a_whole_log_are_not_asked_for():
    def asked():
        raise AssertionError("reading anchors costs a process")

    assert list(read_log(TEXT, asked)) == LOG


def test_anchors_and_log_are_compared_in_whole_sentences():
    assert anchor_problems(LOG[:1], ANCHORS) == (
        "ledger entry 1 is gone, but entry 2 was anchored: it was cut off",
    )
    assert anchor_problems((), ANCHORS[:1]) == (
        "ledger entry 0 is gone, but entry 0 was anchored: it was cut off",
    )
    assert anchor_problems(LOG, ANCHORS[:1]) == (
        "ledger entry 1 has no anchor in the config repository",
    )
    twice = [*ANCHORS, f"1 {'0' * 64}"]
    [problem] = anchor_problems(LOG, twice)
    assert problem == (
        "ledger entry 1 is not the one that was anchored alone: somebody anchored "
        f"{'0' * 64} under its number too; docs/identities.md says who may void it"
    )


def test_entries_of_one_second_are_in_order():
    entries = a_log({"n": 1}, {"n": 2}, step=timedelta())
    assert entries[0].at == entries[1].at
    assert list(read_log(b"".join(line_of(entry) for entry in entries))) == entries


def test_a_clock_that_runs_back_reads_both_moments():
    with pytest.raises(RefusedError) as caught:
        check_clock(LOG, NOW - timedelta(hours=1))
    assert caught.value.reason == (
        "the clock says 2026-06-01T11:00:00Z, but the ledger has seen 2026-06-01T12:02:00Z: set "
        "the clock right"
    )
