"""Quarantine: rows that are no readings, why, and what people said of them.

The quarantine is a log that only grows. The state of a row says what it tells:

| state | is |
|---|---|
| refused | a row of a file that is no reading by itself; the states below are of hours, not rows |
| held | the newest value of this hour is no reading: it breaks its circuit's contract |
| cleared | it is one after all: its neighbours came, or another value did |
| released | a person: this value of this hour is a reading, whatever the contract says |
| withheld | a person: it is none; the newest of the two words of people counts |
| known | a circuit's rows of one file and slice were read again: the catalogue names it now |

What is told of one hour is numbered. `settle` turns the rows of a slice, and what lies around them,
into readings, withdrawals and entries of this log; it depends on what arrived, not on the slices.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mlops_assets.domain.contract import RULES, reach, verdicts
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.quarantine_log import decisions, filled, newest, numbers, parsed
from mlops_assets.domain.readings import FIXED, KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import numpy as np
    import polars as pl

    from mlops_assets.domain.circuit import Circuit

# The reason of what a person withheld.
WITHHELD = "withheld"
# More windows than this are read as one.
_MOST_WINDOWS = 20


@dataclass(frozen=True, slots=True)
class Settled:
    """What a slice does: rows of `arrivals.last_arrivals` to merge, keys to withdraw, log entries.

    ``held`` counts the arrived rows that do not enter, by reason; ``returned`` the merged rows that
    did not arrive now but were held before.
    """

    rows: pl.DataFrame
    withdrawn: pl.DataFrame
    entries: pl.DataFrame
    held: Mapping[str, int]
    returned: int


def windows(
    asked: pl.DataFrame, circuits: Mapping[CircuitKey, Circuit]
) -> list[tuple[datetime, datetime]]:
    """Return the spans of time, end excluded, that hold all that verdicts on ``asked`` need.

    A changed value is part of the verdicts within its reach, and these look as far again.
    """
    import polars as pl

    spans: set[tuple[datetime, datetime]] = set()
    days = asked.with_columns(pl.col("timestamp").dt.truncate("1d")).unique()
    for (plant, name), part in days.group_by("plant_id", "circuit_id"):
        spec = circuits[CircuitKey(str(plant), str(name))].spec
        far = reach(spec.limits, spec.step)
        room = far.before + far.after
        spans |= {(day - room, day + timedelta(days=1) + room) for day in part["timestamp"]}
    merged: list[tuple[datetime, datetime]] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    if len(merged) > _MOST_WINDOWS:
        return [(merged[0][0], merged[-1][1])]
    return merged


def settle(
    arrived: pl.DataFrame,
    near: pl.DataFrame,
    log: pl.DataFrame,
    circuits: Mapping[CircuitKey, Circuit],
    asked: pl.DataFrame | None = None,
) -> Settled:
    """Judge arrived rows, and the rows whose verdict they change, among their neighbours.

    Args:
        arrived: Rows that are readings by themselves, one a key (`arrivals.last_arrivals`).
        near: Rows of the readings table in `windows`.
        log: Rows of the quarantine in `windows`.
        circuits: Those of the rows.
        asked: Further keys to judge.
    """
    import polars as pl

    features = [name for name in arrived.columns if name not in {*FIXED, "file", "row"}]
    features += [name for name in near.columns if name not in {*FIXED, *features}]
    raw = _last_words(arrived, near, log, features)
    keys = arrived.select(KEY) if asked is None else pl.concat([arrived.select(KEY), asked])
    judged = _judged(raw, keys, circuits)
    good, bad = pl.col("reason").is_null(), pl.col("reason").is_not_null()
    arriving, stored = pl.col("_origin") == 0, pl.col("_stored")
    entering = judged.filter(good & (arriving | ~stored))
    shown = [name for name in [*KEY, "value", *features, "file", "row"] if name in arrived.columns]
    shown += [name for name in features if name not in shown and entering[name].count()]
    held = judged.filter(bad & arriving).group_by("reason").len().sort("reason")
    return Settled(
        rows=entering.select(shown),
        withdrawn=judged.filter(bad & stored).select(KEY),
        entries=_entries(judged, features),
        held=dict(held.iter_rows()),
        returned=len(entering.filter(~arriving)),
    )


def decided(
    rows: pl.DataFrame, log: pl.DataFrame, *, state: str, by: str, note: str
) -> pl.DataFrame:
    """Return the log entries by which a person releases or withholds values.

    ``rows`` has the columns of `KEY`, ``value`` and ``reason``; ``log`` holds what was told of
    their hours before.
    """
    import polars as pl

    told = numbers(parsed(log))
    return filled(
        rows.unique([*KEY, "value"], maintain_order=True)
        .join(told, on=list(KEY), how="left")
        .select(
            *KEY,
            "value",
            "reason",
            pl.lit(state).alias("state"),
            (pl.col("_number").fill_null(0) + 1).alias("number"),
            pl.lit(by).alias("by"),
            pl.lit(note).alias("note"),
        )
    )


def _last_words(
    arrived: pl.DataFrame, near: pl.DataFrame, log: pl.DataFrame, features: list[str]
) -> pl.DataFrame:
    """Return what each meter said last of each hour, wherever that lies now.

    Of an hour that no reading is of, the log knows it. ``_stored`` says whether the table has it.
    """
    import polars as pl

    entries = parsed(log)
    told = newest(entries)
    cells = [
        pl.col("cells").str.json_path_match(f"$.{name}").cast(pl.Float64, strict=False).alias(name)
        for name in features
    ]
    parts = [
        arrived.with_columns(pl.lit(0).alias("_origin")),
        near.rename({"source": "file"}).drop("date", "ingested_at").with_columns(_origin=1),
        told.select(*KEY, "value", *cells, "file", "row").with_columns(_origin=2),
    ]
    words = pl.concat(
        [part.with_columns(pl.col("_origin").cast(pl.Int8)) for part in parts], how="diagonal"
    ).sort([*KEY, "_origin"])
    first = words.group_by(list(KEY), maintain_order=True).agg(
        pl.col("value", "file", "row", "_origin").first(),
        *(pl.col(name).drop_nulls().first() for name in features),
        (pl.col("_origin") == 1).any().alias("_stored"),
    )
    was = told.select(
        *KEY,
        pl.col("value").alias("_was_value"),
        pl.col("reason").alias("_was_reason"),
        pl.col("state").alias("_was"),
    )
    said = decisions(entries).select(*KEY, "value", "_released")
    return (
        first.join(was, on=list(KEY), how="left")
        .join(said, on=[*KEY, "value"], how="left")
        .join(numbers(entries), on=list(KEY), how="left")
        .sort(KEY)
    )


def _judged(
    raw: pl.DataFrame, keys: pl.DataFrame, circuits: Mapping[CircuitKey, Circuit]
) -> pl.DataFrame:
    """Return the rows whose verdict the keys may change, with the reason where it is a no."""
    import numpy as np
    import polars as pl

    causes = dict(_stretches(keys.sort(KEY)))
    changed = keys.sort(KEY)["timestamp"].to_physical().to_numpy()
    stamps, values = raw["timestamp"].to_physical().to_numpy(), raw["value"].to_numpy()
    asked, codes = np.zeros(len(raw), dtype=bool), np.zeros(len(raw), dtype=np.int8)
    # Plain arrays: a frame for each circuit would cost more than all that is judged.
    for key, here in _stretches(raw):
        circuit = circuits.get(key)
        if circuit is not None and key in causes:
            part = changed[causes[key]]
            asked[here], codes[here] = _judged_circuit(stamps[here], values[here], part, circuit)
    reasons = pl.Series("reason", [None, *RULES], dtype=pl.String).gather(codes[asked].tolist())
    return (
        raw.filter(pl.Series(asked))
        .with_columns(reasons)
        .with_columns(
            reason=pl.when(pl.col("_released").is_null())
            .then("reason")
            .when(~pl.col("_released"))
            .then(pl.lit(WITHHELD))
        )
    )


def _stretches(rows: pl.DataFrame) -> Iterator[tuple[CircuitKey, slice]]:
    """Return where the rows of each circuit lie in sorted ones."""
    import polars as pl

    begin = 0
    counts = rows.group_by("plant_id", "circuit_id", maintain_order=True).agg(pl.len())
    for plant, circuit, count in counts.iter_rows():
        yield CircuitKey(plant, circuit), slice(begin, begin + count)
        begin += count


def _judged_circuit(
    stamps: np.ndarray, values: np.ndarray, changed: np.ndarray, circuit: Circuit
) -> tuple[np.ndarray, np.ndarray]:
    """Return for each row of a circuit whether it is asked for, and its verdict."""
    import numpy as np

    step = circuit.spec.step
    width = step // timedelta(microseconds=1)
    far = reach(circuit.spec.limits, step)
    places = stamps // width
    causes = np.unique(changed // width)
    # A verdict at place p is asked where some cause lies in p - before .. p + after.
    first = np.searchsorted(causes, places - far.before // step, side="left")
    last = np.searchsorted(causes, places + far.after // step, side="right")
    asked = last > first
    grid = np.full(int(places[-1] - places[0]) + 1, np.nan)
    grid[places - places[0]] = values
    codes = np.zeros(len(stamps), dtype=np.int8)
    codes[asked] = verdicts(grid, circuit.spec.limits, step, places[asked] - places[0])
    return asked, codes


def _entries(judged: pl.DataFrame, features: list[str]) -> pl.DataFrame:
    """Return what the log has to learn: hours that are held now or for another reason, or freed."""
    import polars as pl

    again = (
        (pl.col("_was") == "held")
        & (pl.col("_was_value") == pl.col("value"))
        & (pl.col("_was_reason") == pl.col("reason"))
    ).fill_null(value=False)
    bad = pl.col("reason").is_not_null()
    news = judged.filter(
        (bad & ~again) | (~bad & (pl.col("_was") == "held").fill_null(value=False))
    )
    cells = (
        pl.when(
            pl.any_horizontal(pl.lit(value=False), *(pl.col(f).is_not_null() for f in features))
        )
        .then(pl.struct(features).struct.json_encode())
        .alias("cells")
        if features
        else pl.lit(None, dtype=pl.String).alias("cells")
    )
    return filled(
        news.select(
            *KEY,
            "value",
            pl.coalesce("reason", "_was_reason").alias("reason"),
            "file",
            "row",
            pl.when(pl.col("reason").is_null())
            .then(pl.lit("cleared"))
            .otherwise(pl.lit("held"))
            .alias("state"),
            (pl.col("_number").fill_null(0) + 1).alias("number"),
            cells,
        )
    )


def contracted(circuits: Iterable[Circuit]) -> frozenset[CircuitKey]:
    """Return the circuits whose readings are judged by their neighbours."""
    return frozenset(each.key for each in circuits if each.spec.limits.contextual)
