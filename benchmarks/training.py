"""Training 200 circuits (`balanced`), beside the same fits at the same origins in bare processes.

Ours is the `training` job up to the registered model: readings pinned as training data, a slot for
each fit, worker processes, verdicts, proofs, versions in the registry, and an event for each, by
Dagster's own record of its step, so that the start of Dagster is left out; evidence is not asked
for. The bare side reads the same rows from the table and gives each circuit to `fit` in a pool of
as many processes, whose start counts on both sides. The circuits are done in four parts, the sides
in turn (ours, bare, bare, ours, ...), so that what else the machine does meets both; the figure is
the ratio of the sums of wall time, CPU time stands beside it. Both sides must give the same models,
byte for byte.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import fleet
from benchmarks.figure import Figure
from benchmarks.process import cpu_seconds, measured

LIMIT = 1.15
CIRCUITS, PARTS, DAYS = 200, 4, 120
EFFORT = "balanced"


def build(home: str, circuits: int) -> dict[str, float]:
    """Make a home whose readings are ingested."""
    settings = fleet.begin(Path(home), circuits, days=DAYS, effort=EFFORT)
    return {"etl": fleet.run(settings, "etl", "readings").seconds}


def train(home: str, keys: list[str]) -> dict[str, Any]:
    """Train circuits by the platform."""
    import_module("mlops_assets.definitions")
    settings = fleet.settings_of(Path(home))
    began, cpu = time.time(), cpu_seconds()
    ran = fleet.run(settings, "training", "train", keys, only=fleet.TRAINED)
    cpu = cpu_seconds() - cpu
    report = ran.home.answers["train"].report
    return {
        "seconds": ran.seconds,
        "cpu": cpu,
        "start": ran.started - began,
        "digests": {str(key): one.record.digest for key, one in report.outcomes.items()},
        "workers": ran.home.platform.engine(_allowed(ran.home)).workers,
    }


def _allowed(home: Any) -> int:  # noqa: ANN401 a Home
    return int(home.config().policy.maximum_parallel_training)


def bare(home: str, keys: list[str], processes: int) -> dict[str, Any]:
    """Fit circuits in a pool of processes."""
    began, cpu = time.perf_counter(), cpu_seconds()
    jobs = _jobs(Path(home), keys)
    # As worker processes of ours have it: one thread each.
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    from mlops_assets.forecasters import training

    with multiprocessing.get_context("spawn").Pool(processes, training.warm_up) as pool:
        found = dict(pool.imap_unordered(_fitted, jobs, chunksize=1))
        pool.close()
        pool.join()
    return {
        "seconds": time.perf_counter() - began,
        "cpu": cpu_seconds() - cpu,
        "digests": found,
    }


def _fitted(job: Any) -> tuple[str, str]:  # noqa: ANN401 a FitJob
    from mlops_assets.domain.identifiers import digest_of_files
    from mlops_assets.forecasters.training import fit

    return str(job.circuit), digest_of_files(dict(fit(job).files))


def _jobs(home: Path, keys: list[str]) -> list[Any]:
    """Read the circuits' rows up to the cutoff and put them on their grids."""
    import polars as pl

    from mlops_assets.domain.circuit import Spec
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.model import FitJob
    from mlops_assets.domain.readings import to_series

    cutoff = fleet.END.date() - timedelta(days=8)
    end = datetime.combine(cutoff, datetime.min.time(), UTC) + timedelta(days=1)
    wanted = [CircuitKey.parse(key) for key in keys]
    rows = (
        pl.scan_delta(str(home / "lake" / "readings"))
        .filter(pl.col("timestamp") < end)
        .collect()
        .sort("plant_id", "circuit_id", "timestamp")
        .partition_by("plant_id", "circuit_id", as_dict=True)
    )
    spec = Spec(cutoff_date=cutoff, effort=EFFORT)
    return [
        FitJob(
            circuit=key,
            spec=spec,
            series=to_series(
                rows[key.plant_id, key.circuit_id], step=spec.step, end=end, features=()
            ),
        )
        for key in wanted
    ]


def measure(*, quick: bool) -> list[Figure]:
    """Train part by part, the sides in turn."""
    circuits, parts = (8, 2) if quick else (CIRCUITS, PARTS)
    keys = fleet.keys(circuits)
    with tempfile.TemporaryDirectory(prefix="training-") as name:
        home = str(Path(name) / "home")
        measured("benchmarks.training:build", home, circuits)
        ours: list[dict[str, Any]] = []
        theirs: list[dict[str, Any]] = []
        for number in range(parts):
            some = keys[number::parts]
            sides = ["train", "bare"] if number % 2 == 0 else ["bare", "train"]
            for side in sides:
                if side == "train":
                    ours.append(measured("benchmarks.training:train", home, some).answer)
                else:
                    processes = ours[0]["workers"]
                    theirs.append(
                        measured("benchmarks.training:bare", home, some, processes).answer
                    )
    differ = [
        key
        for one, other in zip(ours, theirs, strict=True)
        for key in other["digests"]
        if one["digests"].get(key) != other["digests"][key]
    ]
    assert not differ, f"{len(differ)} models differ, such as {differ[0]}"
    return [
        Figure(
            name=f"training_{circuits}",
            figure=round(_sum(ours, "seconds") / _sum(theirs, "seconds"), 3),
            limit=LIMIT,
            unit="x",
            details={
                "cpu_ratio": round(_sum(ours, "cpu") / _sum(theirs, "cpu"), 3),
                "seconds": _sum(ours, "seconds"),
                "cpu": _sum(ours, "cpu"),
                "bare_seconds": _sum(theirs, "seconds"),
                "bare_cpu": _sum(theirs, "cpu"),
                "dagster_start_seconds": round(_sum(ours, "start") / len(ours), 2),
                "processes": ours[0]["workers"],
                "parts": parts,
                "load_average": os.getloadavg()[0],
            },
        )
    ]


def _sum(parts: list[dict[str, Any]], name: str) -> float:
    return round(sum(float(part[name]) for part in parts), 2)
