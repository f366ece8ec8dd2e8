"""Importing `mlops_assets.definitions` over importing `dagster`: medians of warm processes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from benchmarks.figure import Figure

PROCESSES = 5
LIMIT_SECONDS = 0.3


def _seconds(module: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
    return time.perf_counter() - started


def measure(*, quick: bool) -> list[Figure]:
    """Alternate both imports, so that a busy machine slows them alike."""
    rounds = 3 if quick else PROCESSES
    for module in ("dagster", "mlops_assets.definitions"):
        _seconds(module)
    pairs = [(_seconds("dagster"), _seconds("mlops_assets.definitions")) for _ in range(rounds)]
    bare = statistics.median(pair[0] for pair in pairs)
    ours = statistics.median(pair[1] for pair in pairs)
    return [
        Figure(
            name="import_time",
            figure=round(ours - bare, 3),
            limit=LIMIT_SECONDS,
            unit="s",
            details={"dagster": round(bare, 3), "definitions": round(ours, 3), "rounds": rounds},
        )
    ]
