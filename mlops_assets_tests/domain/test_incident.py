"""Incidents: one cause, both figures, and when the platform may act by itself."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.history import History
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.incident import (
    Comparison,
    DegradedCircuit,
    automatic_moves,
    incidents_of,
)
from mlops_assets.domain.quality import QualityReport
from mlops_assets.domain.release import LedgerEntry

DAY = date(2024, 6, 20)
KEYS = [CircuitKey("P1", f"C{number}") for number in range(4)]
LIVE, BEFORE = "r-" + "b" * 12, "r-" + "a" * 12


def degraded(key, *, release=LIVE, before=0.1, now=0.4, **comparison):
    report = QualityReport(
        circuit=key,
        days=7,
        wape=now,
        backtest_wape=0.05,
        bias=0.0,
        coverage_95=0.9,
        degraded=True,
        drifted=True,
        reason="far off",
    )
    known = {"previous": BEFORE, "days": 7, "live_wape": now, "previous_wape": before}
    return DegradedCircuit(
        circuit=key,
        release=release,
        model_version=2,
        report=report,
        comparison=Comparison(**(known | comparison)),
    )


def rolled_back(seq, operator, *keys, from_=LIVE, to=BEFORE):
    steps = {str(key): {"from": from_, "to": to} for key in keys}
    return LedgerEntry(
        seq=seq,
        prev="0" * 64,
        at=datetime(2024, 6, 20, tzinfo=UTC),
        event="rolled_back",
        actor=operator,
        data={"circuits": steps, "operator": operator, "reason": "off"},
    )


@given(st.lists(st.sampled_from(KEYS), unique=True, min_size=1), st.permutations(KEYS))
def test_an_incident_keeps_its_name_whichever_circuits_it_grows_to(some, every):
    (first,) = incidents_of(map(degraded, some), DAY)
    (second,) = incidents_of(map(degraded, every), DAY)
    assert first.incident == second.incident
    assert second.keys == tuple(KEYS)


wapes = st.floats(min_value=0, max_value=10)


@given(wapes, wapes)
def test_only_a_past_that_was_strictly_better_is_proposed_or_done(before, now):
    (incident,) = incidents_of([degraded(KEYS[0], before=before, now=now)], DAY)
    moves, refused = automatic_moves(incident, History(()), margin=0.0)
    assert bool(moves) == bool(incident.commands) == (before < now)
    assert set(moves) | set(refused) == {KEYS[0]}


@given(wapes, wapes, st.floats(min_value=0, max_value=0.2))
def test_the_platform_moves_by_itself_only_where_the_past_was_better_by_the_margin(
    before, now, margin
):
    (incident,) = incidents_of([degraded(KEYS[0], before=before, now=now)], DAY)
    moves, refused = automatic_moves(incident, History(()), margin=margin)
    assert bool(moves) == (now > before * (1 + margin) and now > before)
    assert set(moves) | set(refused) == {KEYS[0]}
    if before < now and not moves:
        assert f"the margin {margin:.1%} of gates.champion_margin" in refused[KEYS[0]]
        assert incident.commands


@pytest.mark.parametrize(
    "missing", [{"previous_wape": None}, {"live_wape": None}, {"obstacle": "no model"}]
)
def test_without_both_figures_nothing_is_proposed(missing):
    (incident,) = incidents_of([degraded(KEYS[0], **missing)], DAY)
    assert incident.commands == ()
    assert incident.advice.startswith("mlops refresh")
    assert "no rollback: " in incident.lines[1]


def test_circuits_with_other_targets_have_commands_of_their_own():
    other = "r-" + "0" * 12
    (incident,) = incidents_of([degraded(KEYS[0]), degraded(KEYS[1], previous=other)], DAY)
    assert [command.split("--to ")[1].split()[0] for command in incident.commands] == [
        other,
        BEFORE,
    ]
    assert " && " in incident.advice


def test_a_persons_rollback_of_another_circuit_does_not_bind_the_platform():
    (incident,) = incidents_of([degraded(KEYS[0])], DAY)
    history = History([rolled_back(5, "ann@example.com", KEYS[1])])
    assert automatic_moves(incident, history, margin=0.0) == ((KEYS[0],), {})


def test_the_platform_acts_once_a_release():
    (incident,) = incidents_of([degraded(KEYS[0])], DAY)
    history = History([rolled_back(5, "platform", KEYS[1]), rolled_back(6, "platform", KEYS[2])])
    moves, refused = automatic_moves(incident, history, margin=0.0)
    assert moves == ()
    assert "ledger entry 5" in refused[KEYS[0]]


def test_a_circuit_that_a_rollback_brought_here_is_left_to_people():
    (incident,) = incidents_of([degraded(KEYS[0])], DAY)
    later = "r-" + "c" * 12
    history = History([rolled_back(5, "platform", KEYS[0], from_=later, to=LIVE)])
    moves, refused = automatic_moves(incident, history, margin=0.0)
    assert moves == ()
    assert refused[KEYS[0]].startswith(f"it was rolled back to {LIVE} before")
