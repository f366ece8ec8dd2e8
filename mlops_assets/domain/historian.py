"""Rows drawn from SQL tables into the landing zone, as files like any other.

One drawing is one Parquet file: all rows of its window as they were read, and ``seen``, which is
true for rows that the drawing before it had already. Only the others arrive. The newest drawing is
the watermark: the next window begins an overlap before its newest mark. There is no other record
of how far a table was read, so none can be lost or run ahead of the rows themselves.
"""

from __future__ import annotations

import io
import re
from datetime import UTC, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from mlops_assets.domain.errors import DataError
from mlops_assets.domain.source import REQUIRED_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    import polars as pl

    from mlops_assets.domain.source import TableSource

MODIFIED = "modified_at"
SEEN = "seen"
_NAME = re.compile(r"([0-9]{8})\.parquet")
_ISO = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?)?$"


def newest_drawing(paths: Iterable[str], folder: str) -> str | None:
    """Return the newest drawing of a table's folder."""
    numbered = [path for path in paths if _number(path, folder)]
    return max(numbered, key=lambda path: _number(path, folder), default=None)


def next_drawing(newest: str | None, folder: str) -> str:
    """Return the name of the drawing after the newest."""
    return f"{folder}{_number(newest or '', folder) + 1:08}.parquet"


def _number(path: str, folder: str) -> int:
    found = _NAME.fullmatch(path.removeprefix(folder)) if path.startswith(folder) else None
    return int(found.group(1)) if found else 0


def window_start(rows: pl.DataFrame, table: TableSource, now: datetime) -> datetime | None:
    """Return the mark that the window after these rows begins with; None to read everything.

    Marks in the future count for nothing: one clock that runs ahead would hide all rows behind it.
    Marks that are text count only in the one form whose order is the order in time.
    """
    import polars as pl

    marks = rows[MODIFIED if table.modified_at else "timestamp"].drop_nulls()
    if marks.dtype == pl.String:
        if not marks.str.contains(_ISO).all():
            return None
        marks = marks.str.replace("T", " ", literal=True).str.to_datetime(
            time_unit="us", strict=False
        )
    if not isinstance(marks.dtype, pl.Datetime):
        return None
    latest = now
    if marks.dtype.time_zone is None:
        walls = (now.astimezone(UTC), now.astimezone(ZoneInfo(table.timezone)))
        latest = min(wall.replace(tzinfo=None) for wall in walls)
    newest = marks.filter(marks <= latest).max()
    if newest is None:
        return None
    back = (
        timedelta(minutes=table.overlap_minutes)
        if table.modified_at
        else timedelta(days=table.look_back_days)
    )
    return newest - back  # type: ignore[operator,return-value]


def drawing(rows: pl.DataFrame, before: pl.DataFrame | None, table: TableSource) -> pl.DataFrame:
    """Return what was read in one fixed order, each row marked that the drawing before had.

    Of rows for one stamp the one that was modified last comes last.

    Raises:
        DataError: a column is missing or there is one too many.
    """
    import polars as pl

    columns = [*REQUIRED_COLUMNS, *table.columns.features]
    columns += [MODIFIED] if table.modified_at else []
    if sorted(rows.columns) != sorted(columns):
        raise DataError(f"has the columns {', '.join(rows.columns)}, not {', '.join(columns)}")
    stated = [pl.col(name).cast(pl.String) for name in columns]
    order = [*(["modified_at"] if table.modified_at else []), "value"]
    keys = ["plant_id", "circuit_id", "timestamp"]
    rows = rows.select(columns).with_columns(pl.col(pl.Null).cast(pl.String))
    rows = rows.sort([pl.col(name).cast(pl.String) for name in (*keys, *order)])
    if before is None:
        return rows.with_columns(pl.lit(value=False).alias(SEEN))
    known = before.select(stated).unique().with_columns(pl.lit(value=True).alias(SEEN))
    seen = rows.select(stated).join(
        known, on=columns, how="left", nulls_equal=True, maintain_order="left"
    )[SEEN]
    return rows.with_columns(seen.fill_null(value=False))


def to_bytes(rows: pl.DataFrame) -> bytes:
    """Return a drawing as a Parquet file."""
    buffer = io.BytesIO()
    rows.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def from_bytes(data: bytes, name: str) -> pl.DataFrame:
    """Read a drawing back.

    Raises:
        DataError: it is not one; the line names it.
    """
    import polars as pl

    try:
        rows = pl.read_parquet(io.BytesIO(data))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{name}: is no drawing of a table; restore it from a backup") from error
    if rows.schema.get(SEEN) != pl.Boolean:
        raise DataError(f"{name}: is no drawing of a table; move it out of the landing zone")
    return rows
