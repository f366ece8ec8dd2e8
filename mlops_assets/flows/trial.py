"""Trying a changed spec: backtested beside what it would replace, and nothing is written.

What is live is scored where it did not learn. With the cutoff date it was trained by it learned
from every origin, so then, and where nothing is live, the configured spec takes its place: fitted
before the first origin like the proposed one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops_assets.catalog import load, spec_path
from mlops_assets.domain.errors import ConfigError, DataError, ModelError
from mlops_assets.domain.evaluation import paired_bound
from mlops_assets.domain.gates import judge_model, refusals
from mlops_assets.domain.model import FitJob
from mlops_assets.domain.proof import proof_document
from mlops_assets.domain.readings import to_series
from mlops_assets.domain.trial import Contestant, Trial
from mlops_assets.flows import training_data
from mlops_assets.flows.deployment import live_deployments
from mlops_assets.flows.model import effective, live_files
from mlops_assets.flows.readings import data_now
from mlops_assets.forecasters.catalogue import ALGORITHMS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mlops_assets.domain.circuit import Circuit, Config
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.model import FitResult
    from mlops_assets.domain.readings import Series
    from mlops_assets.ports import FittingEngine, Platform, Progress


def proposed(
    platform: Platform, config: Config, key: CircuitKey, text: bytes, *, file: str
) -> Circuit:
    """Read a changed spec as config would be read with it in its place.

    Raises:
        ConfigError: with every problem, each with ``file``, line and field.
    """
    path = spec_path(key)
    files = {**platform.config.files(config.commit), path: text}
    try:
        changed = load(files, commit=config.commit, algorithms=ALGORITHMS)
    except ConfigError as error:
        problems = [
            replace(each, file=file) if each.file == path else each for each in error.problems
        ]
        raise ConfigError(tuple(problems)) from error
    return replace(changed.circuits[key], file=file)


def trial(
    platform: Platform,
    config: Config,
    changed: Circuit,
    *,
    now: datetime,
    progress: Progress | None = None,
) -> Trial:
    """Backtest a changed spec, what it would replace, and the floor, on the same origins.

    Raises:
        DataError: there is nothing to learn from, or a rule about training data refuses it.
        ModelError: the changed spec gives no model.
    """
    key = changed.key
    firsts = _first_reading(platform, key)
    present = data_now(platform.kind, platform.lake, now)
    circuit = effective(changed, firsts)
    notes = _cold(changed, circuit)
    series = _series(platform, circuit, present, judged=True)
    files = _live(platform, key, notes)
    engine = platform.engine(1)
    if progress is not None:
        progress.begin("trial", 2)
    result = _fit(engine, circuit, series, files)
    if progress is not None:
        progress.advance(str(key))
    notes += [line for line in result.log if line.startswith("incumbent") and "not" in line]
    rows = [Contestant("proposed", result.forecaster, result.backtest.forecast)]
    if result.incumbent is not None and result.incumbent.points:
        rows.append(_the_live(platform, key, result))
    else:
        standing = effective(_configured(config.circuits[key], changed), firsts)
        if standing.spec == circuit.spec:
            notes.append(f"{changed.file} asks for the configured model")
        rows += _second(engine, standing, _series(platform, standing, present), result, notes)
    if progress is not None:
        progress.advance(str(key))
    rows.append(Contestant("seasonal_naive", "the floor", result.backtest.floor))
    proof = proof_document(result, paired_bound(result.backtest))
    return Trial(
        circuit=key,
        cutoff_date=circuit.spec.cutoff_date,
        step=circuit.spec.step,
        unit=circuit.spec.unit,
        origins=tuple(result.backtest.origins),
        actual=result.backtest.actual,
        contestants=tuple(rows),
        tried=tuple(result.candidates),
        verdicts=judge_model(proof, config.policy.gates),
        notes=tuple(notes),
    )


def _first_reading(platform: Platform, key: CircuitKey) -> dict[CircuitKey, datetime]:
    """Read it from the circuit's own rows: the table's summary is kept beside it when asked for."""
    if platform.lake.readings.exists():
        columns = ["plant_id", "circuit_id", "timestamp"]
        rows = platform.lake.readings.read(circuits=[key], columns=columns)
        for first in rows["timestamp"].head(1).to_list():
            return {key: first}
    raise DataError(f"{key}: no readings; nothing to try")


def _cold(changed: Circuit, circuit: Circuit) -> list[str]:
    if changed.spec == circuit.spec:
        return []
    return [f"too few readings up to {circuit.spec.cutoff_date}: {circuit.spec.forecaster}"]


def _configured(standing: Circuit, changed: Circuit) -> Circuit:
    """The configured spec on the origins of the changed one."""
    spec = changed.spec
    return replace(
        standing,
        spec=replace(
            standing.spec,
            cutoff_date=spec.cutoff_date,
            horizon=spec.horizon,
            interval=spec.interval,
            timezone=spec.timezone,
        ),
    )


def _series(
    platform: Platform, circuit: Circuit, present: datetime, *, judged: bool = False
) -> Series:
    """The readings that training would pin, on their grid."""
    data, rows = training_data.unregistered(platform.lake, circuit, data_now=present)
    spec = circuit.spec
    series = to_series(rows, step=spec.step, end=data.end, features=spec.features)
    refused = [each for each in training_data.verdicts(data, series, circuit) if each.refuses]
    if judged and refused:
        raise DataError(f"{circuit.key}: {'; '.join(refusals(refused))}")
    return series


def _live(platform: Platform, key: CircuitKey, notes: list[str]) -> Mapping[str, bytes] | None:
    """Return the live model's files; one that cannot be used is noted."""
    deployment = live_deployments(platform.prod).get(key)
    if deployment is None:
        notes.append("nothing is live")
        return None
    try:
        return live_files(platform, deployment)
    except ModelError as error:
        notes.append(f"what is live cannot be compared: {error}")
        return None


def _the_live(platform: Platform, key: CircuitKey, result: FitResult) -> Contestant:
    deployment = live_deployments(platform.prod)[key]
    forecast = result.backtest.incumbent
    if forecast is None:
        raise ModelError(f"{key}: its incumbent has figures and no forecasts; try again")
    what = f"version {deployment.model_version} of {deployment.release}"
    return Contestant("live", what, forecast)


def _fit(
    engine: FittingEngine, circuit: Circuit, series: Series, files: Mapping[str, bytes] | None
) -> FitResult:
    job = FitJob(circuit=circuit.key, spec=circuit.spec, series=series, incumbent=files)
    ((_, result),) = engine.fit([job])
    if isinstance(result, str):
        raise ModelError(result)
    return result


def _second(
    engine: FittingEngine,
    standing: Circuit,
    series: Series,
    first: FitResult,
    notes: list[str],
) -> list[Contestant]:
    """Backtest the configured spec; one that gives no model is noted and left out."""
    import numpy as np

    try:
        result = _fit(engine, standing, series, None)
    except ModelError as error:
        notes.append(f"the configured spec gives no model: {error}")
        return []
    ours, theirs = first.backtest, result.backtest
    same = tuple(ours.origins) == tuple(theirs.origins)
    if not (same and np.array_equal(ours.actual, theirs.actual, equal_nan=True)):
        raise DataError(f"{standing.key}: its readings changed during the trial; try again")
    return [Contestant("configured", result.forecaster, theirs.forecast)]
