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
from mlops_assets.assets.quality import incidents_by_circuit, quality_fact, quality_verdicts, scored
from mlops_assets.domain.forecast import CircuitForecast, ForecastReport
from mlops_assets.domain.gates import Verdict
from mlops_assets.domain.identifiers import CircuitKey

GROUP = "serve"
OWNERS = ["team:operations"]

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
        progress=RunProgress(context, home.progress),
    )
    home.answers["daily_forecast"] = report
    for plant, reason in report.unreadable.items():
        context.log.error("plant %s: %s", plant, reason)
    return report


def _status(forecast: CircuitForecast) -> str:
    return "unchanged: same day, data, model and release" if forecast.kept else ""


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
        told = stored_versions(context.instance, "predictions")
        for forecast in report.circuits.values():
            # A late run for an older day is not the newest forecast.
            if told.get(str(forecast.circuit), "")[:10] <= day.isoformat():
                writer.materialized(prediction_fact(forecast), status=_status(forecast))
                writer.changed("predictions", forecast.circuit, prediction_verdicts(forecast))
        _tell_quality(context, home, writer, keys)
    writer.refuse({"predictions": report.failed})
    yield from ()


def _tell_quality(
    context: dg.AssetExecutionContext,
    home: Home,
    writer: EventWriter,
    keys: Sequence[CircuitKey] | None,
) -> None:
    """Score what the batch follows on, and log the circuits whose figures moved."""
    told = stored_versions(context.instance, "forecast_quality")
    up_to, reports = scored(home, keys)
    found = incidents_by_circuit(home, reports)
    for report in reports.values():
        fact = quality_fact(report, up_to, found)
        if told.get(str(report.circuit)) != fact.version:
            writer.materialized(fact)
            writer.changed("forecast_quality", report.circuit, quality_verdicts(report, found))


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
