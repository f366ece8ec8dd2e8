"""Degradation: which live releases do clearly worse than signed, and the way back where it helps.

What is judged are the scored days that lie in the quality table. The deployment before the live
one is applied to the same days, to the version of the readings that the live forecast was made
from; its scores are kept apart from quality, its forecasts nowhere.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from mlops_assets.domain.deployment import RollbackReport, rollback_target
from mlops_assets.domain.errors import MlopsError, StaleError
from mlops_assets.domain.forecast import (
    Issue,
    frame_of,
    gap_reason,
    gap_steps,
    stored_part,
    window_of,
)
from mlops_assets.domain.history import History
from mlops_assets.domain.incident import (
    PLATFORM,
    Comparison,
    DegradedCircuit,
    Incident,
    automatic_moves,
    incidents_of,
)
from mlops_assets.domain.quality import (
    ROLLING_DAYS,
    DayQuality,
    counted_days,
    days_of,
    pooled_wape,
    quality_frame,
)
from mlops_assets.domain.readings import window_end
from mlops_assets.flows.forecast import readable_deployments
from mlops_assets.flows.issue import known_series
from mlops_assets.flows.ladder import Forecasting, Ladder, said
from mlops_assets.flows.quality import days_scored, judged
from mlops_assets.flows.readings import data_now
from mlops_assets.flows.rollback import resume, rollback

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date, datetime

    import polars as pl

    from mlops_assets.domain.circuit import Config
    from mlops_assets.domain.deployment import Deployment
    from mlops_assets.domain.forecast import Window
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.quality import QualityReport
    from mlops_assets.domain.readings import Series
    from mlops_assets.ports import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class AutomaticRollback:
    """What the platform did about an incident; ``refused`` says why circuits stayed."""

    incident: Incident
    report: RollbackReport = field(default_factory=RollbackReport)
    refused: Mapping[CircuitKey, str] = field(default_factory=dict)


def incidents(
    platform: Platform, config: Config, *, now: datetime, forecasting: Forecasting | None = None
) -> tuple[Incident, ...]:
    """Every live release that is degraded now, with both figures of each circuit.

    It judges what was scored and decides nothing; asking again computes nothing again.
    """
    lake, counts = platform.lake, platform.kind == "demo"
    up_to = data_now(platform.kind, lake, now).date()
    days = days_of(lake.quality.read(first=up_to - timedelta(days=ROLLING_DAYS - 1)))
    live, _ = readable_deployments(platform.prod, None)
    reports = judged(
        platform.registry, config.policy, live, days, up_to=up_to, hindcasts_count=counts
    )
    degraded = {circuit: live[circuit] for circuit, report in reports.items() if report.degraded}
    if not degraded:
        return ()
    by_circuit: dict[CircuitKey, list[DayQuality]] = defaultdict(list)
    for day in days:
        by_circuit[day.circuit].append(day)
    counted = {
        circuit: counted_days(
            by_circuit[circuit],
            up_to=up_to,
            model_version=deployment.model_version,
            hindcasts_count=counts,
        )
        for circuit, deployment in degraded.items()
    }
    compared = _Comparing(platform, forecasting or Forecasting.installed()).compare(
        degraded, counted, least=config.policy.quality.minimum_days
    )
    return incidents_of(
        (
            _degraded(deployment, reports[circuit], compared[circuit])
            for circuit, deployment in degraded.items()
        ),
        up_to,
    )


def roll_back_degraded(
    platform: Platform, config: Config, *, now: datetime, forecasting: Forecasting | None = None
) -> tuple[AutomaticRollback, ...]:
    """Take degraded releases one step back where the policy lets the platform do so.

    Once a release, one step, and only circuits whose previous deployment did better by the margin
    that a new model must hold against its champion. What another process did meanwhile is seen
    once the plants are held, so that nobody goes two steps.
    """
    if not config.policy.automatic_rollback:
        return ()
    resume(platform)
    done = []
    for incident in incidents(platform, config, now=now, forecasting=forecasting):
        history = History(platform.ledger.entries())
        margin = config.policy.gates.champion_margin
        moves, refused = automatic_moves(incident, history, margin=margin)
        report = RollbackReport()
        if moves:
            try:
                report = rollback(
                    platform,
                    moves,
                    operator=PLATFORM,
                    reason=f"{incident.incident}: {incident.summary}",
                    now=now,
                    only_from=incident.release,
                )
            except StaleError as error:
                refused = {**refused, **dict.fromkeys(moves, str(error))}
        done.append(
            AutomaticRollback(
                incident=incident, report=report, refused={**refused, **report.refused}
            )
        )
    return tuple(done)


def _degraded(
    deployment: Deployment, report: QualityReport, comparison: Comparison
) -> DegradedCircuit:
    return DegradedCircuit(
        circuit=deployment.circuit,
        release=deployment.release,
        model_version=deployment.model_version,
        report=report,
        comparison=comparison,
    )


# The live deployment's day, and the one before it on the same hours.
_Pair = tuple[DayQuality, DayQuality]


class _Comparing:
    """Scores the deployments before the live ones on the days by which those are judged."""

    def __init__(self, platform: Platform, forecasting: Forecasting) -> None:
        self._lake = platform.lake
        self._registry = platform.registry
        self._recorded = platform.prod.endpoints.recorded
        self._forecasting = forecasting
        self._obstacles: dict[CircuitKey, str] = {}

    def compare(
        self,
        live: Mapping[CircuitKey, Deployment],
        counted: Mapping[CircuitKey, tuple[DayQuality, ...]],
        *,
        least: int,
    ) -> dict[CircuitKey, Comparison]:
        """Both figures of each circuit, over the days that both have; at least ``least``."""
        previous: dict[CircuitKey, Deployment] = {}
        for circuit, deployment in live.items():
            try:
                previous[circuit] = rollback_target(deployment, self._recorded)
            except MlopsError as error:
                self._obstacles[circuit] = str(error)
        scored = self._scored(previous, {circuit: counted[circuit] for circuit in previous})
        compared = {}
        for circuit, deployment in live.items():
            pairs = [
                scored[circuit, day.issued_for]
                for day in counted[circuit]
                if (circuit, day.issued_for) in scored
            ]
            before = previous.get(circuit)
            obstacle = self._obstacles.get(circuit, "")
            if before is not None and len(pairs) < least:
                why = f": {obstacle}" if obstacle else ""
                obstacle = (
                    f"{before.release} can be scored on {len(pairs)} of the same days, {least} are "
                    f"needed{why}"
                )
            elif before is not None:
                obstacle = ""
            compared[circuit] = Comparison(
                previous=deployment.replaces,
                days=len(pairs),
                live_wape=pooled_wape([mine for mine, _ in pairs]),
                previous_wape=pooled_wape([other for _, other in pairs]),
                obstacle=obstacle,
            )
        return compared

    def _scored(
        self,
        previous: Mapping[CircuitKey, Deployment],
        counted: Mapping[CircuitKey, tuple[DayQuality, ...]],
    ) -> dict[tuple[CircuitKey, date], _Pair]:
        """The live and the previous deployment's day: stored ones, and those made now."""
        wanted = {
            (circuit, day.issued_for): day for circuit, days in counted.items() for day in days
        }
        if not wanted:
            return {}
        first = min(day for _, day in wanted)
        stored = days_of(self._lake.hindcasts.read(first=first, circuits=list(previous)))
        pairs: dict[tuple[CircuitKey, date], _Pair] = {}
        for known in stored:
            name = (known.circuit, known.issued_for)
            if name in wanted and _stands(known, wanted[name], previous[known.circuit]):
                pairs[name] = wanted[name], known
        missing: dict[date, dict[CircuitKey, Deployment]] = defaultdict(dict)
        for circuit, day in sorted(wanted.keys() - pairs.keys()):
            missing[day][circuit] = previous[circuit]
        new = [pair for day, part in sorted(missing.items()) for pair in self._day(day, part)]
        if new:
            self._lake.hindcasts.replace(quality_frame(other for _, other in new))
        return pairs | {(other.circuit, other.issued_for): (mine, other) for mine, other in new}

    def _day(self, day: date, previous: Mapping[CircuitKey, Deployment]) -> Iterator[_Pair]:
        """Apply previous deployments for one day, to what was known when the live ones were.

        Both are scored on the hours that both forecast, against the actuals that are there now.
        """
        import polars as pl

        rows = self._lake.predictions.read(issued_for=day, circuits=list(previous))
        made = [
            frame_of(
                self._issues(day, _named(part, previous), version=int(version)),
                issued_for=day,
                data_version=version,
                issued_at=part["issued_at"][0],
                hindcast=dict.fromkeys(previous, True),
            )
            for (version,), part in rows.partition_by("data_version", as_dict=True).items()
        ]
        if not made:
            return
        others = pl.concat(made)
        hours = ["plant_id", "circuit_id", "timestamp"]
        by_live = days_scored(self._lake, rows.join(others, on=hours, how="semi"))
        by_previous = days_scored(self._lake, others.join(rows, on=hours, how="semi"))
        mine = {score.circuit: score for score in by_live}
        yield from ((mine[other.circuit], other) for other in by_previous)

    def _issues(
        self, day: date, previous: Mapping[CircuitKey, Deployment], *, version: int
    ) -> list[Issue]:
        ladders: dict[CircuitKey, Ladder] = {}
        windows: dict[CircuitKey, Window] = {}
        for circuit, deployment in previous.items():
            ladder = Ladder(deployment, self._registry.models, self._forecasting, day)
            try:
                begin = window_end(day, deployment.serving.timezone)
                steps = ladder.model("none").context_steps
                windows[circuit] = window_of(deployment.serving, begin, context_steps=steps)
            except Exception as error:  # noqa: BLE001 a model that cannot be used has no figure
                self._obstacles[circuit] = said(error)
                continue
            ladders[circuit] = ladder
        try:
            series = known_series(self._lake.readings, ladders, windows, version=version)
        except MlopsError as error:
            self._obstacles |= dict.fromkeys(ladders, str(error))
            return []
        return [
            issue
            for circuit, known in series.items()
            if (issue := self._issue(ladders[circuit], known, windows[circuit])) is not None
        ]

    def _issue(self, ladder: Ladder, series: Series, window: Window) -> Issue | None:
        deployment = ladder.deployment
        try:
            if too_old := gap_reason(series, window, deployment.serving):
                self._obstacles[deployment.circuit] = too_old
                return None
            values = ladder.apply("none", series, gap_steps(series, window) + window.rows)
            values = stored_part(values, window, deployment.serving)
        except Exception as error:  # noqa: BLE001 a model that fails has no figure
            self._obstacles[deployment.circuit] = said(error)
            return None
        return Issue(
            circuit=deployment.circuit,
            release=deployment.release,
            model_version=deployment.model_version,
            fallback="none",
            fallback_reason="",
            values=values,
        )


def _named(
    rows: pl.DataFrame, deployments: Mapping[CircuitKey, Deployment]
) -> dict[CircuitKey, Deployment]:
    """Those deployments whose circuits have rows here."""
    keys = set(rows.select("plant_id", "circuit_id").unique().iter_rows())
    return {
        circuit: deployment
        for circuit, deployment in deployments.items()
        if (circuit.plant_id, circuit.circuit_id) in keys
    }


def _stands(known: DayQuality, live: DayQuality, previous: Deployment) -> bool:
    """Whether a stored score is of this deployment and of the hours and actuals of the live one."""
    return (
        known.release == previous.release
        and known.model_version == previous.model_version
        and known.rows == live.rows
        and known.absolute_actual == live.absolute_actual
    )
