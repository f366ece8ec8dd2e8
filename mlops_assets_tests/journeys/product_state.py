"""The product state of a home as one digest, read with nothing of the project.

It leaves out what differs between two runs that did the same: issued_at, ingested_at, ledger times,
nonces, keys, signatures, the hash chain and its notes, Dagster's database, and what is explicitly
undigested (``run.json``, the time in a model's record).
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from pathlib import Path

UNSTABLE = {
    "at",
    "prev",
    "nonce",
    "expires_at",
    "requested_at",
    "statement",
    "statements",  # digests of what holds a nonce
    "signature",
    "sha256",
    "trained_at",
    "registered_at",
    "deployed_at",
    "trust_sha256",
    "seconds",
}
TABLES = {
    "lake/readings": ["ingested_at"],
    "lake/quarantine": ["ingested_at", "slice", "slice_id", "at"],
    "lake/restatements": ["ingested_at", "slice", "slice_id", "at"],
    "lake/predictions": ["issued_at"],
    "lake/quality": ["scored_at"],
    "lake/hindcasts": ["scored_at", "issued_at"],
}
FOLDERS = ("workspaces", "registry", "ledger/releases")


def stable(value: Any) -> Any:
    """Return JSON without what two equal runs may differ in."""
    match value:
        case dict():
            return {key: stable(item) for key, item in value.items() if key not in UNSTABLE}
        case list():
            return [stable(item) for item in value]
        case _:
            return value


def table_state(path: Path, without: list[str]) -> str:
    """Return the digest of a table's rows, in key order."""
    if not (path / "_delta_log").is_dir():
        return "absent"
    frame = pl.read_delta(str(path))
    frame = frame.drop([name for name in without if name in frame.columns])
    frame = frame.select(sorted(frame.columns)).sort(sorted(frame.columns))
    return hashlib.sha256(frame.write_csv().encode()).hexdigest()


def file_state(path: Path) -> str:
    """Return the digest of one file, JSON without its unstable parts."""
    if path.suffix == ".parquet":
        frame = pl.read_parquet(path)
        kept = [name for name in frame.columns if name not in {"issued_at", "ingested_at"}]
        return hashlib.sha256(frame.select(kept).write_csv().encode()).hexdigest()
    if path.suffix == ".json":
        text = json.dumps(stable(json.loads(path.read_bytes())), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
    return hashlib.sha256(path.read_bytes()).hexdigest()


def ledger_state(home: Path) -> list[Any]:
    """Return the log's events in order, without chain, times and nonces."""
    lines = (home / "ledger" / "log.jsonl").read_text().splitlines()
    return [stable(json.loads(line)) for line in lines]


def product_state(home: Path) -> dict[str, Any]:
    """Return every part's digest by name, so that a difference says where it is."""
    state: dict[str, Any] = {
        name: table_state(home / name, without) for name, without in TABLES.items()
    }
    for folder in FOLDERS:
        for path in sorted((home / folder).rglob("*")):
            # The page shows signatures and times; run.json is the undigested half of evidence.
            if path.is_file() and path.name not in {"run.json", "page.html", ".lock"}:
                state[str(path.relative_to(home))] = file_state(path)
    state["ledger"] = ledger_state(home)
    return state
