"""Verifying an audit log of 100,000 entries from its file, chain and anchors, by a new process.

The log is that of 10,000 releases of a few circuits each. The anchors are given as texts: git notes
hold them in a home, and reading those is left out.
"""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.figure import Figure
from mlops_assets.adapters.local.ledger import LocalLedger
from mlops_assets.domain.identifiers import sha256
from mlops_assets.domain.ledger import anchor_problems, following, line_of

ENTRIES = 100_000
LIMIT_SECONDS = 5.0
BEGAN = datetime(2024, 1, 1, tzinfo=UTC)


def _events(number: int) -> list[tuple[str, str, dict[str, object]]]:
    """What happens to one release on its way."""
    digest = sha256(str(number).encode())
    release, nonces = f"r-{digest[:12]}", [sha256(f"{number} {stage}".encode()) for stage in "rp"]
    keys = [f"P{number % 20 + 1:03}/C{circuit:03}" for circuit in range(3)]
    about = [{"release": release, "nonce": nonce} for nonce in nonces]
    window = {"expires_at": "2030-01-02T00:00:00Z"}
    person = {"principal": "engineer@co.example", "statement": digest, "signature": digest}
    return [
        ("released", "platform", {
            "release": release, "digest": digest, "circuits": keys, "attempt": 1,
            "config_commit": digest[:40],
        }),
        ("requested", "platform", about[0] | window | {"stage": "registry"}),
        ("approved", "engineer@co.example", about[0] | person | {"stage": "registry"}),
        ("consumed", "platform", about[0] | {"stage": "registry", "statements": [digest]}),
        ("registered", "platform", {"release": release}),
        ("tested", "platform", {"release": release, "evidence": digest}),
        ("requested", "platform", about[1] | window | {"stage": "production"}),
        ("approved", "engineer@co.example", about[1] | person | {"stage": "production"}),
        ("consumed", "platform", about[1] | {"stage": "production", "statements": [digest]}),
        ("deployed", "platform", {"release": release, "circuits": dict.fromkeys(keys)}),
    ]  # fmt: skip


def _written(count: int) -> tuple[bytes, list[str]]:
    lines: list[bytes] = []
    anchors: list[str] = []
    last = None
    for number in range(count // 10):
        for event, actor, data in _events(number):
            now = BEGAN + timedelta(minutes=len(lines))
            last = following(last, event=event, actor=actor, data=data, now=now)
            lines.append(line_of(last))
            anchors.append(f"{last.seq} {sha256(lines[-1])}")
    return b"".join(lines), anchors


def measure(*, quick: bool) -> list[Figure]:
    """Verify as `mlops verify` does, and find the one entry that is changed then."""
    count = ENTRIES // 10 if quick else ENTRIES
    log, anchors = _written(count)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        path.write_bytes(log)
        ledger = LocalLedger(Path(folder), anchors.append, lambda: anchors)
        wall, cpu = time.perf_counter(), time.process_time()
        entries = ledger.entries()
        problems = anchor_problems(entries, anchors)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        assert len(entries) == count
        assert not problems
        path.write_bytes(log.replace(b'"attempt":1', b'"attempt":2', 1))
        named = _refusal(LocalLedger(Path(folder), anchors.append, lambda: anchors))
    assert named.startswith("ledger entry 0 is not the one that was anchored")
    return [
        Figure(
            name="audit_seconds",
            figure=round(wall, 2),
            limit=LIMIT_SECONDS,
            unit="s",
            details={
                "entries": count,
                "megabytes": round(len(log) / 2**20, 1),
                "cpu": round(cpu, 2),
            },
        )
    ]


def _refusal(ledger: LocalLedger) -> str:
    from mlops_assets.domain.errors import RefusedError

    try:
        ledger.entries()
    except RefusedError as error:
        return error.reason
    return ""
