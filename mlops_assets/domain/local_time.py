"""Wall-clock stamps become moments: the hour that autumn repeats, and the one that spring skips.

A stamp in the skipped hour is no moment. A stamp in the repeated hour is two, and only the rows
around it tell which: a meter's rows run forward, or backward where the newest is first, so the
one place where the hour starts again parts its first pass from its second. A file with one pass
alone belongs to the side on which its rows go on without a gap. Where neither is so, the stamp is
no moment: a guess would put a reading into the wrong hour.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import polars as pl

# The longest interval of readings: a neighbour farther away proves nothing.
_NEAR = timedelta(hours=1)
_CIRCUIT = ["plant_id", "circuit_id"]
_FIRST, _SECOND, _UNKNOWN = 1, 2, 3


def to_utc(rows: pl.DataFrame, zone: str, *, ordered: bool = True) -> pl.Series:
    """Return the moment of each row, null where there is none or where it could be two.

    ``rows`` has plant_id, circuit_id and ``wall`` (Datetime without zone), in the file's order;
    ``ordered`` is false where that order says nothing about time.
    """
    import polars as pl

    wall = pl.col("wall").dt
    both = rows.select(
        *_CIRCUIT,
        "wall",
        early=wall.replace_time_zone(zone, ambiguous="earliest", non_existent="null"),
        late=wall.replace_time_zone(zone, ambiguous="latest", non_existent="null"),
    ).with_row_index("row")
    twice = pl.col("early") != pl.col("late")
    unclear = both.filter(twice)
    moment = pl.col("early")
    if not unclear.is_empty():
        found = _passes(both.with_columns(twice.fill_null(value=False).alias("twice")), ordered)
        both = both.join(found, on="row", how="left", maintain_order="left")
        moment = (
            pl.when(pl.col("pass") == _SECOND)
            .then(pl.col("late"))
            .when(pl.col("pass") == _UNKNOWN)
            .then(None)
            .otherwise(pl.col("early"))
        )
    return both.select(moment.dt.convert_time_zone("UTC").alias("timestamp"))["timestamp"]


def _passes(both: pl.DataFrame, ordered: bool) -> pl.DataFrame:  # noqa: FBT001 private
    """Return row and pass of every row that lies in a repeated hour."""
    import polars as pl

    step = pl.col("wall").diff().over(_CIRCUIT)
    both = both.with_columns(
        backward=((step < timedelta()).sum().over(_CIRCUIT))
        > ((step > timedelta()).sum().over(_CIRCUIT))
    )
    spans = (
        both.filter("twice")
        .group_by(*_CIRCUIT, pl.col("wall").dt.date().alias("day"))
        .agg(pl.col("wall").min().alias("first"), pl.col("wall").max().alias("last"))
    )
    near = (
        both.join(spans, on=_CIRCUIT, nulls_equal=True)
        .filter(pl.col("wall").is_between(pl.col("first") - _NEAR, pl.col("last") + _NEAR))
        .sort("row")
    )
    rows: list[int] = []
    passes: list[int] = []
    for _, part in near.group_by(*_CIRCUIT, "day", maintain_order=True):
        in_time = part.reverse() if part["backward"][0] else part
        numbers = in_time.filter("twice")["row"].to_list()
        rows += numbers
        passes += _judged(in_time["wall"].to_list(), in_time["twice"].to_list(), ordered)
    return pl.DataFrame(
        {"row": rows, "pass": passes}, schema={"row": both.schema["row"], "pass": pl.Int8}
    )


def _judged(walls: Sequence[datetime], twice: Sequence[bool], ordered: bool) -> list[int]:  # noqa: FBT001 private
    """Return the pass of each row of one circuit's repeated hour, its rows given in time."""
    inside = [wall for wall, unclear in zip(walls, twice, strict=True) if unclear]
    restarts = [
        place for place, (before, after) in enumerate(pairwise(inside), 1) if after <= before
    ]
    if restarts:
        if len(restarts) > 1 or not ordered:
            return [_UNKNOWN] * len(inside)
        return [_FIRST if place < restarts[0] else _SECOND for place in range(len(inside))]
    outside = [wall for wall, unclear in zip(walls, twice, strict=True) if not unclear]
    comes_from = any(wall < inside[0] for wall in outside)
    goes_on = any(wall > inside[-1] for wall in outside)
    if comes_from == goes_on:
        return [_UNKNOWN] * len(inside)
    return [_FIRST if comes_from else _SECOND] * len(inside)
