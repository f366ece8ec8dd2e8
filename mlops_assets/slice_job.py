"""One slice as a job of its own, which knows nothing but its arguments: what Synapse is handed.

``python -m mlops_assets.slice_job --raw URI --readings URI --quarantine URI --slice URI --outcome
URI``; ``--master`` names a cluster, else the session is the one that Spark was submitted with.
What ``--slice`` names is `order_bytes`: which files, under which config, when, and what of them is
read again. The job settles the slice, appends to the quarantine, merges, and writes what it did
(`Done`), or the line that says why it could not; whoever ordered it goes on with restatements and
journal. Every step may be repeated: a slice that was merged is told as it was. What ended it lies
beside the outcome, as ``OUTCOME.log``, with all its lines: the caller has one.

A URI is ``abfss://CONTAINER@ACCOUNT.dfs.SUFFIX/PATH``, ``file:///PATH``, or a path. ``--engine
polars`` does without Spark what fits into the memory of one machine.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import MlopsError
from mlops_assets.engines.slice_order import (
    Done,
    done_bytes,
    done_of,
    order_bytes,
    order_of,
    refused_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_assets.domain.slice import SliceOrder
    from mlops_assets.engines.spark.session import SparkSessions
    from mlops_assets.stores.slice import SliceLake

__all__ = ["Done", "done_of", "main", "order_bytes", "order_of", "run"]


def run(lake: SliceLake, order: SliceOrder) -> Done:
    """Settle and merge one slice of a lake."""
    import polars as pl

    from mlops_assets.flows.addition import known_again, rules_of
    from mlops_assets.flows.arrival import Before, entries_of, quarantine_entries

    rules = rules_of(order, Before(lake.readings, lake.quarantine), lake.landing)
    again = None if order.addition is None else known_again(lake.quarantine, order.addition)
    with lake.engine.arrive(rules, order.files, lambda _: None) as arrived:
        part, merged = arrived.part, None
        entries = quarantine_entries(part, arrived.facts)
        if again is not None:
            entries = entries_of([entries, again])
        # Before the merge: what it takes out of the table must lie somewhere.
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
    parser.add_argument("--engine", choices=("spark", "polars"), default="spark")
    parser.add_argument("--blob", default="", help="address of an emulated storage account")
    given = parser.parse_args(words)
    from mlops_assets.stores.slice import open_slice_file, open_slice_lake

    if given.engine == "spark" and sessions is None:
        from mlops_assets.engines.spark.session import SparkSessions

        sessions = SparkSessions(given.master)
    try:
        outcome = open_slice_file(given.outcome, given.blob)
        try:
            order = order_of(open_slice_file(given.slice, given.blob).read(), given.slice)
            lake = open_slice_lake(
                given.raw, given.readings, given.quarantine, sessions, blob=given.blob
            )
            outcome.write(done_bytes(run(lake, order)))
        except MlopsError as error:
            outcome.write(refused_bytes(str(error)))
            raise
    except MlopsError as error:
        _keep(given, error)
        sys.stderr.write(f"{error}\n")
        return 1
    except Exception as error:  # noqa: BLE001 whatever it was, people need its lines
        _keep(given, error)
        sys.stderr.write(f"{given.slice}: {type(error).__name__}; see {given.outcome}.log\n")
        return 1
    return 0


def _keep(given: argparse.Namespace, error: Exception) -> None:
    """Write how it ended beside the outcome, if that can be written at all."""
    from mlops_assets.stores.slice import open_slice_file

    lines = "".join(traceback.format_exception(error))
    with suppress(Exception):
        open_slice_file(f"{given.outcome}.log", given.blob).write(lines.encode())


if __name__ == "__main__":
    sys.exit(main())
