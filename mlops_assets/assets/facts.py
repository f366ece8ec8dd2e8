"""Everything that is true now, told again: from facts and ledger, never from an event log."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from mlops_assets.assets import deployment, evidence, forecast, model, quality, readings, release
from mlops_assets.assets import training_data as data
from mlops_assets.assets.config import config_facts
from mlops_assets.assets.plant import at_most_a_plant
from mlops_assets.domain.errors import AbsentRoleError, MlopsError
from mlops_assets.domain.gates import judge_model
from mlops_assets.domain.proof import read_proof
from mlops_assets.flows import model as model_flow
from mlops_assets.flows import readings as readings_flow
from mlops_assets.flows import training_data as data_flow
from mlops_assets.flows.deployment import live_deployments
from mlops_assets.flows.gates import gate, read_test_validation
from mlops_assets.flows.ledger import manifest_of, views
from mlops_assets.flows.promotion import DONE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mlops_assets.assets.events import Fact
    from mlops_assets.assets.home import Home
    from mlops_assets.domain.circuit import Config
    from mlops_assets.domain.gates import Verdict
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.manifest import Entry, Manifest
    from mlops_assets.domain.release import ReleaseView, Stage
    from mlops_assets.ports import Platform

    Told = tuple[Fact, tuple[Verdict, ...]]


def told(home: Home) -> Iterator[Told]:
    """Tell every asset's newest fact with its verdicts, upstream first."""
    config = home.config()
    for part in (
        _ingested(home, config),
        ((fact, ()) for fact in config_facts(home.platform, config)),
        _trained(home, config),
        released(home, config),
        _served(home),
    ):
        # What no role of this host may read, another host tells its own Dagster.
        with suppress(AbsentRoleError):
            yield from part


def _ingested(home: Home, config: Config) -> Iterator[Told]:
    platform, data_now = home.platform, home.data_now()
    fact = readings.readings_fact(platform)
    if fact is None:
        return
    yield readings.sensor_files_fact(platform), ()
    if tables := readings.historian_tables_fact(platform):
        yield tables, ()
    verdicts = readings_flow.verdicts(
        platform.lake, config, data_now=data_now, training_data=platform.dev.training_data
    )
    yield fact, verdicts
    for share in at_most_a_plant(readings.circuit_readings_facts(platform, config, data_now)):
        yield share, ()


def _trained(home: Home, config: Config) -> Iterator[Told]:
    platform = home.platform
    dev, firsts = platform.dev, model_flow.first_readings(platform)
    for key, wanted in config.circuits.items():
        circuit = model_flow.effective(wanted, firsts)
        if versions := dev.training_data.versions(key):
            pinned = versions[-1]
            series = data_flow.series_of(dev.training_data, pinned, circuit.spec)
            verdicts = data_flow.verdicts(pinned, series, circuit)
            yield data.training_data_fact(pinned), verdicts
        registered = dev.models.versions(key)
        record = model_flow.wanted(dev.models, circuit) or (registered[-1] if registered else None)
        if record is None:
            continue
        where = f"model {key} version {record.version}"
        proof = read_proof(dev.models.proof(record), where=where)
        judged = judge_model(proof, config.policy.gates)
        yield model.model_fact(record, proof, dev.models.folder(record)), judged
        bundle = dev.evidence.get(key, record.version)
        if bundle is not None:
            folder = dev.evidence.folder(key, record.version)
            yield evidence.evidence_fact(bundle, folder), (evidence.complete(bundle),)


def released(home: Home, config: Config) -> Iterator[Told]:
    """Tell what the ledger says of each circuit: proposed, registered, tested, live."""
    platform = home.platform
    every = views(platform, home.now())
    for _, manifest, entry in _newest(platform, every, None):
        yield release.candidate_fact(manifest, entry), ()
    for view, manifest, entry in _newest(platform, every, "registry"):
        verdicts = _stage_verdicts(home, config, view, "registry")
        yield release.registry_fact(manifest, entry, view), verdicts
    for view, manifest, entry in _newest(platform, every, "test"):
        stored = platform.dev.evidence.read_release(view.release, "test_validation")
        judged = read_test_validation(stored) if stored else {}
        yield deployment.test_fact(manifest, entry), judged.get(str(entry.circuit), ())
    by_release = {view.release: view for view in every}
    for live in live_deployments(platform.prod).values():
        origin = by_release.get(live.release)
        verdicts = _stage_verdicts(home, config, origin, "production") if origin else ()
        yield deployment.deployment_fact(live, origin), verdicts


def _newest(
    platform: Platform, every: Sequence[ReleaseView], stage: Stage | None
) -> Iterator[tuple[ReleaseView, Manifest, Entry]]:
    """Yield each circuit's newest release that has done a stage."""
    seen: set[CircuitKey] = set()
    for view in reversed(every):
        tested = stage == "test" and bool(
            platform.dev.evidence.read_release(view.release, "test_validation")
        )
        done = stage is None or tested or view.state in DONE[stage]
        if not done or seen.issuperset(view.circuits):
            continue
        manifest = manifest_of(platform.ledger, view)
        for entry in manifest.entries:
            if entry.circuit not in seen:
                seen.add(entry.circuit)
                yield view, manifest, entry


def _stage_verdicts(
    home: Home, config: Config, view: ReleaseView, stage: Stage
) -> tuple[Verdict, ...]:
    try:
        verdicts = gate(home.platform, config, view.release, stage, now=home.now())
    except MlopsError:
        return ()
    return deployment.stage_verdicts(stage, verdicts, view)


def _served(home: Home) -> Iterator[Told]:
    from mlops_assets.flows.forecast import issued_days, stored_report

    platform = home.platform
    newest: dict[CircuitKey, Told] = {}
    for day in issued_days(platform.lake):
        report = stored_report(platform.lake, day)
        yield forecast.daily_fact(report), ()
        for key, one in report.circuits.items():
            newest[key] = forecast.prediction_fact(one), forecast.prediction_verdicts(one)
    yield from _of_a_day(newest[key] for key in sorted(newest))
    if newest:
        up_to, reports = quality.scored(home, None)
        found = quality.incidents_by_circuit(home, reports)
        yield from _of_a_day(
            (quality.quality_fact(each, up_to, found), quality.quality_verdicts(each, found))
            for each in reports.values()
        )


def _of_a_day(told: Iterable[Told]) -> Iterator[Told]:
    """Yield what the daily group tells: circuits with verdicts, or plants of a large fleet."""
    verdicts = {fact.partition: (fact, said) for fact, said in told}
    for fact in at_most_a_plant(fact for fact, _ in verdicts.values()):
        yield verdicts.get(fact.partition, (fact, ()))


def newer(facts: Iterator[Told], versions: Mapping[str, Mapping[str, str]]) -> Iterator[Fact]:
    """Return the facts that Dagster has not been told, by asset and partition."""
    for fact, _ in facts:
        if versions.get(fact.asset, {}).get(fact.partition or "") != fact.version:
            yield fact
