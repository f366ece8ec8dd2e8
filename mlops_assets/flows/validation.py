"""Validation in test: a release put on the test endpoints and tried on the newest readings.

A plant is held from before its test deployments change until they have answered: a circuit has one
place there, and what another release put into it would answer for this one.
"""

from __future__ import annotations

import time
from datetime import date, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from mlops_assets.domain.deployment import deployment_of
from mlops_assets.domain.errors import ModelError
from mlops_assets.domain.forecast import (
    Issue,
    frame_of,
    gap_steps,
    is_hindcast,
    stored_part,
    window_of,
)
from mlops_assets.domain.identifiers import CircuitKey, canonical_json
from mlops_assets.domain.readings import window_end
from mlops_assets.domain.validation import Trial, judge
from mlops_assets.flows.deployment import locked_plants, make_ready, plants_of, record, swap
from mlops_assets.flows.forecast import by_circuit, write_files
from mlops_assets.flows.inference import answers, confirmed
from mlops_assets.flows.issue import known_series
from mlops_assets.flows.ladder import Forecasting, Ladder, said
from mlops_assets.flows.readings import data_now

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from mlops_assets.domain.circuit import Policy
    from mlops_assets.domain.deployment import Deployment
    from mlops_assets.domain.forecast import Window
    from mlops_assets.domain.gates import Verdict
    from mlops_assets.domain.manifest import Entry, Manifest
    from mlops_assets.domain.model import ForecastValues
    from mlops_assets.domain.readings import Series
    from mlops_assets.ports import Lake, Platform, ServingWorkspace, SharedRegistry


def validated(
    platform: Platform,
    policy: Policy,
    manifest: Manifest,
    *,
    now: datetime,
    forecasting: Forecasting | None,
) -> dict[CircuitKey, tuple[Verdict, ...]]:
    """Validate a release on a home's own test endpoints; raises as `validate_in_test` does."""
    return validate_in_test(
        platform.test,
        platform.registry,
        platform.lake,
        manifest,
        policy,
        now=now,
        data_now=data_now(platform.kind, platform.lake, now),
        forecasting=forecasting,
    )


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

    Raises:
        EngineError: the endpoints cannot be made ready, or give no answer; nothing was judged.
    """
    entries = plants_of(manifest.entries)
    with locked_plants(test.endpoints, entries):
        deployments = _put_on_test(test, manifest, entries)
        verdicts = _tried(
            test,
            registry,
            lake,
            deployments,
            policy,
            now=now,
            data_now=data_now,
            forecasting=forecasting,
        )
    test.endpoints.announce(list(entries))
    return verdicts


def _tried(
    test: ServingWorkspace,
    registry: SharedRegistry,
    lake: Lake,
    deployments: Mapping[CircuitKey, Deployment],
    policy: Policy,
    *,
    now: datetime,
    data_now: datetime,
    forecasting: Forecasting | None,
) -> dict[CircuitKey, tuple[Verdict, ...]]:
    """Try what is on the test endpoints, write what passed, and say what it holds."""
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


def _put_on_test(
    test: ServingWorkspace, manifest: Manifest, entries: Mapping[str, Sequence[Entry]]
) -> dict[CircuitKey, Deployment]:
    """Make a release live on the test endpoints, whatever was tried there before."""
    release, digest = manifest.release, manifest.digest
    wanted: dict[CircuitKey, Deployment | None] = {
        entry.circuit: deployment_of(entry, release=release, release_digest=digest)
        if entry.action == "deploy"
        else None
        for entry in manifest.entries
    }
    live = {plant: test.endpoints.live(plant) for plant in entries}
    changes = {
        plant: {
            entry.circuit: wanted[entry.circuit]
            for entry in part
            if live[plant].of(entry.circuit) != wanted[entry.circuit]
        }
        for plant, part in entries.items()
    }
    record(test.endpoints, (new for part in changes.values() for new in part.values()))
    # What is live already is asked for too: it may be lost, or run another version's code.
    make_ready(test.endpoints, wanted.values())
    for plant, part in changes.items():
        swap(test.endpoints, live[plant], part)
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


def document_of(release: str, judged: Mapping[CircuitKey, tuple[Verdict, ...]]) -> bytes:
    """Return the evidence of the stage; without a clock, so that a rerun gives the same bytes."""
    circuits = {
        str(circuit): [
            {
                "gate": verdict.gate,
                "passed": bool(verdict.passed),
                "reason": verdict.reason,
                "blocking": verdict.blocking,
            }
            for verdict in verdicts
        ]
        for circuit, verdicts in judged.items()
    }
    return canonical_json({"format": 1, "release": release, "circuits": circuits})
