"""The real circuits trained, proved and forecast: minutes that people wait for.

A home is made of the real readings for each effort. Trained is by `mlops train`'s own job, up to
the registered model, in a process of its own: what is told is the whole process, from its start to
its end, with training data, fit, backtest, model and events. Evidence (an executed notebook each)
is the same job's next part in a process of its own. Then one release of all that the gates let
through goes live and `mlops predict` forecasts the day after the last reading, its start included.
Wall time is held to the limit; CPU time of the process and its workers stands beside it, because
other work on the machine stretches only the first.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import fleet
from benchmarks.figure import Figure
from benchmarks.process import cpu_seconds, measured
from benchmarks.real_readings import READINGS

LIMITS = {"fast": 60.0, "balanced": 300.0}
LIMIT_EVIDENCE, LIMIT_FORECAST = 300.0, 10.0
ROUNDS = 3
# Circuits of the real readings that never report.
DEAD = 1


def build(home: str, effort: str, circuits: int | None) -> int:
    """Make a home of the real readings, ingested; returns its circuits."""
    from mlops_assets.resources.home import initialise_demo

    settings = fleet.settings_of(Path(home))
    initialise_demo(settings, readings=READINGS, effort=effort, circuits=circuits)  # type: ignore[arg-type]
    ran = fleet.run(settings, "etl", "readings")
    return len(ran.home.config().circuits)


def _keys(home: Path) -> list[str]:
    from mlops_assets.flows.plan import config_at
    from mlops_assets.resources import open_platform

    return [str(key) for key in config_at(open_platform(fleet.settings_of(home))).circuits]


def train(home: str) -> dict[str, Any]:
    """Train every circuit up to its registered model."""
    keys = _keys(Path(home))
    ran = fleet.run(fleet.settings_of(Path(home)), "training", "train", keys, only=fleet.TRAINED)
    done = ran.home.answers["train"]
    return {
        "trained": sum(one.status == "trained" for one in done.report.outcomes.values()),
        "failed": {str(key): reason for key, reason in done.failed.items()},
        "step_seconds": round(ran.seconds, 2),
    }


def prove(home: str) -> dict[str, Any]:
    """Make the evidence of every model, and one release of it."""
    keys = _keys(Path(home))
    only = ("evidence", "release_candidate")
    ran = fleet.run(fleet.settings_of(Path(home)), "training", "train", keys, only=only)
    done = ran.home.answers["train"]
    return {"failed": len(done.failed), "release": done.release}


def deploy(home: str) -> dict[str, Any]:
    """Take the release live, without the circuits that a gate refuses."""
    from mlops_assets.cli.demo import Demo
    from mlops_assets.cli.session import Session
    from mlops_assets.flows.deployment import live_deployments

    demo = Demo(Session(home=Path(home), config=None, json=True))
    demo._release()  # noqa: SLF001 what `demo` does after training
    return {
        "live": len(live_deployments(demo.session.platform.prod)),
        "refused": len(demo.refused),
    }


def measure(*, quick: bool) -> list[Figure]:
    """Train by both efforts; evidence, release and forecast follow the first."""
    if not READINGS.exists():
        sys.stderr.write(f"training_time: {READINGS.name} is not beside the project: left out\n")
        return []
    figures = []
    with tempfile.TemporaryDirectory(prefix="training-time-") as name:
        for effort, limit in LIMITS.items():
            home = str(Path(name) / effort)
            count = measured(
                "benchmarks.training_time:build", home, effort, 8 if quick else None
            ).answer
            trained = measured("benchmarks.training_time:train", home)
            answer = trained.answer
            assert answer["trained"] + len(answer["failed"]) == count, answer
            assert answer["trained"] >= count - DEAD, answer
            figures.append(
                Figure(
                    name=f"training_time_{effort}_{count}",
                    figure=round(trained.seconds, 1),
                    limit=limit,
                    unit="s",
                    details={"cpu_seconds": round(trained.cpu, 1), **trained.answer, **_machine()},
                )
            )
        figures += _served(str(Path(name) / "fast"))
    return figures


def _served(home: str) -> list[Figure]:
    proved = measured("benchmarks.training_time:prove", home)
    live = measured("benchmarks.training_time:deploy", home)
    runs = [_forecast(home, back) for back in range(ROUNDS, 0, -1)]
    # The first also lays the new release's models beside each other, and is held to no less.
    seconds, cpu = max(runs)
    return [
        Figure(
            name="training_time_evidence",
            figure=round(proved.seconds, 1),
            limit=LIMIT_EVIDENCE,
            unit="s",
            details={"cpu_seconds": round(proved.cpu, 1), **proved.answer, **_machine()},
        ),
        Figure(
            name="training_time_forecast",
            figure=round(seconds, 2),
            limit=LIMIT_FORECAST,
            unit="s",
            details={
                "cpu_seconds": round(cpu, 2),
                "rounds": [round(each, 2) for each, _ in runs],
                **live.answer,
                **_machine(),
            },
        ),
    ]


def _forecast(home: str, back: int) -> tuple[float, float]:
    """Run `mlops predict` for a day; returns wall and CPU seconds of the command."""
    import polars as pl

    last = pl.read_parquet(READINGS, columns=["timestamp"])["timestamp"].max().date()
    day = last.fromordinal(last.toordinal() + 2 - back)
    began, cpu = time.perf_counter(), cpu_seconds()
    subprocess.run(
        [
            *(sys.executable, "-m", "mlops_assets", "--home", home, "--json"),
            *("predict", "--date", day.isoformat()),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - began, cpu_seconds() - cpu


def _machine() -> dict[str, Any]:
    return {"cores": len(os.sched_getaffinity(0)), "load_average": round(os.getloadavg()[0], 1)}
