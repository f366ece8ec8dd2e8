"""Comparing a proposal: what it would train, how long that takes, and how good it would be.

Where a home lies on this machine the models stay in dev, so that the same digest trains nothing
again after the merge; an environment that is only proposed is not registered. Where it lies
elsewhere nothing is written: whoever may propose a change runs there what they like.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import MlopsError, ModelError, RefusedError
from mlops_assets.domain.evaluation import paired_bound
from mlops_assets.domain.gates import judge_model, refusals
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.model import FitJob
from mlops_assets.domain.proof import proof_document, read_proof
from mlops_assets.domain.readings import to_series
from mlops_assets.domain.training import TrainOutcome, TrainReport
from mlops_assets.flows import environment as environments
from mlops_assets.flows import training_data
from mlops_assets.flows.deployment import live_deployments
from mlops_assets.flows.model import effective, live_files, train, wanted
from mlops_assets.flows.readings import data_now as data_now_of
from mlops_assets.flows.warm_start import handed_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from mlops_assets.domain.circuit import Circuit, Config, Environment
    from mlops_assets.domain.deployment import Deployment
    from mlops_assets.domain.gates import Verdict
    from mlops_assets.domain.identifiers import EnvironmentRef
    from mlops_assets.domain.warm_start import WarmStart
    from mlops_assets.ports import EnvironmentRegistry, Lake, Platform, Progress

# Circuits whose first readings are looked up together.
_TOGETHER = 50


def compare_ref(
    platform: Platform,
    proposed: Config,
    circuits: Sequence[CircuitKey] | None = None,
    *,
    now: datetime,
    progress: Progress | None = None,
    on_result: Callable[[TrainOutcome], None] | None = None,
) -> TrainReport:
    """Train what a proposed config changes against the watched one; nothing of it is released."""
    from mlops_assets.flows.plan import config_at

    watched = config_at(platform).circuits
    changed = sorted(
        key
        for key, circuit in proposed.circuits.items()
        if (circuits is None or key in circuits)
        and (key not in watched or watched[key].spec_digest != circuit.spec_digest)
    )
    if platform.aside is None:
        known = Proposed(platform.dev.environments)
        home = replace(platform, dev=replace(platform.dev, environments=known))
        return train(home, proposed, changed, now=now, progress=progress, on_result=on_result)
    outcomes: dict[CircuitKey, TrainOutcome] = {}
    for outcome in _aside(platform, proposed, changed, now, progress):
        outcomes[outcome.circuit] = outcome.figures()
        if on_result is not None:
            on_result(outcome)
    return TrainReport(outcomes=dict(sorted(outcomes.items())))


class Proposed:
    """Environments as a proposal sees them: a version that nobody registered stays free."""

    def __init__(self, registry: EnvironmentRegistry) -> None:
        self._registry = registry

    def register(self, environment: Environment) -> Environment:
        """Return it as it would be registered.

        Raises:
            RefusedError: the version is registered with other content.
        """
        known = self._registry.get(environment.ref)
        if known is not None and known.digest != environment.digest:
            raise RefusedError(
                "E_ENVIRONMENT_CHANGED",
                f"environment {environment.ref} is registered with other content; "
                "give the change a new version",
            )
        return environment

    def get(self, ref: EnvironmentRef) -> Environment | None:
        """One version, if registered."""
        return self._registry.get(ref)

    def list(self) -> Sequence[Environment]:
        """All versions, sorted."""
        return self._registry.list()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """A circuit that is fitted, with what was known of its data before."""

    job: FitJob
    verdicts: tuple[Verdict, ...]


def _aside(
    platform: Platform,
    config: Config,
    keys: Sequence[CircuitKey],
    now: datetime,
    progress: Progress | None,
) -> Iterator[TrainOutcome]:
    """Read, fit on this machine's cores, and keep nothing."""
    firsts = _first_readings(platform.lake, keys)
    refs = [config.circuits[key].spec.environment_ref for key in keys]
    known = environments.register(Proposed(platform.dev.environments), config, refs)
    present, live = data_now_of(platform.kind, platform.lake, now), live_deployments(platform.prod)
    prepared: dict[CircuitKey, _Prepared] = {}
    if progress is not None:
        progress.begin("training data", len(keys))
    for key in keys:
        circuit = effective(config.circuits[key], firsts)
        environment = known[circuit.spec.environment_ref]
        try:
            if isinstance(environment, str):
                raise ModelError(environment)
            found = _prepare(platform, config, circuit, present, live.get(key), progress)
        except MlopsError as error:
            found = TrainOutcome(
                circuit=key, status="failed", reason=str(error), left_out=key not in firsts
            )
        if progress is not None:
            progress.advance(str(key))
        if isinstance(found, TrainOutcome):
            yield found
        else:
            prepared[key] = found
    if prepared and platform.aside is not None:
        engine = platform.aside(config.policy.maximum_parallel_training)
        if progress is not None:
            progress.begin("training", len(prepared))
        for key, result in engine.fit([each.job for each in prepared.values()]):
            if progress is not None:
                progress.advance(str(key))
            if isinstance(result, str):
                yield TrainOutcome(circuit=key, status="failed", reason=result)
                continue
            document = proof_document(result, paired_bound(result.backtest))
            yield TrainOutcome(
                circuit=key,
                status="trained",
                reason=f"{result.forecaster}, kept nowhere",
                proof=document,
                data_verdicts=prepared[key].verdicts,
                verdicts=judge_model(document, config.policy.gates),
                seconds=result.seconds,
            )


def _prepare(  # noqa: PLR0917 private, called once
    platform: Platform,
    config: Config,
    circuit: Circuit,
    present: datetime,
    live: Deployment | None,
    progress: Progress | None,
) -> _Prepared | TrainOutcome:
    """Return what is to be fitted, or what is known already or refused."""
    key, spec, models = circuit.key, circuit.spec, platform.dev.models
    data, rows = training_data.unregistered(platform.lake, circuit, data_now=present)
    same = wanted(models, circuit, data.content_digest)
    if same is not None:
        document = read_proof(models.proof(same), where=f"model {key} version {same.version}")
        return TrainOutcome(
            circuit=key,
            status="unchanged",
            reason=f"unchanged: version {same.version}, same spec, same data",
            record=same,
            proof=document,
            verdicts=judge_model(document, config.policy.gates),
        )
    series = to_series(rows, step=spec.step, end=data.end, features=spec.features)
    verdicts = training_data.verdicts(data, series, circuit)
    if refused := [verdict for verdict in verdicts if verdict.refuses]:
        return TrainOutcome(
            circuit=key,
            status="failed",
            reason="; ".join(refusals(refused)),
            left_out=True,
            data_verdicts=verdicts,
        )
    incumbent, warm_start = _handed_on(platform, live, progress)
    job = FitJob(
        circuit=key,
        spec=spec,
        series=series,
        incumbent=incumbent,
        warm_start=warm_start,
        data=data.version,
    )
    return _Prepared(job=job, verdicts=verdicts)


def _handed_on(
    platform: Platform, live: Deployment | None, progress: Progress | None
) -> tuple[Mapping[str, bytes] | None, WarmStart | None]:
    """The live model to compare with, and what its training learned."""
    if live is None:
        return None, None
    try:
        return live_files(platform, live), handed_on(platform, live)
    except ModelError as error:
        if progress is not None:
            progress.say(f"{live.circuit}: trained without comparison to what is live: {error}")
        return None, None


def _first_readings(lake: Lake, keys: Sequence[CircuitKey]) -> dict[CircuitKey, datetime]:
    """Each circuit's first reading, from its rows: the table's summary is kept when asked for."""
    import polars as pl

    found: dict[CircuitKey, datetime] = {}
    if not lake.readings.exists():
        return found
    names = ["plant_id", "circuit_id"]
    for start in range(0, len(keys), _TOGETHER):
        some = keys[start : start + _TOGETHER]
        rows = lake.readings.read(circuits=list(some), columns=[*names, "timestamp"])
        firsts = rows.group_by(names).agg(pl.col("timestamp").min())
        found |= {CircuitKey(plant, circuit): first for plant, circuit, first in firsts.iter_rows()}
    return found
