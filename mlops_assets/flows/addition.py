"""Additions: what the catalogue names since the last slice is read again from the files it is in.

An addition is merged as a slice of its own, before the new files, so that it can be killed and
repeated like one. Of the circuits that were known only the added features are filled in: their
values, and whatever arrived for them later, stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlops_assets.domain.addition import (
    Catalogue,
    addition_of,
    known_entries,
    missed,
    rows_again,
    with_cells,
)
from mlops_assets.domain.arrivals import fixed_schema, last_arrivals
from mlops_assets.domain.quarantine_log import still_unknown
from mlops_assets.domain.readings import KEY
from mlops_assets.domain.source import HISTORIAN
from mlops_assets.flows.arrival import Arrival, entries_of, proved_order, table_rows
from mlops_assets.flows.contract import before_slice, judge, log_around

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import polars as pl

    from mlops_assets.domain.addition import Addition, SliceRecord
    from mlops_assets.domain.circuit import Config
    from mlops_assets.domain.readings import IngestReport, RawFile
    from mlops_assets.domain.slice import FileFact, Part, SliceOrder
    from mlops_assets.domain.stamps import DateOrder
    from mlops_assets.flows.arrival import Before
    from mlops_assets.ports import Lake, LandingZone, RowLog, SliceRules


def as_known(lake: Lake, config: Config) -> Config:
    """Return the config with no more circuits and features than confirmed slices were read with.

    A slice that is taken up again is judged so: what was added since comes with its addition.
    """
    known = lake.journal.catalogue()
    if known is None:
        return config
    return replace(
        config,
        circuits={key: each for key, each in config.circuits.items() if key in known.circuits},
        feature_columns=tuple(each for each in config.feature_columns if each in known.features),
    )


def take_up(
    lake: Lake,
    config: Config,
    present: Sequence[RawFile],
    run: Callable[[Addition], IngestReport],
    say: Callable[[str], None],
) -> IngestReport | None:
    """Read again what the catalogue names by now, and remember that; None where it is nothing.

    ``run`` merges an addition. Files that are gone are said in one line, and read once they are
    back, together with all that came after them.
    """
    said = lake.journal.catalogue()
    known = _first(lake, config) if said is None else said
    # Most slices add nothing, and then nothing is made of all files.
    returned = known.absent and known.absent.intersection(present)
    circuits = set(config.circuits) if returned else config.circuits.keys() - known.circuits
    features = set(config.feature_columns)
    if not returned:
        features -= known.features
    report: IngestReport | None = None
    absent = known.absent
    if circuits or features:
        history, there = lake.journal.history(), frozenset(present)
        every = missed(history, still_unknown(lake.quarantine.read(circuits)), features)
        found = addition_of(history, every, there, known, lake.readings.columns())
        for each in found.additions:
            done = run(each)
            report = done if report is None else report + done
        absent = found.absent | (frozenset() if returned else known.absent)
        if found.absent:
            one = min(each.path for each in found.absent)
            say(
                f"{len(found.absent)} raw files that hold {', '.join(found.lacking)}, added since "
                f"they were read, are gone, such as {one}: put them back, or name their folder "
                "with --raw, and run ingest again"
            )
    wanted = Catalogue(
        circuits=frozenset(config.circuits),
        features=frozenset(config.feature_columns),
        absent=absent,
    )
    if wanted != said:
        lake.journal.know(wanted)
    return report


def known_again(quarantine: RowLog, addition: Addition) -> pl.DataFrame:
    """Return what the quarantine learns of the rows that an addition reads again."""
    log = quarantine.read(addition.circuits)
    return known_entries(addition, still_unknown(log.filter(log["slice"] != addition.slice_id)))


def rules_of(order: SliceOrder, before: Before, zone: LandingZone) -> SliceRules:
    """Return the rules that an order was made of, over the lake that is here."""
    rules = Arrival(
        config=order.config, before=before, zone=zone, now=order.now, slice_id=order.slice_id
    )
    if order.addition is None:
        return rules
    return Again(rules=rules, addition=order.addition, history=order.history)


def _first(lake: Lake, config: Config) -> Catalogue:
    """Return what a home knew that never said so: only its features where slices were merged."""
    features = frozenset(config.feature_columns)
    if lake.journal.history():
        return Catalogue(features=features & frozenset(lake.readings.columns()))
    return Catalogue(circuits=frozenset(config.circuits), features=features)


@dataclass(frozen=True, slots=True)
class Zones:
    """The landing zone, and a folder that is read instead of it: files are found in either."""

    chosen: LandingZone
    landing: LandingZone
    own: frozenset[RawFile]

    @classmethod
    def of(cls, chosen: LandingZone, landing: LandingZone, files: Iterable[RawFile]) -> Zones:
        """``files`` are those of the folder, and drawings; they stand for others of their name."""
        own = frozenset(file for file in files if not file.path.startswith(HISTORIAN))
        return cls(chosen, landing, own)

    def files(self) -> Sequence[RawFile]:
        """Every file of both, sorted by path."""
        named = {file.path: file for file in (*self.landing.files(), *self.own)}
        return tuple(named[path] for path in sorted(named))

    def read(self, file: RawFile) -> bytes:
        """The bytes; DataError when they are no longer those of ``file``."""
        return (self.chosen if file in self.own else self.landing).read(file)

    def put(self, path: str, data: bytes) -> RawFile:
        """Add one file to the landing zone."""
        return self.landing.put(path, data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """The rules of an addition: those of a slice, for what is read again alone.

    ``history`` are the slices before it; it says which files lay beside one when it was read.
    """

    rules: Arrival
    addition: Addition
    history: tuple[SliceRecord, ...]

    @property
    def features(self) -> tuple[str, ...]:
        """The feature columns that rows may have, in order."""
        return self.rules.features

    def read(self, file: RawFile, assumed: DateOrder = "month") -> tuple[FileFact, pl.DataFrame]:
        """Read of one file what was left of it."""
        fact, rows = self.rules.read(file, assumed)
        kept = rows_again(rows, next(each for each in self.addition.files if each.file == file))
        return replace(fact, rows=len(kept)), kept

    def days_first(self, facts: Iterable[FileFact]) -> frozenset[str]:
        """Return the files to be read again with the day first, by what lay beside them then."""
        slices = {then.file.path: then.slice_id for then in self.addition.files}
        unclear = [fact.path for fact in facts if fact.order is None]
        return frozenset(
            path
            for path in unclear
            if proved_order(self.rules.zone, path, self._until(slices[path])) == "day"
        )

    def settle(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, Part]:
        """Judge the rows of added circuits like any, or fill features into those that are there."""
        return self._fill(rows) if self.addition.features else self.rules.settle(rows)

    def order(self, files: Sequence[RawFile]) -> SliceOrder:
        """Return what another machine must know to do these files by the same rules."""
        return replace(self.rules.order(files), addition=self.addition, history=self.history)

    def _until(self, slice_id: str) -> list[RawFile]:
        """Return the files of the slices up to one."""
        names = [record.slice_id for record in self.history]
        end = names.index(slice_id) + 1 if slice_id in names else len(names)
        return [file for record in self.history[:end] for file in record.files]

    def _fill(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, Part]:
        """Put added features into rows of the table, and into what is held back."""
        import polars as pl

        from mlops_assets.domain.slice import Part

        rules = self.rules
        features = [name for name in self.addition.features if name in rows.columns]
        only = rows.select(*(c for c in rows.columns if c not in rules.features), *features)
        judged = judge(rules.before, rules.config, only, now=rules.now, slice_id=rules.slice_id)
        said = last_arrivals(judged.accepted)
        words = said.rows.select(*KEY, *features)
        keys = words.select(KEY)
        table = before_slice(rules.before, keys, rules.slice_id).select(*KEY, "value", "source")
        entering = table_rows(
            words.join(table, on=KEY, how="inner")
            .rename({"source": "file"})
            .with_columns(pl.lit(None, dtype=pl.Int64).alias("row")),
            rules.now,
        )
        log = log_around(rules.before, keys, rules.config.circuits, rules.slice_id)
        newest = entering["timestamp"].max()
        return entering.select(*fixed_schema(), *features), Part(
            entries=entries_of([with_cells(log, words, features)]),
            withdrawn=keys.clear(),
            entering=len(entering),
            superseded=said.superseded,
            # What was refused or is held back changes nothing by this.
            repeated=said.repeated + len(judged.quarantined) + len(words) - len(entering),
            days=tuple(entering["date"].unique().sort().to_list()),
            newest=newest,  # type: ignore[arg-type]  # a moment: the column is of moments
            features=tuple(features),
        )
