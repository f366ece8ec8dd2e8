"""Raw files as plants send them: Parquet, or CSV as its many writers write it.

A file has the columns plant_id, circuit_id, timestamp and value, in any order. Of its other columns
those that are features are taken, the rest are named and left out. A stamp without an offset is
UTC, or of the zone that is declared for the file. CSV may have a byte order mark, commas,
semicolons or tabs, thousands commas or decimal commas, day-first or month-first dates; words for
"nothing" (`NOTHING`) are gaps.
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mlops_assets.domain.errors import DataError
from mlops_assets.domain.local_time import to_utc
from mlops_assets.domain.raw_parquet import (
    TEXT_LIMIT,
    UnreadableError,
    column_names,
    read_columns,
)
from mlops_assets.domain.stamps import Stamps, parse_stamps

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from mlops_assets.domain.stamps import DateOrder

REQUIRED = ("plant_id", "circuit_id", "timestamp", "value")
NOTHING = ("", "na", "n/a", "nan", "null", "none", "missing", "empty", "-")
_THOUSANDS = r"^[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?$"
_DECIMAL_COMMA = r"^[+-]?([0-9]{1,3}(\.[0-9]{3})+|[0-9]+),[0-9]+$"
# 1,234 may be either. These can only be the one: two groups, or a point; 0,234.
_SURELY_THOUSANDS = (
    r"^[+-]?[0-9]{1,3}(,[0-9]{3}){2,}(\.[0-9]*)?$|^[+-]?[0-9]{1,3},[0-9]{3}\.[0-9]*$"
    r"|^[+-]?[0-9]+\.([0-9]{1,2}|[0-9]{4,})$"
)
_SURELY_DECIMAL = r"^[+-]?0[0-9]*,[0-9]+$"
_DAY = 86_400
# Seconds since 1970 of the first and the last moment that a calendar has.
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
_LARGEST = 2**63 - 1


class RawFileError(DataError):
    """A file that cannot be used at all. ``code`` is stable, such as ``missing_column``."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}")


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """A file's rows: row, plant_id, circuit_id, timestamp, value, features, and what was wrong.

    ``reason`` is bad_row or missing where reading found it so; ``timestamp_text`` and
    ``value_text`` hold what was written where it could not be read. ``dates`` says which order the
    file proves for dates such as 3/4/2024: None where it has such dates and proves nothing,
    "iso" where it has none. ``unread_cells`` (row, feature) are cells of features in which
    something is written that is no finite number; they are empty in ``rows``.
    """

    rows: pl.DataFrame
    unknown_columns: tuple[str, ...]
    dates: DateOrder | Literal["iso"] | None
    unread_cells: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Form:
    """What is declared of a file because it cannot prove it.

    ``ordered`` is false where the order of rows says nothing about the order in time.
    """

    timezone: str = "UTC"
    dates: DateOrder | None = None
    decimals: Literal["point", "comma"] | None = None
    ordered: bool = True


def parse(
    name: str,
    data: bytes,
    features: Sequence[str],
    assumed: DateOrder = "month",
    form: Form = Form(),
) -> ParsedFile:
    """Read one file; ``assumed`` settles dates whose order the file does not prove.

    Raises:
        RawFileError: nothing of the file can be used.
    """
    if data.startswith(b"PAR1") or name.lower().endswith((".parquet", ".pq")):
        table = _read_parquet(data, features)
    else:
        table = _read_csv(data, features)
    return _typed(table, features, assumed, form)


@dataclass(frozen=True, slots=True)
class _Table:
    """Wanted columns as they came, each row's line, and the names of the other columns.

    ``broken`` has row and value_text of lines with too many or few cells; ``separator`` is what
    parts the cells of CSV.
    """

    frame: pl.DataFrame
    lines: pl.Series
    unknown: tuple[str, ...]
    broken: pl.DataFrame
    separator: str = ""


def _read_parquet(data: bytes, features: Sequence[str]) -> _Table:
    import polars as pl

    try:
        wanted, unknown = _choose(column_names(data), features)
        frame = read_columns(data, wanted)
    except UnreadableError as error:
        raise RawFileError("unreadable_file", f"no readable Parquet: {error}") from error
    lines = pl.Series("row", range(1, len(frame) + 1), dtype=pl.Int64)
    broken = pl.DataFrame(schema={"row": pl.Int64, "value_text": pl.String})
    return _Table(frame, lines, unknown, broken)


def _read_csv(data: bytes, features: Sequence[str]) -> _Table:
    import polars as pl

    lines = _decoded(data).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    start = next((index for index, line in enumerate(lines) if line.strip()), None)
    if start is None:
        raise RawFileError("empty_file", "it has no header")
    separator = Counter({mark: lines[start].count(mark) for mark in ",;\t"}).most_common(1)[0][0]
    header = [name.strip() for name in _split(lines[start], separator)]
    wanted, unknown = _choose(header, features)
    places = [header.index(name) for name in wanted]
    numbers: list[int] = []
    cells: list[list[str]] = []
    broken: list[tuple[int, str]] = []
    for number, line in enumerate(lines[start + 1 :], start + 2):
        if not line.strip():
            continue
        fields = _split(line, separator)
        if len(fields) == len(header):
            numbers.append(number)
            cells.append([fields[place] for place in places])
        else:
            broken.append((number, line[:TEXT_LIMIT]))
    frame = pl.DataFrame(cells, schema=dict.fromkeys(wanted, pl.String), orient="row").with_columns(
        pl.all().str.strip_chars()
    )
    bad = pl.DataFrame(broken, schema={"row": pl.Int64, "value_text": pl.String}, orient="row")
    return _Table(frame, pl.Series("row", numbers, dtype=pl.Int64), unknown, bad, separator)


def _decoded(data: bytes) -> str:
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise RawFileError("unreadable_file", f"no UTF-8 text at byte {error.start}") from error
    if "\0" in text:
        raise RawFileError("unreadable_file", f"no text: a zero byte at {text.index(chr(0))}")
    return text


def _split(line: str, separator: str) -> list[str]:
    if '"' not in line:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator))
    except csv.Error:
        return []


def _choose(header: Sequence[str], features: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Split a header into the columns we take, in our order, and the others."""
    wanted = [*REQUIRED, *(name for name in features if name in header)]
    twice = [name for name, count in Counter(header).items() if count > 1]
    if missing := [name for name in REQUIRED if name not in header]:
        found = ", ".join(header)[:TEXT_LIMIT]
        raise RawFileError("missing_column", f"{', '.join(missing)} (the file has {found})")
    if ambiguous := [name for name in twice if name in wanted]:
        raise RawFileError("double_column", f"{', '.join(ambiguous)} comes more than once")
    return wanted, tuple(dict.fromkeys(name for name in header if name not in wanted))


def _typed(table: _Table, features: Sequence[str], assumed: DateOrder, form: Form) -> ParsedFile:
    import polars as pl

    lines, broken = table.lines, table.broken
    frame = table.frame
    stamps, dates = _timestamps(frame, assumed, form)
    commas = table.separator == ";"
    value, nothing = _numbers(frame["value"], form, decimal_commas=commas)
    cells = {
        name: _cells(frame[name], form, decimal_commas=commas)
        for name in features
        if name in frame.columns
    }
    rows = pl.DataFrame(
        [
            lines,
            _text(frame["plant_id"]),
            _text(frame["circuit_id"]),
            stamps,
            value,
            *(number for number, _ in cells.values()),
        ]
    ).with_columns(reason=pl.when(nothing).then(pl.lit("missing")))
    unread = rows["timestamp"].is_null() | rows["value"].is_null()
    texts = frame.select("timestamp", "value").filter(unread)
    written = pl.DataFrame(
        [
            lines.filter(unread),
            _text(texts["timestamp"]).alias("timestamp_text"),
            _text(texts["value"]).alias("value_text"),
        ]
    )
    rows = rows.join(written, on="row", how="left", maintain_order="left")
    if not broken.is_empty():
        rows = pl.concat(
            [rows, broken.with_columns(reason=pl.lit("bad_row"))], how="diagonal"
        ).sort("row")
    unread_cells = [
        pl.DataFrame([lines.filter(unread)]).with_columns(pl.lit(name).alias("feature"))
        for name, (_, unread) in cells.items()
    ]
    none = pl.DataFrame(schema={"row": pl.Int64, "feature": pl.String})
    return ParsedFile(rows, table.unknown, dates, pl.concat([none, *unread_cells]))


def _timestamps(
    frame: pl.DataFrame, assumed: DateOrder, form: Form
) -> tuple[pl.Series, DateOrder | Literal["iso"] | None]:
    stamps = _stamps(frame["timestamp"], assumed, form)
    if form.timezone == "UTC" or not stamps.local.any():
        return stamps.moments, stamps.order
    rows = frame.select(
        _text(frame["plant_id"]),
        _text(frame["circuit_id"]),
        stamps.moments.dt.replace_time_zone(None).alias("wall"),
    )
    moments = to_utc(rows, form.timezone, ordered=form.ordered)
    return moments.zip_with(stamps.local, stamps.moments), stamps.order


def _stamps(column: pl.Series, assumed: DateOrder, form: Form) -> Stamps:
    import polars as pl

    if column.dtype == pl.String:
        return parse_stamps(column, assumed, form.dates)
    local = pl.repeat(value=True, n=len(column), eager=True)
    if isinstance(column.dtype, pl.Datetime):
        moments = _possible(column).dt.cast_time_unit("us")
        if column.dtype.time_zone is not None:
            return Stamps(moments.dt.convert_time_zone("UTC"), ~local, "iso")
    elif column.dtype == pl.Date:
        moments = _possible(column).cast(pl.Datetime("us"))
    else:
        moments = pl.Series(column.name, [None] * len(column), dtype=pl.Datetime("us"))
    return Stamps(moments.dt.replace_time_zone("UTC"), local, "iso")


def _possible(column: pl.Series) -> pl.Series:
    """Dates and stamps of the years 1 to 9999; the others would overflow, and are none."""
    import polars as pl

    number = column.to_physical().cast(pl.Int64)
    units = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
    if isinstance(column.dtype, pl.Datetime):
        unit = units[column.dtype.time_unit]
        first, last = _FIRST_SECOND * unit, _LAST_SECOND * unit
    else:
        first, last = _FIRST_SECOND // _DAY, _LAST_SECOND // _DAY
    inside = number.is_between(max(first, -_LARGEST), min(last, _LARGEST))
    return column.zip_with(inside, pl.Series([None], dtype=column.dtype))


def _numbers(column: pl.Series, form: Form, *, decimal_commas: bool) -> tuple[pl.Series, pl.Series]:
    """Return the numbers, null where there is none, and where nothing was written.

    ``decimal_commas`` settles what 1,234 is where no number of the column proves it and nothing is
    declared.
    """
    import polars as pl

    if column.dtype.is_numeric():
        number = column.cast(pl.Float64, strict=False).fill_nan(None)
        return number, column.is_null() | number.is_null()
    if column.dtype == pl.Null:
        return column.cast(pl.Float64), column.is_null()
    if column.dtype != pl.String:
        return pl.Series(column.name, [None] * len(column), dtype=pl.Float64), column.is_null()
    text = column.str.strip_chars()
    nothing = text.is_null() | text.str.to_lowercase().is_in(NOTHING)
    grouped, decimal = text.str.contains(_THOUSANDS), text.str.contains(_DECIMAL_COMMA)
    thousands = int(text.str.contains(_SURELY_THOUSANDS).sum())
    decimals = int(((decimal & ~grouped) | text.str.contains(_SURELY_DECIMAL)).sum())
    commas = decimals > thousands or (decimal_commas and not thousands)
    if form.decimals is not None:
        commas = form.decimals == "comma"
    if commas:
        plain = text.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
        text = text.zip_with(~decimal.fill_null(value=False), plain)
    else:
        plain = text.str.replace_all(",", "", literal=True)
        text = text.zip_with(~grouped.fill_null(value=False), plain)
    number = text.cast(pl.Float64, strict=False).fill_nan(None)
    return number.zip_with(~nothing, pl.Series([None], dtype=pl.Float64)), nothing


def _cells(column: pl.Series, form: Form, *, decimal_commas: bool) -> tuple[pl.Series, pl.Series]:
    """Return a feature's finite numbers, null elsewhere, and where something else is written."""
    import polars as pl

    number, nothing = _numbers(column, form, decimal_commas=decimal_commas)
    finite = number.is_finite().fill_null(value=False)
    return number.zip_with(finite, pl.Series([None], dtype=pl.Float64)), ~(finite | nothing)


def _text(column: pl.Series) -> pl.Series:
    """What stands in a column, cut; of nested values only their type."""
    import polars as pl

    kind = column.dtype
    if isinstance(kind, pl.Datetime) or kind == pl.Date:
        physical = column.to_physical().cast(pl.String)
        text = _possible(column).cast(pl.String)
        text = text.zip_with(text.is_not_null(), physical)
    elif kind.is_temporal():
        text = column.to_physical().cast(pl.String)
    elif kind == pl.Binary:
        text = column.bin.encode("hex")
    elif kind.is_nested() or kind == pl.Object:
        text = pl.Series(column.name, [str(kind)], dtype=pl.String).new_from_index(0, len(column))
        text = text.zip_with(column.is_not_null(), pl.Series([None], dtype=pl.String))
    else:
        text = column.cast(pl.String, strict=False)
    return text.str.head(TEXT_LIMIT).alias(column.name)
