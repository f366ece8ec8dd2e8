"""Parquet files of strangers, read without unfolding more than they could hold.

A few hundred bytes of Parquet can say a thousand million rows, or one long text a thousand times.
Rows and bytes that a file claims are bounded by its size before it is read, and texts are cut while
they still stand once in a dictionary.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, TypeVar

from mlops_assets.domain.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl
    import pyarrow as pa

_T = TypeVar("_T")

TEXT_LIMIT = 200
# Far above what real files do: 180 days of hours for 200 circuits have 0.3 rows and 4 bytes a byte.
_ROWS_ALWAYS = 500_000
_BYTES_ALWAYS = 64 << 20
_ROWS_PER_BYTE = 100
_BYTES_PER_BYTE = 200
_BATCH_BYTES = 32 << 20
# What pyarrow says of texts in one of the delta encodings.
_NO_DICTIONARY = "DictAccumulator"
# Seconds since 1970 of the first and the last moment that a calendar has.
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799


class UnreadableError(DataError):
    """No Parquet, or more than it could hold; the line says which."""


def column_names(data: bytes) -> list[str]:
    """Return the names of a file's columns; UnreadableError when it is no Parquet."""
    return _guarded(lambda: list(_opened(data, []).schema_arrow.names))


def read_columns(data: bytes, wanted: Sequence[str]) -> pl.DataFrame:
    """Return some columns, texts cut to TEXT_LIMIT; UnreadableError when they cannot be read."""
    import polars as pl
    import pyarrow as pa

    def read() -> pl.DataFrame:
        file = _opened(data, [])
        texts, unfolded = _texts(file, len(data), wanted)
        try:
            table = _cut(_opened(data, texts).read(columns=list(wanted), use_threads=False))
        except OSError as error:
            if _NO_DICTIONARY not in str(error):
                raise
            # Each row's text may be as long as all that the file unfolds to.
            size = max(1, _BATCH_BYTES // max(1, unfolded))
            batches = file.iter_batches(size, columns=list(wanted), use_threads=False)
            table = pa.concat_tables([_cut(each) for each in batches])
        frame = pl.from_arrow(table)
        if not isinstance(frame, pl.DataFrame):
            raise UnreadableError("it is no table")
        return frame.select(wanted)

    return _guarded(read)


def _opened(data: bytes, once: Sequence[str]) -> Any:  # noqa: ANN401 pyarrow has no types
    import pyarrow.parquet as pq

    # Nor do threads read it: one that fails on a broken page may end the process at its exit.
    return pq.ParquetFile(io.BytesIO(data), read_dictionary=list(once), pre_buffer=False)


def _texts(file: Any, size: int, wanted: Sequence[str]) -> tuple[list[str], int]:  # noqa: ANN401
    """Refuse what no file of this size holds.

    The chunks of the columns are not asked: pyarrow ends the whole process by an exception that
    nothing can catch where the statistics of a chunk contradict the schema, and only there.

    Returns:
        The text columns, and the bytes that the file unfolds to.
    """
    metadata = file.metadata
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    counts = [metadata.num_rows, *(group.num_rows for group in groups)]
    unfolded = [group.total_byte_size for group in groups]
    if min(counts + unfolded) < 0:
        raise UnreadableError("it claims less than no rows or no bytes")
    rows = max(metadata.num_rows, sum(counts[1:]))
    if rows > max(_ROWS_ALWAYS, _ROWS_PER_BYTE * size):
        raise UnreadableError(f"it claims {rows:,} rows in {size:,} bytes")
    if (total := sum(unfolded)) > max(_BYTES_ALWAYS, _BYTES_PER_BYTE * size):
        raise UnreadableError(f"it would unfold {size:,} bytes to {total:,}")
    columns = [file.schema.column(number) for number in range(len(file.schema))]
    read = [each for each in columns if each.path.partition(".")[0] in wanted]
    for column in read:
        # A row of such a column can hold any number of values in no bytes at all.
        if column.max_repetition_level:
            name = column.path.partition(".")[0]
            raise UnreadableError(f"its column {name!r:.40} holds lists: write one value a row")
    return sorted(each.path for each in read if each.physical_type == "BYTE_ARRAY"), total


def _cut(table: Any) -> pa.Table:  # noqa: ANN401 a table or a batch
    """Cut texts; of a dictionary only its entries, before they are spread over the rows."""
    import pyarrow as pa

    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    columns = [_cut_column(column) for column in table.columns]
    return pa.Table.from_arrays(columns, names=table.column_names)


def _cut_column(column: Any) -> Any:  # noqa: ANN401 pyarrow has no types
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        chunks = [
            pa.DictionaryArray.from_arrays(chunk.indices, _short(chunk.dictionary))
            for chunk in column.chunks
        ]
        kind = column.type.value_type
        return pa.chunked_array([chunk.cast(kind) for chunk in chunks], type=kind)
    chunks = [_short(chunk) for chunk in column.chunks]
    return pa.chunked_array(chunks) if chunks else pa.nulls(0)


def _short(array: Any) -> Any:  # noqa: ANN401 PLR0911 one way out a type
    """One chunk as a type that frames know: what is no number, stamp or text is its type's name."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types

    kind = array.type
    if types.is_string(kind) or types.is_large_string(kind):
        return pc.utf8_slice_codeunits(array, 0, TEXT_LIMIT)
    if types.is_binary(kind) or types.is_large_binary(kind):
        return pc.binary_slice(array, 0, TEXT_LIMIT)
    if types.is_decimal(kind) or types.is_float16(kind):
        return array.cast(pa.float64())
    if types.is_timestamp(kind):
        if kind.unit == "s":
            seconds = array.cast(pa.int64())
            inside = pc.and_(
                pc.greater_equal(seconds, _FIRST_SECOND), pc.less_equal(seconds, _LAST_SECOND)
            )
            seconds = pc.if_else(inside, seconds, pa.scalar(None, pa.int64()))
            array = seconds.cast(pa.timestamp("s", kind.tz)).cast(pa.timestamp("us", kind.tz))
        # A moment is the same in any zone, and some files name zones that nobody knows.
        return array if kind.tz is None else array.cast(pa.timestamp(array.type.unit, "UTC"))
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
        return array
    if types.is_date(kind) or types.is_null(kind):
        return array
    return pc.if_else(array.is_valid(), pa.scalar(f"a {kind}"[:TEXT_LIMIT]), pa.scalar(None))


def _guarded(read: Callable[[], _T]) -> _T:
    """Whatever a broken file makes the readers say becomes one line."""
    import polars as pl
    import pyarrow as pa

    try:
        return read()
    except UnreadableError:
        raise
    except (
        pa.ArrowException,
        pl.exceptions.PolarsError,
        OSError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        OverflowError,
        NotImplementedError,
        MemoryError,
    ) as error:
        words = str(error).splitlines()
        raise UnreadableError(words[0][:TEXT_LIMIT] if words else type(error).__name__) from error
