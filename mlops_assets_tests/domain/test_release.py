"""What a release waits for, in the words people read, and what a new one says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mlops_assets.domain.circuit import Policy, StagePolicy
from mlops_assets.domain.release import (
    OPEN_STATES,
    Consumed,
    LedgerEntry,
    OpenRequest,
    ReleaseView,
    Signed,
)

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
R1 = "r-" + "1" * 12
ENTRY = LedgerEntry(seq=0, prev="0" * 64, at=NOW, event="e", actor="a", data={})
REQUEST = OpenRequest(
    release=R1,
    stage="registry",
    nonce="n",
    requester="platform",
    requested_at=NOW,
    expires_at=NOW + timedelta(days=1),
)
SIGNED = Signed(
    stage="registry",
    nonce="n",
    principal="a",
    decision="approve",
    statement="s",
    signature="g",
    trust_commit="t",
    comment="",
    at=NOW,
)
CONSUMED = Consumed(
    stage="registry",
    nonce="n",
    statements=(),
    requester="platform",
    requested_at=NOW,
    expires_at=NOW,
    at=NOW,
)
VIEW = ReleaseView(
    release=R1,
    digest="1" * 64,
    state="candidate",
    circuits=(),
    attempt=1,
    config_commit="c" * 40,
    created_at=NOW,
)


def policy(quorum):
    stage = StagePolicy(roles=("ml_engineer",), quorum=quorum)
    return Policy(registry=stage, production=stage)


def asked(*approvals, stage="registry"):
    request = replace(REQUEST, stage=stage, approvals=approvals)
    return replace(VIEW, state=f"awaiting_{stage}", open_request=request)


PROMOTE = f"`mlops release promote {R1} --stage"
WAITS = {
    "a candidate": (VIEW, 1, "a registry request"),
    "registered": (replace(VIEW, state="registered"), 1, "the test stage"),
    "tested": (replace(VIEW, state="tested"), 1, "a production request"),
    "an end": (replace(VIEW, state="rejected"), 1, ""),
    "live": (replace(VIEW, state="deployed"), 1, ""),
    "nobody's signature": (asked(), 1, "registry approval until 2026-06-02T12:00:00Z"),
    "nobody's of two": (
        asked(stage="production"), 2, "production approval (0 of 2) until 2026-06-02T12:00:00Z"
    ),
    "one of three": (
        asked("a@b.c"), 3,
        "registry approval (1 of 3) until 2026-06-02T12:00:00Z, signed by a@b.c",
    ),
    "all of two": (
        asked("a@b.c", "b@b.c", stage="production"), 2,
        (f"{PROMOTE} production` until 2026-06-02T12:00:00Z, which the daemon does by itself: "
        "signed by a@b.c, b@b.c"),
    ),
    "more than one": (
        asked("a@b.c", "b@b.c"), 1,
        (f"{PROMOTE} registry` until 2026-06-02T12:00:00Z, which the daemon does by itself: "
        "signed by a@b.c, b@b.c"),
    ),
    "what has begun": (
        replace(asked("a@b.c"), begun=CONSUMED), 1, "the registry stage to be finished"
    ),
    "what broke": (
        replace(
            asked("a@b.c"), state="errored", broken="registry", reason="disk full", begun=CONSUMED
        ),
        1,
        "the registry stage to be tried again: disk full",
    ),
    "what broke in the test": (
        replace(VIEW, state="errored", broken="test", reason="no memory"), 1,
        "the test stage to be tried again: no memory",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("view", "quorum", "words"), WAITS.values(), ids=WAITS)
def test_people_read_what_a_release_waits_for(view, quorum, words):
    assert view.waits_for(policy(quorum)) == words


def test_each_stage_asks_for_its_own_quorum():
    alone, both = StagePolicy(roles=(), quorum=1), StagePolicy(roles=(), quorum=2)
    differing = Policy(registry=alone, production=both)
    assert "(" not in asked().waits_for(differing)
    assert "(0 of 2)" in asked(stage="production").waits_for(differing)


def test_a_release_is_open_until_one_of_its_ends():
    ends = {"deployed", "failed", "rejected", "superseded", "rolled_back"}
    opened = {"candidate", "awaiting_registry", "registered", "tested", "awaiting_production"}
    assert opened | {"errored"} == OPEN_STATES
    assert [replace(VIEW, state=state).open for state in sorted(ends)] == [False] * 5
    assert all(replace(VIEW, state=state).open for state in OPEN_STATES)


def test_a_new_view_says_nothing_that_nobody_said():
    assert (VIEW.open_request, VIEW.begun, VIEW.copied_approval, VIEW.broken) == (None,) * 4
    assert (VIEW.consumed, VIEW.signed, VIEW.deployed, VIEW.rolled_back) == ((),) * 4
    assert (VIEW.failed, VIEW.reason, VIEW.superseded_recorded) == ({}, "", False)
    assert (VIEW.superseded_by, VIEW.lapsed, VIEW.test_evidence) == (None,) * 3
