"""The real readings in 1,440 slices of three hours, and as one slice: the same table, row for row.

`make replay` does it whole (minutes); ``--quick`` takes few circuits and days. What the meters
reported (``value_raw``) goes in, with the contracts that `mlops init` suggests. Then windows of the
past are sent again, in random order, under new names. Compared are digests of the readings without
where a row came from and when, and of what is in quarantine without file and row: a value that
arrives again is the one that was there, from whichever file.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from benchmarks.figure import Figure
from benchmarks.real_readings import READINGS
from mlops_assets.domain.identifiers import sha256
from mlops_assets.domain.quarantine_log import standing
from mlops_assets.flows.plan import config_at
from mlops_assets.flows.readings import ingest
from mlops_assets.resources import open_platform
from mlops_assets.resources.home import initialise
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlops_assets.ports import Lake

SEED = 20240629
SLICE = timedelta(hours=3)
AGAIN, AGAIN_LONGEST = 20, timedelta(days=5)
QUICK_PLANTS, QUICK_DAYS = ("P09_CALIF",), 15


def measure(*, quick: bool) -> list[Figure]:
    """Return how many of the digests differ from those of one slice; none may."""
    if not READINGS.exists():
        sys.stderr.write(f"replay: {READINGS.name} is not beside the project: left out\n")
        return []
    frame = pl.read_parquet(
        READINGS, columns=["plant_id", "circuit_id", "timestamp", "value_raw"]
    ).rename({"value_raw": "value"})
    if quick:
        first = frame["timestamp"].min() + timedelta(days=QUICK_DAYS)
        frame = frame.filter(pl.col("plant_id").is_in(QUICK_PLANTS), pl.col("timestamp") < first)
    place = Path(os.environ.get("MLOPS_BENCH_HOME") or tempfile.mkdtemp())
    sys.stderr.write(f"replay: seed {SEED}\n")
    whole = Home(place / "whole", frame)
    whole.take([frame])
    sliced = Home(place / "sliced", frame)
    parts = [part for _, part in slices(frame, SLICE)]
    started, cpu = time.monotonic(), time.process_time()
    sliced.take(parts)
    seconds, cpu = time.monotonic() - started, time.process_time() - cpu
    wanted, found = digests(whole.lake), digests(sliced.lake)
    sliced.take(again(frame, AGAIN))
    after = digests(sliced.lake)
    details = {
        "slices": len(parts),
        "circuits": frame.select("plant_id", "circuit_id").n_unique(),
        "readings": len(whole.lake.readings.read(columns=["value"])),
        "quarantined": len(standing(whole.lake.quarantine.read())),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "windows_sent_again": AGAIN,
        "one_slice": wanted,
        "slices_of_3_hours": found,
        "after_replay": after,
    }
    differ = sum(each[name] != wanted[name] for each in (found, after) for name in wanted)
    return [Figure(name="replay", figure=differ, limit=0, unit="", details=details)]


class Home:
    """A fresh home whose contracts come from all readings, and whose landing zone is empty."""

    def __init__(self, path: Path, frame: pl.DataFrame) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        source = path.with_suffix(".parquet")
        frame.write_parquet(source)
        settings = Settings.find(path, path / "config", {}, path.parent)
        initialise(settings, readings=source, features=(), horizon=24, effort="fast")
        (path / "lake" / "raw" / source.name).unlink()
        self.platform = open_platform(settings)
        self.config = config_at(self.platform)
        self.count = 0

    @property
    def lake(self) -> Lake:
        """Its tables."""
        return self.platform.lake

    def take(self, parts: Iterable[pl.DataFrame]) -> None:
        """Send each part as one file, and ingest it before the next."""
        for part in parts:
            file = self.platform.lake.landing
            target = Path(tempfile.mkdtemp()) / "part.parquet"
            part.write_parquet(target)
            file.put(f"{self.count:05}.parquet", target.read_bytes())
            target.unlink()
            target.parent.rmdir()
            ingest(self.lake, self.config, now=self.platform.clock.now())
            self.count += 1


def slices(frame: pl.DataFrame, width: timedelta) -> Iterable[tuple[datetime, pl.DataFrame]]:
    """Return the rows of each span of time, in order."""
    spans = frame.with_columns(pl.col("timestamp").dt.truncate(width).alias("_span"))
    for (span,), part in spans.sort("timestamp").group_by("_span", maintain_order=True):
        yield span, part.drop("_span")


def again(frame: pl.DataFrame, count: int) -> Iterable[pl.DataFrame]:
    """Return windows of the past, as a plant sends them again; the seed says which."""
    chance = random.Random(SEED)  # noqa: S311 a seed, not a secret
    first, last = frame["timestamp"].min(), frame["timestamp"].max()
    for _ in range(count):
        begin = first + (last - first) * chance.random()
        end = begin + AGAIN_LONGEST * chance.random() + SLICE
        rows = frame.filter(pl.col("timestamp").is_between(begin, end, closed="left"))
        circuits = rows.select("plant_id", "circuit_id").unique().sort("plant_id", "circuit_id")
        some = circuits.sample(fraction=0.5, seed=chance.randrange(1 << 30)) if count else circuits
        yield rows.join(some, on=["plant_id", "circuit_id"], how="semi")


def digests(lake: Lake) -> dict[str, str]:
    """Return what must not depend on slices: the readings, and what is in quarantine."""
    readings = lake.readings.read().drop("source", "ingested_at")
    held = (
        standing(lake.quarantine.read())
        .select("plant_id", "circuit_id", "timestamp", "value", "reason")
        .unique()
        .sort(pl.all())
    )
    return {
        name: sha256(rows.write_csv().encode())[:16]
        for name, rows in (("readings", readings), ("quarantine", held))
    }
