"""The audit log: one canonical line a decision, each naming the SHA-256 of the line before it.

A line is canonical JSON of ``{actor, at, data, event, prev, seq}`` and a newline. The chain shows
every change inside the log; its head, anchored outside after each append, shows truncation.
"""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mlops_assets.domain.canonical import (
    expect_fields,
    moment_text,
    read_canonical,
    read_moment,
    shown,
    whole_second,
)
from mlops_assets.domain.errors import MlopsError, RefusedError
from mlops_assets.domain.identifiers import IdentifierError, canonical_json, sha256
from mlops_assets.domain.release import LedgerEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

GENESIS = "0" * 64
# The event by which people accept that a home was restored from before its newest decisions.
RESTORED = "restored"
# Where people void anchors that no decision is behind, in the config repository.
ANCHORS_FILE = "trust/anchors.yml"
MAXIMUM_LINE_BYTES = 4 * 2**20
# Clocks of two machines may differ by this much; one that ran back further is refused.
CLOCK_SLACK = timedelta(minutes=5)

_FIELDS = {"seq", "prev", "at", "event", "actor", "data"}
_ANCHOR = re.compile(r"(0|[1-9]\d{0,15}) ([0-9a-f]{64})", re.ASCII)


def line_of(entry: LedgerEntry) -> bytes:
    """Return the entry's line, newline included."""
    document = {
        "seq": entry.seq,
        "prev": entry.prev,
        "at": moment_text(entry.at),
        "event": entry.event,
        "actor": entry.actor,
        "data": dict(entry.data),
    }
    return canonical_json(document) + b"\n"


def hash_of(entry: LedgerEntry) -> str:
    """Return the SHA-256 of the entry's line, which the next entry names as ``prev``."""
    return sha256(line_of(entry))


def following(
    last: LedgerEntry | None, *, event: str, actor: str, data: Mapping[str, Any], now: datetime
) -> LedgerEntry:
    """Return the entry that comes after ``last``; its time never lies before ``last``'s."""
    return LedgerEntry(
        seq=last.seq + 1 if last else 0,
        prev=hash_of(last) if last else GENESIS,
        at=max(whole_second(now), last.at) if last else whole_second(now),
        event=event,
        actor=actor,
        data=dict(data),
    )


def read_log(
    log: bytes, anchored: Callable[[], Sequence[str]] | None = None
) -> tuple[LedgerEntry, ...]:
    """Read a whole log and check its chain; the first broken entry is named.

    Where the chain breaks between two entries it cannot say which of them was changed: what was
    ``anchored`` says it, and is asked only then.
    """
    try:
        return _read_chain(log)
    except RefusedError as error:
        changed = None
        with suppress(MlopsError):
            changed = first_changed(log, anchored() if anchored else ())
        if changed is None:
            raise
        raise RefusedError(
            "E_CHAIN",
            f"ledger entry {changed} is not the one that was anchored ({error.reason})",
        ) from error


def first_changed(log: bytes, anchors: Sequence[str]) -> int | None:
    """Return the first line of a log that is not the one anchored under its number."""
    heads = anchored_heads(anchors)
    for seq, line in enumerate(log.split(b"\n")[:-1]):
        if seq in heads and sha256(line + b"\n") not in heads[seq]:
            return seq
    return None


def _read_chain(log: bytes) -> tuple[LedgerEntry, ...]:
    *lines, rest = log.split(b"\n")
    if rest:
        raise RefusedError("E_CHAIN", f"ledger entry {len(lines)} is cut off")
    entries: list[LedgerEntry] = []
    before = GENESIS
    for seq, line in enumerate(lines):
        entry = _read_line(line, seq)
        if entry.seq != seq:
            raise RefusedError("E_CHAIN", f"ledger entry {seq} says that it is entry {entry.seq}")
        if entry.prev != before:
            raise RefusedError("E_CHAIN", f"ledger entry {seq} does not follow entry {seq - 1}")
        if entries and entry.at < entries[-1].at:
            raise RefusedError("E_CHAIN", f"ledger entry {seq} is older than entry {seq - 1}")
        entries.append(entry)
        before = sha256(line + b"\n")
    return tuple(entries)


def _read_line(line: bytes, seq: int) -> LedgerEntry:
    what = f"ledger entry {seq}"
    try:
        document = expect_fields(
            read_canonical(line, what=what, limit=MAXIMUM_LINE_BYTES), _FIELDS, what=what
        )
        at = read_moment(document["at"])
    except IdentifierError as error:
        reason = str(error) if str(error).startswith(what) else f"{what}: {error}"
        raise RefusedError("E_CHAIN", reason) from error
    texts = all(isinstance(document[name], str) for name in ("prev", "event", "actor"))
    if not texts or type(document["seq"]) is not int or not isinstance(document["data"], dict):
        raise RefusedError("E_CHAIN", f"{what} has a field of the wrong type")
    return LedgerEntry(**(document | {"at": at}))


@contextmanager
def well_formed(entry: LedgerEntry) -> Iterator[None]:
    """Refuse an entry by its number where its data turn out not to be those of its event."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RefusedError(
            "E_LEDGER",
            f"ledger entry {entry.seq}: {shown(entry.event)}, but its data are not those of such "
            "an entry: no platform wrote it; see `mlops verify`",
        ) from error


def anchor_of(entry: LedgerEntry) -> str:
    """Return the text that is kept outside: the entry's number and its line's SHA-256."""
    return f"{entry.seq} {hash_of(entry)}"


def anchored_heads(anchors: Sequence[str]) -> Mapping[int, frozenset[str]]:
    """Return the hashes ever anchored for each entry; two for one number mean a rewritten log."""
    heads: dict[int, frozenset[str]] = {}
    for anchor in anchors:
        if match := _ANCHOR.fullmatch(anchor.strip()):
            seq = int(match[1])
            heads[seq] = heads.get(seq, frozenset()) | {match[2]}
    return heads


def standing_heads(
    entries: Sequence[LedgerEntry], anchors: Sequence[str], *, stay: bool = False
) -> Mapping[int, frozenset[str]]:
    """Return the anchored hashes without those that an entry says were lost with a home.

    Such an entry can only name what would have come in its place or after it. It is not signed, so
    where anchors ``stay`` it cancels none.
    """
    heads = dict(anchored_heads(anchors))
    for entry in entries:
        if entry.event == RESTORED and not stay:
            with well_formed(entry):
                for seq, digest in entry.data["lost"]:
                    if seq >= entry.seq:
                        heads[seq] = heads.get(seq, frozenset()) - {digest}
    return {seq: digests for seq, digests in heads.items() if digests}


def lost_heads(entries: Sequence[LedgerEntry], anchors: Sequence[str]) -> list[list[int | str]]:
    """Return what was anchored after a log's end: the entries that a restored home has lost."""
    return [
        [seq, digest]
        for seq, digests in sorted(standing_heads(entries, anchors).items())
        for digest in sorted(digests)
        if seq >= len(entries)
    ]


def voided_anchors(document: object, where: str) -> Mapping[str, str]:
    """Read which anchors people voided, and why, from what `trust/anchors.yml` holds.

    Raises:
        RefusedError: it has another form; nothing of it counts then.
    """
    try:
        return dict(_voided(document, where))
    except IdentifierError as error:
        raise RefusedError("E_TRUST", str(error)) from error


def _voided(document: object, where: str) -> Iterator[tuple[str, str]]:
    whole = expect_fields(document, {"format", "voided"}, what=where)
    if whole["format"] != 1 or not isinstance(whole["voided"], list):
        raise IdentifierError(f"{where}: is not format 1 with a list of voided anchors")
    for each in whole["voided"]:
        item = expect_fields(each, {"anchor", "reason"}, what=f"{where}: voided")
        anchor, reason = item["anchor"], item["reason"]
        if not isinstance(anchor, str) or not _ANCHOR.fullmatch(anchor):
            raise IdentifierError(
                f"{where}: {shown(anchor)} is no anchor: write NUMBER SHA256, in quotes"
            )
        if not isinstance(reason, str) or not reason.strip():
            raise IdentifierError(f"{where}: {shown(anchor)}: write a reason")
        yield anchor, reason


def anchor_problems(
    entries: Sequence[LedgerEntry], anchors: Sequence[str], *, stay: bool = False
) -> tuple[str, ...]:
    """Say where a log, its chain checked, differs from what was anchored; nothing when it holds.

    The newest entry may still lack its anchor: a crash between the two leaves it so, and the next
    append adds it.
    """
    heads = standing_heads(entries, anchors, stay=stay)
    # In a checked chain each entry's hash is what the next one names.
    hashes = [entry.prev for entry in entries[1:]] + [hash_of(entry) for entry in entries[-1:]]
    problems = [
        f"ledger entry {entry.seq} has no anchor in the config repository"
        if entry.seq not in heads
        else f"ledger entry {entry.seq} is not the one that was anchored"
        if digest not in heads[entry.seq]
        else f"ledger entry {entry.seq} is not the one that was anchored alone: somebody anchored "
        f"{', '.join(sorted(heads[entry.seq] - {digest}))} under its number too; "
        "docs/identities.md says who may void it"
        for entry, digest in zip(entries, hashes, strict=True)
        if heads.get(entry.seq) != frozenset({digest})
        and (entry.seq in heads or entry.seq != len(entries) - 1)
    ]
    if heads and max(heads) >= len(entries):
        problems.append(
            f"ledger entry {len(entries)} is gone, but entry {max(heads)} was anchored: "
            "it was cut off"
        )
    return tuple(problems)


def check_clock(entries: Sequence[LedgerEntry], now: datetime) -> datetime:
    """Return the moment to decide at: never before the newest entry, which is the highest time.

    A clock more than `CLOCK_SLACK` behind is refused, because it would let expired requests live.
    """
    moment = whole_second(now)
    if not entries:
        return moment
    if moment < entries[-1].at - CLOCK_SLACK:
        raise RefusedError(
            "E_CLOCK",
            f"the clock says {moment_text(now)}, but the ledger has seen "
            f"{moment_text(entries[-1].at)}: set the clock right",
        )
    return max(moment, entries[-1].at)
