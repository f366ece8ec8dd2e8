"""Training data: cut from the readings table at the end of the cutoff date, and pinned."""

from __future__ import annotations

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

    from mlops_assets.domain.circuit import Circuit, Spec
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.readings import Series
    from mlops_assets.ports import Lake, TrainingDataStore

__all__ = ["register", "series_of", "trained_until", "verdicts"]


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
    spec = circuit.spec
    end = data_end(spec.cutoff_date, spec.timezone)
    if end > data_now:
        raise DataError(
            f"{circuit.file}: cutoff_date: {spec.cutoff_date} is not over in {spec.timezone} at "
            f"{data_now.isoformat(timespec='minutes')}; choose an earlier date"
        )
    with lake.journal.lock():
        return _pinned(lake, store, circuit, end)


def _pinned(
    lake: Lake, store: TrainingDataStore, circuit: Circuit, end: datetime
) -> tuple[TrainingData, bool]:
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
    digest = content_digest(rows)
    registered = [
        data for data in store.versions(circuit.key) if data.cutoff_date == spec.cutoff_date
    ]
    for data in registered:
        if data.content_digest == digest and data.timezone == spec.timezone:
            return data, False
    moments = rows["timestamp"].to_list()
    data = TrainingData(
        circuit=circuit.key,
        version=next_version(spec.cutoff_date, [data.version for data in registered]),
        content_digest=digest,
        delta_version=delta_version,
        rows=len(rows),
        cutoff_date=spec.cutoff_date,
        timezone=spec.timezone,
        first_timestamp=moments[0],
        last_timestamp=moments[-1],
        columns=tuple(columns),
        path="",
    )
    return store.register(data, rows), True


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
