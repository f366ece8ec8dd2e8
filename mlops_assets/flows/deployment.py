"""Deployments: a release put on the test endpoint and tried, then on production, plant by plant.

One swap a plant, so that readers see all-old or all-new per plant; every plant is locked, found
fresh and made ready before the first one changes. A run that was killed is completed by running it
again.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from mlops_assets.domain.deployment import changes_of, deployment_of
from mlops_assets.domain.errors import EngineError, MlopsError, ModelError, RefusedError
from mlops_assets.domain.forecast import (
    Issue,
    frame_of,
    gap_steps,
    is_hindcast,
    stored_part,
    window_of,
)
from mlops_assets.domain.identifiers import CircuitKey, EnvironmentRef
from mlops_assets.domain.readings import window_end
from mlops_assets.domain.validation import Trial, judge
from mlops_assets.flows.forecast import by_circuit, write_files
from mlops_assets.flows.inference import answers, confirmed
from mlops_assets.flows.issue import known_series
from mlops_assets.flows.ladder import Forecasting, Ladder, said

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from mlops_assets.domain.circuit import Policy
    from mlops_assets.domain.deployment import Deployment, LiveManifest
    from mlops_assets.domain.forecast import Window
    from mlops_assets.domain.gates import Verdict
    from mlops_assets.domain.manifest import Entry, Manifest
    from mlops_assets.domain.model import ForecastValues
    from mlops_assets.domain.readings import Series
    from mlops_assets.ports import Endpoints, Lake, ServingWorkspace, SharedRegistry


_FILES_AT_ONCE = 8


def live_deployments(serving: ServingWorkspace) -> dict[CircuitKey, Deployment]:
    """Every live deployment of a workspace, by circuit."""
    live: dict[CircuitKey, Deployment] = {}
    for plant in serving.endpoints.plants():
        for deployment in serving.endpoints.live(plant).live.values():
            live[deployment.circuit] = deployment
    return dict(sorted(live.items()))


def deploy(
    prod: ServingWorkspace,
    registry: SharedRegistry,
    manifest: Manifest,
    circuits: Sequence[CircuitKey] | None = None,
    *,
    now: datetime | None = None,  # noqa: ARG001 every stage is called with it; nothing here is timed
) -> None:
    """Make a release live; what is live from it already stays as it is.

    Raises:
        StaleError: another release is live than the one an entry replaces; nothing was changed.
        ModelError: the registry does not hold what was signed; nothing was changed.
        EngineError: a plant cannot be made ready; every plant serves what it did.
    """
    release, digest = manifest.release, manifest.digest
    entries = _by_plant(manifest.entries, circuits)
    with locked_plants(prod.endpoints, entries):
        live = {plant: prod.endpoints.live(plant) for plant in entries}
        changes = {
            plant: changes_of(live[plant], part, release=release, release_digest=digest)
            for plant, part in entries.items()
        }
        check_bytes(registry, (new for part in changes.values() for new in part.values() if new))
        news = [new for part in changes.values() for new in part.values()]
        record(prod.endpoints, news)
        make_ready(prod.endpoints, news)
        for plant, part in changes.items():
            swap(prod.endpoints, live[plant], part)
    prod.endpoints.announce(list(entries))


def swap(
    endpoints: Endpoints, live: LiveManifest, changes: Mapping[CircuitKey, Deployment | None]
) -> None:
    """Change one plant in one step; the deployments must be recorded already."""
    if changes:
        endpoints.swap(live, live.with_changes(changes))


def record(endpoints: Endpoints, changes: Iterable[Deployment | None]) -> None:
    """Keep deployments for good before any of them can be live; they wait for the disk together."""
    with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
        wanted = [pool.submit(endpoints.record, new) for new in changes if new is not None]
        for done in wanted:
            done.result()


def make_ready(endpoints: Endpoints, changes: Iterable[Deployment | None]) -> None:
    """Make recorded deployments ready to serve, on all plants together.

    Raises:
        EngineError: a plant is not ready, each named with its reason; nothing that is live changed.
        RefusedError: they do not fit; nothing was changed.
    """
    if broken := unready(endpoints, changes):
        raise EngineError(
            "; ".join(f"{plant}: {why}" for plant, why in sorted(broken.items()))
            + "; every plant serves what it did: run the same command again"
        )


def unready(endpoints: Endpoints, changes: Iterable[Deployment | None]) -> Mapping[str, str]:
    """Make recorded deployments ready; returns the plants that are not, with the reasons."""
    wanted = [new for new in changes if new is not None]
    return endpoints.prepare(wanted) if wanted else {}


def check_bytes(
    registry: SharedRegistry,
    deployments: Iterable[Deployment],
    environments: set[tuple[str, str]] | None = None,
) -> None:
    """Read what deployments serve from the registry and check it against their digests.

    Each environment is looked up once; ``environments`` remembers them over several calls.

    Raises:
        ModelError: a model or an environment is not what was signed.
    """
    environments = set() if environments is None else environments
    for deployment in deployments:
        record = registry.models.get(deployment.circuit, deployment.model_version)
        if record.digest != deployment.model_digest:
            raise ModelError(
                f"{deployment.circuit}: model {record.version} in the registry has digest "
                f"{record.digest[:12]}, but {deployment.release} was signed with "
                f"{deployment.model_digest[:12]}; restore the registry"
            )
        registry.models.files(record)
        named = (deployment.environment, deployment.environment_digest)
        if named not in environments:
            _check_environment(registry, *named)
            environments.add(named)


def rollback_plan(
    prod: ServingWorkspace, registry: SharedRegistry, manifest: Manifest
) -> dict[str, Any]:
    """Where a rollback of this release would lead, tried without changing anything.

    ``circuits`` maps each circuit to its target release and model, or to no target and the reason;
    ``refused`` names those whose way back is broken. It holds no clock.
    """
    circuits: dict[str, Any] = {}
    refused: dict[str, str] = {}
    for entry in manifest.entries:
        key = str(entry.circuit)
        if entry.action == "retire" or entry.replaces is None:
            why = (
                "it is retired: release it anew to bring it back"
                if entry.action == "retire"
                else "this is its first deployment: it would stay live"
            )
            circuits[key] = {"target": None, "reason": f"none: would be refused, {why}"}
            continue
        target = prod.endpoints.recorded(entry.circuit, entry.replaces)
        try:
            if target is None:
                raise RefusedError("E_NO_RECORD", f"{entry.replaces} is not recorded on production")
            check_bytes(registry, [target])
        except MlopsError as error:
            refused[key] = str(error)
        circuits[key] = {
            "target": entry.replaces,
            "model_version": target.model_version if target else None,
            "model_digest": target.model_digest if target else None,
        }
    return {
        "format": 1,
        "release": manifest.release,
        "command": "mlops rollback --circuit KEY --as PRINCIPAL --reason TEXT",
        "circuits": circuits,
        "refused": refused,
    }


def validate_in_test(
    test: ServingWorkspace,
    registry: SharedRegistry,
    lake: Lake,
    manifest: Manifest,
    policy: Policy,
    *,
    now: datetime,
    data_now: datetime,
    forecasting: Forecasting | None = None,
) -> dict[CircuitKey, tuple[Verdict, ...]]:
    """Deploy a release to the test endpoints, try it on the newest readings, and judge it.

    Retired circuits are taken off the test endpoints and have no verdicts.
    """
    deployments = _put_on_test(test, manifest)
    models = forecasting or Forecasting.installed()
    newest = {
        CircuitKey(row["plant_id"], row["circuit_id"]): row["last_timestamp"]
        for row in lake.readings.summary().iter_rows(named=True)
    }
    days = {
        circuit: _test_day(deployment, newest.get(circuit))
        for circuit, deployment in deployments.items()
    }
    ladders = {
        circuit: Ladder(deployment, registry.models, models, days[circuit])
        for circuit, deployment in deployments.items()
    }
    windows: dict[CircuitKey, Window] = {}
    loading: dict[CircuitKey, float] = {}
    for circuit, ladder in ladders.items():
        serving, started = ladder.deployment.serving, time.perf_counter()
        begin = window_end(days[circuit], serving.timezone)
        windows[circuit] = window_of(serving, begin, context_steps=ladder.context_steps())
        loading[circuit] = time.perf_counter() - started
    version = lake.readings.version()
    series = known_series(lake.readings, ladders, windows, version=version)
    answered = answers(test, registry, lake.readings, deployments, days, version=version)
    verdicts: dict[CircuitKey, tuple[Verdict, ...]] = {}
    passed: dict[date, list[Issue]] = {}
    for circuit, ladder in ladders.items():
        trial = _try(ladder, series.get(circuit), windows[circuit], loading=loading[circuit])
        trial = confirmed(trial, ladder.deployment, answered.get(circuit))
        verdicts[circuit] = judge(trial, ladder.deployment.serving, policy.gates)
        if trial.values is not None and all(verdict.passed for verdict in verdicts[circuit]):
            issue = _issue(ladder.deployment, trial.values, windows[circuit])
            passed.setdefault(days[circuit], []).append(issue)
    for day, issues in passed.items():
        rows = frame_of(
            issues,
            issued_for=day,
            data_version=str(version),
            issued_at=now,
            hindcast={
                issue.circuit: is_hindcast(data_now, windows[issue.circuit].begin)
                for issue in issues
            },
        )
        write_files(test, day, by_circuit(rows))
    return verdicts


@contextmanager
def locked_plants(endpoints: Endpoints, plants: Collection[str]) -> Iterator[None]:
    """Hold several plants, always in one order, so that two holders never wait for each other."""
    with ExitStack() as stack:
        for plant in sorted(plants):
            stack.enter_context(endpoints.lock(plant))
        yield


def _by_plant(
    entries: Iterable[Entry], circuits: Sequence[CircuitKey] | None
) -> dict[str, list[Entry]]:
    wanted = None if circuits is None else set(circuits)
    parts: dict[str, list[Entry]] = {}
    for entry in entries:
        if wanted is None or entry.circuit in wanted:
            parts.setdefault(entry.circuit.plant_id, []).append(entry)
    return parts


def _check_environment(registry: SharedRegistry, name: str, digest: str) -> None:
    environment = registry.environments.get(EnvironmentRef.parse(name))
    if environment is None or environment.digest != digest:
        found = "not registered" if environment is None else environment.digest[:12]
        raise ModelError(
            f"environment {name} in the registry is {found}, but {digest[:12]} was signed; "
            "restore the registry"
        )


def _put_on_test(test: ServingWorkspace, manifest: Manifest) -> dict[CircuitKey, Deployment]:
    """Make a release live on the test endpoints, whatever was tried there before."""
    release, digest = manifest.release, manifest.digest
    entries = _by_plant(manifest.entries, None)
    wanted: dict[CircuitKey, Deployment | None] = {
        entry.circuit: deployment_of(entry, release=release, release_digest=digest)
        if entry.action == "deploy"
        else None
        for entry in manifest.entries
    }
    with locked_plants(test.endpoints, entries):
        live = {plant: test.endpoints.live(plant) for plant in entries}
        changes = {
            plant: {
                entry.circuit: wanted[entry.circuit]
                for entry in part
                if live[plant].of(entry.circuit) != wanted[entry.circuit]
            }
            for plant, part in entries.items()
        }
        news = [new for part in changes.values() for new in part.values()]
        record(test.endpoints, news)
        make_ready(test.endpoints, news)
        for plant, part in changes.items():
            swap(test.endpoints, live[plant], part)
    test.endpoints.announce(list(entries))
    return {circuit: new for circuit, new in wanted.items() if new is not None}


def _test_day(deployment: Deployment, newest: datetime | None) -> date:
    """The newest day that its readings reach and its model may forecast."""
    after_cutoff = date.fromisoformat(deployment.serving.cutoff_date) + timedelta(days=1)
    if newest is None:
        return after_cutoff
    # The last reading covers the time up to the next one: at 23:00 an hourly day is complete.
    reached = newest + timedelta(hours=1)
    return max(after_cutoff, reached.astimezone(ZoneInfo(deployment.serving.timezone)).date())


def _try(ladder: Ladder, series: Series | None, window: Window, *, loading: float) -> Trial:
    """Run every rung by itself; a failure is kept as the sentence that says why."""
    import numpy as np

    started = time.perf_counter()
    values, error = None, "no readings in the window before the test day"
    if series is not None:
        steps = gap_steps(series, window) + window.rows
        try:
            values, error = ladder.apply("none", series, steps), ""
        except Exception as failure:  # noqa: BLE001 a model that fails is a verdict, not a crash
            error = said(failure)
    seconds = loading + time.perf_counter() - started
    rungs: dict[str, str] = {}
    for rung in ladder.rungs[1:]:
        try:
            if series is None:
                raise ModelError(error)  # noqa: TRY301
            below = ladder.apply(rung, series, gap_steps(series, window) + window.rows)
            stored_part(below, window, ladder.deployment.serving)
            rungs[rung] = ""
        except Exception as failure:  # noqa: BLE001 a rung that fails is a verdict, not a crash
            rungs[rung] = said(failure)
    known = None if series is None else series.values[np.isfinite(series.values)]
    return Trial(
        window=window,
        values=values,
        error=error,
        observed=None if known is None else (float(known.min()), float(known.max())),
        seconds=seconds,
        rungs=rungs,
    )


def _issue(deployment: Deployment, values: ForecastValues, window: Window) -> Issue:
    """The rows of a trial that passed."""
    return Issue(
        circuit=deployment.circuit,
        release=deployment.release,
        model_version=deployment.model_version,
        fallback="none",
        fallback_reason="",
        values=stored_part(values, window, deployment.serving),
    )
