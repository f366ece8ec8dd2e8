"""Counts of a log are those of all its rows, and only days that got rows are read again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.adapters.delta import day_counts
from mlops_assets.adapters.delta.upkeep import DeltaTableUpkeep
from mlops_assets.adapters.local.delta import DeltaFolder
from mlops_assets.adapters.local.readings import LocalRowLog
from mlops_assets.domain import merging
from mlops_assets.domain.arrivals import log_schema
from mlops_assets.domain.quarantine_log import KNOWN, UNKNOWN, counted, standing

NAMES = ["plant_id", "circuit_id", "reason"]
NOW = datetime(2024, 7, 1, tzinfo=UTC)


@pytest.fixture
def log(tmp_path):
    return LocalRowLog(tmp_path / "q", "quarantine")


def entries(rows):
    """Rows of the log given as stamp, value, reason, state, number, and file with its row."""
    schema = log_schema("quarantine")
    told = [
        {
            "plant_id": "P1",
            "circuit_id": circuit,
            "timestamp": stamp,
            "value": value,
            "reason": reason,
            "state": state,
            "number": number,
            "file": file,
            "row": number,
            "slice": made,
            "note": note,
        }
        for circuit, stamp, value, reason, state, number, file, made, note in rows
    ]
    return pl.DataFrame(told, schema=schema)


def refused(circuit, stamp, number, made, reason="missing"):
    return (circuit, stamp, "1.0", reason, "refused", number, f"{made}.csv", made, None)


def held(circuit, stamp, number, made, state="held"):
    return (circuit, stamp, "5.0", "stuck", state, number, f"{made}.csv", made, None)


def added_up(counts):
    found = counts.group_by(NAMES).agg(pl.col("rows").sum(), pl.col("stuck_until").max())
    return found.filter(pl.col("rows") > 0).sort(NAMES).rows()


def from_the_rows(log):
    """What stands in the log as it is, counted at once."""
    rows = standing(log.read())
    stuck = pl.when(pl.col("reason") == "stuck").then(pl.col("timestamp"))
    newest = stuck.str.to_datetime("%Y-%m-%dT%H:%M:%SZ", strict=False).max()
    counts = rows.group_by(NAMES).agg(
        pl.len().cast(pl.Int64).alias("rows"),
        newest.cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("stuck_until"),
    )
    return counts.sort(NAMES).rows()


def at(day, hour=0):
    return (datetime(2024, 6, 1, hour, tzinfo=UTC) + timedelta(days=day)).strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )


kinds = st.tuples(
    st.sampled_from(["C1", "C2"]),
    st.sampled_from([at(0), at(0, 3), at(1), at(40), "soon", "2024-06-31T00:00:00Z", None]),
    st.sampled_from(["refused", "held", "cleared", "unknown", "known"]),
)


@settings(max_examples=15)
@given(st.lists(st.one_of(st.lists(kinds, min_size=1, max_size=6), st.just("tidy")), max_size=5))
def test_counts_are_those_of_all_rows_after_any_appends_and_upkeep(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("log") / "q"
    log = LocalRowLog(folder, "quarantine")
    unknown, number = [], 0
    for place, step in enumerate(steps):
        if step == "tidy":
            DeltaTableUpkeep(DeltaFolder(folder)).tidy(now=NOW)
            assert added_up(log.daily("standing-1", counted)) == from_the_rows(log)
            continue
        rows, made = [], f"s{place}"
        for circuit, stamp, kind in step:
            number += 1
            row = refused(circuit, stamp, number, made)
            if kind == "unknown":
                row = refused(circuit, stamp, number, made, UNKNOWN)
                unknown.append(row)
            elif kind == "known" and unknown:
                circuit_, stamp_, _, reason, _, numbered, file, slice_, _ = unknown.pop(0)
                row = (circuit_, stamp_, None, reason, KNOWN, numbered, file, made, slice_)
            elif kind in ("held", "cleared") and stamp is not None:
                row = held(circuit, stamp, number, made, kind)
            rows.append(row)
        log.append(entries(rows), slice_id=made)
        assert added_up(log.daily("standing-1", counted)) == from_the_rows(log)


def test_only_days_that_got_rows_are_read_again(log, monkeypatch):
    for day in range(30):
        log.append(entries([refused("C1", at(day), 1, f"s{day}")]), slice_id=f"s{day}")
    asked = []
    genuine = LocalRowLog.read

    def read(self, circuits=None, *, start=None, end=None):
        asked.append((start, end))
        return genuine(self, circuits, start=start, end=end)

    monkeypatch.setattr(LocalRowLog, "read", read)
    fresh = LocalRowLog(log._stored.path, "quarantine")
    assert added_up(fresh.daily("standing-1", counted))[0][3] == 30
    assert asked == [(None, None)]
    asked.clear()
    assert added_up(fresh.daily("standing-1", counted))[0][3] == 30
    assert asked == []
    more = [refused("C1", at(3, 5), 2, "t"), refused("C1", None, 3, "t", "bad_row")]
    fresh.append(entries(more), slice_id="t")
    assert sum(row[3] for row in added_up(fresh.daily("standing-1", counted))) == 32
    day = datetime(2024, 6, 4, tzinfo=UTC)
    assert asked == [(day, day + timedelta(days=1))]


@pytest.mark.parametrize("damage", ["gone", "empty", "torn", "another commit", "older log"])
def test_without_what_was_kept_or_where_it_does_not_fit_all_is_counted(log, tmp_path, damage):
    for day in range(3):
        log.append(entries([refused("C1", at(day), 1, f"s{day}")]), slice_id=f"s{day}")
    log.daily("standing-1", counted)
    (kept,) = tmp_path.glob(".q.standing-1.parquet")
    commit = max((tmp_path / "q" / "_delta_log").glob("0*.json"))
    match damage:
        case "gone":
            kept.unlink()
        case "empty":
            kept.write_bytes(b"")
        case "torn":
            kept.write_bytes(kept.read_bytes()[:40])
        case "another commit":
            commit.rename(commit.with_suffix(".torn"))
            other = LocalRowLog(tmp_path / "q", "quarantine")
            other.append(entries([refused("C2", at(9), 1, "z")] * 2), slice_id="z")
        case _:
            commit.rename(commit.with_suffix(".torn"))
    fresh = LocalRowLog(tmp_path / "q", "quarantine")
    assert added_up(fresh.daily("standing-1", counted)) == from_the_rows(fresh)


def test_restated_rows_of_days_add_up_to_those_of_all(tmp_path):
    log = LocalRowLog(tmp_path / "r", "restatements")
    for place in range(4):
        rows = [
            {
                "plant_id": "P1",
                "circuit_id": "C1",
                "timestamp": datetime(2024, 6, 1 + hour // 3, hour, tzinfo=UTC),
                "column": column,
                "old_value": 1.0,
                "new_value": 2.0,
                "delta_version": place,
                "slice": f"s{place}",
            }
            for hour in range(5 + place)
            for column in ("value", "rain")
        ]
        frame = pl.DataFrame(rows, schema_overrides=log_schema("restatements"))
        whole = frame.with_columns(pl.lit(None, dtype=pl.String).alias("source"))
        log.append(whole.select(list(log_schema("restatements"))), slice_id=f"s{place}")
        counts = log.daily("restated-1", merging.counted)
        assert counts["rows"].sum() == log.read().n_unique(["timestamp", "slice"])
        assert counts["version"].max() == place


def test_counts_have_a_name_with_a_version(log):
    with pytest.raises(ValueError, match="write NAME-VERSION"):
        log.daily("../q", counted)
    assert log.daily("standing-1", counted).is_empty()
    assert day_counts._NAME.fullmatch("standing-1")
