"""Quality: forecasts against the actuals that arrived later."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

import dagster as dg

from mlops_assets.assets.events import EventWriter, Fact, check_specs
from mlops_assets.assets.home import Home
from mlops_assets.assets.partitions import SELECTION, chosen, circuits, each, every
from mlops_assets.domain.errors import MlopsError
from mlops_assets.domain.forecast import ForecastReport
from mlops_assets.domain.gates import Verdict
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.incident import Incident
from mlops_assets.domain.quality import QualityReport

SPEC = dg.AssetSpec(
    "forecast_quality",
    description="One circuit's forecasts of the last 7 days against their actuals, and against "
    "the backtest that people signed.",
    group_name="serve",
    kinds={"deltalake", "polars"},
    owners=["team:operations"],
    deps=[each("predictions"), every("readings")],
    partitions_def=circuits,
    skippable=True,
)
CHECKS = {
    "degraded": "Is it clearly worse than its signed backtest?",
    "drifted": "Is it moving away from its signed backtest?",
}
CHECK_SPECS = check_specs("forecast_quality", CHECKS, circuits, warns=["drifted", "degraded"])


def quality_fact(
    report: QualityReport, up_to: date, incidents: Mapping[CircuitKey, Incident]
) -> Fact:
    """Tell one circuit's rolling quality, and the incident that it is part of."""
    return Fact(
        asset="forecast_quality",
        partition=str(report.circuit),
        version=f"{up_to.isoformat()}:{report.days}:{report.wape}",
        metadata={
            **_incident(report.circuit, incidents.get(report.circuit)),
            "plant": report.circuit.plant_id,
            "up_to": up_to,
            "days": report.days,
            "wape": report.wape,
            "backtest_wape": report.backtest_wape,
            "bias": report.bias,
            "coverage_95": report.coverage_95,
            "degraded": report.degraded,
            "drifted": report.drifted,
            "says": report.reason,
        },
    )


def _incident(circuit: CircuitKey, incident: Incident | None) -> dict[str, object]:
    if incident is None:
        return {}
    own = next(each for each in incident.circuits if each.circuit == circuit)
    return {
        "incident": incident.incident,
        "previous_release": own.comparison.previous,
        "previous_wape": own.comparison.previous_wape,
        "live_wape_on_the_same_days": own.comparison.live_wape,
        "no_rollback": own.obstacle or None,
        "way_out": incident.advice,
    }


def quality_verdicts(
    report: QualityReport, incidents: Mapping[CircuitKey, Incident]
) -> tuple[Verdict, ...]:
    """Answer both checks; neither blocks, because what it judges has happened."""
    reason, incident = report.reason, incidents.get(report.circuit)
    if incident is not None:
        own = next(each for each in incident.circuits if each.circuit == report.circuit)
        said = own.says.removeprefix(f"{report.circuit}: ")
        reason = f"{said}; incident {incident.incident}, the way out: `{incident.advice}`"
    return (
        Verdict("degraded", not report.degraded, reason, blocking=False),
        Verdict("drifted", not report.drifted, report.reason, blocking=False),
    )


def incidents_by_circuit(
    home: Home, reports: Mapping[CircuitKey, QualityReport]
) -> dict[CircuitKey, Incident]:
    """Find the incidents of circuits that degraded; where none did, nothing is asked."""
    from mlops_assets.flows.degradation import incidents

    if not any(report.degraded for report in reports.values()):
        return {}
    found = incidents(home.platform, home.config(), now=home.now())
    return {key: incident for incident in found for key in incident.keys}


def scored(
    home: Home, keys: Sequence[CircuitKey] | None
) -> tuple[date, Mapping[CircuitKey, QualityReport]]:
    """Score the days that can have actuals, and return the last of them with each verdict."""
    from mlops_assets.flows.quality import score

    platform = home.platform
    up_to = home.data_now().date()
    reports = score(
        platform.lake,
        platform.prod,
        platform.registry,
        home.config().policy,
        up_to=up_to,
        circuits=keys,
        hindcasts_count=platform.kind == "demo",
    )
    return up_to, reports


def watched(
    context: dg.AssetExecutionContext,
    home: Home,
    up_to: date,
    reports: Mapping[CircuitKey, QualityReport],
    forecast: ForecastReport | None = None,
) -> None:
    """Hand the figures to whoever watches; a monitor that is down is said here, and stops nothing.

    ``forecast`` is the batch that was just issued, if any.
    """
    from mlops_assets.flows.monitor import tell

    try:
        monitoring = home.monitoring
        if monitoring is None:
            return
        told = tell(
            home.platform.lake,
            monitoring,
            reports,
            up_to=up_to,
            data_now=home.data_now(),
            forecast=forecast,
        )
    except MlopsError as error:
        context.log.warning("the monitor was told nothing: %s", error)
        return
    for problem in told.problems:
        context.log.warning(problem)
    context.log.info("the monitor took %s rows and %s gauges", told.rows, told.gauges)


@dg.multi_asset(
    specs=[SPEC],
    check_specs=CHECK_SPECS,
    name="forecast_quality",
    partitions_def=circuits,
    backfill_policy=dg.BackfillPolicy.single_run(),
    can_subset=True,
    config_schema=SELECTION,
)
def forecast_quality(
    context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]
) -> Iterator[dg.MaterializeResult]:
    """Score the chosen circuits, each judged by its rolling days."""
    keys = chosen(context)
    writer = EventWriter(context)
    with home.explained():
        up_to, reports = scored(home, keys)
        home.answers["forecast_quality"] = reports
        found = incidents_by_circuit(home, reports)
        for report in reports.values():
            fact = quality_fact(report, up_to, found)
            writer.materialized(fact, quality_verdicts(report, found))
        watched(context, home, up_to, reports)
    writer.refuse({"forecast_quality": {key: "is not live" for key in keys if key not in reports}})
    yield from ()
