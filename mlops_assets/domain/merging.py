"""Merging: what arrived rows do to the rows of the table, and which of that is a restatement.

One row a key; a feature that an arrived row does not have keeps what the row before said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.domain.readings import KEY, feature_columns

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import polars as pl

    from mlops_assets.domain.identifiers import CircuitKey


@dataclass(frozen=True, slots=True)
class Merged:
    """The table's rows after an arrival. ``changed`` has one row a changed cell.

    The value of a withdrawn row changed to none.
    """

    rows: pl.DataFrame
    inserted: int
    updated: int
    unchanged: int
    changed: pl.DataFrame
    withdrawn: int = 0


def merge(
    before: pl.DataFrame, arrived: pl.DataFrame, withdrawn: pl.DataFrame | None = None
) -> Merged:
    """Put arrived rows, one a key, over the rows that were there; both have the same columns.

    ``withdrawn`` names keys whose rows are taken away; none of them may be an arrived one.
    """
    import polars as pl

    keys = list(KEY)
    cells = ["value", *feature_columns(before.columns)]
    taken = before.clear()
    if withdrawn is not None:
        taken = before.join(withdrawn.select(keys), on=keys, how="semi")
        before = before.join(withdrawn.select(keys), on=keys, how="anti")
    joined = arrived.join(
        before.select(*keys, *cells, pl.lit(value=True).alias("_was")),
        on=keys,
        how="left",
        suffix="_old",
    ).with_columns(pl.coalesce(name, f"{name}_old").alias(name) for name in cells)
    is_new = pl.col("_was").is_null()
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_old")) for name in cells)
    new = joined.filter(is_new)
    updated = joined.filter(~is_new & differs)
    written = pl.concat([new, updated]).select(before.columns)
    rows = pl.concat([before.join(updated, on=keys, how="anti"), written])
    return Merged(
        rows=rows,
        inserted=len(new),
        updated=len(updated),
        unchanged=len(arrived) - len(new) - len(updated),
        changed=_changed_cells(updated, taken, cells),
        withdrawn=len(taken),
    )


def restatements(
    changed: pl.DataFrame, trained_until: Mapping[CircuitKey, datetime]
) -> pl.DataFrame:
    """Return the changed cells that some training set already holds.

    ``trained_until`` is the end, exclusive, of what each circuit's training data cover. A cell that
    was empty before is none: nothing learned from it.
    """
    import polars as pl

    ends = pl.DataFrame(
        {
            "plant_id": [key.plant_id for key in trained_until],
            "circuit_id": [key.circuit_id for key in trained_until],
            "_end": list(trained_until.values()),
        },
        schema={
            "plant_id": pl.String,
            "circuit_id": pl.String,
            "_end": pl.Datetime("us", "UTC"),
        },
    )
    return (
        changed.join(ends, on=["plant_id", "circuit_id"])
        .filter(pl.col("timestamp") < pl.col("_end"), pl.col("old_value").is_not_null())
        .drop("_end")
        .sort([*KEY, "column"])
    )


def counted(log: pl.DataFrame) -> pl.DataFrame:
    """Count the restated rows of each circuit, and the newest version that changed one.

    A slice restates a row once, and a row has one time: counts of days add up to those of all.
    """
    import polars as pl

    return (
        log.unique([*KEY, "slice"])
        .group_by("plant_id", "circuit_id")
        .agg(
            pl.len().cast(pl.Int64).alias("rows"),
            pl.col("delta_version").max().alias("version"),
        )
    )


def _changed_cells(updated: pl.DataFrame, taken: pl.DataFrame, cells: list[str]) -> pl.DataFrame:
    import polars as pl

    parts = [
        updated.filter(pl.col(name).ne_missing(pl.col(f"{name}_old"))).select(
            *KEY,
            pl.lit(name).alias("column"),
            pl.col(f"{name}_old").alias("old_value"),
            pl.col(name).alias("new_value"),
            "source",
        )
        for name in cells
    ]
    parts.append(
        taken.select(
            *KEY,
            pl.lit("value").alias("column"),
            pl.col("value").alias("old_value"),
            pl.lit(None, dtype=pl.Float64).alias("new_value"),
            "source",
        )
    )
    return pl.concat(parts).sort([*KEY, "column"])
