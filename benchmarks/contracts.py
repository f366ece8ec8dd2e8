"""Contracts on the real readings: what is quarantined of each label, and of the hours without one.

The real way: `mlops init` writes the specs from what the meters reported (``value_raw``), `mlops
ingest` takes the file in, and the quarantine is compared with the labels of those who cleaned the
data, which neither of the two sees. ``share`` is the share of a label's hours that is quarantined,
``precision`` the share of what is quarantined for one of `REASONS` that the labels call wrong.

Labels of `WRONG` count, in halves of the calendar as well: the rules were tuned on the first.
``half`` does the same with specs from the first half alone, so that its second is unseen.
``ANOMALOUS_REGION`` is told and not counted: it marks hours between others, most of them usual.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.figure import Figure
from benchmarks.real_readings import READINGS

KEY = ["plant_id", "circuit_id", "timestamp"]
REASONS = ("stuck", "jump", "level", "wrong_sign")
SPIKES = (
    "DELTA",
    "SINGLE_DELTA",
    "LOCAL_DEM_UP",
    "LOCAL_DEM_DOWN",
    "GLOBAL_DEM",
    "GLOBAL_DEM_PLUS_MINUS",
)
WRONG = (*SPIKES, "IDENTICAL_RUN", "NEG_OR_ZERO")
LIMIT_MISSED, LIMIT_OKAY = 5.0, 0.5
QUICK_PLANTS = ("P09_CALIF", "P03_SPP_A", "B_DINGLING")


def measure(*, quick: bool) -> list[Figure]:
    """Return the share of wrong hours that is missed, and of OKAY hours that is not, in percent."""
    if not READINGS.exists():
        sys.stderr.write(f"contracts: {READINGS.name} is not beside the project: left out\n")
        return []
    frame = pl.read_parquet(READINGS, columns=[*KEY, "value_raw", "quality"])
    if quick:
        frame = frame.filter(pl.col("plant_id").is_in(QUICK_PLANTS))
    days = frame["timestamp"].dt.date().unique().sort()
    halfway = days[len(days) // 2]
    frame = frame.with_columns(first=pl.col("timestamp").dt.date() < halfway)
    place = Path(os.environ.get("MLOPS_BENCH_HOME") or tempfile.mkdtemp())
    figures = []
    for name, known in (("whole", frame), ("half", frame.filter("first"))):
        judged = _judged(place / f"contracts-{name}", frame, known)
        said = _report(judged)
        figures += [
            Figure(
                name=f"contracts_{name}_missed",
                figure=round(100 - said["wrong"], 3),
                limit=LIMIT_MISSED,
                unit="%",
                details=said,
            ),
            Figure(
                name=f"contracts_{name}_okay",
                figure=round(said["labels"]["OKAY"]["share"], 3),
                limit=LIMIT_OKAY,
                unit="%",
                details=said["labels"]["OKAY"],
            ),
        ]
    return figures


def _judged(home: Path, frame: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Return the hours with a raw value, and whether one of our reasons quarantined them."""
    home.parent.mkdir(parents=True, exist_ok=True)
    first, whole = (home.parent / f"{home.name}-{part}.parquet" for part in ("init", "whole"))
    for path, rows in ((first, known), (whole, frame)):
        rows.select(*KEY, pl.col("value_raw").alias("value")).write_parquet(path)
    _mlops(home, "init", "--readings", str(first))
    if len(known) < len(frame):
        (home / "lake" / "raw" / first.name).unlink()
        (home / "lake" / "raw" / whole.name).write_bytes(whole.read_bytes())
    report = _mlops(home, "ingest")
    sys.stderr.write(f"{home.name}: {report}\n")
    held = pl.DataFrame(_mlops(home, "quarantine", "list"), infer_schema_length=None).filter(
        pl.col("reason").is_in(REASONS)
    )
    named = held.select(
        pl.col("circuit").str.split("/").list.get(0).alias("plant_id"),
        pl.col("circuit").str.split("/").list.get(1).alias("circuit_id"),
        pl.col("timestamp").str.to_datetime(time_zone="UTC"),
        "reason",
    )
    stamps = pl.col("timestamp").cast(pl.Datetime("us", "UTC"))
    raw = frame.filter(pl.col("value_raw").is_not_null()).with_columns(stamps)
    return raw.join(named.with_columns(stamps), on=KEY, how="left")


def _report(judged: pl.DataFrame) -> dict[str, Any]:
    flagged = pl.col("reason").is_not_null()
    wrong = judged.filter(pl.col("quality").is_in(WRONG))
    demand = ~pl.col("plant_id").str.starts_with("B_")

    def share(rows: pl.DataFrame) -> float | None:
        return round(100 * rows.select(flagged.mean()).item(), 3) if len(rows) else None

    def halves(rows: pl.DataFrame) -> dict[str, Any]:
        parts = {"first": rows.filter("first"), "second": rows.filter(~pl.col("first"))}
        return {"hours": len(rows), "share": share(rows)} | {
            name: share(part) for name, part in parts.items()
        }

    quarantined = judged.filter(flagged)
    return {
        "wrong": share(wrong),
        "wrong_first": share(wrong.filter("first")),
        "wrong_second": share(wrong.filter(~pl.col("first"))),
        "spikes": halves(judged.filter(pl.col("quality").is_in(SPIKES))),
        "labels": {
            str(label): halves(rows)
            for (label,), rows in sorted(judged.group_by("quality"), key=lambda each: each[0])
        },
        "okay_demand": halves(judged.filter((pl.col("quality") == "OKAY") & demand)),
        "precision": {
            str(reason): {
                "hours": len(rows),
                "wrong": round(100 * rows.select(pl.col("quality").ne("OKAY").mean()).item(), 2),
                "wrong_demand": round(
                    100
                    * (rows.filter(demand).select(pl.col("quality").ne("OKAY").mean()).item() or 0),
                    2,
                ),
            }
            for (reason,), rows in sorted(quarantined.group_by("reason"), key=lambda each: each[0])
        },
    }


def _mlops(home: Path, *words: str) -> Any:  # noqa: ANN401 any JSON value
    run = subprocess.run(
        [sys.executable, "-m", "mlops_assets", "--home", str(home), "--json", *words],
        check=True,
        stdout=subprocess.PIPE,
    )
    return json.loads(run.stdout)
