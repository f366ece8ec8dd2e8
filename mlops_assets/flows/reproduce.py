"""Reproduce: train a release again from what it pins, and compare bytes.

A training that began from what an older model learned begins from it again: the proof of the model
holds it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mlops_assets.catalog import load
from mlops_assets.domain.circuit import effective_circuit
from mlops_assets.domain.errors import MlopsError, UsageError
from mlops_assets.domain.identifiers import DataVersion, digest_of_files
from mlops_assets.domain.model import FitJob, FitResult
from mlops_assets.flows.ledger import manifest_of, views
from mlops_assets.flows.training_data import series_of
from mlops_assets.flows.warm_start import begun_from
from mlops_assets.forecasters.catalogue import ALGORITHMS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import numpy as np

    from mlops_assets.domain.circuit import Config
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.manifest import Entry
    from mlops_assets.ports import Platform, Progress


def reproduce(
    platform: Platform, release: str, *, now: datetime, progress: Progress | None = None
) -> tuple[str, ...]:
    """Return one line for each circuit that does not train to the same bytes again.

    A line says how far the forecasts differ, relative to their mean, and whether the stored model
    still gives its own golden forecast here: if not, the environment is another one.
    """
    view = next((one for one in views(platform, now) if one.release == release), None)
    if view is None:
        raise UsageError(f"{release}: no such release; `mlops release list` shows them")
    manifest = manifest_of(platform.ledger, view)
    entries = {entry.circuit: entry for entry in manifest.entries if entry.action == "deploy"}
    configs: dict[str, Config] = {}
    problems: dict[CircuitKey, str] = {}
    jobs = []
    for entry in entries.values():
        try:
            jobs.append(_job(platform, entry, configs))
        except MlopsError as error:
            problems[entry.circuit] = f"{entry.circuit}: cannot be trained again: {error}"
    if progress is not None:
        progress.begin(f"training {release} again", len(jobs))
    policy = next(iter(configs.values())).policy if configs else None
    workers = policy.maximum_parallel_training if policy else 1
    for circuit, result in platform.engine(workers).fit(jobs):
        if problem := _compared(platform, entries[circuit], result):
            problems[circuit] = f"{circuit}: {problem}"
        if progress is not None:
            progress.advance(str(circuit))
    return tuple(problems[circuit] for circuit in sorted(problems))


def _job(platform: Platform, entry: Entry, configs: dict[str, Config]) -> FitJob:
    commit = entry.config_commit
    if commit not in configs:
        configs[commit] = load(platform.config.files(commit), commit=commit, algorithms=ALGORITHMS)
    store = platform.dev.training_data
    data = store.get(entry.circuit, DataVersion.parse(entry.data_version))
    if data.content_digest != entry.data_digest:
        raise MlopsError(
            f"training data {data.version} has content {data.content_digest[:12]}, "
            f"the release pins {entry.data_digest[:12]}"
        )
    circuit = configs[commit].circuits[entry.circuit]
    if circuit.spec_digest != entry.spec_digest:
        circuit = effective_circuit(circuit, data.first_timestamp, ALGORITHMS)
    if circuit.spec_digest != entry.spec_digest:
        raise MlopsError(f"its spec at commit {commit[:12]} has another digest than the release")
    return FitJob(
        circuit=entry.circuit,
        spec=circuit.spec,
        series=series_of(store, data, circuit.spec),
        warm_start=begun_from(platform, entry.circuit, entry.model_version, entry.model_digest),
    )


def _compared(platform: Platform, entry: Entry, result: FitResult | str) -> str | None:
    if isinstance(result, str):
        return f"training it again failed: {result}"
    if digest_of_files(dict(result.files)) == entry.model_digest:
        return None
    models = platform.registry.models
    stored = models.files(models.get(entry.circuit, entry.model_version))
    return f"trains to other bytes; {_difference(stored, result.files)}"


def _difference(stored: Mapping[str, bytes], again: Mapping[str, bytes]) -> str:
    """Say how far two models' golden forecasts lie apart, and why they may."""
    import numpy as np

    from mlops_assets.forecasters.serialization import load as load_model

    one, other = _golden(stored), _golden(again)
    if len(one) != len(other):
        return f"forecasts of {len(one)} and {len(other)} steps cannot be compared"
    scale = float(np.abs(one).mean()) or 1.0
    share = float(np.abs(one - other).max()) / scale
    why = (
        "this environment still gives the stored golden forecast, so the code or the data differ"
        if load_model(stored).reproduces_golden()
        else "this environment does not give the stored golden forecast: environment mismatch"
    )
    return f"golden forecasts differ by at most {share:.2e} of their mean; {why}"


def _golden(files: Mapping[str, bytes]) -> np.ndarray:
    """Return a model's golden forecast, which `golden.json` holds as hexadecimal floats."""
    import numpy as np

    values = json.loads(files["golden.json"])["forecast"]["value"]
    return np.array([float.fromhex(text) for text in values])
