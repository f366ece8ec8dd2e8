"""Time stamps as plants write them: ISO 8601, or a date with the day or the month first.

``3/4/2024`` is either. A file proves its order with a number above 12; else dates with dots have
the day first; else the reading that lets the file cover fewer days is taken; else what is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import polars as pl

DateOrder = Literal["day", "month"]

# Not the shorthand for digits, which takes those of every script.
_TIME = (
    r"(?:[T ]+(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})"
    r"(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]{1,9}))?)?"
    r"(?:\s*(?P<half>[AaPp][Mm]))?)?\s*(?P<offset>Z|z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?$"
)
_ISO = r"^(?P<year>[0-9]{4})(?P<mark>[-/.])(?P<a>[0-9]{1,2})[-/.](?P<b>[0-9]{1,2})" + _TIME
_LOCAL = r"^(?P<a>[0-9]{1,2})(?P<mark>[-/.])(?P<b>[0-9]{1,2})[-/.](?P<year>[0-9]{4})" + _TIME
_MONTHS = 12


@dataclass(frozen=True, slots=True)
class Stamps:
    """The moments in UTC, null where there is none, and the order that the column proves.

    ``order`` is None where it was assumed, "iso" where none was needed. ``local`` is true where
    the stamp names no offset: its moment is then the wall clock's, as if that stood in UTC.
    """

    moments: pl.Series
    local: pl.Series
    order: DateOrder | Literal["iso"] | None


def parse_stamps(
    column: pl.Series, assumed: DateOrder, declared: DateOrder | None = None
) -> Stamps:
    """Read a column of text; ``declared`` holds against what the column seems to prove."""
    import polars as pl

    written = column.unique().drop_nulls()
    text = pl.DataFrame({"text": written}).with_columns(stamp=pl.col("text").str.strip_chars())
    iso = text.filter(pl.col("stamp").str.contains(r"^[0-9]{4}[-/.]"))
    local = text.filter(pl.col("stamp").str.contains(r"^[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{4}"))
    parts = local.select("text", pl.col("stamp").str.extract_groups(_LOCAL)).unnest("stamp")
    order = (declared or _order(parts)) if len(parts) else "iso"
    day, month = ("a", "b") if (order or assumed) == "day" else ("b", "a")
    groups = iso.select("text", pl.col("stamp").str.extract_groups(_ISO)).unnest("stamp")
    read = pl.concat(
        [
            groups.select("text", "offset", _moment("b", "a").alias("moment")),
            parts.select("text", "offset", _moment(day, month).alias("moment")),
        ]
    )
    moments = pl.DataFrame({"text": column}).join(
        read, on="text", how="left", maintain_order="left"
    )
    return Stamps(moments["moment"].alias(column.name), moments["offset"].is_null(), order)


def _order(parts: pl.DataFrame) -> DateOrder | None:
    import polars as pl

    first, second = pl.col("a").cast(pl.Int32), pl.col("b").cast(pl.Int32)
    day, month, dots = parts.select(
        (first > _MONTHS).sum().alias("day"),
        (second > _MONTHS).sum().alias("month"),
        (pl.col("mark") == ".").all().alias("dots"),
    ).row(0)
    if day != month:
        return "day" if day > month else "month"
    if day:
        return None
    if dots:
        return "day"
    spans = parts.select(
        _span(_moment("a", "b")).alias("day"), _span(_moment("b", "a")).alias("month")
    ).row(0)
    if None in spans or spans[0] == spans[1]:
        return None
    return "day" if spans[0] < spans[1] else "month"


def _span(moment: pl.Expr) -> pl.Expr:
    return moment.max() - moment.min()


def _moment(day: str, month: str) -> pl.Expr:
    import polars as pl

    hour = pl.col("hour").fill_null("0").cast(pl.Int32)
    half = pl.col("half").str.to_lowercase()
    hour = (
        pl.when(half.is_null())
        .then(hour)
        .when(~hour.is_between(1, _MONTHS))
        .then(None)
        .when(half == "pm")
        .then(hour % _MONTHS + _MONTHS)
        .otherwise(hour % _MONTHS)
    )
    written = pl.format(
        "{}-{}-{} {}:{}:{}",
        "year",
        pl.col(month).str.zfill(2),
        pl.col(day).str.zfill(2),
        hour.cast(pl.String).str.zfill(2),
        pl.col("minute").fill_null("00"),
        pl.col("second").fill_null("00"),
    )
    fraction = pl.col("fraction").fill_null("0").str.pad_end(9, "0").cast(pl.Int64) // 1000
    offset = pl.col("offset").str.replace(":", "", literal=True)
    sign = pl.when(offset.str.starts_with("-")).then(-1).otherwise(1)
    ahead = sign * (
        offset.str.slice(1, 2).cast(pl.Int64, strict=False).fill_null(0) * 60
        + offset.str.slice(3, 2).cast(pl.Int64, strict=False).fill_null(0)
    )
    return (
        written.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False)
        + pl.duration(microseconds=fraction)
        - pl.duration(minutes=ahead)
    ).dt.replace_time_zone("UTC")
