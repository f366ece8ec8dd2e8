"""Harm done to an audit log of realistic content: every bit, every line, every length.

The log is that of a home whose releases were cut, asked for, signed, rejected, expired, promoted,
deployed and rolled back. All harm must be found, and the first entry that is not as it was written
must be named.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.ledger import anchor_problems, read_log
from mlops_assets_tests.fakes.release import AUTHOR, C1, C2, ENGINEER, MANAGER, ReleaseHome

_NAMED = re.compile(r"ledger entry (\d+)")


@dataclass(frozen=True, slots=True)
class Log:
    """The bytes of a log and the anchors beside it."""

    data: bytes
    anchors: Sequence[str]

    @property
    def lines(self) -> list[bytes]:
        return self.data.splitlines(keepends=True)


def realistic() -> Log:
    """The log of a home in which everything happened once."""
    from mlops_assets.flows.approval import expire
    from mlops_assets.flows.rollback import rollback

    home = ReleaseHome()
    home.deployed()
    home.edit(C1, author=AUTHOR)
    rejected = home.create(C1)
    home.request(rejected, "registry", requester=MANAGER)
    home.reject(rejected, "registry", ENGINEER)
    late = home.create(C1)
    home.request(late, "registry")
    home.tick(days=1)
    expire(home.platform, now=home.now)
    home.edit(C1, C2, author=AUTHOR)
    home.deployed(C1, C2)
    rollback(home.platform, [C1], operator="op@co.example", reason="worse", now=home.now)
    return Log(home.ledger.log, tuple(home.ledger.anchors))


def verdict(data: bytes, anchors: Sequence[str]) -> tuple[int | None, str]:
    """The first entry that `verify` names, and its sentence; (None, "") where it finds nothing."""
    try:
        problems = anchor_problems(read_log(data, lambda: anchors), anchors)
    except RefusedError as error:
        problems = (error.reason,)
    if not problems:
        return None, ""
    match = _NAMED.search(problems[0])
    return int(match[1]) if match else None, problems[0]


@dataclass(slots=True)
class Found:
    """What was tried and found, by kind of harm; ``wrong`` was not found or named otherwise."""

    tried: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def check(self, kind: str, first: int, said: tuple[int | None, str], what: str) -> None:
        self.tried[kind] += 1
        if said[0] != first:
            self.wrong.append(f"{kind}: {what}: entry {first} is broken, but: {said[1] or 'ok'}")

    def table(self) -> str:
        lines = [f"{'harm':12} {'tried':>8} {'found and named':>16}"]
        for kind, count in self.tried.items():
            missed = sum(text.startswith(f"{kind}:") for text in self.wrong)
            lines.append(f"{kind:12} {count:8} {count - missed:16}")
        return "\n".join(lines)


def harmed(log: Log, every: int = 1) -> Found:
    """Try all harm to a log; of bits and lengths each ``every``-th."""
    found = Found()
    for bit in range(0, len(log.data) * 8, every):
        flipped = bytearray(log.data)
        flipped[bit // 8] ^= 1 << bit % 8
        entry = log.data.count(b"\n", 0, bit // 8)
        found.check("bit", entry, verdict(bytes(flipped), log.anchors), f"bit {bit}")
    for end in range(0, len(log.data), every):
        whole = log.data.count(b"\n", 0, end)
        found.check("truncation", whole, verdict(log.data[:end], log.anchors), f"at byte {end}")
    for kind, first, data in _lines_moved(log.lines):
        found.check(kind, first, verdict(data, log.anchors), f"first at line {first}")
    return found


def _lines_moved(lines: list[bytes]) -> Iterator[tuple[str, int, bytes]]:
    count = len(lines)
    for one in range(count):
        yield "drop", one, b"".join(lines[:one] + lines[one + 1 :])
        yield "duplicate", one + 1, b"".join([*lines[: one + 1], *lines[one:]])
        for other in range(one + 1, count):
            swapped = list(lines)
            swapped[one], swapped[other] = lines[other], lines[one]
            yield "swap", one, b"".join(swapped)
            yield "copy", other, b"".join([*lines[:other], lines[one], *lines[other + 1 :]])
