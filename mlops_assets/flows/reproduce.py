"""Reproduce: train a release again from what it pins, and compare bytes.

A training that began from what an older model learned begins from it again: the proof of the model
holds it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from mlops_assets.catalog import load
from mlops_assets.domain.circuit import effective_circuit, spec_digest
from mlops_assets.domain.errors import MlopsError, UsageError
from mlops_assets.domain.identifiers import DataVersion, EnvironmentRef, digest_of_files
from mlops_assets.domain.model import FitJob, FitResult
from mlops_assets.flows.ledger import manifest_of, views
from mlops_assets.flows.training_data import series_of
from mlops_assets.flows.warm_start import begun_from
from mlops_assets.forecasters.catalogue import ALGORITHMS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import numpy as np

    from mlops_assets.domain.circuit import Algorithm, Config, Spec
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.manifest import Entry
    from mlops_assets.ports import Platform, Progress


_NEITHER = "algorithm and packages are those of the release, so the code or the machine differ"
# Of packages that differ so many are named.
_NAMED = 5
# How far another version of an algorithm is looked for.
_OLDEST, _NEWEST = 1, 200


def reproduce(
    platform: Platform,
    release: str,
    *,
    now: datetime,
    progress: Progress | None = None,
    algorithms: Mapping[str, Algorithm] = ALGORITHMS,
) -> tuple[str, ...]:
    """Return one line for each circuit that does not train to the same bytes again.

    A line says how far the forecasts differ, relative to their mean, and why they may: another
    version of the algorithm, other packages than the environment of the release, or neither.
    """
    view = next((one for one in views(platform, now) if one.release == release), None)
    if view is None:
        raise UsageError(f"{release}: no such release; `mlops release list` shows them")
    manifest = manifest_of(platform.ledger, view)
    entries = {entry.circuit: entry for entry in manifest.entries if entry.action == "deploy"}
    configs: dict[str, Config] = {}
    problems: dict[CircuitKey, str] = {}
    changed: dict[CircuitKey, str] = {}
    jobs = []
    for entry in entries.values():
        try:
            job, version = _job(platform, entry, configs, algorithms)
        except MlopsError as error:
            problems[entry.circuit] = f"{entry.circuit}: cannot be trained again: {error}"
            continue
        jobs.append(job)
        here = algorithms[job.spec.forecaster].version
        if version != here:
            changed[entry.circuit] = (
                f"trained by {job.spec.forecaster} {version}, here it is {here}"
            )
    if progress is not None:
        progress.begin(f"training {release} again", len(jobs))
    policy = next(iter(configs.values())).policy if configs else None
    workers = policy.maximum_parallel_training if policy else 1
    environments = _Environments(platform)
    for circuit, result in platform.engine(workers).fit(jobs):
        entry = entries[circuit]
        if problem := _compared(platform, entry, result):
            why = [each for each in (changed.get(circuit), environments.differing(entry)) if each]
            problems[circuit] = "; ".join([f"{circuit}: {problem}", *(why or [_NEITHER])])
        if progress is not None:
            progress.advance(str(circuit))
    return tuple(problems[circuit] for circuit in sorted(problems))


class _Environments:
    """In what this interpreter differs from environments of a release, each asked once."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._known: dict[tuple[str, str], str] = {}

    def differing(self, entry: Entry) -> str:
        """Name the packages that differ, empty where none does or nobody can tell."""
        name = (entry.environment, entry.environment_digest)
        if name not in self._known:
            self._known[name] = self._asked(*name)
        return self._known[name]

    def _asked(self, name: str, digest: str) -> str:
        ref, interpreters = EnvironmentRef.parse(name), self._platform.interpreters
        environment = self._platform.registry.environments.get(ref)
        if interpreters is None or environment is None or environment.digest != digest:
            return ""
        differing = interpreters.differing(environment)
        return f"this is not {ref}: {', '.join(differing[:_NAMED])}" if differing else ""


def _job(
    platform: Platform,
    entry: Entry,
    configs: dict[str, Config],
    algorithms: Mapping[str, Algorithm],
) -> tuple[FitJob, int]:
    """Return what the release's model was trained by, and which version of its algorithm did."""
    commit = entry.config_commit
    if commit not in configs:
        configs[commit] = load(platform.config.files(commit), commit=commit, algorithms=algorithms)
    store = platform.dev.training_data
    data = store.get(entry.circuit, DataVersion.parse(entry.data_version))
    if data.content_digest != entry.data_digest:
        raise MlopsError(
            f"training data {data.version} has content {data.content_digest[:12]}, "
            f"the release pins {entry.data_digest[:12]}"
        )
    wanted = configs[commit].circuits[entry.circuit]
    effective = effective_circuit(wanted, data.first_timestamp, algorithms)
    found = next(
        (
            (circuit.spec, version)
            for circuit in (wanted, effective)
            if (version := _version(circuit.spec, entry.spec_digest, algorithms)) is not None
        ),
        None,
    )
    if found is None:
        raise MlopsError(f"its spec at commit {commit[:12]} has another digest than the release")
    spec, version = found
    job = FitJob(
        circuit=entry.circuit,
        spec=spec,
        series=series_of(store, data, spec),
        warm_start=begun_from(platform, entry.circuit, entry.model_version, entry.model_digest),
    )
    return job, version


def _version(spec: Spec, digest: str, algorithms: Mapping[str, Algorithm]) -> int | None:
    """Return the version of its algorithm under which a spec has this digest, None if none."""
    here = algorithms[spec.forecaster]
    versions: tuple[int, ...] = (here.version, *range(_OLDEST, _NEWEST))
    for version in versions:
        if spec_digest(spec, replace(here, version=version)) == digest:
            return version
    return None


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
    try:
        still = load_model(stored).reproduces_golden()
    except MlopsError as error:
        why = f"the stored model cannot be applied here: {error}"
    else:
        why = (
            "the stored model still gives its golden forecast here"
            if still
            else "the stored model does not give its golden forecast here: environment mismatch"
        )
    return f"golden forecasts differ by at most {share:.2e} of their mean; {why}"


def _golden(files: Mapping[str, bytes]) -> np.ndarray:
    """Return a model's golden forecast, which `golden.json` holds as hexadecimal floats."""
    import numpy as np

    values = json.loads(files["golden.json"])["forecast"]["value"]
    return np.array([float.fromhex(text) for text in values])
