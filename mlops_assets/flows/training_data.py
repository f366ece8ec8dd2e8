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
        self, circuit: Circuit, end: datetime, version: int, present: Sequence[str]
    ) -> pl.DataFrame:
        """One circuit's rows before ``end`` at a version that has these features, by time."""
        import polars as pl

        held_version, held = self._held
        if held_version != version or circuit.key not in held:
            held = self._read(circuit, version, present)
            self._held = (version, held)
        rows = held[circuit.key]
        columns = [name for name in circuit.spec.features if name in present]
        return rows.filter(pl.col("timestamp") < end).select(*KEY, "value", *columns)

    def forget(self) -> None:
        """Let go of the rows; a circuit that is asked for later is read anew."""
        self._held = (-1, {})

    def _read(
        self, circuit: Circuit, version: int, present: Sequence[str]
    ) -> dict[CircuitKey, pl.DataFrame]:
        place = self._places.get(circuit.key)
        wanted = [circuit] if place is None else self._circuits[place : place + _TOGETHER]
        rows = self._lake.readings.read(
            end=max(data_end(each.spec.cutoff_date, each.spec.timezone) for each in wanted),
            circuits=[each.key for each in wanted],
            version=version,
            columns=[*KEY, "value", *_features(wanted, present)],
        )
        parts = rows.partition_by("plant_id", "circuit_id", as_dict=True)
        return {
            each.key: parts.get((each.key.plant_id, each.key.circuit_id), rows.clear())
            for each in wanted
        }


def _features(circuits: Iterable[Circuit], present: Sequence[str]) -> list[str]:
    """Return what of a table's features some circuits name, in the order of the table."""
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

    The lake is only read, so the ETL may merge meanwhile. It asks what is pinned once its merge is
    done, and here the table is looked at once more when the rows are pinned: a merge that changed
    them is seen here, and pinned anew, or sees them, and is recorded.
    ``reader`` is where the rows come from, one for all circuits that are pinned in a row.

    Returns:
        The asset, and whether it was newly made: content that is already registered for the date
        is that asset.

    Raises:
        DataError: the cutoff day is not over yet, or there is no reading before its end.
    """
    _check_over(circuit, data_now)
    while True:
        version = _version(lake)
        present = feature_columns(lake.readings.columns())
        if _version(lake) != version:
            continue
        data, rows = _described(lake, circuit, version, present, reader)
        pinned, new = _pinned(store, data, rows)
        if _version(lake) == version:
            return pinned, new


def _pinned(
    store: TrainingDataStore, data: TrainingData, rows: pl.DataFrame
) -> tuple[TrainingData, bool]:
    """Return what holds exactly these rows for their date, and whether it was newly made."""
    registered = [
        known for known in store.versions(data.circuit) if known.cutoff_date == data.cutoff_date
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
    _check_over(circuit, data_now)
    present = feature_columns(lake.readings.columns())
    return _described(lake, circuit, _version(lake), present)


def _version(lake: Lake) -> int:
    return lake.readings.version() if lake.readings.exists() else 0


def _check_over(circuit: Circuit, data_now: datetime) -> None:
    """Refuse a cutoff day that is not over."""
    spec = circuit.spec
    end = data_end(spec.cutoff_date, spec.timezone)
    if end > data_now:
        raise DataError(
            f"{circuit.file}: cutoff_date: {spec.cutoff_date} is not over in {spec.timezone} at "
            f"{data_now.isoformat(timespec='minutes')}; choose an earlier date"
        )


def _described(
    lake: Lake,
    circuit: Circuit,
    delta_version: int,
    present: Sequence[str],
    reader: Reader | None = None,
) -> tuple[TrainingData, pl.DataFrame]:
    """Read the rows at a version of the table, as the first content of their date."""
    spec = circuit.spec
    end = data_end(spec.cutoff_date, spec.timezone)
    rows = (reader or Reader(lake)).rows(circuit, end, delta_version, present)
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
        columns=tuple(rows.columns),
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
