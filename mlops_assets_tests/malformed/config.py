"""Config that went wrong, each made from a good one by a seed."""

from __future__ import annotations

import random

from mlops_assets_tests.catalog.files import FILES

SOURCES = (
    "format: 1\ntables:\n  north:\n    kind: mssql\n    url_variable: MLOPS_NORTH_URL\n"
    "    schema: dbo\n    table: readings\n    columns:\n      value: kw\n"
    "    modified_at: changed\n    timezone: Europe/Paris\nfolders:\n  meters/north:\n"
    "    dates: day\n    decimals: comma\n    factors:\n      P001/C001: 0.001\n"
)
GOOD = {name: text.encode() for name, text in {**FILES, "sources.yml": SOURCES}.items()}
_ODD = [
    "null", "~", "true", "[]", "{}", "0x1F", "1e999", "9" * 400, "-0", ".nan", "2024-13-01", "''",
    '"\\x00"', "!!python/object/apply:os.system [ls]", "&a 1", "*a", "<<: {a: 1}", "|\n  x", "? x",
    "[" * 60, "{a: " * 60, "- 1", "\t1", "%TAG ! x", "---", "...", "\u202e", "é", "P001/../..",
    "a" * 70_000, "12:30:45", "010", "no", "1_000", "=", "@x", "`x`", "# only", ": :", "key: : x",
]  # fmt: skip


def flipped(rng, data):
    changed = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def cut(rng, data):
    return data[: rng.randrange(len(data))]


def odd_value(rng, data):
    lines = data.decode().splitlines()
    place = rng.randrange(len(lines))
    name, colon, _ = lines[place].partition(":")
    lines[place] = f"{name}{colon} {rng.choice(_ODD)}"
    return "\n".join(lines).encode()


def odd_line(rng, data):
    lines = data.decode().splitlines()
    indent = " " * rng.randrange(8)
    lines.insert(rng.randrange(len(lines) + 1), indent + rng.choice(_ODD))
    return "\n".join(lines).encode()


def moved_line(rng, data):
    lines = data.decode().splitlines()
    line = lines.pop(rng.randrange(len(lines)))
    if rng.random() < 0.7:
        lines.insert(rng.randrange(len(lines) + 1), " " * rng.randrange(6) + line.strip())
    return "\n".join(lines).encode()


def doubled_line(rng, data):
    lines = data.decode().splitlines()
    lines.insert(rng.randrange(len(lines)), rng.choice(lines))
    return "\n".join(lines).encode()


def other_bytes(rng, data):
    bad = rng.choice([b"\0", b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80", b"\x85", b"\xef\xbb\xbf"])
    place = rng.choice([0, rng.randrange(len(data))])
    return data[:place] + bad + data[place:]


def something_else(rng, data):
    return rng.choice(
        [b"", b"\n", b"PAR1", rng.randbytes(300), b"[]", b"x", b"[" * 30_000, b"a: " * 20_000]
    )


KINDS = (
    flipped, cut, odd_value, odd_line, moved_line, doubled_line, other_bytes, something_else,
)  # fmt: skip
_NAMES = [
    "plants/P001/C001.yaml",
    "plants/P9/X.yml",
    "environments/x.yml",
    "plants/../x.yml",
    "y.yml",
]


def cases(count: int, seed: int):
    """Kind, damaged file and all files; the same seed gives the same ones."""
    names = sorted(name for name in GOOD if not name.startswith("trust/"))
    for number in range(count):
        rng = random.Random(seed * 1_000_003 + number)
        damage = KINDS[number % len(KINDS)]
        name = rng.choice(names)
        files = GOOD | {name: damage(rng, GOOD[name])}
        if rng.random() < 0.05:
            files[rng.choice(_NAMES)] = files[name]
        if rng.random() < 0.05:
            del files[rng.choice(names)]
        yield damage.__name__.replace("_", " "), name, files
