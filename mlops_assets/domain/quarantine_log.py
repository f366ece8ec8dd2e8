"""The quarantine's log: what it holds now, what people said, and how its rows are written.

Times and values stand in it as text, because a row is refused for having none as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.domain.arrivals import QUARANTINE_COLUMNS, log_schema
from mlops_assets.domain.identifiers import digest_of
from mlops_assets.domain.readings import KEY

if TYPE_CHECKING:
    import polars as pl

STAMP = "%Y-%m-%dT%H:%M:%SZ"
# The reason of rows whose circuit the catalogue does not name, and the state that takes them back.
UNKNOWN = "unknown_circuit"
KNOWN = "known"


def standing(log: pl.DataFrame) -> pl.DataFrame:
    """Return what is in quarantine now: refused rows that nobody released, and held hours."""
    import polars as pl

    known = parsed(log)
    said = decisions(known).filter(pl.col("_released")).select(*KEY, "value")
    refused = _unless_known(log.filter(pl.col("state").fill_null("refused") == "refused"), log)
    free = parsed(refused).join(said, on=[*KEY, "value"], how="semi")
    held = newest(known).filter(pl.col("state") == "held")
    names = [name for name in QUARANTINE_COLUMNS if name in log.columns]
    kept = refused.join(
        free.select("file", "row", "slice"), on=["file", "row", "slice"], how="anti"
    )
    return pl.concat([kept.select(names), _written(held).select(names)]).sort(
        "plant_id", "circuit_id", "timestamp", "file", "row", nulls_last=True
    )


def counted(log: pl.DataFrame) -> pl.DataFrame:
    """Count what is in quarantine by circuit and reason, and until when a meter is stuck.

    Hours and rows are counted where their time stands, so counts of days add up to those of all.
    """
    import polars as pl

    names = ["plant_id", "circuit_id", "reason"]
    again = log.filter(pl.col("state") == KNOWN)
    held = standing(log.filter(pl.col("state").fill_null("refused") != KNOWN))
    hours = pl.col("timestamp").str.to_datetime(STAMP, time_unit="us", strict=False)
    return pl.concat(
        [
            held.group_by(names).agg(
                pl.len().cast(pl.Int64).alias("rows"),
                pl.when(pl.col("reason").first() == "stuck")
                .then(hours.max().dt.replace_time_zone("UTC"))
                .alias("stuck_until"),
            ),
            again.group_by(names).agg(
                -pl.len().cast(pl.Int64).alias("rows"),
                pl.lit(None, dtype=pl.Datetime("us", "UTC")).alias("stuck_until"),
            ),
        ]
    )


def still_unknown(log: pl.DataFrame) -> pl.DataFrame:
    """Return rows that were refused because nobody knew their circuit, and not read again since."""
    import polars as pl

    return _unless_known(log.filter(pl.col("reason") == UNKNOWN, pl.col("state") == "refused"), log)


def _unless_known(refused: pl.DataFrame, log: pl.DataFrame) -> pl.DataFrame:
    """Return refused rows without those that were read again: ``note`` names their slice."""
    import polars as pl

    place = ["file", "row", "slice", "reason"]
    again = log.filter(pl.col("state") == KNOWN).select(
        "file", "row", pl.col("note").alias("slice"), "reason"
    )
    return refused.join(again, on=place, how="anti", maintain_order="left")


def released(log: pl.DataFrame) -> pl.DataFrame:
    """Return the keys and values that people took for readings."""
    import polars as pl

    return decisions(parsed(log)).filter(pl.col("_released")).select(*KEY, "value")


def with_ids(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows of the log each with an id, which people name it by."""
    import polars as pl

    named = rows.select("plant_id", "circuit_id", "timestamp", "value", "reason", "file", "row")
    ids = [f"q-{digest_of(list(row))[:10]}" for row in named.iter_rows()]
    return rows.with_columns(pl.Series("id", ids, dtype=pl.String))


def parsed(log: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that have a time and a value, with both as such."""
    import polars as pl

    return log.with_columns(
        pl.col("timestamp")
        .str.to_datetime(STAMP, time_unit="us", strict=False)
        .dt.replace_time_zone("UTC"),
        pl.col("value").cast(pl.Float64, strict=False),
    ).filter(pl.col("timestamp").is_not_null() & pl.col("value").is_not_null())


def newest(known: pl.DataFrame) -> pl.DataFrame:
    """Return the newest word of the contract on each hour."""
    import polars as pl

    states = known.filter(pl.col("state").is_in(["held", "cleared"])).sort("number")
    return states.unique(list(KEY), keep="last", maintain_order=True)


def decisions(known: pl.DataFrame) -> pl.DataFrame:
    """Return the newest word of people on each value."""
    import polars as pl

    states = known.filter(pl.col("state").is_in(["released", "withheld"])).sort("number")
    last = states.unique([*KEY, "value"], keep="last", maintain_order=True)
    return last.with_columns((pl.col("state") == "released").alias("_released"))


def numbers(known: pl.DataFrame) -> pl.DataFrame:
    """Return how much was told of each hour, as ``_number``."""
    import polars as pl

    return known.group_by(list(KEY)).agg(pl.col("number").max().alias("_number"))


def filled(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows as the log holds them, without their slice."""
    import polars as pl

    schema = {name: kind for name, kind in log_schema("quarantine").items() if name != "slice"}
    return _written(rows).select(
        (pl.col(name) if name in rows.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in schema.items()
    )


def _written(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows with time and value as the log writes them."""
    import polars as pl

    return rows.with_columns(
        pl.col("timestamp").dt.strftime(STAMP), pl.col("value").cast(pl.String)
    )
