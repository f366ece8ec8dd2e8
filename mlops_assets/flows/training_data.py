"""Training data: cut from the readings table at the end of the cutoff date, and pinned."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import DataError
from mlops_assets.domain.readings import feature_columns, to_series
from mlops_assets.domain.training_data import (
    TrainingData,
    content_digest,
    data_end,
    next_version,
    verdicts,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    import polars as pl

    from mlops_assets.domain.circuit import Circuit, Spec
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.readings import Series
    from mlops_assets.ports import Lake, TrainingDataStore

__all__ = ["register", "series_of", "trained_until", "unregistered", "verdicts"]


def register(
    lake: Lake, store: TrainingDataStore, circuit: Circuit, *, data_now: datetime
) -> tuple[TrainingData, bool]:
    """Pin the rows up to the end of the circuit's cutoff date.

    No slice is merged meanwhile, so that each change of these rows comes before or is recorded.

    Returns:
        The asset, and whether it was newly made: content that is already registered for the date
        is that asset.

    Raises:
        DataError: the cutoff day is not over yet, or there is no reading before its end.
    """
    end = _end(circuit, data_now)
    with lake.journal.lock():
        data, rows = _described(lake, circuit, end)
        registered = [
            known for known in store.versions(circuit.key) if known.cutoff_date == data.cutoff_date
        ]
        for known in registered:
            if known.content_digest == data.content_digest and known.timezone == data.timezone:
                return known, False
        version = next_version(data.cutoff_date, [known.version for known in registered])
        return store.register(replace(data, version=version), rows), True


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


def _described(lake: Lake, circuit: Circuit, end: datetime) -> tuple[TrainingData, pl.DataFrame]:
    """Read the rows at the newest version, as the first content of their date."""
    spec = circuit.spec
    present = feature_columns(lake.readings.columns())
    columns = ["plant_id", "circuit_id", "timestamp", "value"]
    columns += [name for name in spec.features if name in present]
    delta_version = lake.readings.version() if lake.readings.exists() else 0
    rows = lake.readings.read(
        end=end, circuits=[circuit.key], version=delta_version, columns=columns
    )
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
