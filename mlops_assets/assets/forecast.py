"""The daily batch, and what it forecast for each circuit."""

from collections.abc import Iterator, Sequence
from datetime import date

import dagster as dg

from mlops_assets.assets.events import EventWriter, Fact, check_specs, picture, stored_versions
from mlops_assets.assets.home import Home, RunProgress
from mlops_assets.assets.partitions import (
    SELECTION,
    chosen,
    circuits,
    days,
    every,
    keys_of,
    named,
    newest,
)
from mlops_assets.assets.plant import at_most_a_plant
from mlops_assets.assets.quality import (
    incidents_by_circuit,
    quality_fact,
    quality_verdicts,
    scored,
    watched,
)
from mlops_assets.assets.release import page_of
from mlops_assets.domain.forecast import CircuitForecast, ForecastReport
from mlops_assets.domain.gates import Verdict
from mlops_assets.domain.identifiers import CircuitKey

GROUP = "serve"
OWNERS = ["team:operations"]
_UNCHANGED = "unchanged: same day, data, model and release"

DAILY_FORECAST = dg.AssetSpec(
    "daily_forecast",
    description="One batch over every live circuit: one read of the newest readings, one commit of "
    "the day's predictions. Each circuit's own result is on `predictions`.",
    group_name=GROUP,
    kinds={"deltalake", "polars"},
    owners=OWNERS,
    deps=[every("production_deployment"), every("readings")],
    partitions_def=days,
    skippable=True,
)
PREDICTIONS = dg.AssetSpec(
    "predictions",
    description="One circuit's newest forecast, as the daily batch issued it; materialized alone, "
    "it is forecast alone for the newest day.",
    group_name=GROUP,
    kinds={"deltalake"},
    owners=OWNERS,
    deps=[newest("daily_forecast")],
    partitions_def=circuits,
    skippable=True,
)
CHECKS = {
    "complete": "Is there a forecast for every hour of the horizon?",
    "fallback": "Did the signed model itself give the forecast?",
}
CHECK_SPECS = check_specs("predictions", CHECKS, circuits, warns=["fallback"])


def daily_fact(report: ForecastReport) -> Fact:
    """Tell one batch."""
    fallbacks = {
        str(key): f"{one.fallback}: {one.fallback_reason}"
        for key, one in report.circuits.items()
        if one.fallback != "none"
    }
    delta_version = max((one.delta_version for one in report.circuits.values()), default=-1)
    return Fact(
        asset="daily_forecast",
        partition=report.issued_for.isoformat(),
        version=f"{delta_version}:{len(report.circuits)}",
        metadata={
            "circuits": len(report.circuits),
            "rows": sum(one.rows for one in report.circuits.values()),
            "delta_version": delta_version,
            "fallback": fallbacks or None,
            "path": "lake/predictions",
        },
    )


def prediction_fact(forecast: CircuitForecast) -> Fact:
    """Tell one circuit's forecast of one day."""
    circuit, day = forecast.circuit, forecast.issued_for
    return Fact(
        asset="predictions",
        partition=str(circuit),
        version=f"{day.isoformat()}:{forecast.release}:{forecast.data_version}",
        metadata={
            "plant": circuit.plant_id,
            "issued_for": day,
            "forecast": picture(forecast.plot_svg),
            "rows": forecast.rows,
            "mean": forecast.mean,
            "minimum": forecast.minimum,
            "maximum": forecast.maximum,
            "model_version": forecast.model_version,
            "release": forecast.release,
            "delta_version": forecast.delta_version,
            "fallback": forecast.fallback,
            "fallback_reason": forecast.fallback_reason or None,
            "hindcast": forecast.hindcast,
            "proof": f"mlops trace {circuit} --date {day}",
            **page_of(forecast.release),
            "path": f"workspaces/prod/predictions/{circuit}/{day}.parquet",
        },
        # The newest day partition is tomorrow's, which nothing can follow yet.
        follows=("daily_forecast",),
    )


def prediction_verdicts(forecast: CircuitForecast) -> tuple[Verdict, ...]:
    """Answer both checks of one circuit's forecast."""
    own = forecast.fallback == "none"
    reason = "the signed model" if own else f"{forecast.fallback}: {forecast.fallback_reason}"
    return (
        Verdict("complete", forecast.rows > 0, f"{forecast.rows} rows"),
        Verdict("fallback", own, reason, blocking=False),
    )


def forecast_day(
    context: dg.AssetExecutionContext, home: Home, day: date, keys: Sequence[CircuitKey] | None
) -> ForecastReport:
    """Run the batch for one day."""
    from mlops_assets.flows.forecast import predict

    platform = home.platform
    report = predict(
        platform.lake,
        platform.prod,
        platform.registry,
        day=day,
        circuits=keys,
        now=home.now(),
        data_now=home.data_now(),
        ledger=platform.ledger,
        progress=RunProgress(context, home.progress),
    )
    home.answers["daily_forecast"] = report
    for plant, reason in report.unreadable.items():
        context.log.error("plant %s: %s", plant, reason)
    return report


def _status(forecast: CircuitForecast) -> str:
    return _UNCHANGED if forecast.kept else ""


@dg.multi_asset(
    specs=[DAILY_FORECAST],
    name="daily_forecast",
    partitions_def=days,
    can_subset=True,
    config_schema=SELECTION,
)
def daily_forecast(
    context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]
) -> Iterator[dg.MaterializeResult]:
    """Forecast one day for every live circuit, and tell each circuit's forecast and quality.

    Checks of circuits are logged where they fail, or passed again: a fleet's daily green says
    nothing that the metadata does not.
    """
    keys = keys_of(named(context)) or None
    writer = EventWriter(context)
    with home.explained():
        day = date.fromisoformat(context.partition_key)
        report = forecast_day(context, home, day, keys)
        if not report.circuits and not report.failed:
            raise dg.Failure("nothing is live: promote a release to production first")
        if keys is None:
            writer.materialized(daily_fact(report))
        _tell_predictions(context, writer, report)
        _tell_quality(context, home, writer, keys, report)
    writer.refuse({"predictions": report.failed})
    yield from ()


def _tell_predictions(
    context: dg.AssetExecutionContext, writer: EventWriter, report: ForecastReport
) -> None:
    """Log what was forecast where it is the newest: a late run for an older day is not."""
    told = stored_versions(context.instance, "predictions")
    day = report.issued_for.isoformat()
    by_key = {str(key): forecast for key, forecast in report.circuits.items()}
    for fact in at_most_a_plant(map(prediction_fact, report.circuits.values())):
        own = by_key.get(str(fact.partition))
        same = report.rows == 0 if own is None else own.kept
        if told.get(str(fact.partition), "")[: len(day)] <= day:
            writer.materialized(fact, status=_UNCHANGED if same else "")
    for key, forecast in report.circuits.items():
        newest = max(told.get(name, "") for name in (str(key), key.plant_id))
        if newest[: len(day)] <= day:
            writer.changed("predictions", key, prediction_verdicts(forecast))


def _tell_quality(
    context: dg.AssetExecutionContext,
    home: Home,
    writer: EventWriter,
    keys: Sequence[CircuitKey] | None,
    forecast: ForecastReport,
) -> None:
    """Score what the batch follows on, log the circuits whose figures moved, and tell a monitor."""
    told = stored_versions(context.instance, "forecast_quality")
    up_to, reports = scored(home, keys)
    found = incidents_by_circuit(home, reports)
    facts = [quality_fact(report, up_to, found) for report in reports.values()]
    news = [fact for fact in facts if told.get(str(fact.partition)) != fact.version]
    for fact in at_most_a_plant(news):
        if told.get(str(fact.partition)) != fact.version:
            writer.materialized(fact)
    moved = {fact.partition for fact in news}
    for key, report in reports.items():
        if str(key) in moved:
            writer.changed("forecast_quality", key, quality_verdicts(report, found))
    watched(context, home, up_to, reports, forecast)


@dg.multi_asset(
    specs=[PREDICTIONS],
    check_specs=CHECK_SPECS,
    name="predictions",
    partitions_def=circuits,
    backfill_policy=dg.BackfillPolicy.single_run(),
    can_subset=True,
    config_schema=SELECTION,
)
def predictions(
    context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]
) -> Iterator[dg.MaterializeResult]:
    """Forecast the newest day for the chosen circuits alone."""
    keys = chosen(context)
    writer = EventWriter(context)
    with home.explained():
        report = forecast_day(context, home, home.data_now().date(), keys)
        for forecast in report.circuits.values():
            writer.materialized(
                prediction_fact(forecast), prediction_verdicts(forecast), status=_status(forecast)
            )
    writer.refuse({"predictions": report.failed})
    yield from ()
