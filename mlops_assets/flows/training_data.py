"""Training data: cut from the readings table at the end of the cutoff date, and pinned."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import DataError, ForeignError
from mlops_assets.domain.readings import KEY, feature_columns, to_series
from mlops_assets.domain.training_data import (
    TrainingData,
    content_digest,
    data_end,
    next_version,
    verdicts,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    import polars as pl

    from mlops_assets.domain.circuit import Circuit, Spec
    from mlops_assets.domain.identifiers import CircuitKey, DataVersion
    from mlops_assets.domain.readings import Series
    from mlops_assets.ports import Lake, TrainingDataStore

__all__ = ["Reader", "register", "series_of", "trained_until", "unregistered", "verdicts"]


# Circuits that are read together: a plant or two, so that a fleet needs no more memory than these.
_TOGETHER = 50
# So many versions of one date that others have taken are no accident.
_PASSED_OVER = 5


class Reader:
    """Reads the training rows of circuits that are pinned one after the other, some at a time.

    Rows lie in the order of their days, so that reading one circuit reads every file: a fleet read
    one by one would take the square of its size. What a newer version of the table holds is read
    anew.

    Args:
        lake: where the readings are.
        circuits: those to be pinned, in their order; others are read alone.
    """

    def __init__(self, lake: Lake, circuits: Sequence[Circuit] = ()) -> None:
        self._lake = lake
        self._places = {circuit.key: place for place, circuit in enumerate(circuits)}
        self._circuits = circuits
        self._held: tuple[int, dict[CircuitKey, pl.DataFrame]] = (-1, {})

    def rows(
        self, circuit: Circuit, end: datetime, version: int, columns: Sequence[str]
    ) -> pl.DataFrame:
        """One circuit's rows before ``end`` at a version, sorted by time."""
        import polars as pl

        held_version, held = self._held
        if held_version != version or circuit.key not in held:
            held = self._read(circuit, version)
            self._held = (version, held)
        rows = held[circuit.key]
        return rows.filter(pl.col("timestamp") < end).select(columns)

    def forget(self) -> None:
        """Let go of the rows; a circuit that is asked for later is read anew."""
        self._held = (-1, {})

    def _read(self, circuit: Circuit, version: int) -> dict[CircuitKey, pl.DataFrame]:
        place = self._places.get(circuit.key)
        wanted = [circuit] if place is None else self._circuits[place : place + _TOGETHER]
        rows = self._lake.readings.read(
            end=max(data_end(each.spec.cutoff_date, each.spec.timezone) for each in wanted),
            circuits=[each.key for each in wanted],
            version=version,
            columns=[*KEY, "value", *self._features(wanted)],
        )
        parts = rows.partition_by("plant_id", "circuit_id", as_dict=True)
        return {
            each.key: parts.get((each.key.plant_id, each.key.circuit_id), rows.clear())
            for each in wanted
        }

    def _features(self, circuits: Iterable[Circuit]) -> list[str]:
        present = feature_columns(self._lake.readings.columns())
        named = {name for circuit in circuits for name in circuit.spec.features}
        return [name for name in present if name in named]


def register(
    lake: Lake,
    store: TrainingDataStore,
    circuit: Circuit,
    *,
    data_now: datetime,
    reader: Reader | None = None,
) -> tuple[TrainingData, bool]:
    """Pin the rows up to the end of the circuit's cutoff date.

    No slice is merged meanwhile, so that each change of these rows comes before or is recorded.
    ``reader`` is where the rows come from, one for all circuits that are pinned in a row.

    Returns:
        The asset, and whether it was newly made: content that is already registered for the date
        is that asset.

    Raises:
        DataError: the cutoff day is not over yet, or there is no reading before its end.
    """
    end = _end(circuit, data_now)
    with lake.journal.lock():
        data, rows = _described(lake, circuit, end, reader)
        registered = [
            known for known in store.versions(circuit.key) if known.cutoff_date == data.cutoff_date
        ]
        for known in registered:
            if known.content_digest == data.content_digest and known.timezone == data.timezone:
                try:
                    # Whoever stored it may have been killed before it was shown.
                    store.show(known)
                except ForeignError:
                    continue
                return known, False
        return _registered(store, data, rows, [known.version for known in registered]), True


def _registered(
    store: TrainingDataStore, data: TrainingData, rows: pl.DataFrame, taken: Sequence[DataVersion]
) -> TrainingData:
    """Register the next version; those that somebody else's data have elsewhere are passed over."""
    passed = list(taken)
    while True:
        version = next_version(data.cutoff_date, passed)
        try:
            return store.register(replace(data, version=version), rows)
        except ForeignError:
            passed.append(version)
            if len(passed) - len(taken) == _PASSED_OVER:
                raise


def unregistered(
    lake: Lake, circuit: Circuit, *, data_now: datetime
) -> tuple[TrainingData, pl.DataFrame]:
    """Return the rows that `register` would pin now, described alike; nothing is written.

    Raises:
        DataError: as `register`.
    """
    return _described(lake, circuit, _end(circuit, data_now))


def _end(circuit: Circuit, data_now: datetime) -> datetime:
    """Return the end of the cutoff day, which must be over."""
    spec = circuit.spec
    end = data_end(spec.cutoff_date, spec.timezone)
    if end > data_now:
        raise DataError(
            f"{circuit.file}: cutoff_date: {spec.cutoff_date} is not over in {spec.timezone} at "
            f"{data_now.isoformat(timespec='minutes')}; choose an earlier date"
        )
    return end


def _described(
    lake: Lake, circuit: Circuit, end: datetime, reader: Reader | None = None
) -> tuple[TrainingData, pl.DataFrame]:
    """Read the rows at the newest version, as the first content of their date."""
    spec = circuit.spec
    present = feature_columns(lake.readings.columns())
    columns = ["plant_id", "circuit_id", "timestamp", "value"]
    columns += [name for name in spec.features if name in present]
    delta_version = lake.readings.version() if lake.readings.exists() else 0
    rows = (reader or Reader(lake)).rows(circuit, end, delta_version, columns)
    if rows.is_empty():
        raise DataError(f"{circuit.key}: no readings up to {spec.cutoff_date}; nothing to learn")
    moments = rows["timestamp"].to_list()
    data = TrainingData(
        circuit=circuit.key,
        version=next_version(spec.cutoff_date, []),
        content_digest=content_digest(rows),
        delta_version=delta_version,
        rows=len(rows),
        cutoff_date=spec.cutoff_date,
        timezone=spec.timezone,
        first_timestamp=moments[0],
        last_timestamp=moments[-1],
        columns=tuple(columns),
        path="",
    )
    return data, rows


def series_of(store: TrainingDataStore, data: TrainingData, spec: Spec) -> Series:
    """The pinned rows on their grid, up to the end of the cutoff date."""
    rows = store.rows(data)
    return to_series(rows, step=spec.step, end=data.end, features=spec.features)


def trained_until(
    store: TrainingDataStore, circuits: Iterable[CircuitKey]
) -> dict[CircuitKey, datetime]:
    """The end of what each circuit's training data cover, for circuits that have any."""
    ends = {key: [data.end for data in store.versions(key)] for key in circuits}
    return {key: max(found) for key, found in ends.items() if found}
