"""Restatements found: training sets that no longer say what the table says, and what rests on them.

The gates compare stored rows with the table itself. Overviews first ask the log of changes, which
the ETL writes, so that they cost nothing where nothing changed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from mlops_assets.domain import occasion
from mlops_assets.domain.errors import MlopsError
from mlops_assets.domain.gates import Verdict, by_gate
from mlops_assets.domain.identifiers import CircuitKey, DataVersion
from mlops_assets.domain.restatement import GATE, Restatement, changed_cells, judge
from mlops_assets.flows.circuit_readings import restated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    import polars as pl

    from mlops_assets.domain.alert import Alert
    from mlops_assets.domain.circuit import Config, Spec
    from mlops_assets.domain.deployment import Deployment
    from mlops_assets.domain.manifest import Entry
    from mlops_assets.domain.training_data import TrainingData
    from mlops_assets.ports import Lake, Platform, TrainingDataStore

Stale = dict[tuple[CircuitKey, DataVersion], Restatement]


def compared(lake: Lake, store: TrainingDataStore, pinned: Sequence[TrainingData]) -> Stale:
    """Compare training sets with the table as it is; those that still hold are absent.

    Raises:
        DataError: stored rows or the table cannot be read.
    """
    if not pinned or not lake.readings.exists():
        return {}
    newest = lake.readings.version()
    together: dict[tuple[str, ...], list[TrainingData]] = defaultdict(list)
    for data in pinned:
        if data.delta_version != newest:
            together[data.columns].append(data)
    found: Stale = {}
    for columns, group in together.items():
        table = lake.readings.read(
            start=min(data.first_timestamp for data in group),
            end=max(data.end for data in group),
            circuits=[data.circuit for data in group],
            columns=list(columns),
        )
        parts = table.partition_by("plant_id", "circuit_id", as_dict=True)
        for data in group:
            now = parts.get((data.circuit.plant_id, data.circuit.circuit_id), table.clear())
            if cells := changed_cells(store.rows(data), now):
                found[data.circuit, data.version] = Restatement(
                    circuit=data.circuit, data_version=data.version, cells=cells
                )
    return found


def under_entries(platform: Platform, entries: Iterable[Entry]) -> dict[CircuitKey, Restatement]:
    """What changed under the models of a release."""
    store = platform.dev.training_data
    pinned = [
        store.get(entry.circuit, DataVersion.parse(entry.data_version))
        for entry in entries
        if entry.action == "deploy"
    ]
    stale = compared(platform.lake, store, pinned)
    return {circuit: found for (circuit, _), found in stale.items()}


def verdicts(platform: Platform, entries: Iterable[Entry]) -> dict[CircuitKey, Verdict]:
    """Judge every entry that is deployed; what cannot be compared is refused."""
    deployed = [entry for entry in entries if entry.action == "deploy"]
    try:
        found = under_entries(platform, deployed)
    except MlopsError:
        return {entry.circuit: _alone(platform, entry) for entry in deployed}
    return {
        entry.circuit: judge(found.get(entry.circuit), entry.restated, entry.circuit)
        for entry in deployed
    }


def merged(platform: Platform, entries: Iterable[Entry]) -> tuple[Verdict, ...]:
    """The same as one verdict over all circuits."""
    judged = verdicts(platform, entries)
    return by_gate({str(key): (verdict,) for key, verdict in judged.items()})


def _alone(platform: Platform, entry: Entry) -> Verdict:
    """Judge one entry by itself, so that another one's broken data do not refuse it."""
    try:
        found = under_entries(platform, [entry]).get(entry.circuit)
    except MlopsError as error:
        return Verdict(GATE, passed=False, reason=f"cannot be compared: {error}")
    return judge(found, entry.restated, entry.circuit)


def stale_data(platform: Platform, circuits: Iterable[CircuitKey] | None = None) -> Stale:
    """Every training set under which something changed, of these circuits or of all."""
    store = platform.dev.training_data
    chosen = None if circuits is None else frozenset(circuits)
    older = {
        key: versions
        for key, change in restated(platform.lake, chosen).items()
        if (versions := [v for v in store.versions(key) if v.delta_version < change.version])
    }
    if not older:
        return {}
    pinned = [
        data
        for key, changes in _changes(platform.lake, older).items()
        for data in older[key]
        if _touches(changes, data)
    ]
    return compared(platform.lake, store, pinned)


def under_newest(lake: Lake, store: TrainingDataStore) -> tuple[Restatement, ...]:
    """What changed under each circuit's newest training set."""
    newest = {
        key: versions[-1]
        for key, change in restated(lake).items()
        if (versions := store.versions(key)) and versions[-1].delta_version < change.version
    }
    if not newest:
        return ()
    pinned = [
        newest[key]
        for key, changes in _changes(lake, newest).items()
        if _touches(changes, newest[key])
    ]
    return tuple(found for _, found in sorted(compared(lake, store, pinned).items()))


def _changes(lake: Lake, circuits: Iterable[CircuitKey] | None) -> dict[CircuitKey, pl.DataFrame]:
    parts = lake.restatements.read(circuits).partition_by("plant_id", "circuit_id", as_dict=True)
    return {CircuitKey(str(key[0]), str(key[1])): part for key, part in sorted(parts.items())}


def _touches(changes: pl.DataFrame, data: TrainingData) -> bool:
    """Whether the log knows of a change that came after these rows were pinned."""
    import polars as pl

    later = changes.filter(
        pl.col("delta_version") > data.delta_version,
        pl.col("timestamp") < data.end,
        pl.col("column").is_in(list(data.columns)),
    )
    return not later.is_empty()


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltOn:
    """A model version that learned from a restated training set."""

    version: int
    data_version: DataVersion
    live: str | None
    wanted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RestatedCircuit:
    """Everything that rests on readings of one circuit which changed since."""

    circuit: CircuitKey
    data: tuple[Restatement, ...]
    models: tuple[BuiltOn, ...]
    command: str

    @property
    def matters(self) -> bool:
        """Whether a model that serves, or is meant to, is among them."""
        return any(model.live or model.wanted for model in self.models)


def overview(
    platform: Platform,
    config: Config,
    circuits: Iterable[CircuitKey] | None = None,
    *,
    data_now: datetime,
) -> tuple[RestatedCircuit, ...]:
    """Name every training set and model that rests on readings which changed since."""
    from mlops_assets.flows.deployment import live_deployments
    from mlops_assets.flows.model import effective, first_readings, wanted

    stale = stale_data(platform, circuits)
    if not stale:
        return ()
    live, firsts = live_deployments(platform.prod), first_readings(platform)
    by_circuit: dict[CircuitKey, list[Restatement]] = defaultdict(list)
    for (key, _), found in sorted(stale.items()):
        by_circuit[key].append(found)
    rows = []
    for key, data in by_circuit.items():
        known = config.circuits.get(key)
        target = wanted(platform.dev.models, effective(known, firsts)) if known else None
        versions = {each.data_version for each in data}
        models = tuple(
            BuiltOn(
                version=record.version,
                data_version=record.data_version,
                live=_serves(live.get(key), record.digest),
                wanted=target is not None and record.version == target.version,
            )
            for record in platform.dev.models.versions(key)
            if record.data_version in versions
        )
        command = refresh_command([key], [known.spec] if known else [], data_now)
        rows.append(RestatedCircuit(circuit=key, data=tuple(data), models=models, command=command))
    return tuple(rows)


def _serves(live: Deployment | None, digest: str) -> str | None:
    return live.release if live is not None and live.model_digest == digest else None


def refresh_command(
    circuits: Sequence[CircuitKey], specs: Sequence[Spec], data_now: datetime
) -> str:
    """Return the command that learns restated readings: the newest day that is over for all.

    Where that day is no later than a spec's own, the day is left to whoever types it.
    """
    days = [
        (data_now.astimezone(ZoneInfo(each.timezone)) - timedelta(days=1)).date() for each in specs
    ]
    newest = min(days, default=None)
    later = newest is not None and all(newest > each.cutoff_date for each in specs)
    named = " ".join(f"--circuit {key}" for key in circuits)
    return f"mlops refresh --cutoff {newest if later else 'DATE'} {named}"


def recorded(lake: Lake, circuits: Iterable[CircuitKey]) -> list[Mapping[str, object]]:
    """Every change of these circuits that the log holds, with old and new value, as it came."""
    rows = lake.restatements.read(circuits).sort("delta_version", "timestamp", "column")
    return [dict(row) for row in rows.iter_rows(named=True)]


def causes(
    platform: Platform, config: Config, *, data_now: datetime
) -> dict[str, dict[CircuitKey, str]]:
    """Which slices changed what a serving or a wanted model learned: by circuit, in a sentence.

    A change that nothing rests on any more is no cause.
    """
    import polars as pl

    rows = [row for row in overview(platform, config, data_now=data_now) if row.matters]
    log = platform.lake.restatements.read([row.circuit for row in rows])
    found: dict[str, dict[CircuitKey, str]] = defaultdict(dict)
    for row in rows:
        used = {model.data_version for model in row.models if model.live or model.wanted}
        data = [each for each in row.data if each.data_version in used]
        moments = {cell.timestamp for each in data for cell in each.cells}
        changes = log.filter(
            pl.col("plant_id") == row.circuit.plant_id,
            pl.col("circuit_id") == row.circuit.circuit_id,
            pl.col("timestamp").is_in(sorted(moments)),
        )
        says = "; ".join([each.says for each in data] + [_names(row)])
        # The newest change of an hour is what made it differ.
        last = changes.sort("delta_version").unique(["timestamp", "column"], keep="last")
        for slice_id in sorted(last["slice"].unique()):
            found[slice_id][row.circuit] = says
    return {name: dict(sorted(found[name].items())) for name in sorted(found)}


def alerts(platform: Platform, config: Config, *, data_now: datetime) -> Iterator[Alert]:
    """Tell of each slice that changed what a serving or a wanted model learned."""
    for slice_id, circuits in causes(platform, config, data_now=data_now).items():
        specs = [config.circuits[key].spec for key in circuits if key in config.circuits]
        command = refresh_command(list(circuits), specs, data_now)
        yield occasion.restated(slice_id, circuits, command, config.plants)


def _names(row: RestatedCircuit) -> str:
    models = [
        f"version {model.version} ({f'live by {model.live}' if model.live else 'wanted'})"
        for model in row.models
        if model.live or model.wanted
    ]
    return f"learned by {', '.join(models)}"
