"""Issuing: the forecasts of some live circuits for one day, wherever that is done.

It writes nothing and depends on each circuit alone, so an engine may spread a batch over groups of
circuits: which circuits come together changes how often the table is read and nothing else.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlops_assets.domain.forecast import Issued, series_by_circuit, window_of
from mlops_assets.domain.readings import window_end
from mlops_assets.flows.ladder import Forecasting, Ladder, said

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

    from mlops_assets.domain.deployment import Deployment
    from mlops_assets.domain.forecast import Window
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.readings import Series
    from mlops_assets.ports import PlantModels, ReadingsTable, RegisteredModels


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuing:
    """One day's batch; it travels to wherever an engine works.

    ``forecasting`` are the forecasters, those installed there by default; ``kept`` are copies of
    the models, a plant in one read.
    """

    live: Mapping[CircuitKey, Deployment]
    day: date
    readings: ReadingsTable
    delta_version: int
    models: RegisteredModels
    forecasting: Forecasting | None = None
    kept: PlantModels | None = None

    def __call__(self, circuits: Sequence[CircuitKey]) -> Iterator[Issued]:
        """Forecast these circuits; one that fails stops no other."""
        models = self.forecasting or Forecasting.installed()
        ladders: dict[CircuitKey, Ladder] = {}
        windows: dict[CircuitKey, Window] = {}
        seconds: dict[CircuitKey, float] = {}
        kept: dict[str, Mapping[str, Mapping[str, bytes]]] = {}
        if self.kept is not None:
            plants = sorted({circuit.plant_id for circuit in circuits})
            kept = {plant: self.kept.read(plant) for plant in plants}
        for circuit in circuits:
            started, serving = time.perf_counter(), self.live[circuit].serving
            try:
                begin = window_end(self.day, serving.timezone)
                ladder = Ladder(
                    self.live[circuit],
                    self.models,
                    models,
                    self.day,
                    kept=kept.get(circuit.plant_id, {}),
                )
                steps = ladder.context_steps()
                windows[circuit] = window_of(serving, begin, context_steps=steps)
            except Exception as error:  # noqa: BLE001 a failing circuit never stops the others
                yield Issued(circuit=circuit, failed=said(error), copied=self._is_in(kept, circuit))
                continue
            ladders[circuit] = ladder
            seconds[circuit] = time.perf_counter() - started
        series = known_series(self.readings, ladders, windows, version=self.delta_version)
        for circuit, ladder in ladders.items():
            issued = self._issued(ladder, windows[circuit], series.get(circuit), seconds[circuit])
            yield replace(issued, copied=self._is_in(kept, circuit))

    def _is_in(
        self, kept: Mapping[str, Mapping[str, Mapping[str, bytes]]], circuit: CircuitKey
    ) -> bool:
        return self.live[circuit].model_digest in kept.get(circuit.plant_id, {})

    def _issued(
        self, ladder: Ladder, window: Window, series: Series | None, seconds: float
    ) -> Issued:
        circuit, started = ladder.deployment.circuit, time.perf_counter()
        if series is None:
            days = (window.begin - window.start).days
            reason = f"no reading in the {days} days before {self.day}"
            return Issued(circuit=circuit, failed=reason, seconds=seconds)
        try:
            issue = ladder.issue(series, window)
        except Exception as error:  # noqa: BLE001 a failing circuit never stops the others
            return Issued(circuit=circuit, failed=said(error), seconds=seconds)
        return Issued(circuit=circuit, issue=issue, seconds=seconds + time.perf_counter() - started)


def known_series(
    readings: ReadingsTable,
    ladders: Mapping[CircuitKey, Ladder],
    windows: Mapping[CircuitKey, Window],
    *,
    version: int,
) -> dict[CircuitKey, Series]:
    """Every circuit's readings before its day, from one read of the hours that any of them needs.

    Each circuit gets its own window of them, so that the batch and a run for it alone agree.
    """
    if not ladders:
        return {}
    features = {circuit: ladder.deployment.serving.features for circuit, ladder in ladders.items()}
    columns = [name for name in readings.columns() if any(name in f for f in features.values())]
    rows = readings.read(
        start=min(windows[circuit].start for circuit in ladders),
        end=max(windows[circuit].begin for circuit in ladders),
        circuits=list(ladders),
        version=version,
        columns=["plant_id", "circuit_id", "timestamp", "value", *columns],
    )
    return series_by_circuit(rows, {circuit: windows[circuit] for circuit in ladders}, features)
