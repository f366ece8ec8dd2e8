"""What the readings table says of itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from mlops_assets.domain.freshness import (
    completeness_verdict,
    freshness_verdict,
    schema_verdict,
    unique_keys_verdict,
)
from mlops_assets.domain.readings import FIXED, CircuitReadings
from mlops_assets_tests.fakes.readings import a_circuit, readings

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)


def share(hours):
    last = None if hours is None else NOON - timedelta(hours=hours)
    return CircuitReadings(
        rows=1, first_timestamp=last, last_timestamp=last, gaps=0, quarantined=0, restated=0
    )


GAP = timedelta(hours=24)


@pytest.mark.parametrize(
    ("last", "stuck", "state"),
    [
        (None, None, "no readings"),
        (3, None, "reporting"),
        (25, None, "silent"),
        (25, 3, "stuck"),
        (3, 9, "reporting"),
        (40, 25, "silent"),
        (None, 2, "stuck"),
        (24 * 14 + 1, None, "dead"),
        (24 * 30, 24 * 15, "dead"),
    ],
)
def test_a_circuit_is_silent_stuck_or_dead_by_its_last_sign_of_life(last, stuck, state):
    stuck_until = None if stuck is None else NOON - timedelta(hours=stuck)
    assert replace(share(last), stuck_until=stuck_until).state(GAP, NOON) == state


def test_completeness_is_the_share_of_readings_between_the_first_and_the_last():
    assert share(None).completeness(timedelta(hours=1)) is None
    span = replace(share(0), first_timestamp=NOON - timedelta(hours=9), rows=8)
    assert span.completeness(timedelta(hours=1)) == 0.8


def test_stuck_circuits_count_as_lost_and_dead_ones_no_more():
    circuits = {c.key: c for c in (a_circuit(f"P1/C{n}") for n in range(4))}
    one, two, *_ = circuits
    stuck = replace(share(20), stuck_until=NOON)
    verdict = completeness_verdict(
        dict.fromkeys(circuits, share(1)) | {one: share(500), two: stuck}, circuits, NOON
    )
    assert not verdict.passed
    assert verdict.reason == ("2 of 4 circuits report; stuck: P1/C1; dead for 14 days: P1/C0")


def test_a_missing_column_is_named():
    assert schema_verdict([*FIXED, "rain"]).passed
    assert schema_verdict(["plant_id"]).reason.startswith("missing columns: circuit_id, timestamp")


def test_a_key_that_comes_twice_is_counted():
    rows = readings([1.0, 2.0])
    assert unique_keys_verdict(rows).passed
    verdict = unique_keys_verdict(pl.concat([rows, rows.head(1)]))
    assert not verdict.passed
    assert verdict.reason.startswith("1 of 3 keys")


def test_age_is_told_with_its_limit():
    assert freshness_verdict(NOON, NOON + timedelta(hours=27), 27).passed
    late = freshness_verdict(NOON, NOON + timedelta(hours=28), 27)
    assert not late.passed
    assert late.reason == "the newest reading is 28.0 h old, at most 27 h are allowed"


def test_one_silent_circuit_of_many_is_named_and_half_of_them_fail():
    circuits = {c.key: c for c in (a_circuit(f"P1/C{n}") for n in range(12))}
    shares = dict.fromkeys(circuits, share(1))
    one, *_, dead = circuits
    verdict = completeness_verdict(shares | {one: share(25), dead: share(None)}, circuits, NOON)
    assert verdict.passed
    assert verdict.reason == ("10 of 12 circuits report; silent: P1/C0; never reported: P1/C11")
    silent = dict.fromkeys(list(circuits)[:6], share(25))
    verdict = completeness_verdict(shares | silent, circuits, NOON)
    assert not verdict.passed
    assert "silent: P1/C0, P1/C1, P1/C2, P1/C3, P1/C4 and 1 more" in verdict.reason
