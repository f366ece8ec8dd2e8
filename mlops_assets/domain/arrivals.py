"""Arrivals: the rows of one slice, judged one by one, and the columns of the tables they go to.

Rows that cannot be used are quarantined with the first of `REASONS` that holds. Of several rows
for one key the last arrival wins, in the order of files and then of rows; a feature that a row
does not have keeps what the row before said.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import DataError
from mlops_assets.domain.readings import FIXED, KEY, feature_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import polars as pl

    from mlops_assets.domain.circuit import Circuit
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.raw_file import ParsedFile

# In the order in which they are asked; the first three come from reading the file.
REASONS = (
    "bad_row",
    "unknown_circuit",
    "bad_timestamp",
    "missing",
    "bad_value",
    "bad_unit",
    "infinite",
    "future",
    "off_grid",
    "out_of_range",
    "wrong_sign",
)
# What a person may say of a value all the same: it is one, of a known hour of a known circuit.
RELEASABLE = ("out_of_range", "wrong_sign")
# A meter's clock may run a little ahead of ours.
CLOCK_TOLERANCE = timedelta(hours=1)
QUARANTINE_COLUMNS = (
    "plant_id",
    "circuit_id",
    "timestamp",
    "value",
    "reason",
    "file",
    "row",
    "slice",
    "state",
    "number",
    "cells",
    "by",
    "note",
)
RESTATEMENT_COLUMNS = (
    *KEY,
    "column",
    "old_value",
    "new_value",
    "source",
    "delta_version",
    "slice",
)


@dataclass(frozen=True, slots=True)
class Judged:
    """Rows that may enter the table, and rows that may not with their reason."""

    accepted: pl.DataFrame
    quarantined: pl.DataFrame


@dataclass(frozen=True, slots=True)
class LastArrivals:
    """One row a key, and what became of the rows that later ones replaced."""

    rows: pl.DataFrame
    superseded: int
    repeated: int


def judge(
    rows: pl.DataFrame,
    circuits: Mapping[CircuitKey, Circuit],
    now: datetime,
    released: pl.DataFrame | None = None,
) -> Judged:
    """Split parsed rows into those that are readings, each by itself, and those that are not.

    ``rows`` has the columns of `raw_file.parse`, and ``file``. ``released`` names keys and values
    that a person took for readings: range and sign are not asked of them.
    """
    import polars as pl

    known = rows.join(_limits(circuits), on=["plant_id", "circuit_id"], how="left")
    by_hand = pl.lit(value=False)
    if released is not None and not released.is_empty():
        known = known.join(
            released.select(*KEY, "value", pl.lit(value=True).alias("_released")),
            on=[*KEY, "value"],
            how="left",
            maintain_order="left",
        )
        by_hand = pl.col("_released").fill_null(value=False)
    latest = now + CLOCK_TOLERANCE
    value, moment = pl.col("value"), pl.col("timestamp")
    rules = {
        "bad_row": pl.col("reason") == "bad_row",
        "unknown_circuit": pl.col("_step").is_null(),
        "bad_timestamp": moment.is_null()
        | ~moment.is_between(datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)),
        "missing": pl.col("reason") == "missing",
        "bad_value": value.is_null(),
        "bad_unit": pl.col("reason") == "bad_unit",
        "infinite": ~value.is_finite(),
        # Rows that are read again are judged by the clock of then (`addition.rows_again`).
        "future": (pl.col("reason") == "future") | (moment > latest),
        "off_grid": ~_on_grid(sorted({circuit.spec.timezone for circuit in circuits.values()})),
        "out_of_range": ~by_hand & ((value < pl.col("_minimum")) | (value > pl.col("_maximum"))),
        "wrong_sign": ~by_hand
        & pl.when(pl.col("_sign") == "positive")
        .then(value <= 0)
        .otherwise((value < 0) & (pl.col("_sign") != "any")),
    }
    reason = pl.coalesce(
        pl.when(rules[name].fill_null(value=False)).then(pl.lit(name)) for name in REASONS
    )
    known = known.with_columns(reason=reason)
    accepted = known.filter(pl.col("reason").is_null())
    refused = known.filter(pl.col("reason").is_not_null())
    written = pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    quarantined = refused.select(
        "plant_id",
        "circuit_id",
        pl.coalesce(written, "timestamp_text").alias("timestamp"),
        pl.coalesce("value_text", pl.col("value").cast(pl.String)).alias("value"),
        "reason",
        "file",
        "row",
    )
    hidden = [name for name in accepted.columns if name.startswith("_")]
    return Judged(accepted.drop("timestamp_text", "value_text", "reason", *hidden), quarantined)


def together(parsed: Mapping[str, ParsedFile], features: Sequence[str]) -> pl.DataFrame:
    """Return all rows of a slice's files in the order of their arrival."""
    import polars as pl

    schema: dict[str, pl.DataType] = {
        "row": pl.Int64(),
        "plant_id": pl.String(),
        "circuit_id": pl.String(),
        "timestamp": pl.Datetime("us", "UTC"),
        "value": pl.Float64(),
        "reason": pl.String(),
        "timestamp_text": pl.String(),
        "value_text": pl.String(),
        "file": pl.String(),
    }
    present = {name for file in parsed.values() for name in file.rows.columns}
    schema |= {name: pl.Float64() for name in features if name in present}
    parts = [file.rows.with_columns(pl.lit(name).alias("file")) for name, file in parsed.items()]
    return pl.concat([pl.DataFrame(schema=schema), *parts], how="diagonal")


def refusals(refused: Mapping[str, str]) -> pl.DataFrame:
    """Return one quarantined row for each file that could not be used at all."""
    import polars as pl

    schema = {name: log_schema("quarantine")[name] for name in QUARANTINE_COLUMNS[:7]}
    rows = [{"reason": reason, "file": name} for name, reason in refused.items()]
    return pl.DataFrame(rows, schema=schema)


def last_arrivals(rows: pl.DataFrame) -> LastArrivals:
    """Keep the last arrival of each key, and count the others.

    A row that says what the row before it said is repeated, any other is superseded.
    """
    import polars as pl

    keys = list(KEY)
    repeated_keys = rows.group_by(keys).len().filter(pl.col("len") > 1).select(keys)
    if repeated_keys.is_empty():
        return LastArrivals(rows, 0, 0)
    cells = ["value", *feature_columns([name for name in rows.columns if name not in _ORIGIN])]
    several = (
        rows.with_row_index("_arrival")
        .join(repeated_keys, on=keys, how="semi")
        .sort([*keys, "_arrival"])
        .with_columns(pl.col(cells).forward_fill().over(keys))
    )
    first = pl.col("_arrival") == pl.col("_arrival").min().over(keys)
    differs = pl.any_horizontal(
        pl.col(name).ne_missing(pl.col(name).shift(1).over(keys)) for name in cells
    )
    counts = several.select(
        superseded=(~first & differs).sum(), repeated=(~first & ~differs).sum()
    ).row(0)
    last = several.unique(keys, keep="last", maintain_order=True).drop("_arrival")
    single = rows.join(repeated_keys, on=keys, how="anti")
    return LastArrivals(pl.concat([single, last], how="vertical"), *counts)


def check_rows(rows: pl.DataFrame, features: Iterable[str]) -> None:
    """Refuse rows that would break the table: schema, empty keys, keys that come twice.

    Raises:
        DataError: naming the column and what it must be.
    """
    import polars as pl

    wanted = {**fixed_schema(), **dict.fromkeys(features, pl.Float64())}
    for name, kind in wanted.items():
        if name not in rows.columns:
            raise DataError(f"readings: column {name} is missing; it must be {kind}")
        if rows.schema[name] != kind:
            raise DataError(f"readings: column {name} is {rows.schema[name]}, it must be {kind}")
    if extra := [name for name in rows.columns if name not in wanted]:
        raise DataError(f"readings: column {extra[0]} is in no schema; name it as a feature")
    for name in (*KEY, "date", "value"):
        if rows[name].null_count():
            raise DataError(f"readings: column {name} is empty in {rows[name].null_count()} rows")
    if rows.select(KEY).is_duplicated().any():
        raise DataError(f"readings: the key {', '.join(KEY)} comes twice in one slice")


def fixed_schema() -> dict[str, pl.DataType]:
    """Return the type of each column that every readings table has."""
    import polars as pl

    types: tuple[pl.DataType, ...] = (
        pl.String(),
        pl.String(),
        pl.Datetime("us", "UTC"),
        pl.Date(),
        pl.Float64(),
        pl.String(),
        pl.Datetime("us", "UTC"),
    )
    return dict(zip(FIXED, types, strict=True))


def log_schema(kind: str) -> dict[str, pl.DataType]:
    """Return the columns of the quarantine or of the restatements."""
    import polars as pl

    text, number, count = pl.String(), pl.Float64(), pl.Int64()
    types: dict[str, pl.DataType] = {}
    if kind == "quarantine":
        types |= dict.fromkeys(QUARANTINE_COLUMNS, text)
        types |= {"row": count, "number": count}
    else:
        types |= dict.fromkeys(RESTATEMENT_COLUMNS, text)
        types |= {"timestamp": pl.Datetime("us", "UTC"), "delta_version": count}
        types |= {"old_value": number, "new_value": number}
    return types


_ORIGIN = ("file", "row")


def _limits(circuits: Mapping[CircuitKey, Circuit]) -> pl.DataFrame:
    import polars as pl

    ordered = sorted(circuits.items())
    return pl.DataFrame(
        {
            "plant_id": [key.plant_id for key, _ in ordered],
            "circuit_id": [key.circuit_id for key, _ in ordered],
            "_step": [circuit.spec.step // timedelta(microseconds=1) for _, circuit in ordered],
            "_zone": [circuit.spec.timezone for _, circuit in ordered],
            "_minimum": [circuit.spec.limits.minimum for _, circuit in ordered],
            "_maximum": [circuit.spec.limits.maximum for _, circuit in ordered],
            "_sign": [circuit.spec.limits.sign for _, circuit in ordered],
        },
        schema={
            "plant_id": pl.String,
            "circuit_id": pl.String,
            "_step": pl.Int64,
            "_zone": pl.String,
            "_minimum": pl.Float64,
            "_maximum": pl.Float64,
            "_sign": pl.String,
        },
    )


def _on_grid(zones: Iterable[str]) -> pl.Expr:
    """Whole steps since local midnight, because days begin there."""
    import polars as pl

    wall = pl.coalesce(
        pl.lit(None, dtype=pl.Int64),
        *(
            pl.when(pl.col("_zone") == zone).then(
                pl.col("timestamp")
                .dt.convert_time_zone(zone)
                .dt.replace_time_zone(None)
                .dt.epoch("us")
            )
            for zone in zones
        ),
    )
    return wall % pl.col("_step") == 0
