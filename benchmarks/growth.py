"""2,000 circuits and 20,000: a slice, training of a sample, a daily batch, and what Dagster holds.

Both fleets are made alike (`benchmarks.fleet`): five weeks of history in one slice, every circuit
live with the seasonal naive. Then each of these is a process of its own on either fleet: one slice
of three hours, the `fast` training of twenty circuits that ask for a choice, and the daily batch.
Figures are ratios of CPU time, because other work on the machine stretches wall time, and of the
processes' own high-water marks; the batch's is without Dagster's start, which would hide growth.
Dagster advises at most 100,000 partitions of an asset and 25,000 new ones at once. Above 2,000
circuits a day tells plants, so that the larger fleet writes fewer events than the smaller one.
"""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks import fleet
from benchmarks.daily_batch import batch
from benchmarks.figure import Figure
from benchmarks.process import Measured, measured

FEW, MANY, DAYS, SAMPLE = 2_000, 20_000, 35, 20
MEMORY = 4.0
ADVISED_PARTITIONS = 100_000
# What linear growth may miss by: the figure for ten times the circuits is at most eleven.
SLACK = 1.1

__all__ = ["batch", "history", "make", "measure", "serve", "slice_of", "train"]


def make(home: str, circuits: int) -> None:
    """Make a home with its history in the landing zone."""
    settings = fleet.begin(Path(home), circuits, days=DAYS, effort="fast")
    fleet.ask_for(settings, "seasonal_naive", but=SAMPLE)


def history(home: str) -> dict[str, float]:
    """Merge what is in the landing zone."""
    return {"seconds": fleet.run(fleet.settings_of(Path(home)), "etl", "readings").seconds}


def serve(home: str) -> None:
    """Bring every circuit live."""
    fleet.serve(fleet.settings_of(Path(home)))


def slice_of(home: str, circuits: int, number: int) -> dict[str, Any]:
    """Merge the next three hours."""
    settings = fleet.settings_of(Path(home))
    start = fleet.END + timedelta(hours=3 * number)
    fleet.send(settings, f"slice-{number}.parquet", circuits, start, 3)
    ran = fleet.run(settings, "etl", "readings")
    report = ran.home.answers["readings"]
    return {"inserted": report.rows_inserted, "seconds": round(ran.seconds, 2)}


def train(home: str) -> dict[str, Any]:
    """Train the sample, in a fleet of whatever size."""
    keys = fleet.keys(SAMPLE)
    settings = fleet.settings_of(Path(home))
    ran = fleet.run(settings, "training", "train", keys, only=fleet.TRAINED)
    outcomes = ran.home.answers["train"].report.outcomes.values()
    trained = sum(one.status == "trained" for one in outcomes)
    assert trained == len(keys), [one.reason for one in outcomes]
    return {"trained": trained, "seconds": round(ran.seconds, 2)}


def held(home: str) -> dict[str, int]:
    """Return what Dagster holds: partitions, events of the newest daily run, bytes."""
    import dagster as dg

    from mlops_assets.assets.partitions import circuits, days
    from mlops_assets.launch import dagster_home

    folder = dagster_home(fleet.settings_of(Path(home)))
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        (newest, *_) = instance.get_runs(dg.RunsFilter(job_name="daily"), limit=1)
        events = len(instance.all_logs(newest.run_id, dg.DagsterEventType.ASSET_MATERIALIZATION))
        partitions = len(instance.get_dynamic_partitions(str(circuits.name)))
    return {
        "partitions": max(partitions, len(days.get_partition_keys())),
        "events": events,
        "bytes": sum(each.stat().st_size for each in folder.rglob("*") if each.is_file()),
    }


def measure(*, quick: bool) -> list[Figure]:
    """Do everything on the small fleet, then on the large one."""
    few, many = (40, 160) if quick else (FEW, MANY)
    found: dict[int, dict[str, Measured]] = {}
    with tempfile.TemporaryDirectory(prefix="growth-") as name:
        for circuits in (few, many):
            home = str(Path(name) / str(circuits))
            day = fleet.END.date().isoformat()
            measured("benchmarks.growth:make", home, circuits)
            found[circuits] = {
                "history": measured("benchmarks.growth:history", home),
                "serve": measured("benchmarks.growth:serve", home),
                "slice": measured("benchmarks.growth:slice_of", home, circuits, 0),
                "batch": measured("benchmarks.growth:batch", home, day),
                "sample": measured("benchmarks.growth:train", home),
                "held": measured("benchmarks.growth:held", home),
            }
    small, large = found[few], found[many]
    figures = []
    for part in ("history", "slice", "batch", "sample"):
        figures += _growth(part, small[part], large[part], few, many)
    dagster = large["held"].answer
    events = [found[each]["held"].answer["events"] for each in (few, many)]
    figures.append(
        Figure(
            name=f"growth_events_{many}_over_{few}",
            figure=round(events[1] / events[0], 3),
            limit=round(many / few * SLACK, 2),
            unit="x",
            details={"of_one_day": events},
        )
    )
    figures.append(
        Figure(
            name=f"growth_partitions_{many}",
            figure=dagster["partitions"],
            limit=ADVISED_PARTITIONS,
            unit="",
            details={"few": small["held"].answer, "many": dagster},
        )
    )
    return figures


def _growth(part: str, small: Measured, large: Measured, few: int, many: int) -> list[Figure]:
    details = {"few": _told(small), "many": _told(large), "circuits": [few, many]}
    if part == "batch":
        cpu = large.answer["batch"]["cpu"] / small.answer["batch"]["cpu"]
    else:
        cpu = large.cpu / small.cpu
    return [
        Figure(
            name=f"growth_{part}_time_{many}_over_{few}",
            figure=round(cpu, 2),
            limit=round(many / few * SLACK, 2),
            unit="x",
            details=details,
        ),
        Figure(
            name=f"growth_{part}_memory_{many}_over_{few}",
            figure=round(large.peak_megabytes / small.peak_megabytes, 2),
            limit=MEMORY,
            unit="x",
            details={"megabytes": [round(each.peak_megabytes) for each in (small, large)]},
        ),
    ]


def _told(one: Measured) -> dict[str, Any]:
    return {
        "seconds": round(one.seconds, 2),
        "cpu": round(one.cpu, 2),
        "megabytes": round(one.peak_megabytes),
        "answer": one.answer,
    }
