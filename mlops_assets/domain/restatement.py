"""Restatements: readings that changed after a model learned from them.

What counts is what training data hold against what the table says of the same hours now. So a value
that changed and changed back is none, a gap that was filled later is none, and a withdrawn row is
one. A person may release such a model all the same: the release's entry then carries the digest of
exactly these changes, which the signatures cover.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.domain.canonical import moment_text
from mlops_assets.domain.gates import Verdict
from mlops_assets.domain.identifiers import canonical_json, decimal_text, digest_of
from mlops_assets.domain.readings import KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    import polars as pl

    from mlops_assets.domain.identifiers import CircuitKey, DataVersion
    from mlops_assets.domain.manifest import Entry

EVIDENCE = "restatements"
GATE = "restatements"
_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One value that a model learned and the table no longer holds; None: it was withdrawn."""

    timestamp: datetime
    column: str
    learned: float
    now: float | None

    def document(self) -> list[str | None]:
        """Return it as canonical JSON can hold it."""
        now = None if self.now is None else decimal_text(self.now)
        return [moment_text(self.timestamp), self.column, decimal_text(self.learned), now]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restatement:
    """What changed under one training set, at least one cell, in order of time and column."""

    circuit: CircuitKey
    data_version: DataVersion
    cells: tuple[Cell, ...]

    @property
    def hours(self) -> int:
        """How many moments changed."""
        return len({cell.timestamp for cell in self.cells})

    @property
    def first(self) -> datetime:
        """The first moment that changed."""
        return self.cells[0].timestamp

    @property
    def last(self) -> datetime:
        """The last one."""
        return self.cells[-1].timestamp

    @property
    def digest(self) -> str:
        """SHA-256 of the cells: what an acknowledgement names."""
        return digest_of([cell.document() for cell in self.cells])

    @property
    def says(self) -> str:
        """The change in half a sentence."""
        if self.hours == 1:
            return f"1 reading of {self.data_version} changed, at {moment_text(self.first)}"
        return (
            f"{self.hours} readings of {self.data_version} changed, from "
            f"{moment_text(self.first)} to {moment_text(self.last)}"
        )


def changed_cells(learned: pl.DataFrame, now: pl.DataFrame) -> tuple[Cell, ...]:
    """Compare one circuit's training rows with the table's rows of today.

    Both have the timestamp and the columns of the training rows; other rows of ``now`` are later
    arrivals and no restatement.
    """
    import polars as pl

    columns = [name for name in learned.columns if name not in KEY]
    joined = learned.join(now, on="timestamp", how="left", suffix="_now").sort("timestamp")
    cells = []
    for column in columns:
        was, became = pl.col(column), pl.col(f"{column}_now")
        differing = joined.filter(was.is_not_null() & was.is_not_nan() & was.ne_missing(became))
        for moment, old, new in differing.select("timestamp", was, became).iter_rows():
            cells.append(Cell(timestamp=moment, column=column, learned=old, now=new))
    return tuple(sorted(cells, key=lambda cell: (cell.timestamp, cell.column)))


def judge(found: Restatement | None, acknowledged: str | None, circuit: CircuitKey) -> Verdict:
    """Ask whether what a model learned from still stands, or its release says that it does not."""
    if found is None:
        return Verdict(GATE, passed=True, reason="what it learned from has not changed since")
    if acknowledged == found.digest:
        return Verdict(GATE, passed=True, reason=f"acknowledged: {found.says}")
    since = " after the release acknowledged others" if acknowledged else ""
    return Verdict(
        GATE,
        passed=False,
        reason=f"{found.says}{since}: `mlops refresh --cutoff DATE --circuit {circuit}` learns "
        f"them, `mlops release create --circuit {circuit} --acknowledge-restatements` lets people "
        "sign the model as it is",
    )


def evidence_bytes(release: str, found: Sequence[Restatement]) -> bytes:
    """Return what a release acknowledges in full, as its evidence keeps it."""
    circuits = {
        str(each.circuit): {
            "data_version": str(each.data_version),
            "digest": each.digest,
            "cells": [cell.document() for cell in each.cells],
        }
        for each in found
    }
    return canonical_json({"format": _FORMAT, "release": release, "circuits": circuits})


def acknowledged_cells(document: Mapping[str, Any], entry: Entry) -> tuple[tuple[Any, ...], ...]:
    """Return the changes that an entry acknowledges, read from its release's evidence.

    Raises:
        ValueError: the evidence does not hold what the entry was signed with.
    """
    cells = document["circuits"][str(entry.circuit)]["cells"]
    if digest_of(cells) != entry.restated:
        raise ValueError("it is not what the release was signed with")
    return tuple(tuple(cell) for cell in cells)
