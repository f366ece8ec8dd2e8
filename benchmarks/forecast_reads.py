"""Bytes that a daily batch reads with a short and with a long history behind it.

200 circuits are forecast by small models from local tables, in a process of its own for each
history, on files that were dropped from the page cache. What the disk delivered (``read_bytes``)
and what was read by call (``rchar``) is what the system counted for that process during the batch;
the figure is the ratio of their sums.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

from benchmarks.figure import Figure

LIMIT = 1.05
CIRCUITS = 200
DAYS, MANY_DAYS = 60, 300


def _counted() -> dict[str, int]:
    lines = Path("/proc/self/io").read_text().splitlines()
    return {name: int(value) for name, value in (line.split(": ") for line in lines)}


def forget(folder: Path) -> None:
    """Drop every file below a folder from the page cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def build(folder: Path, circuits: int, days: int) -> None:
    """Make a history, the newest two days as slices, tidied as the daily job does it."""
    from benchmarks.slices import Home

    Home(folder, circuits, days)


def batch(folder: Path, circuits: int) -> None:
    """Forecast the day after the history, and say what that read."""
    from dataclasses import replace

    from benchmarks.slices import END, keys
    from mlops_assets.adapters.local.forecast import LocalPredictionsTable
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets_tests.fakes.deployment import an_entry
    from mlops_assets_tests.fakes.serving import Production
    from mlops_assets_tests.faults.driver import lake_of

    production = Production()
    local = lake_of(folder)
    table = LocalPredictionsTable(folder / "lake" / "predictions")
    production.lake = replace(production.lake, readings=local.readings, predictions=table)
    entries = []
    for key in map(CircuitKey.parse, keys(circuits)):
        digest = production.shelf.add(key, 1, cutoff=(END - timedelta(days=7)).date())
        cutoff = (END - timedelta(days=7)).date().isoformat()
        made = an_entry(key, version=1, digest=digest)
        entries.append(replace(made, serving=replace(made.serving, cutoff_date=cutoff)))
    production.release(*entries)
    forget(folder)
    before = _counted()
    report = production.predict(day=END.date(), now=END + timedelta(hours=1))
    after = _counted()
    assert report.rows == circuits * 24, report
    print(json.dumps({name: after[name] - before[name] for name in ("rchar", "read_bytes")}))


def measure(*, quick: bool) -> list[Figure]:
    """Build both histories, and forecast each in a process of its own."""
    circuits, many = (100, 150) if quick else (CIRCUITS, MANY_DAYS)
    found = {}
    with tempfile.TemporaryDirectory(prefix="forecast-reads-") as name:
        for days in (DAYS, many):
            folder = Path(name) / str(days)
            _python(f"build(Path({str(folder)!r}), {circuits}, {days})")
            found[days] = json.loads(_python(f"batch(Path({str(folder)!r}), {circuits})"))
    if not all(read["read_bytes"] for read in found.values()):
        raise RuntimeError("files in memory are not read: set TMPDIR to a disk")
    sums = {days: sum(read.values()) for days, read in found.items()}
    return [
        Figure(
            name="forecast_bytes_read",
            figure=round(sums[many] / sums[DAYS], 3),
            limit=LIMIT,
            unit="x",
            details={f"{days}_days": read for days, read in found.items()},
        )
    ]


def _python(call: str) -> str:
    script = f"from pathlib import Path; from benchmarks.forecast_reads import *; {call}"
    run = subprocess.run(
        [sys.executable, "-c", script], check=True, stdout=subprocess.PIPE, text=True
    )
    return run.stdout
