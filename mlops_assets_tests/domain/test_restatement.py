"""What counts as a restatement, and how a release acknowledges one."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.identifiers import CircuitKey, DataVersion, IdentifierError
from mlops_assets.domain.manifest import Manifest
from mlops_assets.domain.restatement import (
    Restatement,
    acknowledged_cells,
    changed_cells,
    evidence_bytes,
    judge,
)
from mlops_assets_tests.fakes.deployment import a_release, an_entry

C1 = CircuitKey("P1", "C1")
START = datetime(2024, 6, 1, tzinfo=UTC)


def rows(values, **columns):
    """Hourly rows of one circuit; None leaves the hour out."""
    kept = [hour for hour, value in enumerate(values) if value is not None]
    frame = pl.DataFrame(
        {
            "plant_id": "P1",
            "circuit_id": "C1",
            "timestamp": [START + timedelta(hours=hour) for hour in kept],
            "value": [float(values[hour]) for hour in kept],
        },
        schema_overrides={"timestamp": pl.Datetime("us", "UTC"), "value": pl.Float64},
    )
    return frame.with_columns(
        pl.Series(name, [cells[hour] for hour in kept], dtype=pl.Float64)
        for name, cells in columns.items()
    )


def found(learned, now):
    cells = changed_cells(learned, now)
    return Restatement(circuit=C1, data_version=DataVersion(date(2024, 6, 1)), cells=cells)


def test_a_changed_value_is_named_with_what_was_learned_and_what_is_there_now():
    [cell] = changed_cells(rows([1, 2, 3]), rows([1, 9, 3]))
    assert (cell.timestamp.hour, cell.column, cell.learned, cell.now) == (1, "value", 2.0, 9.0)


def test_a_withdrawn_row_is_a_restatement_and_a_filled_gap_is_none():
    [cell] = changed_cells(rows([1, 2, None]), rows([1, None, 3]))
    assert (cell.learned, cell.now) == (2.0, None)


def test_a_feature_that_came_later_is_none_and_one_that_changed_is():
    learned = rows([1, 2], rain=[None, 0.5])
    assert changed_cells(learned, rows([1, 2], rain=[0.1, 0.5])) == ()
    [cell] = changed_cells(learned, rows([1, 2], rain=[0.1, 0.6]))
    assert cell.column == "rain"


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_rows_that_are_the_same_hold_no_restatement(values):
    assert changed_cells(rows(values), rows([*values, 1.0])) == ()


@given(st.data())
def test_exactly_the_hours_that_differ_are_found(data):
    number = st.floats(-1e6, 1e6)
    learned = data.draw(st.lists(number, min_size=2, max_size=30))
    now = [data.draw(st.one_of(st.just(value), number, st.none())) for value in learned]
    expected = {
        hour for hour, pair in enumerate(zip(learned, now, strict=True)) if pair[0] != pair[1]
    }
    cells = changed_cells(rows(learned), rows(now))
    assert {(cell.timestamp - START) // timedelta(hours=1) for cell in cells} == expected


def test_each_other_change_has_another_digest():
    digests = {
        found(rows([1, 2, 3]), rows(now)).digest
        for now in ([1, 9, 3], [1, 9.5, 3], [1, None, 3], [9, 2, 3], [9, 9, 3])
    }
    assert len(digests) == 5


def test_a_refusal_names_hours_and_both_ways_out():
    verdict = judge(found(rows([1, 2, 3]), rows([1, 9, 9])), None, C1)
    assert verdict.refuses
    assert "2 readings of 2024-06-01 changed, from 2024-06-01T01:00:00Z to" in verdict.reason
    assert "`mlops refresh --cutoff DATE --circuit P1/C1`" in verdict.reason
    assert "`mlops release create --circuit P1/C1 --acknowledge-restatements`" in verdict.reason


def test_only_the_digest_of_what_changed_acknowledges_it():
    changed = found(rows([1, 2, 3]), rows([1, 9, 3]))
    assert judge(changed, changed.digest, C1).passed
    later = judge(found(rows([1, 2, 3]), rows([1, 9, 9])), changed.digest, C1)
    assert later.refuses
    assert "after the release acknowledged others" in later.reason
    assert judge(None, changed.digest, C1).passed


def test_a_manifest_without_a_restatement_says_nothing_of_one():
    plain = a_release(an_entry(C1))
    assert b"restated" not in plain.to_bytes()
    assert Manifest.from_bytes(plain.to_bytes()) == plain


def test_a_manifest_carries_its_acknowledgement_under_its_digest():
    plain, acknowledged = a_release(an_entry(C1)), a_release(an_entry(C1, restated="a" * 64))
    assert Manifest.from_bytes(acknowledged.to_bytes()) == acknowledged
    assert plain.digest != acknowledged.digest
    assert plain.entries[0].digest != acknowledged.entries[0].digest


@pytest.mark.parametrize("value", [None, "", "A" * 64, "a" * 63, 1, ["a" * 64]])
def test_an_acknowledgement_that_is_no_digest_is_refused(value):
    document = a_release(an_entry(C1, restated="a" * 64)).document()
    document["entries"][0]["restated"] = value
    data = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(IdentifierError, match="restated"):
        Manifest.from_bytes(data)


def test_evidence_of_an_acknowledgement_is_read_only_as_it_was_signed():
    changed = found(rows([1, 2, 3]), rows([1, 9, None]))
    document = json.loads(evidence_bytes("r-0123456789ab", [changed]))
    signed = an_entry(C1, restated=changed.digest)
    assert acknowledged_cells(document, signed) == (
        ("2024-06-01T01:00:00Z", "value", "2.0", "9.0"),
        ("2024-06-01T02:00:00Z", "value", "3.0", None),
    )
    document["circuits"]["P1/C1"]["cells"][0][2] = "2.5"
    with pytest.raises(ValueError, match="not what the release was signed with"):
        acknowledged_cells(document, signed)
