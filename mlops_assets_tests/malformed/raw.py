"""Raw files that went wrong, each made from a good one by a seed: what happened on the way.

A good file is two circuits' readings in one of the forms that plants write. Where a damage touches
known lines alone, the case says how many good rows must be kept.
"""

from __future__ import annotations

import gzip
import io
import random
import sqlite3
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "readings.parquet"
HOURS = 48
COLUMNS = ["plant_id", "circuit_id", "timestamp", "value"]


@dataclass(frozen=True)
class Case:
    """One file; ``kept`` is how many rows must reach the table at least."""

    kind: str
    name: str
    data: bytes
    kept: int = 0


@cache
def good_rows() -> pl.DataFrame:
    """Two circuits of real readings, or of a made-up day where there are none."""
    if REAL.exists():
        rows = pl.read_parquet(REAL, columns=COLUMNS).drop_nulls("value")
        keys = rows.select("plant_id", "circuit_id").unique().sort("plant_id", "circuit_id").head(2)
        rows = rows.join(keys, on=["plant_id", "circuit_id"], how="semi")
        rows = rows.group_by("plant_id", "circuit_id", maintain_order=True).head(HOURS)
        zone = rows["timestamp"].dt.replace_time_zone(None).cast(pl.Datetime("us"))
        return rows.with_columns(timestamp=zone, value=pl.col("value").cast(pl.Float64))
    start = datetime(2024, 1, 1)  # noqa: DTZ001 as files without an offset write it
    cells = [
        ("P001", f"C{circuit:03}", start + timedelta(hours=hour), 100.0 + 7.5 * (hour % 24))
        for circuit in (1, 2)
        for hour in range(HOURS)
    ]
    return pl.DataFrame(cells, schema=COLUMNS, orient="row")


def text_lines(separator=",", stamps="%Y-%m-%d %H:%M"):
    rows = good_rows().with_columns(pl.col("timestamp").dt.strftime(stamps))
    return [separator.join(COLUMNS)] + [
        separator.join(str(cell) for cell in row) for row in rows.iter_rows()
    ]


def good_csv(rng):
    separator = rng.choice([",", ";", "\t"])
    stamps = rng.choice(["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%SZ", "%d.%m.%Y %H:%M"])
    text = rng.choice(["\n", "\r\n"]).join(text_lines(separator, stamps))
    return rng.choice([b"", b"\xef\xbb\xbf"]) + text.encode()


@cache
def _parquet(compression, version, dictionary):
    table = good_rows().to_arrow(compat_level=pl.CompatLevel.oldest())
    buffer = io.BytesIO()
    pq.write_table(
        table,
        buffer,
        compression=compression,
        data_page_version=version,
        use_dictionary=dictionary,
        row_group_size=40,
    )
    return buffer.getvalue()


def good_parquet(rng):
    compression = rng.choice(["zstd", "snappy", "none", "gzip"])
    return _parquet(compression, rng.choice(["1.0", "2.0"]), rng.choice([True, False]))


def good(rng):
    parquet = rng.random() < 0.5
    return ("a.parquet", good_parquet(rng)) if parquet else ("a.csv", good_csv(rng))


def flipped(rng):
    name, data = good(rng)
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return Case("bytes flipped", name, bytes(changed))


def cut(rng):
    name, data = good(rng)
    place = rng.randrange(len(data))
    return Case("cut short", name, data[:place] if rng.random() < 0.7 else data[place:])


def footer(rng):
    """Damage where Parquet says what it holds."""
    data = bytearray(good_parquet(rng))
    size = int.from_bytes(data[-8:-4], "little")
    for _ in range(rng.randint(1, 4)):
        data[-9 - rng.randrange(size)] = rng.randrange(256)
    if rng.random() < 0.3:
        data[-8:-4] = rng.randrange(1 << 32).to_bytes(4, "little")
    return Case("Parquet footer", "a.parquet", bytes(data))


def _in_lines(rng, kind, damage):
    """Damage some lines; all others must be kept."""
    separator = rng.choice([",", ";"])
    lines = text_lines(separator)
    places = rng.sample(range(1, len(lines)), rng.randint(1, 12))
    for place in places:
        cells = lines[place].split(separator)
        lines[place] = damage(cells, separator)
    kept = len(lines) - 1 - len(places)
    return Case(kind, "a.csv", "\n".join(lines).encode("utf-8", "surrogatepass"), kept)


def spliced(rng):
    def damage(cells, separator):
        what = rng.randrange(4)
        place = rng.randrange(len(cells))
        if what == 0:
            cells.insert(place, "x")
        elif what == 1:
            del cells[place]
        elif what == 2:
            cells += cells
        else:
            return separator.join(cells)[: rng.randrange(5)]
        return separator.join(cells)

    return _in_lines(rng, "columns spliced", damage)


def odd_values(rng):
    odd = [
        "1e400",
        "-1e400",
        "9" * 4000,
        "0x1F",
        "1_000",
        "\u0663",
        "NaN",
        "inf",
        "--5",
        "1.2.3",
        "∞",
    ]
    odd += ["∞", "'1", "=1+1", "1e", "e1", "\u200b1", "MISSING", "EMPTY", "abc", "true", "1e-400x"]

    def damage(cells, separator):
        cells[3] = rng.choice(odd)
        return separator.join(cells)

    return _in_lines(rng, "odd values", damage)


def odd_stamps(rng):
    odd = ["0000-00-00 00:00", "9999-12-31 23:59", "2024-02-30 00:00", "2024-01-01 25:00", "now"]
    odd += ["2024-01-01 00:00+99:99", "-2024-01-01", "1/1/1", "45292", "2024-01-01T00:00:00-24:00"]
    odd += [
        "99999-01-01",
        "2024-01-01 00:00:60",
        "",
        "\u0661/\u0661/\u0662\u0660\u0662\u0664",
        "2024-13-01",
        "1e9",
        "1e400",
    ]

    def damage(cells, separator):
        cells[2] = rng.choice(odd)
        return separator.join(cells)

    return _in_lines(rng, "odd stamps", damage)


def odd_names(rng):
    odd = ["", " ", "..", "P/C", "P" * 5000, "C\u0000", "Ünï", "*", "-", "P001\u202e", "NULL"]

    def damage(cells, separator):
        cells[rng.randrange(2)] = rng.choice([each for each in odd if "\0" not in each])
        return separator.join(cells)

    return _in_lines(rng, "odd names", damage)


def quotes(rng):
    def damage(cells, separator):
        place = rng.randrange(len(cells))
        cells[place] = rng.choice(['"' + cells[place], cells[place] + '"', '"""', '""x""'])
        return separator.join(cells)

    return _in_lines(rng, "unbalanced quotes", damage)


def bytes_of_no_text(rng):
    data = bytearray(good_csv(rng))
    bad = rng.choice([b"\0", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xe9", b"\x1a", b"\x00\x01"])
    place = rng.randrange(len(data))
    data[place:place] = bad * rng.randint(1, 3)
    return Case("NUL, bad UTF-8", "a.csv", bytes(data))


def other_encoding(rng):
    text = "\n".join(text_lines()).replace("P001", "Pé01", 3)
    data = text.encode(rng.choice(["utf-16-le", "utf-16-be", "utf-32", "latin-1", "utf-7"]))
    return Case("other encoding", "a.csv", data)


def header(rng):
    lines = text_lines()
    lines[0] = rng.choice(
        [
            "plant_id,circuit_id,timestamp,timestamp",
            "plant_id,circuit_id,timestamp,value,value",
            "plant_id,plant_id,timestamp,value",
            "Plant,Circuit,Time,Value",
            "value",
            ",,,",
            ",".join(f"c{n}" for n in range(5000)),
            lines[1],
            "x" * 100_000,
        ]
    )
    return Case("header", "a.csv", "\n".join(lines).encode())


def nearly_nothing(rng):
    data = rng.choice([b"", b"\n\n", b"\xef\xbb\xbf", b" ", b"\r", b",".join([b"a"] * 3), b"PAR1"])
    if rng.random() < 0.3:
        data = text_lines()[0].encode()
    return Case("nothing in it", rng.choice(["a.csv", "a.parquet", "a.txt", "noname"]), data)


def something_else(rng):
    text = good_csv(rng)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("a.csv", text)
    database = sqlite3.connect(":memory:")
    database.execute("create table t (a)")
    data = rng.choice(
        [
            gzip.compress(text, mtime=0),
            archive.getvalue(),
            database.serialize(),
            b'{"plant_id": ["P001"], "value": [1]}',
            b"<html><body>502 Bad Gateway</body></html>",
            b"\x89PNG\r\n\x1a\n" + rng.randbytes(500),
            rng.randbytes(rng.randint(1, 5000)),
            text,
            good_parquet(rng),
            b"PAR1" + rng.randbytes(300) + b"PAR1",
        ]
    )
    database.close()
    return Case("something else", rng.choice(["a.csv", "a.parquet"]), data)


def two_in_one(rng):
    (name, one), (_, other) = good(rng), good(rng)
    return Case("two in one", name, one[: rng.randrange(len(one))] + other[rng.randrange(99) :])


def wrong_types(rng):
    size = len(good_rows())
    odd = {
        "bool": pa.array([True] * size),
        "list": pa.array([[1.0, None]] * size),
        "struct": pa.array([{"a": 1}] * size),
        "binary": pa.array([b"\xff\x00"] * size),
        "time": pa.array([1] * size, pa.time64("us")),
        "duration": pa.array([1] * size, pa.duration("s")),
        "date": pa.array([10**6] * size, pa.date32()),
        "decimal": pa.array([10**37] * size, pa.decimal128(38, 0)),
        "decimal256": pa.array([10**75] * size, pa.decimal256(76, 0)),
        "half": pa.array([1.5] * size, pa.float32()).cast(pa.float16()),
        "null": pa.nulls(size),
        "map": pa.array([[("a", 1)]] * size, pa.map_(pa.string(), pa.int64())),
        "nanoseconds": pa.array([-(2**63) + 1] * size, pa.timestamp("ns")),
        "seconds": pa.array([2**40] * size, pa.timestamp("s", "Europe/Paris")),
        "milliseconds": pa.array([2**62] * size, pa.timestamp("ms")),
        "no zone": pa.array([1] * size, pa.timestamp("us", "Mars/Base")),
        "unsigned": pa.array([2**64 - 1] * size, pa.uint64()),
        "text": pa.array(["1,5\0"] * size),
        "large text": pa.array(["x" * 3000] * size, pa.large_string()),
    }
    table = good_rows().to_arrow(compat_level=pl.CompatLevel.oldest())
    for name in rng.sample(COLUMNS, rng.randint(1, 3)):
        place = table.column_names.index(name)
        table = table.set_column(place, name, odd[rng.choice(sorted(odd))])
    buffer = io.BytesIO()
    pq.write_table(table, buffer, store_schema=rng.random() < 0.8)
    return Case("wrong types", "a.parquet", buffer.getvalue())


def bomb(rng):
    """A small file that says a great deal."""
    return Case("bomb", "a.parquet", _bomb(rng.randrange(len(_BOMBS))))


def _with_plant(plant, value=None, **options):
    """A table of some plants, all else null."""
    rows = len(plant)
    columns = {
        "plant_id": plant,
        "circuit_id": pa.nulls(rows, pa.string()),
        "timestamp": pa.nulls(rows, pa.timestamp("us")),
        "value": pa.nulls(rows, pa.float64()) if value is None else value,
    }
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="zstd", store_schema=False, **options)
    return buffer.getvalue()


def _rows_of_nothing():
    return _with_plant(pa.nulls(3_000_000, pa.string()))


def _one_text_a_thousand_times():
    indices = pa.array([0] * 1000, pa.int32())
    return _with_plant(pa.DictionaryArray.from_arrays(indices, pa.array(["a" * 1_000_000])))


def _one_long_text():
    return _with_plant(pa.array(["a" * 80_000_000]), use_dictionary=False)


def _two_long_texts():
    return _with_plant(pa.array(["b" * 30_000_000, "c"]), use_dictionary=False)


def _nested_nulls():
    lists = pa.array([[None] * 2_000_000], pa.list_(pa.float64()))
    return _with_plant(pa.nulls(1, pa.string()), lists)


def _texts_by_their_beginnings():
    return _with_plant(
        pa.array(["a" * 100_000] * 300),
        use_dictionary=False,
        column_encoding={"plant_id": "DELTA_BYTE_ARRAY"},
    )


def _page_that_lies():
    """Its first page says that it unfolds to 2 GiB."""
    data = bytearray(_parquet("zstd", "1.0", dictionary=False))
    data[6:10] = b"\xfe\xff\xff\xff"
    return bytes(data)


_BOMBS = (
    _rows_of_nothing,
    _one_text_a_thousand_times,
    _one_long_text,
    _two_long_texts,
    _nested_nulls,
    _texts_by_their_beginnings,
    _page_that_lies,
)


@cache
def _bomb(which):
    """Made by a process of its own: what it takes to make one is not what it takes to read it."""
    code = f"import sys; from mlops_assets_tests.malformed import raw; raw.write_bomb({which})"
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout


def write_bomb(which):
    sys.stdout.buffer.write(_BOMBS[which]())


KINDS = (
    flipped,
    cut,
    footer,
    spliced,
    odd_values,
    odd_stamps,
    odd_names,
    quotes,
    bytes_of_no_text,
    other_encoding,
    header,
    nearly_nothing,
    something_else,
    two_in_one,
    wrong_types,
    bomb,
)


def cases(count: int, seed: int):
    """That many files, kinds in turn; the same seed gives the same files."""
    for number in range(count):
        rng = random.Random(seed * 1_000_003 + number)
        case = KINDS[number % len(KINDS)](rng)
        stem, dot, suffix = case.name.rpartition(".")
        name = f"{stem or 'noname'}-{number:05}{dot}{suffix if stem else ''}"
        yield Case(case.kind, name, case.data, case.kept)
