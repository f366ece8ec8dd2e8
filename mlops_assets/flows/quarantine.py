"""Quarantine: what is held back, for people to see, to release, and to hold back themselves.

What a person says is of one value of one hour. It is written to the log first and counts from then
on, also where the same file is read again: an interrupted command is done by repeating it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from mlops_assets.domain import quarantine as rules
from mlops_assets.domain import quarantine_log
from mlops_assets.domain.arrivals import RELEASABLE, fixed_schema
from mlops_assets.domain.contract import RULES
from mlops_assets.domain.errors import UsageError
from mlops_assets.domain.identifiers import CircuitKey, digest_of
from mlops_assets.domain.readings import KEY, IngestReport
from mlops_assets.flows.arrival import table_rows
from mlops_assets.flows.contract import frame, log_around, settle
from mlops_assets.flows.readings import store
from mlops_assets.flows.upkeep import reopen_lost

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    import polars as pl

    from mlops_assets.domain.circuit import Config
    from mlops_assets.ports import Lake

Word = Literal["released", "withheld"]
# What a release takes out of quarantine: a number of a known hour of a known circuit.
TAKEN = (*RULES, *RELEASABLE, rules.WITHHELD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which rows somebody means: all of the circuits from ``start`` to before ``end``, or by id."""

    circuits: Collection[CircuitKey] | None = None
    start: datetime | None = None
    end: datetime | None = None
    ids: Collection[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a word of a person did. ``refused`` counts by reason the rows that it cannot free."""

    rows: int
    entered: int
    withdrawn: int
    restated: int
    refused: Mapping[str, int]
    delta_version: int | None


def listed(lake: Lake, choice: Choice, *, reasons: Sequence[str] = ()) -> pl.DataFrame:
    """Return what is in quarantine now, each row with its id, newest last."""
    import polars as pl

    rows = quarantine_log.standing(
        lake.quarantine.read(choice.circuits, start=choice.start, end=choice.end)
    ).pipe(quarantine_log.with_ids)
    if reasons:
        rows = rows.filter(pl.col("reason").str.split(":").list.first().is_in(list(reasons)))
    if choice.ids:
        rows = rows.filter(pl.col("id").is_in(list(choice.ids)))
        if absent := sorted(set(choice.ids) - set(rows["id"])):
            raise UsageError(f"{absent[0]} is not in quarantine; see `mlops quarantine list`")
    return rows


def words(lake: Lake, choice: Choice) -> pl.DataFrame:
    """Return what people released and withheld, and why, oldest first for each hour."""
    import polars as pl

    log = lake.quarantine.read(choice.circuits, start=choice.start, end=choice.end)
    said = log.filter(pl.col("state").is_in(["released", "withheld"]))
    return said.sort("plant_id", "circuit_id", "timestamp", "number").pipe(quarantine_log.with_ids)


def release(
    lake: Lake,
    config: Config,
    choice: Choice,
    *,
    by: str,
    note: str,
    now: datetime,
    trained_until: Callable[[], Mapping[CircuitKey, datetime]] = dict,
) -> Decision:
    """Take values out of quarantine and into the readings, and keep them there.

    A row that was refused by itself enters where its hour has no reading; what is there stays.

    Raises:
        UsageError: nobody, no reason, or nothing that is in quarantine is named.
    """
    import polars as pl

    _check_words(by, note)
    with lake.journal.lock():
        reopen_lost(lake)
        held, pending = listed(lake, choice), _pending(lake, choice)
        if held.is_empty() and pending.is_empty():
            raise UsageError("nothing of that is in quarantine; see `mlops quarantine list`")
        able = held.filter(pl.col("reason").is_in(TAKEN)).join(
            frame(config.circuits), on=["plant_id", "circuit_id"], how="semi"
        )
        taken = quarantine_log.parsed(able).join(
            _stored(lake, quarantine_log.parsed(able)), on=KEY, how="anti"
        )
        refused = held.join(taken.select("id"), on="id", how="anti").with_columns(
            reason=pl.when(pl.col("id").is_in(able["id"].to_list()))
            .then(pl.lit("has_reading"))
            .otherwise("reason")
        )
        return _say(
            lake,
            config,
            taken,
            "released",
            by=by,
            note=note,
            now=now,
            trained_until=trained_until,
            refused=dict(refused.group_by("reason").len().sort("reason").iter_rows()),
            pending=pending,
        )


def withhold(
    lake: Lake,
    config: Config,
    choice: Choice,
    *,
    by: str,
    note: str,
    now: datetime,
    trained_until: Callable[[], Mapping[CircuitKey, datetime]] = dict,
) -> Decision:
    """Put readings into quarantine that no rule holds back, or take a release back.

    Raises:
        UsageError: nobody, no reason, no bounds, or no reading is named.
    """
    import polars as pl

    _check_words(by, note)
    if not choice.circuits or choice.start is None or choice.end is None:
        raise UsageError("name the readings: --circuit KEY --from TIME --to TIME")
    with lake.journal.lock():
        reopen_lost(lake)
        rows = lake.readings.read(
            start=choice.start, end=choice.end, circuits=choice.circuits, columns=[*KEY, "value"]
        )
        if rows.is_empty():
            raise UsageError("there are no readings of that, so nothing is held back")
        return _say(
            lake,
            config,
            rows.with_columns(pl.lit(rules.WITHHELD).alias("reason")),
            "withheld",
            by=by,
            note=note,
            now=now,
            trained_until=trained_until,
        )


def _pending(lake: Lake, choice: Choice) -> pl.DataFrame:
    """Return released values that an interrupted command did not store."""
    import polars as pl

    log = lake.quarantine.read(choice.circuits, start=choice.start, end=choice.end)
    said = quarantine_log.released(log)
    if said.is_empty():
        return quarantine_log.parsed(log).clear()
    told = quarantine_log.parsed(log).filter(pl.col("state").is_in(["refused", "cleared"]))
    told = told.join(said, on=[*KEY, "value"], how="semi").join(
        _stored(lake, said), on=KEY, how="anti"
    )
    return told.unique([*KEY, "value"], keep="last", maintain_order=True)


def _stored(lake: Lake, rows: pl.DataFrame) -> pl.DataFrame:
    """Return those of the keys that the table has a reading of."""
    import polars as pl

    if rows.is_empty():
        return rows.select(KEY)
    first, last = rows.select(
        pl.col("timestamp").min().alias("first"), pl.col("timestamp").max().alias("last")
    ).row(0)
    circuits = [CircuitKey(*names) for names in rows.select(*KEY[:2]).unique().iter_rows()]
    return lake.readings.read(
        start=first, end=last + timedelta(microseconds=1), circuits=circuits, columns=KEY
    )


def _say(
    lake: Lake,
    config: Config,
    rows: pl.DataFrame,
    word: Word,
    *,
    by: str,
    note: str,
    now: datetime,
    trained_until: Callable[[], Mapping[CircuitKey, datetime]],
    refused: Mapping[str, int] | None = None,
    pending: pl.DataFrame | None = None,
) -> Decision:
    """Judge hours again with a person's word on them, write both down, and store what follows."""
    import polars as pl

    every = rows if pending is None else pl.concat([rows, pending], how="diagonal")
    keys = every.select(KEY).unique().sort(KEY)
    said = rules.decided(
        rows, log_around(lake, keys, config.circuits), state=word, by=by, note=note
    )
    slice_id = digest_of([word, by, note, *([list(row)] for row in said.rows())])[:32]
    settled = settle(
        lake,
        config.circuits,
        _arrivals(every if word == "released" else every.clear()),
        slice_id=slice_id,
        asked=keys,
        told=said,
    )
    lake.quarantine.append(
        pl.concat([said, settled.entries]).with_columns(pl.lit(slice_id).alias("slice")),
        slice_id=slice_id,
    )
    done, version = IngestReport(), None
    if not (settled.rows.is_empty() and settled.withdrawn.is_empty()):
        rows = table_rows(settled.rows, now)
        done, version, _ = store(
            lake,
            lambda: lake.readings.merge(rows, slice_id=slice_id, withdrawn=settled.withdrawn),
            slice_id=slice_id,
            newest=rows["timestamp"].max(),  # type: ignore[arg-type]  # of moments
            trained_until=trained_until,
        )
    return Decision(
        rows=len(every),
        entered=len(settled.rows),
        withdrawn=len(settled.withdrawn),
        restated=done.rows_restated,
        refused=refused or {},
        delta_version=version,
    )


def _arrivals(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows that were refused by themselves as what arrives now, the last of each hour."""
    import polars as pl

    schema = {**{name: fixed_schema()[name] for name in (*KEY, "value")}}
    schema |= {"file": pl.String(), "row": pl.Int64()}
    refused = rows.filter(pl.col("reason").is_in(RELEASABLE)) if len(rows) else rows
    if refused.is_empty():
        return pl.DataFrame(schema=schema)
    ordered = refused.sort("file", "row", maintain_order=True)
    return ordered.unique(KEY, keep="last", maintain_order=True).select(list(schema))


def _check_words(by: str, note: str) -> None:
    if "@" not in by.strip("@"):
        raise UsageError(f"{by!r} names nobody; say --as with an e-mail address")
    if not note.strip():
        raise UsageError("say --reason: people will ask why")
