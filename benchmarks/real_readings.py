"""The demo on the real readings: circuits, time, and WAPE of the seven days before the last one.

Scored from `lake/predictions` on hours whose quality is OKAY and that have a value, pooled: the sum
of absolute errors over the sum of absolute actuals, over all circuits and hours of a part.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import polars as pl

from benchmarks.figure import Figure

READINGS = Path(__file__).resolve().parents[2] / "shared" / "data" / "readings.parquet"
LIMIT_MINUTES = 20.0
LIMIT_WAPE = {"demand": 5.0, "air": 30.0}
DAYS = 7


def scored(home: Path) -> pl.DataFrame:
    """Return predicted and actual values of the last seven days, one row an hour that counts."""
    actual = (
        pl.read_parquet(READINGS)
        .filter((pl.col("quality") == "OKAY") & pl.col("value").is_not_null())
        .select(
            "plant_id",
            "circuit_id",
            "timestamp",
            pl.col("value").cast(pl.Float64).alias("actual"),
        )
    )
    last = pl.read_parquet(READINGS, columns=["timestamp"])["timestamp"].max().date()
    predictions = pl.read_delta(str(home / "lake" / "predictions")).filter(
        pl.col("issued_for") > last - timedelta(days=DAYS), pl.col("issued_for") <= last
    )
    return predictions.join(actual, on=["plant_id", "circuit_id", "timestamp"]).with_columns(
        part=pl.when(pl.col("plant_id").str.starts_with("B_"))
        .then(pl.lit("air"))
        .otherwise(pl.lit("demand")),
        error=(pl.col("value") - pl.col("actual")).abs(),
    )


def measure(*, quick: bool) -> list[Figure]:
    """Run the whole demo; ``quick`` takes its first circuits only."""
    if not READINGS.exists():
        sys.stderr.write(f"real_readings: {READINGS.name} is not beside the project: left out\n")
        return []
    home = Path(os.environ.get("MLOPS_BENCH_HOME") or tempfile.mkdtemp()) / "real"
    words = ["demo", "--readings", str(READINGS), *(["--circuits", "6"] if quick else [])]
    started = time.monotonic()
    run = subprocess.run(
        [sys.executable, "-m", "mlops_assets", "--home", str(home), "--json", *words],
        check=True,
        stdout=subprocess.PIPE,
    )
    minutes = (time.monotonic() - started) / 60
    document = json.loads(run.stdout)
    figures = [
        Figure(
            name="real_readings_minutes",
            figure=round(minutes, 2),
            limit=LIMIT_MINUTES,
            unit="min",
            details=document,
        )
    ]
    frame = scored(home)
    for (part,), rows in sorted(frame.group_by("part")):
        wape = 100 * rows["error"].sum() / rows["actual"].abs().sum()
        figures.append(
            Figure(
                name=f"real_readings_wape_{part}",
                figure=round(wape, 3),
                limit=LIMIT_WAPE[part],
                unit="%",
                details={
                    "hours": rows.height,
                    "circuits": rows.select("plant_id", "circuit_id").n_unique(),
                    "coverage_95": round(
                        rows.select(
                            pl.col("actual").is_between(pl.col("lo_95"), pl.col("hi_95")).mean()
                        ).item(),
                        4,
                    ),
                    "coverage_80": round(
                        rows.select(
                            pl.col("actual").is_between(pl.col("lo_80"), pl.col("hi_80")).mean()
                        ).item(),
                        4,
                    ),
                },
            )
        )
    return figures
