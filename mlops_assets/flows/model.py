"""Training: from training data to a registered model version with its proof, circuit by circuit.

The same spec digest on the same data never trains twice. Every step may be repeated: what a killed
training had registered is found again, what it had not is trained again to the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlops_assets.domain.circuit import Circuit, effective_circuit
from mlops_assets.domain.errors import MlopsError, ModelError, StaleError
from mlops_assets.domain.evaluation import paired_bound
from mlops_assets.domain.gates import judge_model, refusals
from mlops_assets.domain.identifiers import CircuitKey, digest_of_files
from mlops_assets.domain.lifecycle import holds
from mlops_assets.domain.model import FitJob, FitResult, ModelRecord
from mlops_assets.domain.proof import proof_document, read_proof, write_proof
from mlops_assets.domain.training import TrainOutcome, TrainReport, model_tags
from mlops_assets.domain.training_data import data_end
from mlops_assets.flows import environment as environments
from mlops_assets.flows import numbered, training_data
from mlops_assets.flows.deployment import live_deployments
from mlops_assets.flows.merged import merged, other_packages, taken_over
from mlops_assets.flows.readings import data_now as data_now_of
from mlops_assets.flows.warm_start import handed_on
from mlops_assets.forecasters.catalogue import ALGORITHMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from mlops_assets.domain.circuit import Config, Environment
    from mlops_assets.domain.deployment import Deployment
    from mlops_assets.domain.gates import Verdict
    from mlops_assets.domain.identifiers import EnvironmentRef
    from mlops_assets.domain.training_data import TrainingData
    from mlops_assets.domain.warm_start import WarmStart
    from mlops_assets.ports import ModelRegistry, Platform, Progress


def train(
    platform: Platform,
    config: Config,
    circuits: Sequence[CircuitKey],
    *,
    now: datetime,
    progress: Progress | None = None,
    on_result: Callable[[TrainOutcome], None] | None = None,
) -> TrainReport:
    """Give each circuit a model for its spec; one that fails stops no other.

    ``on_result`` hears of each outcome as soon as it is certain, in no particular order.
    """
    outcomes: dict[CircuitKey, TrainOutcome] = {}
    for outcome in _outcomes(platform, config, sorted(set(circuits)), now, progress):
        outcomes[outcome.circuit] = outcome.figures()
        if on_result is not None:
            on_result(outcome)
    return TrainReport(outcomes=dict(sorted(outcomes.items())))


def wanted(
    models: ModelRegistry, circuit: Circuit, data_digest: str | None = None
) -> ModelRecord | None:
    """Return the newest version for this spec digest, on this data where a digest is given.

    ``circuit`` is the effective one (`effective`), so that a cold start finds its own model.
    """
    for record in reversed(models.versions(circuit.key)):
        if record.spec_digest == circuit.spec_digest and data_digest in {None, record.data_digest}:
            return record
    return None


def first_readings(platform: Platform) -> dict[CircuitKey, datetime]:
    """Return each circuit's first reading; circuits without one are absent."""
    if not platform.lake.readings.exists():
        return {}
    summary = platform.lake.readings.summary()
    rows = summary.select("plant_id", "circuit_id", "first_timestamp").iter_rows()
    return {CircuitKey(plant, circuit): first for plant, circuit, first in rows}


def effective(circuit: Circuit, firsts: Mapping[CircuitKey, datetime]) -> Circuit:
    """Return the circuit as it is trained: by `cold_start` while it has too few readings."""
    return effective_circuit(circuit, firsts.get(circuit.key), ALGORITHMS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Training:
    """What every circuit of one training shares."""

    platform: Platform
    config: Config
    now: datetime
    data_now: datetime
    firsts: Mapping[CircuitKey, datetime]
    environments: Mapping[EnvironmentRef, Environment | str]
    held: Mapping[CircuitKey, frozenset[str]]
    progress: Progress | None
    live: Mapping[CircuitKey, Deployment]
    reader: training_data.Reader
    merged: Callable[[str], bool]

    @property
    def models(self) -> ModelRegistry:
        return self.platform.dev.models

    def say(self, line: str) -> None:
        if self.progress is not None:
            self.progress.say(line)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """A circuit that is to be fitted."""

    circuit: Circuit
    environment: Environment
    data: TrainingData
    data_verdicts: tuple[Verdict, ...]


def _outcomes(
    platform: Platform,
    config: Config,
    keys: Sequence[CircuitKey],
    now: datetime,
    progress: Progress | None,
) -> Iterator[TrainOutcome]:
    firsts = first_readings(platform)
    known = [effective(config.circuits[key], firsts) for key in keys if key in config.circuits]
    training = _Training(
        platform=platform,
        config=config,
        now=now,
        data_now=data_now_of(platform.kind, platform.lake, now),
        firsts=firsts,
        environments=environments.register(
            platform.dev.environments,
            config,
            [config.circuits[key].spec.environment_ref for key in keys if key in config.circuits],
        ),
        held=holds(platform.ledger.entries()),
        progress=progress,
        live=live_deployments(platform.prod),
        reader=training_data.Reader(platform.lake, known),
        merged=merged(platform.config, config.commit),
    )
    prepared: dict[CircuitKey, _Prepared] = {}
    jobs: list[FitJob] = []
    if progress is not None:
        progress.begin("training data", len(keys))
    for key in keys:
        outcome = _prepare(training, key)
        if progress is not None:
            progress.advance(str(key))
        if isinstance(outcome, TrainOutcome):
            yield outcome
        else:
            prepared[key], job = outcome
            jobs.append(job)
    training.reader.forget()
    if prepared:
        yield from _fit_all(training, prepared, jobs)


def _prepare(training: _Training, key: CircuitKey) -> tuple[_Prepared, FitJob] | TrainOutcome:
    """Return what is to be fitted, or why nothing is."""
    if key not in training.config.circuits:
        return _failed(key, f"{key}: config has no such circuit; add it to plants_circuits.yml")
    circuit = effective(training.config.circuits[key], training.firsts)
    environment = training.environments[circuit.spec.environment_ref]
    if isinstance(environment, str):
        return _failed(key, environment)
    end = data_end(circuit.spec.cutoff_date, circuit.spec.timezone)
    first = training.firsts.get(key)
    if first is None or first >= end:
        until = "" if first is None else f" up to its cutoff date {circuit.spec.cutoff_date}"
        return _failed(key, f"no readings{until}", left_out=True)
    try:
        return _prepare_known(training, circuit, environment)
    except MlopsError as error:
        return _failed(key, str(error))


def _prepare_known(
    training: _Training, circuit: Circuit, environment: Environment
) -> tuple[_Prepared, FitJob] | TrainOutcome:
    platform, models = training.platform, training.models
    standing = wanted(models, circuit)
    if standing is not None and standing.digest in training.held.get(circuit.key, frozenset()):
        reason = (
            f"held: version {standing.version} was rolled back from; change its spec, or "
            f"`mlops release create --unhold {circuit.key}`"
        )
        return _unchanged(training, circuit, standing, reason, held=True)
    data, _ = training_data.register(
        platform.lake,
        platform.dev.training_data,
        circuit,
        data_now=training.data_now,
        reader=training.reader,
    )
    same = wanted(models, circuit, data.content_digest)
    if same is not None and other_packages(same, environment):
        same = None
    if same is not None and not training.merged(same.config_commit):
        same = taken_over(models, same, _tagged_origin(training, circuit), training.say)
    if same is not None:
        same = numbered.shown(models, same, training.say)
        reason = f"unchanged: version {same.version}, same spec, same data"
        return _unchanged(training, circuit, same, reason, data=data)
    series = training_data.series_of(platform.dev.training_data, data, circuit.spec)
    verdicts = training_data.verdicts(data, series, circuit)
    refused = [verdict for verdict in verdicts if verdict.refuses]
    if refused:
        return replace(
            _failed(circuit.key, "; ".join(refusals(refused)), left_out=True),
            data=data,
            data_verdicts=verdicts,
        )
    job = FitJob(
        circuit=circuit.key,
        spec=circuit.spec,
        series=series,
        incumbent=_incumbent(training, circuit.key),
        warm_start=_warm_start(training, circuit.key),
        data=data.version,
    )
    prepared = _Prepared(
        circuit=circuit, environment=environment, data=data, data_verdicts=verdicts
    )
    return prepared, job


def _fit_all(
    training: _Training, prepared: Mapping[CircuitKey, _Prepared], jobs: list[FitJob]
) -> Iterator[TrainOutcome]:
    """Yield what becomes of each job; the list is emptied, so that series go with their fits."""
    allowed = training.config.policy.maximum_parallel_training
    engine = training.platform.engine(allowed)
    if training.progress is not None:
        training.progress.begin("training", len(prepared))
    if engine.workers < allowed:
        training.say(
            f"{engine.workers} fits at once over all trainings: "
            f"the policy allows {allowed}, the cores bind"
        )
    for key, result in engine.fit([jobs.pop(0) for _ in range(len(jobs))]):
        try:
            outcome = (
                _failed(key, result)
                if isinstance(result, str)
                else _register(training, prepared[key], result)
            )
        except MlopsError as error:
            outcome = _failed(key, str(error))
        if training.progress is not None:
            training.progress.advance(str(key))
        yield replace(outcome, data=prepared[key].data, data_verdicts=prepared[key].data_verdicts)


def _register(training: _Training, prepared: _Prepared, result: FitResult) -> TrainOutcome:
    """Register the next integer version; when somebody else was faster, theirs stands."""
    circuit, models = prepared.circuit, training.models
    document = proof_document(result, paired_bound(result.backtest))
    digest = digest_of_files(dict(result.files))
    verdicts = judge_model(document, training.config.policy.gates)
    author, pull_request = _origin(training, circuit)
    tags = model_tags(
        circuit,
        prepared.data,
        prepared.environment,
        result,
        commit=training.config.commit,
        author=author,
        pull_request=pull_request,
        now=training.now,
    )
    while True:
        record = ModelRecord(
            circuit=circuit.key,
            version=models.next_version(circuit.key),
            digest=digest,
            spec_digest=circuit.spec_digest,
            data_version=prepared.data.version,
            data_digest=prepared.data.content_digest,
            environment=prepared.environment.ref,
            environment_digest=prepared.environment.digest,
            config_commit=training.config.commit,
            tags=tags,
        )
        try:
            proof = write_proof(document)
            record = numbered.registered(models, record, result.files, proof, training.say)
            break
        except StaleError:
            theirs = wanted(models, circuit, prepared.data.content_digest)
            if theirs is not None:
                reason = f"unchanged: version {theirs.version}, same spec, same data"
                return _unchanged(training, circuit, theirs, reason)
    return TrainOutcome(
        circuit=circuit.key,
        status="trained",
        reason=f"version {record.version}, {result.forecaster}",
        record=record,
        proof=document,
        verdicts=verdicts,
    )


def _unchanged(
    training: _Training,
    circuit: Circuit,
    record: ModelRecord,
    reason: str,
    *,
    data: TrainingData | None = None,
    held: bool = False,
) -> TrainOutcome:
    where = f"model {record.circuit} version {record.version}"
    document = read_proof(training.models.proof(record), where=where)
    return TrainOutcome(
        circuit=circuit.key,
        status="unchanged",
        reason=reason,
        held=held,
        data=data,
        record=record,
        proof=document,
        verdicts=judge_model(document, training.config.policy.gates),
    )


def _failed(key: CircuitKey, reason: str, *, left_out: bool = False) -> TrainOutcome:
    return TrainOutcome(circuit=key, status="failed", reason=reason, left_out=left_out)


def _incumbent(training: _Training, key: CircuitKey) -> Mapping[str, bytes] | None:
    """Return the live model's files, to be scored on the same origins as the new one."""
    deployment = training.live.get(key)
    if deployment is None:
        return None
    try:
        return live_files(training.platform, deployment)
    except ModelError as error:
        # A damaged incumbent is a reason to train, not one against it.
        training.say(f"{key}: trained without comparison to what is live: {error}")
        return None


def _warm_start(training: _Training, key: CircuitKey) -> WarmStart | None:
    """Return what the live model's training learned, so that it need not be found again."""
    deployment = training.live.get(key)
    if deployment is None:
        return None
    try:
        return handed_on(training.platform, deployment)
    except ModelError as error:
        training.say(f"{key}: trained from nothing: {error}")
        return None


def live_files(platform: Platform, deployment: Deployment) -> Mapping[str, bytes]:
    """Return what a live model consists of; ModelError when it is not what was deployed."""
    models = platform.registry.models
    record = models.get(deployment.circuit, deployment.model_version)
    return models.files(replace(record, digest=deployment.model_digest))


def _tagged_origin(training: _Training, circuit: Circuit) -> dict[str, str]:
    author, pull_request = _origin(training, circuit)
    commit = training.config.commit
    return {"config_commit": commit, "author": author, "pull_request": pull_request}


def _origin(training: _Training, circuit: Circuit) -> tuple[str, str]:
    """Return who wrote the spec, and the pull request it came with, MANUAL when with none."""
    commits = training.platform.config.log(circuit.file, since=None, until=training.config.commit)
    if not commits:
        return "", "MANUAL"
    return commits[0].author, commits[0].pull_request or "MANUAL"
