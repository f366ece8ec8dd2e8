"""What a slice that runs elsewhere is told, and what it tells: orders and outcomes as bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import DataError
from mlops_assets.engines.wire import decode_document, encode_document

if TYPE_CHECKING:
    from mlops_assets.domain.slice import FileFact, Part, SliceOrder
    from mlops_assets.ports import MergeResult

_WHENEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a slice did; ``merged`` is None where nothing entered or left the table."""

    facts: tuple[FileFact, ...]
    part: Part
    merged: MergeResult | None


def order_bytes(order: SliceOrder) -> bytes:
    """Return an order as whoever does it reads it."""
    return encode_document({"order": order})


def order_of(data: bytes, where: str) -> SliceOrder:
    """Return an order.

    Raises:
        DataError: the bytes are none; it names ``where``.
    """
    order: SliceOrder = decode_document(data, where, "an order of a slice")["order"]
    return order


def name_of(order: SliceOrder) -> str:
    """What an order asks for, whenever it is asked for: the same again is the same work."""
    return sha256(order_bytes(replace(order, now=_WHENEVER))).hexdigest()


def done_bytes(done: Done) -> bytes:
    """Return what was done, as whoever ordered it reads it."""
    return encode_document({"facts": done.facts, "part": done.part, "merged": done.merged})


def refused_bytes(line: str) -> bytes:
    """Return the one line that says why nothing was done."""
    return encode_document({"refused": line})


def done_of(data: bytes, where: str) -> Done:
    """Return what was done.

    Raises:
        DataError: nothing was done, and this is the line; or the bytes are no outcome.
    """
    document = decode_document(data, where, "an outcome of a slice")
    if "refused" in document:
        raise DataError(document["refused"])
    return Done(**document)
