"""Contracts: a slice's rows judged by themselves and among their neighbours.

What decides lies within the reach of the contracts around the slice, in the table and in the log,
both as they were before the slice: a slice that is taken up again decides the same again. The log
learns first what a slice takes out of the table, so that a row is never in neither.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from mlops_assets.domain import arrivals, quarantine_log
from mlops_assets.domain import quarantine as rules
from mlops_assets.domain.arrivals import RELEASABLE, fixed_schema, log_schema
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.readings import KEY

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    import polars as pl

    from mlops_assets.domain.arrivals import Judged
    from mlops_assets.domain.circuit import Circuit, Config
    from mlops_assets.domain.quarantine import Settled
    from mlops_assets.ports import ReadingsTable, RowLog


class Known(Protocol):
    """What verdicts look at; the lake is one."""

    @property
    def readings(self) -> ReadingsTable: ...

    @property
    def quarantine(self) -> RowLog: ...


def judge(
    lake: Known, config: Config, rows: pl.DataFrame, *, now: datetime, slice_id: str
) -> Judged:
    """Judge rows each by itself; a value that a person released is not asked for range and sign."""
    import polars as pl

    judged = arrivals.judge(rows, config.circuits, now)
    refused = judged.quarantined.filter(pl.col("reason").is_in(RELEASABLE))
    if refused.is_empty():
        return judged
    stamps = refused["timestamp"].str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_zone="UTC")
    asked = refused.select("plant_id", "circuit_id", stamps)
    released = quarantine_log.released(log_around(lake, asked, config.circuits, slice_id))
    if released.is_empty():
        return judged
    return arrivals.judge(rows, config.circuits, now, released)


def settle(
    lake: Known,
    circuits: Mapping[CircuitKey, Circuit],
    arrived: pl.DataFrame,
    *,
    slice_id: str,
    asked: pl.DataFrame | None = None,
    told: pl.DataFrame | None = None,
) -> Settled:
    """Judge arrived rows, and further keys, among what lies around them.

    Circuits without a contract, and of which the log tells nothing, are not looked at. ``told`` is
    what the log is about to learn.
    """
    import polars as pl

    ids = ["plant_id", "circuit_id"]
    keys = arrived.select(KEY) if asked is None else pl.concat([arrived.select(KEY), asked])
    log = log_around(lake, keys, circuits, slice_id)
    if told is not None:
        log = pl.concat([log, told], how="diagonal")
    wanted = rules.contracted(circuits.values()) | _circuits(log)
    if asked is not None:
        wanted |= _circuits(asked)
    chosen = keys.join(frame(wanted & _circuits(keys)), on=ids, how="semi")
    inside = arrived.join(frame(_circuits(chosen)), on=ids, how="semi", maintain_order="left")
    near = _near(lake, chosen, circuits, slice_id)
    found = rules.settle(inside, near, log, circuits, asked)
    outside = arrived.join(frame(_circuits(chosen)), on=ids, how="anti", maintain_order="left")
    return replace(found, rows=pl.concat([outside, found.rows], how="diagonal"))


def log_around(
    lake: Known, keys: pl.DataFrame, circuits: Mapping[CircuitKey, Circuit], slice_id: str = ""
) -> pl.DataFrame:
    """What the quarantine told around the keys before this slice."""
    import polars as pl

    wanted = _circuits(keys)
    parts = [pl.DataFrame(schema=log_schema("quarantine"))]
    for start, end in rules.windows(keys, circuits):
        parts.append(lake.quarantine.read(wanted, start=start, end=end))
    return pl.concat(parts).filter(pl.col("slice") != slice_id)


def _near(
    lake: Known, keys: pl.DataFrame, circuits: Mapping[CircuitKey, Circuit], slice_id: str
) -> pl.DataFrame:
    """The readings around the keys before this slice."""
    import polars as pl

    empty = pl.DataFrame(schema=fixed_schema())
    version = lake.readings.merged(slice_id)
    if keys.is_empty() or not lake.readings.exists() or version == 0:
        return empty
    before = None if version is None else version - 1
    wanted = _circuits(keys)
    parts = [
        lake.readings.read(start=start, end=end, circuits=wanted, version=before)
        for start, end in rules.windows(keys, circuits)
    ]
    return pl.concat([empty, *parts], how="diagonal")


def before_slice(lake: Known, keys: pl.DataFrame, slice_id: str) -> pl.DataFrame:
    """The readings of keys before this slice."""
    import polars as pl

    empty = pl.DataFrame(schema=fixed_schema())
    version = lake.readings.merged(slice_id)
    if keys.is_empty() or not lake.readings.exists() or version == 0:
        return empty
    first, last = keys["timestamp"].min(), keys["timestamp"].max()
    rows = lake.readings.read(
        start=first,  # type: ignore[arg-type]  # a moment: the column is of moments
        end=last + timedelta(microseconds=1),  # type: ignore[operator,arg-type]
        circuits=_circuits(keys),
        version=None if version is None else version - 1,
    )
    return rows.join(keys, on=KEY, how="semi")


def _circuits(rows: pl.DataFrame) -> frozenset[CircuitKey]:
    names = rows.select("plant_id", "circuit_id").unique()
    return frozenset(CircuitKey(plant, circuit) for plant, circuit in names.iter_rows())


def frame(keys: Collection[CircuitKey]) -> pl.DataFrame:
    """Return circuits as rows to join with."""
    import polars as pl

    ordered = sorted(keys)
    return pl.DataFrame(
        {
            "plant_id": [key.plant_id for key in ordered],
            "circuit_id": [key.circuit_id for key in ordered],
        },
        schema={"plant_id": pl.String, "circuit_id": pl.String},
    )
