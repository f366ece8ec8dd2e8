"""Additions: circuits and features that the catalogue names only after their files were read.

What it did not name then was told and left: rows of a circuit as ``unknown_circuit`` in the
quarantine, a column as left out in the journal. The slice that first sees the name reads these
files again, in the order of their slices, and takes from them only what was left. So the table
becomes the one that it would be, had the name been there from the start.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlops_assets.domain.arrivals import CLOCK_TOLERANCE
from mlops_assets.domain.identifiers import CircuitKey, digest_of
from mlops_assets.domain.quarantine_log import KNOWN, filled, newest, numbers, parsed
from mlops_assets.domain.readings import KEY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    import polars as pl

    from mlops_assets.domain.readings import RawFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Then:
    """A file as a slice read it, when where that is known, and what is taken from it now."""

    file: RawFile
    slice_id: str
    at: datetime | None
    circuits: tuple[CircuitKey, ...] = ()
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Addition:
    """Files that are read again, in order: for the rows of circuits, or for features of rows.

    Never for both: what fills rows that are there comes before the rows that follow them.
    """

    files: tuple[Then, ...]

    @property
    def circuits(self) -> tuple[CircuitKey, ...]:
        """Whose rows are read."""
        return tuple(sorted({key for then in self.files for key in then.circuits}))

    @property
    def features(self) -> tuple[str, ...]:
        """What is filled into rows that are there."""
        return tuple(sorted({name for then in self.files for name in then.features}))

    @property
    def slice_id(self) -> str:
        """It is merged as a slice, which is named by what is read for what."""
        named = [
            [
                then.slice_id,
                then.file.path,
                then.file.sha256,
                [str(key) for key in then.circuits],
                list(then.features),
            ]
            for then in self.files
        ]
        return digest_of(["addition", named])[:32]

    @property
    def names(self) -> tuple[str, ...]:
        """What was added, as people call it."""
        return (*map(str, self.circuits), *self.features)


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceRecord:
    """A confirmed slice as the journal knows it.

    ``order`` counts slices, 0 where that was not written down; ``left_out`` maps columns that no
    one named to the files that have them, None where that was not. An ``addition`` has no files of
    its own.
    """

    slice_id: str
    files: tuple[RawFile, ...]
    versions: Mapping[str, int]
    order: int = 0
    at: datetime | None = None
    left_out: Mapping[str, tuple[str, ...]] | None = None
    addition: Addition | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What every confirmed slice was read with, or was read again for.

    ``absent`` are files that should have been read again, but were not there.
    """

    circuits: frozenset[CircuitKey] = frozenset()
    features: frozenset[str] = frozenset()
    absent: frozenset[RawFile] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """One file that holds what the catalogue names by now, and what of that.

    ``place`` is that of its slice in the history.
    """

    then: Then
    place: int
    circuits: frozenset[CircuitKey] = frozenset()
    features: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Found:
    """What is to be read again, if anything, which files of it are gone, and what they hold."""

    additions: tuple[Addition, ...]
    absent: frozenset[RawFile]
    lacking: tuple[str, ...]


def in_order(records: Iterable[SliceRecord]) -> list[SliceRecord]:
    """Return slices in the order in which they were merged.

    Those without a number are the oldest; the versions of the tables tell their order.
    """
    every = list(records)
    reached, places = -1, {}
    for record in sorted(every, key=lambda each: each.versions.get("quarantine", -1)):
        version = record.versions.get("readings")
        if version is None and "quarantine" in record.versions:
            version = reached
        elif version is not None and "quarantine" in record.versions:
            reached = version
        places[record.slice_id] = -1 if version is None else version
    return sorted(
        every,
        key=lambda each: (
            each.order,
            places[each.slice_id],
            each.versions.get("quarantine", -1),
            each.slice_id,
        ),
    )


def missed(
    history: Sequence[SliceRecord], unknown: pl.DataFrame, features: Collection[str]
) -> list[Missed]:
    """Return the files that hold rows of circuits or features which nobody read yet, in order.

    ``unknown`` are the rows of the quarantine that `still_unknown` tells of those circuits, and
    ``history`` is `in_order`.
    """
    circuits: dict[tuple[str, str], set[CircuitKey]] = {}
    names = unknown.select("plant_id", "circuit_id", "slice", "file").unique()
    for plant, circuit, slice_id, path in names.iter_rows():
        circuits.setdefault((slice_id, path), set()).add(CircuitKey(plant, circuit))
    left = _left_out(history, features)
    found = []
    for place, record in enumerate(history):
        for then in _read_by(record):
            keys = circuits.get((record.slice_id, then.file.path), set())
            columns = left.get((record.slice_id, then.file), set())
            if keys or columns:
                found.append(
                    Missed(
                        then=then,
                        place=place,
                        circuits=frozenset(keys),
                        features=frozenset(columns),
                    )
                )
    return found


def _left_out(
    history: Sequence[SliceRecord], features: Collection[str]
) -> dict[tuple[str, RawFile], set[str]]:
    """Return by slice and file the features that were left out and not read again since.

    An addition reads files without what nobody had named by then, so it leaves out too.
    """
    left: dict[tuple[str, RawFile], set[str]] = {}
    for record in history:
        addition = record.addition
        # Where it was not written down what was left out, it may have been anything.
        known = dict.fromkeys(features, None) if record.left_out is None else record.left_out
        for then in _read_by(record) if addition is None else addition.files:
            there = left.setdefault((then.slice_id, then.file), set())
            there.difference_update(then.features)
            if addition is not None and not then.circuits:
                continue
            for name in features:
                paths = known.get(name, ())
                if paths is None or then.file.path in paths:
                    there.add(name)
    return left


def _read_by(record: SliceRecord) -> list[Then]:
    """Return the files that a slice was the first to read, in the order in which it did."""
    return [
        Then(file=file, slice_id=record.slice_id, at=record.at)
        for file in sorted(record.files, key=lambda each: each.path)
    ]


def addition_of(
    history: Sequence[SliceRecord],
    found: Sequence[Missed],
    present: Collection[RawFile],
    known: Catalogue,
    columns: Collection[str],
) -> Found:
    """Return what is to be read again of the files that are there; ``columns`` are the table's.

    Where files that came later may have been read for a name already, as when a file comes back or
    a feature is named for the second time, all that came later is read with it, in order: of
    several rows for one hour the last arrival wins. Where some of that is gone, all of it waits.
    """
    there = [each for each in found if each.then.file in present]
    gone = [each for each in found if each.then.file not in present]
    late, new = _parted(there, known, columns)
    absent = {each.then.file for each in gone}
    files = [_taking(each.then, each.circuits, each.features) for each in there]
    if late:
        start = min(each.place for each in late)
        since = [then for record in history[start:] for then in _read_by(record)]
        if lost := {then.file for then in since if then.file not in present}:
            absent |= lost
            gone += late
            files = [_taking(each.then, each.circuits, each.features) for each in new]
        else:
            files = _with_later(there, late, since, start)
    lacking = {str(name) for each in gone for name in (*each.circuits, *each.features)}
    return Found(_additions(files), frozenset(absent), tuple(sorted(lacking)))


def _with_later(
    there: Sequence[Missed], late: Sequence[Missed], since: Sequence[Then], start: int
) -> list[Then]:
    """Return what was missed, and for ``late`` names every file from ``start`` on."""
    circuits = frozenset(key for each in late for key in each.circuits)
    features = frozenset(name for each in late for name in each.features)
    own = {(each.then.slice_id, each.then.file): each for each in there}
    files = [
        _taking(each.then, each.circuits, each.features) for each in there if each.place < start
    ]
    for then in since:
        each = own.get((then.slice_id, then.file))
        files.append(
            _taking(
                then,
                circuits | (each.circuits if each else frozenset()),
                features | (each.features if each else frozenset()),
            )
        )
    return files


def _taking(then: Then, circuits: Iterable[CircuitKey], features: Iterable[str]) -> Then:
    return replace(then, circuits=tuple(sorted(circuits)), features=tuple(sorted(features)))


def _additions(files: Sequence[Then]) -> tuple[Addition, ...]:
    """Fill features first: rows of circuits that are read then come after what they follow."""
    filling = tuple(replace(then, circuits=()) for then in files if then.features)
    reading = tuple(replace(then, features=()) for then in files if then.circuits)
    return tuple(Addition(each) for each in (filling, reading) if each)


def _parted(
    found: Sequence[Missed], known: Catalogue, columns: Collection[str]
) -> tuple[list[Missed], list[Missed]]:
    """Part names for which later files may have been read from those that are all new."""
    late, new = [], []
    for each in found:
        again = each.then.file in known.absent
        circuits = each.circuits if again else each.circuits & known.circuits
        features = each.features if again else each.features & {*known.features, *columns}
        if circuits or features:
            late.append(replace(each, circuits=circuits, features=features))
        if each.circuits - circuits or each.features - features:
            new.append(
                replace(each, circuits=each.circuits - circuits, features=each.features - features)
            )
    return late, new


def rows_again(rows: pl.DataFrame, then: Then) -> pl.DataFrame:
    """Return what of a file's rows is read again, judged by the clock of then where it is known."""
    import polars as pl

    columns = [name for name in then.features if name in rows.columns]
    filled = [pl.col(name).is_not_null() for name in columns]
    kept = rows.filter(pl.any_horizontal(pl.lit(value=False), _of_circuits(then.circuits), *filled))
    if then.at is None:
        return kept
    early = pl.col("reason").is_null() & (pl.col("timestamp") > then.at + CLOCK_TOLERANCE)
    return kept.with_columns(reason=pl.when(early).then(pl.lit("future")).otherwise("reason"))


def known_entries(addition: Addition, unknown: pl.DataFrame) -> pl.DataFrame:
    """Return what the quarantine learns of rows that were read again, without the slice.

    ``unknown`` are the rows that `still_unknown` tells of the added circuits.
    """
    import polars as pl

    taken = pl.DataFrame(
        [
            {"plant_id": k.plant_id, "circuit_id": k.circuit_id, "file": f, "slice": s}
            for k, f, s in (
                (key, then.file.path, then.slice_id)
                for then in addition.files
                for key in then.circuits
            )
        ],
        schema=dict.fromkeys(("plant_id", "circuit_id", "file", "slice"), pl.String),
    )
    return unknown.join(taken, on=taken.columns, how="semi", maintain_order="left").select(
        "plant_id",
        "circuit_id",
        "timestamp",
        "reason",
        "file",
        "row",
        pl.lit(KNOWN).alias("state"),
        pl.col("slice").alias("note"),
    )


def with_cells(log: pl.DataFrame, words: pl.DataFrame, features: Sequence[str]) -> pl.DataFrame:
    """Return the entries of hours that are held back with the features that ``words`` say of them.

    They come back with their hour when it is freed.
    """
    import polars as pl

    known = parsed(log)
    held = newest(known).filter(pl.col("state") == "held").drop("slice", "number")
    together = (
        held.join(words, on=list(KEY), how="inner")
        .join(numbers(known), on=list(KEY), how="left")
        .with_columns((pl.col("_number") + 1).alias("number"))
    )
    cells = []
    for row in together.select("cells", *features).iter_rows(named=True):
        before = json.loads(row["cells"] or "{}")
        said = {name: row[name] for name in features if row[name] is not None}
        cells.append(None if before | said == before else json.dumps(before | said))
    changed = together.with_columns(pl.Series("cells", cells, dtype=pl.String))
    return filled(changed.filter(pl.col("cells").is_not_null()))


def _of_circuits(circuits: Sequence[CircuitKey]) -> pl.Expr:
    import polars as pl

    plants: dict[str, list[str]] = {}
    for key in circuits:
        plants.setdefault(key.plant_id, []).append(key.circuit_id)
    return pl.any_horizontal(
        pl.lit(value=False),
        *(
            (pl.col("plant_id") == plant) & pl.col("circuit_id").is_in(names)
            for plant, names in sorted(plants.items())
        ),
    ).fill_null(value=False)
