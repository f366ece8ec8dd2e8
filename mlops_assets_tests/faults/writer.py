"""One of several writers at once: ``python writer.py TABLE NUMBER MERGES SEED``.

Each merge adds one row of its own and sets its own feature in one row that all share, all within
the same two days.
"""

from __future__ import annotations

import json
import random
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from mlops_assets.adapters.local.delta import DeltaFolder
from mlops_assets.adapters.local.readings import LocalReadingsTable
from mlops_assets_tests.fakes.readings import readings

START = datetime(2024, 6, 1, tzinfo=UTC)


def main() -> None:
    """Merge, and tell how often another writer was faster."""
    path, number, merges, seed = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        time.sleep(seconds)

    jitter = random.Random(seed + number)
    table = LocalReadingsTable(path, folder=DeltaFolder(path, jitter=jitter, pause=pause))
    for turn in range(merges):
        moment = START + timedelta(hours=turn % 48)
        own = readings([float(turn)], key=f"P1/W{number}x{turn}", start=moment)
        shared = readings([1.0], key="P1/SHARED", start=START + timedelta(hours=turn))
        shared = shared.with_columns(pl.lit(float(turn)).alias(f"w{number}"))
        own = own.with_columns(pl.lit(None, dtype=pl.Float64).alias(f"w{number}"))
        table.merge(pl.concat([own, shared]), slice_id=f"{number}-{turn}")
    print(json.dumps({"retries": len(pauses)}))


if __name__ == "__main__":
    main()
