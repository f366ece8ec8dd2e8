"""What a file of readings holds, and the config that a home for it begins with.

Rows are those of `raw_file.parse`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

from mlops_assets.domain.circuit import STEP, Spec
from mlops_assets.domain.contract import ReadingLimits
from mlops_assets.domain.errors import DataError, MlopsError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.suggestion import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from mlops_assets.domain.circuit import Interval

# Days before the last reading that a new home keeps out of training, to forecast and score them.
HELD_BACK_DAYS = 7
LEAK = 0.999
_ENOUGH_ROWS = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """Circuits with their intervals and limits, and the day of the newest reading."""

    circuits: Mapping[CircuitKey, Interval]
    last_day: date
    limits: Mapping[CircuitKey, ReadingLimits] = field(default_factory=dict)

    def first(self, count: int) -> Discovery:
        """Return the first circuits alone."""
        kept = dict(list(self.circuits.items())[:count])
        return replace(self, circuits=kept)

    @property
    def plants(self) -> list[str]:
        """Plant ids, sorted."""
        return sorted({key.plant_id for key in self.circuits})

    @property
    def interval(self) -> Interval:
        """The interval of most circuits."""
        return Counter(self.circuits.values()).most_common(1)[0][0]

    @property
    def cutoff_date(self) -> date:
        """The day that a new home trains up to."""
        return self.last_day - timedelta(days=HELD_BACK_DAYS)


def discover(rows: pl.DataFrame, features: Sequence[str], *, name: str) -> Discovery:
    """Find circuits, intervals and the newest reading; a circuit without a value counts too.

    Raises:
        DataError: naming the file, and the column that cannot be used.
    """
    import polars as pl

    named = rows.filter(
        pl.col("plant_id").is_not_null()
        & pl.col("circuit_id").is_not_null()
        & pl.col("timestamp").is_not_null()
    )
    newest = named.filter(pl.col("value").is_not_null())["timestamp"].max()
    if newest is None:
        raise DataError(f"{name}: column value: no row has a time stamp and a number")
    for feature in features:
        _refuse_leak(named, feature, name)
    intervals = _intervals(named)
    circuits: dict[CircuitKey, Interval] = {}
    folded: dict[str, CircuitKey] = {}
    for (plant, circuit), seconds in sorted(intervals.items()):
        try:
            key = CircuitKey(plant, circuit)
        except MlopsError as error:
            raise DataError(f"{name}: column plant_id or circuit_id: {error}") from error
        other = folded.setdefault(str(key).casefold(), key)
        if other != key:
            raise DataError(f"{name}: {key} and {other} differ only by case: name one otherwise")
        circuits[key] = _interval(key, seconds, name)
    return Discovery(
        circuits=circuits,
        last_day=newest.date(),  # type: ignore[union-attr]
        limits=_limits(named, circuits),
    )


def spec_text(discovery: Discovery, key: CircuitKey, spec: Spec) -> bytes:
    """Return the first spec of a circuit that was found."""
    lines = [
        f"# {key} as `mlops init` found it; docs/config.md describes every field.",
        "format: 1",
        f"cutoff_date: {discovery.cutoff_date.isoformat()}",
        "forecaster: auto",
        f"effort: {spec.effort}",
        f"horizon: {spec.horizon}",
        f"interval: {discovery.circuits[key]}",
        "timezone: UTC",
    ]
    if spec.features:
        lines.append(f"features: [{', '.join(spec.features)}]")
    limits = discovery.limits.get(key, ReadingLimits())
    stated = [
        f"  {each.name}: {_plain(getattr(limits, each.name))}"
        for each in fields(limits)
        if getattr(limits, each.name) != each.default
    ]
    if stated:
        lines += ["# As its readings suggest; what breaks them is quarantined.", "limits:", *stated]
    return ("\n".join(lines) + "\n").encode()


def master_text(discovery: Discovery) -> bytes:
    """Return the master list of what was found."""
    lines = ["# What exists; docs/config.md describes every field.", "format: 1", "plants:"]
    for plant in discovery.plants:
        circuits = [f'"{key.circuit_id}"' for key in discovery.circuits if key.plant_id == plant]
        lines += [f'  "{plant}":', f'    name: "{plant}"', "    owners: [team:operations]"]
        lines += ["    circuits:", *(f"      - {circuit}" for circuit in circuits)]
    return ("\n".join(lines) + "\n").encode()


def _limits(
    named: pl.DataFrame, circuits: Mapping[CircuitKey, Interval]
) -> dict[CircuitKey, ReadingLimits]:
    """What the readings of each circuit suggest, the last of several for one moment."""
    import numpy as np
    import polars as pl

    last = named.filter(pl.col("value").is_finite()).unique(
        ["plant_id", "circuit_id", "timestamp"], keep="last", maintain_order=True
    )
    limits = {}
    for (plant, circuit), part in last.group_by("plant_id", "circuit_id"):
        key = CircuitKey(str(plant), str(circuit))
        step = STEP[circuits[key]]
        places = part["timestamp"].to_physical().to_numpy() // (step // timedelta(microseconds=1))
        grid = np.full(int(places.max() - places.min()) + 1, np.nan)
        grid[places - places.min()] = part["value"].to_numpy()
        limits[key] = suggest(grid, step)
    return limits


def _plain(value: object) -> str:
    """Return a value as the config files have it: no exponent, no needless point."""
    return f"{value:f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _intervals(named: pl.DataFrame) -> dict[tuple[str, str], int | None]:
    """The most frequent distance between two stamps of a circuit, in seconds."""
    import polars as pl

    steps = (
        named.select("plant_id", "circuit_id", "timestamp")
        .unique()
        .sort("plant_id", "circuit_id", "timestamp")
        .with_columns(step=pl.col("timestamp").diff().over("plant_id", "circuit_id"))
        .group_by("plant_id", "circuit_id")
        .agg(pl.col("step").drop_nulls().dt.total_seconds().mode().min())
    )
    return {(plant, circuit): step for plant, circuit, step in steps.iter_rows()}


def _interval(key: CircuitKey, seconds: int | None, name: str) -> Interval:
    if seconds is None:
        return "1h"
    for interval, step in STEP.items():
        if step.total_seconds() == seconds:
            return interval
    raise DataError(
        f"{name}: column timestamp: {key} reports every {seconds} seconds: only "
        f"{', '.join(STEP)} can be forecast, so average it to one of them"
    )


def _refuse_leak(named: pl.DataFrame, feature: str, name: str) -> None:
    import polars as pl

    if feature not in named.columns:
        raise DataError(f"{name}: column {feature}: missing; --feature names a column of the file")
    both = named.filter(pl.col(feature).is_not_null() & pl.col("value").is_not_null())
    highest = (
        both.group_by("plant_id", "circuit_id")
        .agg(pl.corr("value", feature).abs().alias("correlation"), pl.len())
        .filter((pl.col("len") >= _ENOUGH_ROWS) & pl.col("correlation").is_finite())["correlation"]
        .max()
    )
    if isinstance(highest, float) and highest > LEAK:
        raise DataError(
            f"{name}: column {feature}: correlates {highest:.4f} with value, above {LEAK}: it is "
            "the value itself and not known ahead; leave it out"
        )
