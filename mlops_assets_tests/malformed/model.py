"""Model files that went wrong, each made from a good model by a seed."""

from __future__ import annotations

import io
import json
import random
import zipfile
from functools import cache

from mlops_assets.forecasters import training
from mlops_assets_tests.forecasters.series import job_of, load_values, series_of

_ODD = [None, True, -1, 0, 10**400, 1e308, "", "x" * 5000, [], {}, [[[]]], "../../x", {"$": 1}]


@cache
def good() -> dict[str, bytes]:
    """A fitted median of four models."""
    members = {"members": "seasonal_naive, mstl_ets, mstl_arima:daily:log, auto_theta"}
    job = job_of(series_of(load_values(50)), forecaster="median", hyperparameters=members)
    return dict(training.fit(job).files)


def flipped(rng, data):
    changed = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut(rng, data):
    place = rng.randrange(len(data))
    return data[:place] if rng.random() < 0.7 else data[place:]


def odd_value(rng, data):
    """Replace, remove or add one value anywhere in a JSON document."""
    if not data.startswith(b"{"):
        return flipped(rng, data)
    document = json.loads(data)
    node = document
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = rng.choice(keys)
        inner = node[key]
        if not isinstance(inner, dict | list) or not inner or rng.random() < 0.3:
            break
        node = inner
    match rng.randrange(3):
        case 0:
            node[key] = rng.choice(_ODD)
        case 1:
            del node[key]
        case _ if isinstance(node, dict):
            node["surplus"] = rng.choice(_ODD)
        case _:
            node.append(rng.choice(_ODD))
    return json.dumps(document).encode()


def unfolding(rng, data):
    """An archive that unfolds, names paths, or holds too much or too little."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        names = ["a.npy", "../a.npy", "/etc/x.npy", "a_0.npy", "A.npy", "x"]
        for name in rng.sample(names, rng.randint(0, 5)):
            made.writestr(zipfile.ZipInfo(name), b"\0" * rng.choice([0, 10, 10_000_000]))
    return buffer.getvalue()


def something_else(rng, data):
    odd = [
        b"",
        b"{}",
        b"null",
        b"PK\x05\x06" + b"\0" * 18,
        rng.randbytes(500),
        b"NaN",
        b"\x80\x04.",
    ]
    return rng.choice([*odd, b"[" * 100_000])


KINDS = (flipped, cut, odd_value, unfolding, something_else)


def cases(count: int, seed: int):
    """Kind, damaged file and all files; the same seed gives the same ones."""
    files = good()
    for number in range(count):
        rng = random.Random(seed * 1_000_003 + number)
        damage = KINDS[number % len(KINDS)]
        name = "arrays.npz" if damage is unfolding else rng.choice(sorted(files))
        yield damage.__name__.replace("_", " "), name, files | {name: damage(rng, files[name])}
