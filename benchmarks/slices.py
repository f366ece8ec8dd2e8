"""What one 3-hour slice costs: with a longer history, with more circuits, with more raw files.

A slice is `flows.readings.ingest` from raw file to confirmed journal over the local adapters, then
what the run says of the table (its checks and each circuit's share). Histories lie side by side and
are given the same slices in turn, in one process; the figure is the median, over pairs of the same
slice, of the ratio of CPU time, user and system, because other work on the machine stretches wall
time and not that. Wall time is among the details. 10,000 circuits stand over 200.
"""

from __future__ import annotations

import io
import math
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from benchmarks.figure import Figure
from mlops_assets.flows.readings import ingest, verdicts
from mlops_assets.flows.upkeep import tidy
from mlops_assets_tests.fakes.readings import a_circuit, a_config
from mlops_assets_tests.faults.driver import lake_of

END = datetime(2024, 6, 1, tzinfo=UTC)
NOW = datetime(2024, 8, 1, tzinfo=UTC)
LIMIT_HISTORY, LIMIT_CIRCUITS, LIMIT_FILES = 1.2, 60.0, 1.2
CIRCUITS, MANY_CIRCUITS = 200, 10_000
DAYS, MANY_DAYS = 10, 300
FILES, MANY_FILES = 8, 5_000


def keys(circuits: int) -> list[str]:
    return [f"P{number // 10:04}/C{number % 10}" for number in range(circuits)]


def rows_of(circuits: int, start: datetime, hours: int) -> pl.DataFrame:
    """Return a smooth day of its own for each circuit, as a plant's file has it."""
    hour = pl.int_range(hours, eager=True)
    stamps = start + pl.duration(hours=pl.col("hour"))
    grid = pl.DataFrame({"key": keys(circuits)}).with_row_index("number")
    frame = grid.join(pl.DataFrame({"hour": hour}), how="cross").with_columns(timestamp=stamps)
    wave = (2 * math.pi * (pl.col("timestamp").dt.hour() + pl.col("number") % 24) / 24).sin()
    jitter = (pl.col("number") * 7919 + pl.col("timestamp").dt.epoch("s") // 3600 * 104_729) % 997
    return frame.select(
        pl.col("key").str.split("/").list.get(0).alias("plant_id"),
        pl.col("key").str.split("/").list.get(1).alias("circuit_id"),
        pl.col("timestamp").cast(pl.Datetime("us", "UTC")),
        (100 + 10 * wave + jitter / 997).alias("value"),
    )


class Home:
    """A lake with some days of history, of which the last came as slices."""

    def __init__(self, folder: Path, circuits: int, days: int) -> None:
        (folder / "lake" / "raw").mkdir(parents=True)
        self.circuits = circuits
        self.lake = lake_of(folder)
        self.config = a_config(*(a_circuit(key) for key in keys(circuits)))
        self.sent = 0
        self.send(rows_of(circuits, END - timedelta(days=days), 24 * (days - 2)))
        for day in (2, 1):
            self.send(rows_of(circuits, END - timedelta(days=day), 24))
        tidy(self.lake, now=NOW)

    def send(self, rows: pl.DataFrame) -> tuple[float, float, float]:
        """Ingest rows as one file; returns wall and CPU seconds, and CPU seconds of the telling."""
        data = io.BytesIO()
        rows.write_parquet(data)
        self.lake.landing.put(f"{self.sent // 100:04}/{self.sent:06}.parquet", data.getvalue())
        self.sent += 1
        wall, cpu = time.perf_counter(), time.process_time()
        report = ingest(self.lake, self.config, now=NOW)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        assert report.rows_inserted == len(rows), report
        told = time.process_time()
        verdicts(self.lake, self.config, data_now=NOW)
        return wall, cpu, time.process_time() - told

    def slice(self, number: int) -> tuple[float, float, float]:
        """Ingest the next three hours."""
        return self.send(rows_of(self.circuits, END + timedelta(hours=3 * number), 3))

    def fill(self, files: int) -> None:
        """Let so many raw files have been ingested; each sends one row again that is there."""
        rows = rows_of(self.circuits, END - timedelta(days=2), 24)
        for number, row in enumerate(rows.head(files - self.sent).iter_rows()):
            plant, circuit, stamp, value = row
            line = f"{plant},{circuit},{stamp:%Y-%m-%d %H:%M},{value!r}\n"
            data = f"plant_id,circuit_id,timestamp,value\n{line}".encode()
            self.lake.landing.put(f"old/{number // 100:04}/{number:06}.csv", data)
        report = ingest(self.lake, self.config, now=NOW)
        assert report.rows_unchanged == report.rows_read == len(report.files), report


def compared(few: Home, many: Home, rounds: int) -> dict[str, float]:
    """Give both the same slices in turn; return medians of seconds and their ratios."""
    few.slice(0)
    many.slice(0)
    pairs = []
    for number in range(1, rounds + 1):
        homes = (few, many) if number % 2 else (many, few)
        times = {id(home): home.slice(number) for home in homes}
        pairs.append((times[id(few)], times[id(many)]))
    names = ("wall", "cpu", "told_cpu")
    found = {}
    for place, name in enumerate(names):
        one = statistics.median(pair[0][place] for pair in pairs)
        other = statistics.median(pair[1][place] for pair in pairs)
        found |= {f"{name}_few": round(one, 4), f"{name}_many": round(other, 4)}
        found[f"{name}_ratio"] = round(other / one, 3)
    ratio = statistics.median(sum(other[1:]) / sum(one[1:]) for one, other in pairs)
    return found | {"ratio": round(ratio, 3), "rounds": rounds}


def measure(*, quick: bool) -> list[Figure]:
    """Build the homes and compare them in pairs."""
    rounds = 5 if quick else 31
    circuits, many_circuits = (20, 400) if quick else (CIRCUITS, MANY_CIRCUITS)
    many_days = 60 if quick else MANY_DAYS
    many_files = 400 if quick else MANY_FILES
    figures = []
    with tempfile.TemporaryDirectory(prefix="slices-") as name:
        place = Path(name)
        few = Home(place / "few", circuits, DAYS)
        history = compared(few, Home(place / "long", circuits, many_days), rounds)
        figures.append(("slice_history", history, LIMIT_HISTORY, {"days": [DAYS, many_days]}))
        files = Home(place / "files", circuits, DAYS)
        files.fill(many_files)
        bare = Home(place / "bare", circuits, DAYS)
        found = compared(bare, files, rounds)
        figures.append(("slice_raw_files", found, LIMIT_FILES, {"files": [FILES, many_files]}))
        wide = Home(place / "wide", many_circuits, DAYS)
        base = Home(place / "base", circuits, DAYS)
        found = compared(base, wide, max(3, rounds // 5))
        figures.append(
            ("slice_circuits", found, LIMIT_CIRCUITS, {"circuits": [circuits, many_circuits]})
        )
    return [
        Figure(name=name, figure=found["ratio"], limit=limit, unit="x", details=found | about)
        for name, found, limit, about in figures
    ]
