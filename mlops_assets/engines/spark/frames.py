"""Polars frames in and out of Spark, and Arrow functions over whole circuits.

Frames cross as Arrow streams in a binary column, so types, zones and digits are what they were.
Only `mapInArrow` and the DataFrame API are used: Synapse runs Spark 3.5, which has no more.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pyspark.sql import DataFrame, SparkSession

    Batches = Iterable[pa.RecordBatch]
    Step = Callable[[pl.DataFrame], pl.DataFrame]

CIRCUIT = ("plant_id", "circuit_id")
_BINARY = "frame binary"
# Rows of one Arrow stream, so that no cell of a column grows past what a JVM array may hold.
_STREAM_ROWS = 200_000
_GROUP_ROWS = 500_000
_DDL: Mapping[pl.DataType | type[pl.DataType], str] = {
    pl.String(): "string",
    pl.Float64(): "double",
    pl.Int64(): "bigint",
    pl.Int32(): "int",
    pl.Boolean(): "boolean",
    pl.Date(): "date",
    pl.Datetime("us", "UTC"): "timestamp",
    pl.Binary(): "binary",
}


def ddl(schema: Mapping[str, pl.DataType]) -> str:
    """Return polars types as Spark writes them.

    >>> ddl({"plant_id": pl.String(), "value": pl.Float64()})
    '`plant_id` string, `value` double'
    """
    return ", ".join(f"`{name}` {_DDL[kind]}" for name, kind in schema.items())


def to_spark(session: SparkSession, rows: pl.DataFrame) -> DataFrame:
    """Return rows as a Spark frame of the same columns."""
    schema = dict(rows.schema)
    streams = [(bytearray(stream),) for stream in _streams(rows)]
    return session.createDataFrame(streams, _BINARY).mapInArrow(Unpack(schema), ddl(schema))


def from_spark(rows: DataFrame, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Return a Spark frame's rows, in no order."""
    found = rows.select(*schema).mapInArrow(Pack(dict(schema)), _BINARY).collect()
    parts = [pl.read_ipc_stream(io.BytesIO(bytes(row["frame"]))) for row in found]
    return pl.concat([pl.DataFrame(schema=schema), *parts])


class Unpack:
    """Streams into rows, on an executor."""

    def __init__(self, schema: Mapping[str, pl.DataType]) -> None:
        self._schema = schema

    def __call__(self, batches: Batches) -> Iterator[pa.RecordBatch]:
        """Unpack each cell."""
        for batch in batches:
            for cell in batch.column("frame"):
                yield from arrow(pl.read_ipc_stream(io.BytesIO(cell.as_py())))


class Pack:
    """Rows into streams, on an executor."""

    def __init__(self, schema: Mapping[str, pl.DataType]) -> None:
        self._schema = schema

    def __call__(self, batches: Batches) -> Iterator[pa.RecordBatch]:
        """Pack a partition's rows."""
        for rows in _gathered(batches, self._schema):
            cells = pa.array(list(_streams(rows)), pa.binary())
            yield pa.RecordBatch.from_arrays([cells], names=["frame"])


class EachGroup:
    """One step over whole circuits of a partition that is sorted by circuit, some at a time.

    Memory is a group's rows, however many circuits the partition holds.
    """

    def __init__(self, step: Step, schema: Mapping[str, pl.DataType]) -> None:
        self._step = step
        self._schema = schema

    def __call__(self, batches: Batches) -> Iterator[pa.RecordBatch]:
        """Run the step on every group."""
        for group in whole_circuits(batches, self._schema):
            yield from arrow(self._step(group))


def whole_circuits(
    batches: Batches, schema: Mapping[str, pl.DataType], *, enough: int = _GROUP_ROWS
) -> Iterator[pl.DataFrame]:
    """Gather sorted batches to at least so many rows, and cut only where the circuit changes."""
    held = pl.DataFrame(schema=schema)
    for batch in batches:
        held = pl.concat([held, frame(batch, schema)])
        if len(held) >= enough:
            last = held.select(CIRCUIT).row(-1)
            same = [
                pl.col(name).eq_missing(value) for name, value in zip(CIRCUIT, last, strict=True)
            ]
            if len(whole := held.filter(~pl.all_horizontal(same))):
                yield whole
                held = held.filter(pl.all_horizontal(same))
    if len(held):
        yield held


def frame(batch: pa.RecordBatch, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Return a batch with exactly these types: Spark names its zone in its own way."""
    rows = pl.from_arrow(pa.Table.from_batches([batch]))
    if not isinstance(rows, pl.DataFrame):
        raise TypeError("an Arrow table is a frame")
    return rows.select(
        pl.col(name).dt.convert_time_zone("UTC") if isinstance(kind, pl.Datetime) else pl.col(name)
        for name, kind in schema.items()
    ).cast(pl.Schema(schema))


def arrow(rows: pl.DataFrame) -> Iterator[pa.RecordBatch]:
    """Return rows as batches with the plain types that Spark 3.5 reads."""
    table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    plain = [pa.field(field.name, _PLAIN.get(field.type, field.type)) for field in table.schema]
    yield from table.cast(pa.schema(plain)).to_batches(max_chunksize=65_536)


_PLAIN = {pa.large_string(): pa.string(), pa.large_binary(): pa.binary()}


def _gathered(batches: Batches, schema: Mapping[str, pl.DataType]) -> Iterator[pl.DataFrame]:
    held: list[pl.DataFrame] = []
    for batch in batches:
        held.append(frame(batch, schema))
        if sum(map(len, held)) >= _STREAM_ROWS:
            yield pl.concat(held)
            held = []
    if held:
        yield pl.concat(held)


def _streams(rows: pl.DataFrame) -> Iterator[bytes]:
    for part in rows.iter_slices(_STREAM_ROWS):
        target = io.BytesIO()
        part.write_ipc_stream(target)
        yield target.getvalue()
