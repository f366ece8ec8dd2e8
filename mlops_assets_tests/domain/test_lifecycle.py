"""The life of a release agrees with a small model of it, whatever happens in whatever order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mlops_assets.domain.canonical import moment_text
from mlops_assets.domain.circuit import Policy, StagePolicy
from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.ledger import following
from mlops_assets.domain.lifecycle import find, fold, holds

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
R1, R2 = "r-" + "1" * 12, "r-" + "2" * 12
C1, C2, C3 = "P1/C1", "P1/C2", "P1/C3"


class Log:
    """Writes entries as the flows do, without asking whether they may."""

    def __init__(self):
        self.entries = []
        self.now = NOW

    def add(self, event, actor="platform", **data):
        last = self.entries[-1] if self.entries else None
        self.entries.append(following(last, event=event, actor=actor, data=data, now=self.now))
        return self

    def released(self, release=R1, circuits=(C1, C2), **more):
        return self.add(
            "released",
            release=release,
            digest=release[2:] + "0" * 52,
            circuits=list(circuits),
            config_commit="c" * 40,
            attempt=1,
            **more,
        )

    def requested(self, stage="registry", release=R1, nonce="n1"):
        return self.add(
            "requested",
            "boss@co.example",
            release=release,
            stage=stage,
            nonce=nonce,
            expires_at=moment_text(self.now + DAY),
        )

    def signed(self, event="approved", principal="eng@co.example", release=R1, nonce="n1", **more):
        return self.add(
            event,
            principal,
            release=release,
            stage="registry",
            nonce=nonce,
            principal=principal,
            statement=f"{principal}{nonce}",
            **more,
        )

    def consumed(self, release=R1, nonce="n1", stage="registry"):
        return self.add("consumed", release=release, stage=stage, nonce=nonce, statements=["s"])

    def through(self, stage, release=R1):
        """The events of one stage of a release, done."""
        if stage == "test":
            return self.add("tested", release=release)
        nonce = f"{release}{stage}"
        self.requested(stage, release, nonce).signed(release=release, nonce=nonce)
        self.consumed(release, nonce, stage)
        if stage == "registry":
            return self.add("registered", release=release)
        circuits = next(
            entry.data["circuits"]
            for entry in self.entries
            if entry.event == "released" and entry.data["release"] == release
        )
        return self.add("deployed", release=release, circuits=dict.fromkeys(circuits))

    def deployed(self, release=R1, circuits=(C1, C2)):
        self.released(release, circuits)
        for stage in ("registry", "test", "production"):
            self.through(stage, release)
        return self

    def rolled_back(self, *circuits, release=R1, to=R2):
        return self.add(
            "rolled_back",
            "op@co.example",
            circuits={key: {"from": release, "to": to} for key in circuits},
            operator="op@co.example",
            reason="worse",
            held=dict.fromkeys(circuits, "d" * 64),
        )

    def view(self, release=R1, now=None):
        return find(fold(self.entries, now), release)

    def state(self, release=R1, now=None):
        return self.view(release, now).state


def test_a_release_goes_from_candidate_to_deployed():
    log = Log().released()
    states = [log.state()]
    for stage in ("registry", "test", "production"):
        log.through(stage)
        states.append(log.state())
    assert states == ["candidate", "registered", "tested", "deployed"]
    assert [str(key) for key in log.view().deployed] == [C1, C2]
    assert [each.stage for each in log.view().consumed] == ["registry", "production"]


def waits(log, *, quorum=1):
    stage = StagePolicy(roles=("ml_engineer",), quorum=quorum)
    return log.view().waits_for(Policy(registry=stage, production=stage))


def test_people_see_what_a_release_waits_for():
    log = Log().released()
    assert waits(log) == "a registry request"
    log.requested()
    assert waits(log) == "registry approval until 2026-06-02T12:00:00Z"
    log.signed()
    assert waits(log, quorum=2) == (
        "registry approval (1 of 2) until 2026-06-02T12:00:00Z, signed by eng@co.example"
    )
    log.consumed()
    assert waits(log) == "the registry stage to be finished"
    log.add("errored", release=R1, stage="registry", reason="disk full")
    assert waits(log) == "the registry stage to be tried again: disk full"
    log.add("registered", release=R1)
    assert waits(log) == "the test stage"
    log.through("test")
    assert waits(log) == "a production request"
    log.through("production")
    assert waits(log) == ""


def test_enough_signatures_wait_for_the_stage_and_for_nobody_any_more():
    log = Log().released().requested().signed()
    assert waits(log) == (
        f"`mlops release promote {R1} --stage registry` until 2026-06-02T12:00:00Z, which the "
        "daemon does by itself: signed by eng@co.example"
    )
    assert "promote" not in waits(log, quorum=2)


def test_a_request_runs_out_after_a_day_and_the_release_goes_back():
    log = Log().released().requested().signed()
    assert log.state(now=NOW + DAY - timedelta(seconds=1)) == "awaiting_registry"
    lapsed = log.view(now=NOW + DAY)
    assert (lapsed.state, lapsed.open_request, lapsed.lapsed) == ("candidate", None, "n1")
    log.now += DAY
    log.add("expired", release=R1, stage="registry", nonce="n1")
    assert (log.state(), log.view(now=NOW + 9 * DAY).lapsed) == ("candidate", None)
    log.requested(nonce="n2")
    assert log.state() == "awaiting_registry"
    assert log.view().open_request.approvals == ()


def test_a_request_that_ran_out_unrecorded_makes_room_for_the_next():
    log = Log().released().requested()
    log.now += DAY
    log.requested(nonce="n2")
    assert log.view().open_request.nonce == "n2"


def test_a_stage_that_has_begun_does_not_run_out():
    log = Log().released().requested().signed().consumed()
    late = log.view(now=NOW + 9 * DAY)
    assert (late.state, late.begun.nonce) == ("awaiting_registry", "n1")
    log.now += 9 * DAY
    assert log.add("registered", release=R1).state() == "registered"


def test_one_rejection_ends_a_release():
    log = Log().released().requested().signed().signed("rejected", "boss@co.example")
    assert log.state() == "rejected"
    assert log.view().reason == "rejected by boss@co.example"
    other = Log().released().requested().signed("rejected", comment="too risky")
    assert other.view().reason == "rejected by eng@co.example: too risky"
    assert not other.view().open


def test_a_failed_test_ends_a_release_with_its_reasons():
    log = Log().released().through("registry")
    log.add("failed", release=R1, stage="test", circuits={C1: "rows"})
    assert log.state() == "failed"
    assert log.view().failed == {C1: "rows"}
    assert log.view().reason == "failed in test"


def test_what_broke_may_be_tried_again():
    log = Log().released().through("registry")
    for _ in range(2):
        log.add("errored", release=R1, stage="test", reason="no disk")
    assert (log.state(), log.view().broken) == ("errored", "test")
    assert log.through("test").state() == "tested"


def test_a_broken_deployment_is_finished_by_its_own_request():
    log = Log().released().through("registry").through("test")
    log.requested("production", nonce="p").signed(nonce="p").consumed(nonce="p", stage="production")
    log.add("errored", release=R1, stage="production", reason="no disk")
    log.now += 9 * DAY
    log.add("deployed", release=R1, circuits={C1: None, C2: None})
    assert log.state() == "deployed"


def test_a_deployment_that_failed_half_way_supersedes_what_it_touched():
    log = Log().released().through("registry").through("test").released(R2, (C2, C3))
    log.requested("production", nonce="p").signed(nonce="p").consumed(nonce="p", stage="production")
    failed = {"release": R1, "stage": "production", "circuits": {C1: "revoked"}}
    log.add("failed", **failed, deployed={C2: None})
    assert log.state() == "failed"
    assert [str(key) for key in log.view().deployed] == [C2]
    assert log.state(R2) == "superseded"


def test_only_a_release_that_shares_a_circuit_is_superseded():
    other = "r-" + "3" * 12
    log = Log().released(R2, (C2, C3)).released(other, (C3,)).deployed(R1, (C1, C2))
    assert log.state(R2) == "superseded"
    assert log.view(R2).superseded_by == R1
    assert log.state(other) == "candidate"
    assert not log.view(R2).superseded_recorded
    log.add("superseded", release=R2, by=R1)
    assert log.view(R2).superseded_recorded


def test_a_deployed_release_stays_so_when_another_replaces_it():
    log = Log().deployed(R1).deployed(R2)
    assert (log.state(R1), log.state(R2)) == ("deployed", "deployed")


def test_a_release_is_rolled_back_once_all_its_circuits_are():
    log = Log().deployed(R2).deployed(R1).rolled_back(C2)
    assert log.state() == "deployed"
    assert [str(key) for key in log.view().rolled_back] == [C2]
    assert log.rolled_back(C1).state() == "rolled_back"
    assert log.state(R2) == "deployed"


def test_a_rollback_before_the_deployment_was_recorded_is_kept():
    log = Log().deployed(R2).released().through("registry").through("test")
    log.requested("production", nonce="p").signed(nonce="p").consumed(nonce="p", stage="production")
    log.rolled_back(C1)
    log.add("deployed", release=R1, circuits={C2: None})
    assert [str(key) for key in log.view().deployed] == [C1, C2]
    assert (log.state(), log.rolled_back(C2).state()) == ("deployed", "rolled_back")


def test_a_rollback_from_what_no_release_made_stops_nobody():
    assert Log().deployed().rolled_back(C1, release=R2).state() == "deployed"


def test_a_copied_approval_starts_a_release_as_registered():
    log = Log().released(copied_approval={"release": R2})
    assert log.state() == "registered"
    assert log.through("test").state() == "tested"


def test_models_that_were_rolled_back_from_are_held_until_they_are_let_go():
    log = Log().deployed().rolled_back(C1, C2)
    assert {str(key): set(held) for key, held in holds(log.entries).items()} == {
        C1: {"d" * 64},
        C2: {"d" * 64},
    }
    log.add("unheld", circuits=[C1, C3])
    assert [str(key) for key in holds(log.entries)] == [C2]


def test_an_unknown_release_says_where_to_look():
    with pytest.raises(RefusedError, match="mlops release list") as caught:
        Log().view()
    assert caught.value.code == "E_RELEASE"


def waiting():
    return Log().released().requested().signed()


def awaiting_production():
    log = Log().released().through("registry").through("test")
    return log.requested("production", nonce="p")


def expired(log):
    log.now += DAY
    return log


IMPOSSIBLE = {
    "the same release twice": lambda: Log().released().released(),
    "a release that nobody created": lambda: Log().requested(),
    "a request twice": lambda: waiting().requested(nonce="n2"),
    "a request for production at once": lambda: Log().released().requested("production"),
    "a request for the test": lambda: Log().released().requested("test"),
    "an approval without request": lambda: Log().released().signed(),
    "an approval under another nonce": lambda: waiting().signed(principal="b", nonce="n2"),
    "an approval by the same person": lambda: waiting().signed(),
    "an approval too late": lambda: expired(waiting()).signed(principal="b"),
    "an approval after the stage began": lambda: waiting().consumed().signed(principal="b"),
    "a rejection too late": lambda: expired(waiting()).signed("rejected"),
    "a rejection after the stage began": lambda: waiting().consumed().signed("rejected"),
    "an end before its time": lambda: waiting().add(
        "expired", release=R1, stage="registry", nonce="n1"
    ),
    "an end of what has begun": lambda: expired(waiting().consumed()).add(
        "expired", release=R1, stage="registry", nonce="n1"
    ),
    "an end of no request": lambda: (
        Log().released().add("expired", release=R1, stage="registry", nonce="n1")
    ),
    "a nonce consumed twice": lambda: waiting().consumed().consumed(),
    "a nonce consumed too late": lambda: expired(waiting()).consumed(),
    "a copy without approval": lambda: waiting().add("registered", release=R1),
    "a copy of a candidate": lambda: Log().released().add("registered", release=R1),
    "a test of a candidate": lambda: Log().released().add("tested", release=R1),
    "a test twice": lambda: Log().released().through("registry").through("test").through("test"),
    "a failure of a candidate": lambda: (
        Log().released().add("failed", release=R1, stage="test", circuits={})
    ),
    "a failure before it began": lambda: awaiting_production().add(
        "failed", release=R1, stage="production", circuits={}
    ),
    "an error of a candidate": lambda: (
        Log().released().add("errored", release=R1, stage="test", reason="")
    ),
    "an error before it began": lambda: waiting().add(
        "errored", release=R1, stage="registry", reason=""
    ),
    "a test after an error elsewhere": lambda: (
        waiting()
        .consumed()
        .add("errored", release=R1, stage="registry", reason="")
        .add("tested", release=R1)
    ),
    "a deployment without approval": lambda: awaiting_production().add(
        "deployed", release=R1, circuits={C1: None}
    ),
    "a deployment at once": lambda: (
        Log().released().add("deployed", release=R1, circuits={C1: None})
    ),
    "a deployment by the registry's approval": lambda: (
        waiting().consumed().add("deployed", release=R1, circuits={C1: None})
    ),
    "a deployment twice": lambda: Log().deployed().add("deployed", release=R1, circuits={C1: None}),
    "superseded by nobody": lambda: Log().released().add("superseded", release=R1, by=R2),
    "superseded twice": lambda: (
        Log()
        .released(R2)
        .deployed()
        .add("superseded", release=R2, by=R1)
        .add("superseded", release=R2, by=R1)
    ),
    "life after a rejection": lambda: waiting().signed("rejected").requested(nonce="n2"),
    "life after a failure": lambda: (
        Log()
        .released()
        .through("registry")
        .add("failed", release=R1, stage="test", circuits={})
        .through("test")
    ),
    "life after another was first": lambda: Log().released(R2).deployed().requested(release=R2),
}


@pytest.mark.parametrize("history", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_a_history_that_no_platform_writes_is_refused_by_entry(history):
    with pytest.raises(RefusedError, match="ledger entry ") as caught:
        fold(history().entries, None)
    assert caught.value.code == "E_LEDGER"


class Life(RuleBasedStateMachine):
    """One release against a table of states; entries that the table forbids are not written."""

    def __init__(self):
        super().__init__()
        self.log = Log().released()
        self.state = "candidate"
        self.begun = False
        self.expires = None
        self.broken = None
        self.back = {"awaiting_registry": "candidate", "awaiting_production": "tested"}
        self.count = 0

    def tried(self, allowed, write):
        """Write an entry; the fold refuses exactly what the table forbids."""
        before = list(self.log.entries)
        write()
        try:
            fold(self.log.entries, None)
        except RefusedError:
            self.log.entries = before
            assert not allowed
            return False
        assert allowed
        return True

    @property
    def waiting(self):
        """Whether people may still sign."""
        awaits = self.state in self.back and not self.begun
        return awaits and self.log.now < self.expires

    @rule(hours=st.sampled_from([1, 12, 24]))
    def time_passes(self, hours):
        self.log.now += timedelta(hours=hours)

    @rule(stage=st.sampled_from(["registry", "production"]))
    def request(self, stage):
        lapsed = self.state in self.back and not self.begun and self.log.now >= self.expires
        state = self.back[self.state] if lapsed else self.state
        allowed = state == {"registry": "candidate", "production": "tested"}[stage]
        self.count += 1
        if self.tried(allowed, lambda: self.log.requested(stage, nonce=f"n{self.count}")):
            self.state = f"awaiting_{stage}"
            self.expires = self.log.now + DAY
            self.nonce = f"n{self.count}"

    @precondition(lambda self: self.state in self.back)
    @rule()
    def approve(self):
        self.count += 1
        who = f"p{self.count}@co.example"
        self.tried(self.waiting, lambda: self.log.signed(principal=who, nonce=self.nonce))

    @precondition(lambda self: self.state in self.back)
    @rule()
    def reject(self):
        if self.tried(self.waiting, lambda: self.log.signed("rejected", nonce=self.nonce)):
            self.state = "rejected"

    @precondition(lambda self: self.state in self.back)
    @rule()
    def begin(self):
        stage = self.state.removeprefix("awaiting_")
        done = self.tried(self.waiting, lambda: self.log.consumed(nonce=self.nonce, stage=stage))
        self.begun = self.begun or (stage if done else False)

    @rule()
    def register(self):
        allowed = self.begun == "registry"
        if self.tried(allowed, lambda: self.log.add("registered", release=R1)):
            self.state, self.begun = "registered", False

    @rule(passes=st.booleans())
    def test(self, passes):
        allowed = self.state == "registered" or (self.state == "errored" and self.broken == "test")
        data = {} if passes else {"stage": "test", "circuits": {C1: "rows"}}
        event = "tested" if passes else "failed"
        if self.tried(allowed, lambda: self.log.add(event, release=R1, **data)):
            self.state = event

    @rule(stage=st.sampled_from(["registry", "test", "production"]))
    def breaks(self, stage):
        testing = self.state == "registered" or (self.state == "errored" and self.broken == "test")
        allowed = testing if stage == "test" else self.begun == stage
        data = {"release": R1, "stage": stage, "reason": "disk"}
        if self.tried(allowed, lambda: self.log.add("errored", **data)):
            self.state, self.broken = "errored", stage

    @rule()
    def deploy(self):
        allowed = self.begun == "production"
        circuits = {C1: None, C2: None}
        if self.tried(allowed, lambda: self.log.add("deployed", release=R1, circuits=circuits)):
            self.state, self.begun, self.gone = "deployed", False, set()

    @precondition(lambda self: self.state == "deployed")
    @rule(key=st.sampled_from([C1, C2]))
    def roll_back(self, key):
        self.log.rolled_back(key)
        self.gone.add(key)
        if len(self.gone) == 2:
            self.state = "rolled_back"

    @invariant()
    def the_fold_agrees(self):
        now = self.log.now
        lapsed = self.state in self.back and not self.begun and now >= self.expires
        assert self.log.state(now=now) == (self.back[self.state] if lapsed else self.state)
        view = self.log.view(now=now)
        assert bool(view.begun) == bool(self.begun)
        assert view.open == (
            view.state not in {"deployed", "failed", "rejected", "rolled_back", "superseded"}
        )


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_circuits_are_read_as_keys():
    assert Log().released().view().circuits == (CircuitKey("P1", "C1"), CircuitKey("P1", "C2"))


def test_events_about_no_release_change_none():
    log = Log().released().add("initialised", format=1)
    assert log.state() == "candidate"
