"""What the ledger's entries make of a release, whole: every field after every event."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.ledger import following
from mlops_assets.domain.lifecycle import fold, holds
from mlops_assets.domain.release import Consumed, OpenRequest, ReleaseView, Signed
from mlops_assets_tests.domain.test_lifecycle import C1, C2, DAY, IMPOSSIBLE, NOW, R1, R2, Log

KEYS = (CircuitKey("P1", "C1"), CircuitKey("P1", "C2"))
CREATED = ReleaseView(
    release=R1,
    digest="1" * 12 + "0" * 52,
    state="candidate",
    circuits=KEYS,
    attempt=1,
    config_commit="c" * 40,
    created_at=NOW,
)
HOUR = timedelta(hours=1)


def later(log, passed=HOUR):
    log.now += passed
    return log


def request(stage, at, nonce="n1", approvals=()):
    return OpenRequest(
        release=R1,
        stage=stage,
        nonce=nonce,
        requester="boss@co.example",
        requested_at=at,
        expires_at=at + DAY,
        approvals=approvals,
    )


def test_every_field_after_every_event():
    log = Log().released()
    view = CREATED
    assert log.view() == view

    later(log).requested()
    view = replace(view, state="awaiting_registry", open_request=request("registry", log.now))
    assert log.view() == view

    later(log).signed(signature="s1", trust_commit="t1", comment="well done")
    opened = request("registry", NOW + HOUR, approvals=("eng@co.example",))
    first = Signed(
        stage="registry",
        nonce="n1",
        principal="eng@co.example",
        decision="approve",
        statement="eng@co.examplen1",
        signature="s1",
        trust_commit="t1",
        comment="well done",
        at=log.now,
    )
    view = replace(view, open_request=opened, signed=(first,))
    assert log.view() == view

    later(log).signed(principal="b@co.example")
    second = replace(
        first,
        principal="b@co.example",
        statement="b@co.examplen1",
        signature="",
        trust_commit="",
        comment="",
        at=log.now,
    )
    opened = replace(opened, approvals=("eng@co.example", "b@co.example"))
    view = replace(view, open_request=opened, signed=(first, second))
    assert log.view() == view

    later(log).consumed()
    begun = Consumed(
        stage="registry",
        nonce="n1",
        statements=("s",),
        requester="boss@co.example",
        requested_at=NOW + HOUR,
        expires_at=NOW + HOUR + DAY,
        at=log.now,
    )
    view = replace(view, begun=begun, consumed=(begun,))
    assert log.view() == view

    later(log).add("errored", release=R1, stage="registry", reason="disk full")
    view = replace(view, state="errored", broken="registry", reason="disk full")
    assert log.view() == view

    later(log).add("registered", release=R1)
    view = replace(view, state="registered", open_request=None, begun=None, broken=None, reason="")
    assert log.view() == view

    later(log).add("errored", release=R1, stage="test", reason="no memory")
    assert log.view() == replace(view, state="errored", broken="test", reason="no memory")
    later(log).add("tested", release=R1, evidence="e" * 64)
    view = replace(view, state="tested", test_evidence="e" * 64)
    assert log.view() == view

    later(log).requested("production", nonce="p")
    opened = request("production", log.now, nonce="p")
    view = replace(view, state="awaiting_production", open_request=opened)
    assert log.view() == view

    log.consumed(nonce="p", stage="production")
    last = Consumed(
        stage="production",
        nonce="p",
        statements=("s",),
        requester="boss@co.example",
        requested_at=log.now,
        expires_at=log.now + DAY,
        at=log.now,
    )
    view = replace(view, begun=last, consumed=(begun, last))
    assert log.view() == view

    later(log).add("deployed", release=R1, circuits={C2: None, C1: None})
    view = replace(view, state="deployed", open_request=None, begun=None, deployed=KEYS)
    assert log.view() == view

    log.rolled_back(C1)
    view = replace(view, rolled_back=KEYS[:1])
    assert log.view() == view
    log.rolled_back(C2)
    assert log.view() == replace(view, state="rolled_back", rolled_back=KEYS)


def test_every_field_of_a_copied_approval():
    copied = {"release": R2, "nonce": "n", "statements": ["s"]}
    view = Log().released(copied_approval=copied).view()
    assert view == replace(CREATED, state="registered", copied_approval=copied)


def test_every_field_of_a_rejection():
    for comment, reason in (("", "rejected by eng@co.example"),
                            ("too late", "rejected by eng@co.example: too late")):  # fmt: skip
        more = {"comment": comment} if comment else {}
        view = Log().released().requested().signed("rejected", **more).view()
        assert (view.state, view.reason, view.open_request) == ("rejected", reason, None)
        assert [(each.decision, each.comment) for each in view.signed] == [("reject", comment)]


def test_every_field_of_what_ran_out():
    log = Log().released().requested()
    opened = log.view()
    just = log.view(now=NOW + DAY - timedelta(seconds=1))
    assert just == opened
    lapsed = log.view(now=NOW + DAY)
    assert lapsed == replace(CREATED, lapsed="n1")
    later(log, DAY).add("expired", release=R1, stage="registry", nonce="n1")
    assert log.view() == log.view(now=log.now) == CREATED


def test_a_request_after_one_that_lapsed_carries_nothing_of_it():
    log = later(Log().released().requested(), DAY)
    log.requested(nonce="n2")
    assert log.view() == replace(
        CREATED, state="awaiting_registry", open_request=request("registry", log.now, nonce="n2")
    )


def test_every_field_of_a_failure():
    log = Log().released().through("registry")
    before = log.view()
    log.add("failed", release=R1, stage="test", circuits={C1: "too slow"})
    assert log.view() == replace(
        before, state="failed", failed={C1: "too slow"}, reason="failed in test"
    )
    log = Log().released().through("registry").through("test")
    log.requested("production", nonce="p").consumed(nonce="p", stage="production")
    before = log.view()
    circuits = {C1: "revoked", C2: "revoked"}
    log.add("failed", release=R1, stage="production", circuits=circuits, deployed={C2: None})
    assert log.view() == replace(
        before,
        state="failed",
        open_request=None,
        begun=None,
        failed=circuits,
        deployed=KEYS[1:],
        reason="failed in production",
    )


def test_every_field_of_a_release_that_came_second():
    log = Log().released(R2, [C1]).requested(release=R2, nonce="n2")
    before = log.view(R2)
    log.deployed()
    superseded = replace(
        before,
        state="superseded",
        open_request=None,
        superseded_by=R1,
        reason=f"{R1} deployed first",
    )
    assert log.view(R2) == superseded
    log.add("superseded", release=R2, by=R1)
    assert log.view(R2) == replace(superseded, superseded_recorded=True)


def test_releases_come_in_the_order_they_were_made():
    log = Log().released(R2).released(R1)
    assert [view.release for view in fold(log.entries, None)] == [R2, R1]


SAID = {
    "the same release twice": f"1: released, but {R1} is there already",
    "a release that nobody created": f"0: requested, but {R1} was never created",
    "a request twice": f"3: requested, but {R1} is awaiting_registry",
    "a request for production at once": f"1: requested, but {R1} is candidate",
    "a request for the test": f"1: requested, but {R1} is candidate",
    "an approval without request": f"1: approved, but {R1} has no such open request",
    "an approval under another nonce": f"3: approved, but {R1} has no such open request",
    "an approval by the same person": (
        f"3: approved, but {R1} was approved by eng@co.example before"
    ),
    "an approval too late": f"3: approved, but {R1} is awaiting_registry",
    "an approval after the stage began": f"4: approved, but {R1} is awaiting_registry",
    "a rejection too late": f"3: rejected, but {R1} is awaiting_registry",
    "a rejection after the stage began": f"4: rejected, but {R1} is awaiting_registry",
    "an end before its time": f"3: expired, but {R1} is awaiting_registry",
    "an end of what has begun": f"4: expired, but {R1} is awaiting_registry",
    "an end of no request": f"1: expired, but {R1} has no such open request",
    "a nonce consumed twice": f"4: consumed, but {R1} is awaiting_registry",
    "a nonce consumed too late": f"3: consumed, but {R1} is awaiting_registry",
    "a copy without approval": f"3: registered, but {R1} is awaiting_registry",
    "a copy of a candidate": f"1: registered, but {R1} is candidate",
    "a test of a candidate": f"1: tested, but {R1} is candidate",
    "a test twice": f"6: tested, but {R1} is tested",
    "a failure of a candidate": f"1: failed, but {R1} is candidate",
    "a failure before it began": f"7: failed, but {R1} is awaiting_production",
    "an error of a candidate": f"1: errored, but {R1} is candidate",
    "an error before it began": f"3: errored, but {R1} is awaiting_registry",
    "a test after an error elsewhere": f"5: tested, but {R1} is errored",
    "a deployment without approval": f"7: deployed, but {R1} is awaiting_production",
    "a deployment at once": f"1: deployed, but {R1} is candidate",
    "a deployment by the registry's approval": f"4: deployed, but {R1} is awaiting_registry",
    "a deployment twice": f"10: deployed, but {R1} is deployed",
    "superseded by nobody": f"1: superseded, but {R1} is candidate",
    "superseded twice": f"12: superseded, but {R2} is superseded",
    "life after a rejection": f"4: requested, but {R1} is rejected",
    "life after a failure": f"6: tested, but {R1} is failed",
    "life after another was first": f"11: requested, but {R2} is superseded",
}


def test_every_history_that_may_not_be_has_its_sentence():
    assert SAID.keys() == IMPOSSIBLE.keys()


@pytest.mark.parametrize("history", SAID)
def test_an_entry_that_may_not_be_there_is_named_in_a_whole_sentence(history):
    with pytest.raises(RefusedError) as caught:
        fold(IMPOSSIBLE[history]().entries, None)
    assert (caught.value.code, caught.value.reason) == ("E_LEDGER", f"ledger entry {SAID[history]}")


@pytest.mark.parametrize(
    ("event", "data"),
    [
        ("released", {}),
        ("released", {"release": ["r"]}),
        ("requested", {"release": {}}),
        ("rolled_back", {"circuits": [C1]}),
        ("rolled_back", {"circuits": {"../C1": {"from": R2, "to": R1}}}),
        ("unheld", {"circuits": 7}),
        ("unheld", {"circuits": ["P1"]}),
    ],
)
def test_an_entry_of_another_form_is_named_and_breaks_nothing(event, data):
    entry = following(None, event=event, actor="platform", data=data, now=NOW)
    with pytest.raises(RefusedError) as caught:
        fold([entry], None)
    assert (caught.value.code, caught.value.reason) == (
        "E_LEDGER",
        (
            f"ledger entry 0: {event}, but its data are not those of such an entry: no platform "
            "wrote it; see `mlops verify`"
        ),
    )


def test_models_are_held_for_each_circuit_they_were_rolled_back_from_until_they_are_let_go():
    log = Log().deployed().rolled_back(C1)
    log.add("rolled_back", circuits={C1: {"from": R1, "to": R2}}, held={C1: "e" * 64})
    log.add("rolled_back", circuits={C2: {"from": R1, "to": R2}})
    assert holds(log.entries) == {KEYS[0]: frozenset({"d" * 64, "e" * 64})}
    told = log.view()
    log.add("unheld", circuits=[C1, C2])
    assert holds(log.entries) == {}
    assert log.view() == told


def test_held_models_of_another_form_are_refused_by_entry():
    log = Log().deployed()
    log.add("rolled_back", circuits={}, held=["d"])
    with pytest.raises(RefusedError, match="rolled_back, but its data") as caught:
        holds(log.entries)
    assert caught.value.code == "E_LEDGER"
