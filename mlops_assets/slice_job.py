"""One slice as a job of its own, which knows nothing but its arguments: what Synapse is handed.

``python -m mlops_assets.slice_job --raw URI --readings URI --quarantine URI --slice FILE --outcome
FILE``; ``--master`` names a cluster, else the session is the one that Spark was submitted with.
FILE of ``--slice`` is `order_bytes`: which files, under which config, when. The job settles the
slice, appends to the quarantine, merges, and writes what it did (`Done`); whoever ordered it goes
on with restatements and journal. Every step may be repeated: a slice that was merged is told as it
was.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import DataError, MlopsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from mlops_assets.domain.circuit import Config
    from mlops_assets.domain.readings import RawFile
    from mlops_assets.domain.slice import FileFact, Part
    from mlops_assets.engines.spark.session import SparkSessions
    from mlops_assets.ports import MergeResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a job is to do."""

    slice_id: str
    files: Sequence[RawFile]
    config: Config
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a job did; ``merged`` is None where nothing entered or left the table."""

    facts: Sequence[FileFact]
    part: Part
    merged: MergeResult | None


def order_bytes(order: Order) -> bytes:
    """Return an order as the job reads it."""
    from mlops_assets.engines.wire import encode

    names = ("slice_id", "files", "config", "now")
    return encode({name: getattr(order, name) for name in names})


def done_of(data: bytes) -> Done:
    """Return what a job wrote."""
    from mlops_assets.engines.wire import decode

    return Done(**decode(data))


def run(raw: str, readings: str, quarantine: str, order: Order, sessions: SparkSessions) -> Done:
    """Settle and merge one slice of the lake at these places."""
    import polars as pl

    from mlops_assets.flows.arrival import Arrival, Before, quarantine_entries
    from mlops_assets.stores import open_slice_lake

    lake = open_slice_lake(raw, readings, quarantine, sessions)
    rules = Arrival(
        config=order.config,
        before=Before(lake.readings, lake.quarantine),
        zone=lake.landing,
        now=order.now,
        slice_id=order.slice_id,
    )
    with lake.engine.arrive(rules, order.files, lambda _: None) as arrived:
        part, merged = arrived.part, None
        entries = quarantine_entries(part, arrived.facts)
        lake.quarantine.append(
            entries.with_columns(pl.lit(order.slice_id).alias("slice")), slice_id=order.slice_id
        )
        if part.entering or len(part.withdrawn):
            merged = arrived.merge(lake.readings, slice_id=order.slice_id)
        return Done(facts=tuple(arrived.facts), part=part, merged=merged)


def main(words: Sequence[str] | None = None, sessions: SparkSessions | None = None) -> int:
    """Do the job that the arguments say; 1 with one line where it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m mlops_assets.slice_job")
    for name in ("raw", "readings", "quarantine", "slice", "outcome"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--master", default="")
    given = parser.parse_args(words)
    from mlops_assets.engines.spark.session import SparkSessions
    from mlops_assets.engines.wire import decode, encode

    try:
        order = Order(**decode(_bytes(Path(given.slice))))
        done = run(
            given.raw,
            given.readings,
            given.quarantine,
            order,
            sessions or SparkSessions(given.master),
        )
        told = {"facts": done.facts, "part": done.part, "merged": done.merged}
        Path(given.outcome).write_bytes(encode(told))
    except (MlopsError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: no order of a slice: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(main())
