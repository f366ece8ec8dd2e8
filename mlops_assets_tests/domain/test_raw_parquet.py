"""Broken Parquet is refused in a line; in a process of its own, as some of it could end that."""

from __future__ import annotations

import io
import subprocess
import sys

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_assets.domain.raw_parquet import TEXT_LIMIT, UnreadableError, read_columns

EVERY_BIT = """
import io, sys
import pyarrow as pa, pyarrow.parquet as pq
from mlops_assets.domain.raw_parquet import UnreadableError, read_columns
table = pa.table({"plant": ["P001", None, "P002"], "value": [1.5, 2.5, None]})
buffer = io.BytesIO()
pq.write_table(table, buffer)
data = bytearray(buffer.getvalue())
refused = read = 0
start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
for bit in range(start * 8, len(data) * 8):
    data[bit // 8] ^= 1 << bit % 8
    try:
        read_columns(bytes(data), ["plant", "value"])
        read += 1
    except UnreadableError as error:
        refused += 1
        assert "\\n" not in str(error)
    data[bit // 8] ^= 1 << bit % 8
print(refused, read)
"""


def parquet(columns, **options):
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, **options)
    return buffer.getvalue()


def test_no_bit_of_a_footer_ends_the_process():
    done = subprocess.run(
        [sys.executable, "-c", EVERY_BIT], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    refused, read = map(int, done.stdout.split())
    assert refused > 1000
    assert read > 0


@pytest.mark.parametrize("encoding", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY", "PLAIN"])
def test_texts_are_read_and_cut_in_any_encoding(encoding):
    long = "x" * (TEXT_LIMIT + 1)
    data = parquet(
        {"plant": ["P001", long], "value": [1.0, 2.0]},
        use_dictionary=False,
        column_encoding={"plant": encoding, "value": "PLAIN"},
    )
    assert read_columns(data, ["plant", "value"]).rows() == [("P001", 1.0), (long[:-1], 2.0)]


def test_a_column_of_lists_is_refused_by_its_name():
    data = parquet({"plant": ["P001"], "value": [[1.0, 2.0]]})
    with pytest.raises(UnreadableError, match="its column 'value' holds lists: write one value"):
        read_columns(data, ["plant", "value"])
    assert read_columns(data, ["plant"]).equals(pl.DataFrame({"plant": ["P001"]}))


def test_a_file_without_rows_has_its_columns():
    data = parquet({"plant": pa.array([], pa.string())})
    assert read_columns(data, ["plant"]).schema == {"plant": pl.String}
