"""Judges a home after faults, from the driver's history alone; imports nothing of the project.

    python checker.py HISTORY HOME [--settled]

The history has one JSON line an event: ``sent`` (file, its digest, ``rows`` of circuit, timestamp
and value, ``odd`` rows with the reason they must be refused for), ``started``, ``killed`` and
``done``. What was sent before a ``done`` run started is acknowledged by it. Acknowledged rows must
be there exactly once with the value of their last acknowledged arrival, or one that came later;
nothing may be there that was never sent. ``--settled`` says that everything was acknowledged: then
nothing is open.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

import polars as pl
from deltalake import DeltaTable


def judge(history: Path, home: Path, *, settled: bool) -> list[str]:
    """Return what is wrong, one line each."""
    events = [json.loads(line) for line in history.read_text().splitlines()]
    sent = [event for event in events if event["event"] == "sent"]
    known = _acknowledged(events)
    if settled and known < len(sent):
        return [f"{len(sent) - known} of {len(sent)} files were never acknowledged"]
    lake, problems = home / "lake", _log_problems(home / "lake")
    allowed: dict[tuple[str, str], list[float]] = defaultdict(list)
    for number, event in enumerate(sent):
        for circuit, stamp, value in event["rows"]:
            if number < known:
                allowed[circuit, stamp] = [value]
            else:
                allowed[circuit, stamp].append(value)
    acked = {tuple(row[:2]) for event in sent[:known] for row in event["rows"]}
    table = _rows(lake / "readings", ["circuit_id", "timestamp", "value"])
    there = Counter((circuit, stamp) for circuit, stamp, _ in table)
    problems += [f"{key} is there {count} times" for key, count in there.items() if count > 1]
    problems += [f"{key} was acknowledged and is lost" for key in sorted(acked - there.keys())]
    problems += [
        f"{circuit} {stamp} is {value}, it may be {allowed.get((circuit, stamp), 'absent')}"
        for circuit, stamp, value in table
        if value not in allowed.get((circuit, stamp), [])
    ]
    refused = Counter(_rows(lake / "quarantine", ["file", "row", "reason"]))
    for number, event in enumerate(sent):
        for row, reason in event["odd"]:
            count = refused.pop((event["file"], row, reason), 0)
            if count > 1 or (number < known and count == 0):
                problems.append(f"{event['file']} row {row} is quarantined {count} times")
    problems += [f"{key} is quarantined and was good" for key in refused]
    problems += _restatement_problems(lake, sent[:known], exact=settled)
    problems += _journal_problems(lake, sent[:known], exact=settled)
    return problems


def _acknowledged(events: list[dict]) -> int:
    """How many files the newest run that was done had seen when it started."""
    sent = started = known = 0
    for event in events:
        match event["event"]:
            case "sent":
                sent += 1
            case "started":
                started = sent
            case "done":
                known = started
    return known


def _rows(path: Path, columns: list[str]) -> list[tuple]:
    if not (path / "_delta_log").is_dir():
        return []
    frame = pl.read_delta(str(path)).select(columns)
    if frame.schema.get("timestamp") == pl.Datetime("us", "UTC"):
        frame = frame.with_columns(pl.col("timestamp").dt.strftime("%Y-%m-%d %H:%M"))
    return frame.rows()


def _log_problems(lake: Path) -> list[str]:
    """Commits without a hole, none empty, each slice once, every live file whole."""
    problems = []
    for table in ("readings", "quarantine", "restatements"):
        commits = sorted((lake / table / "_delta_log").glob("0*.json"))
        if [int(path.stem) for path in commits] != list(range(len(commits))):
            problems.append(f"{table}: commits are missing")
        lines = [json.loads(line) for path in commits for line in path.read_text().splitlines()]
        slices = Counter(line["txn"]["appId"] for line in lines if "txn" in line)
        problems += [f"{table}: slice {s} has {n} commits" for s, n in slices.items() if n > 1]
        if commits:
            opened = DeltaTable(lake / table)
            rows = pl.scan_parquet(opened.file_uris()).select(pl.len()).collect().item()
            counted = pl.DataFrame(opened.get_add_actions(flatten=True))["num_records"].sum()
            if rows != counted:
                problems.append(f"{table}: {rows} rows in its files, {counted} in its log")
    return problems


def _restatement_problems(lake: Path, sent: list[dict], *, exact: bool) -> list[str]:
    """Each slice's change of a value that an earlier slice brought is told once."""
    slice_of = {f["path"]: name for name, each in _slices(lake).items() for f in each["files"]}
    slices: dict[str, dict[tuple[str, str], float]] = defaultdict(dict)
    for event in sent:
        if event["file"] in slice_of:
            rows = {(circuit, stamp): value for circuit, stamp, value in event["rows"]}
            slices[slice_of[event["file"]]] |= rows
    now: dict[tuple[str, str], float] = {}
    wanted = set()
    for rows in slices.values():
        wanted |= {(*key, value) for key, value in rows.items() if now.get(key, value) != value}
        now |= rows
    told = Counter(
        (circuit, stamp, value)
        for circuit, stamp, value, column in _rows(
            lake / "restatements", ["circuit_id", "timestamp", "new_value", "column"]
        )
        if column == "value"
    )
    problems = [f"the change to {key} was told {n} times" for key, n in told.items() if n > 1]
    problems += [f"the change to {key} was not told" for key in sorted(wanted - told.keys())]
    if exact:
        problems += [f"the change to {key} was never made" for key in sorted(told.keys() - wanted)]
    return problems


def _slices(lake: Path) -> dict[str, dict]:
    folder = lake / "ingested"
    documents = {path.stem: json.loads(path.read_text()) for path in folder.glob("slices/*.json")}
    if (folder / "slices.json").exists():
        gathered = json.loads((folder / "slices.json").read_text())["slices"]
        documents |= {document["slice"]: document for document in gathered}
    return documents


def _journal_problems(lake: Path, sent: list[dict], *, exact: bool) -> list[str]:
    """Every acknowledged file is in the journal once, with the digest of what lies there."""
    files = Counter(
        (f["path"], f["sha256"]) for each in _slices(lake).values() for f in each["files"]
    )
    problems = []
    for event in sent:
        if (
            hashlib.sha256((lake / "raw" / event["file"]).read_bytes()).hexdigest()
            != event["sha256"]
        ):
            problems.append(f"{event['file']}: the raw file was changed")
        if (count := files[event["file"], event["sha256"]]) != 1:
            problems.append(f"{event['file']}: is in the journal {count} times")
    open_ = [path.name for path in (lake / "ingested").glob("intents/*.json")]
    return problems + ([f"intents are left: {open_}"] if exact and open_ else [])


if __name__ == "__main__":
    found = judge(Path(sys.argv[1]), Path(sys.argv[2]), settled="--settled" in sys.argv)
    sys.stdout.write("".join(f"{line}\n" for line in found))
    sys.exit(1 if found else 0)
