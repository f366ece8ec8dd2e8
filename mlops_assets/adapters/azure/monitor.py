"""Monitor on Azure: rows through the Logs Ingestion API, gauges through Application Insights.

Rows carry the day that they are about as ``IssuedFor``: the service replaces a ``TimeGenerated``
that is older than two days by the time of arrival. Delivery may repeat a row, which ``RowId``
shows; of one plant, circuit and day, the row that arrived last counts. Gauges are collected and
handed to the exporter once, because its own reader sends the same points again when it stops.
"""

from __future__ import annotations

import math
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.monitor.ingestion import LogsIngestionClient
from azure.monitor.opentelemetry.exporter import AzureMonitorMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult
from opentelemetry.sdk.resources import Resource

from mlops_assets.adapters.azure.blobs import said
from mlops_assets.adapters.local.monitor import read_sent, sent_bytes
from mlops_assets.domain.errors import DataError, UsageError
from mlops_assets.domain.monitor import GAUGES, row_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from azure.core.credentials import TokenCredential
    from azure.core.pipeline.transport import HttpTransport
    from opentelemetry.sdk.metrics.export import MetricExporter

    from mlops_assets.adapters.azure.blobs import Blobs
    from mlops_assets.domain.monitor import Gauge
    from mlops_assets.domain.quality import DayQuality
    from mlops_assets.settings.azure import Monitor

# The table's columns and their types, as `infra/monitor.json` declares them.
COLUMNS: Mapping[str, str] = {
    "TimeGenerated": "datetime",
    "RowId": "string",
    "Plant": "string",
    "Circuit": "string",
    "IssuedFor": "datetime",
    "ReleaseId": "string",
    "ModelVersion": "long",
    "Fallback": "string",
    "Hindcast": "boolean",
    "Points": "long",
    "Mae": "real",
    "Mase": "real",
    "Wape": "real",
    "Bias": "real",
    "Coverage80": "real",
    "Coverage95": "real",
    "AbsoluteError": "real",
    "AbsoluteActual": "real",
}
# The exporter would tell Microsoft how it is used, and ask it for settings.
_PRIVATE = {
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED": "true",
}
# Gauges of one request: well below what the service and the SDK's own cardinality limit take.
_AT_ONCE = 1000
_SENT = "sent.json"
# A monitor that is down holds up the flow for seconds, not for the SDK's ten minutes.
_RETRIES = {"retry_total": 3, "retry_backoff_factor": 0.4}


class AzureMonitor:
    """One data collection rule and one Application Insights resource."""

    def __init__(
        self,
        logs: LogsIngestionClient,
        rule: str,
        stream: str,
        exporter: Callable[[], MetricExporter],
    ) -> None:
        self._logs = logs
        self._rule = rule
        self._stream = stream
        self._exporter = exporter

    def rows(self, days: Sequence[DayQuality]) -> None:
        """Upload rows, in requests of at most 1 MB."""
        with _explained("Logs Ingestion"):
            self._logs.upload(self._rule, self._stream, [row_of(day) for day in days])

    def gauges(self, gauges: Sequence[Gauge]) -> None:
        """Export gauges, each point once."""
        exporter = self._exporter()
        try:
            for start in range(0, len(gauges), _AT_ONCE):
                _export(exporter, gauges[start : start + _AT_ONCE])
        finally:
            exporter.shutdown()


class AzureSentRows:
    """`sent.json` of a folder of blobs: the id of each row that was taken, by its key."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def read(self) -> Mapping[str, str]:
        """The ids by key; none before the first sending."""
        return read_sent(self._blobs.get(_SENT), self._blobs.where(_SENT))

    def write(self, sent: Mapping[str, str]) -> None:
        """Replace all of them in one step."""
        self._blobs.put(_SENT, sent_bytes(sent))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the sending against other senders of this home."""
        with self._blobs.lease(".lock"):
            yield


def azure_monitor(
    settings: Monitor,
    credential: TokenCredential,
    environ: Mapping[str, str],
    *,
    transport: HttpTransport[Any, Any] | None = None,
) -> AzureMonitor:
    """Return the monitor that the settings name; the connection string comes from ``environ``.

    Raises:
        UsageError: the settings do not say where rows go.
    """
    for name, value in (("ingestion", settings.ingestion), ("rule", settings.rule)):
        if not value:
            raise UsageError(f"settings: monitor: {name} is missing; infra/monitor.json prints it")
    more: dict[str, Any] = _RETRIES | ({"transport": transport} if transport else {})
    logs = LogsIngestionClient(settings.ingestion, credential, **more)

    def exporter() -> MetricExporter:
        connection = environ.get(settings.connection)
        if not connection:
            raise DataError(
                f"${settings.connection} is not set: no gauges are sent; it is the connection "
                "string of Application Insights, which infra/monitor.json prints"
            )
        for name, value in _PRIVATE.items():
            os.environ.setdefault(name, value)
        try:
            made: MetricExporter = AzureMonitorMetricExporter(
                connection_string=connection,
                credential=credential,
                disable_offline_storage=True,
                max_envelopes_per_second=0,
                **more,
            )
        except ValueError as error:
            raise DataError(f"${settings.connection}: {error}") from error
        return made

    return AzureMonitor(logs, settings.rule, settings.stream, exporter)


def row_of(day: DayQuality) -> dict[str, Any]:
    """Return a row as its columns; a figure that has no meaning for the day is null."""
    midnight = f"{day.issued_for.isoformat()}T00:00:00Z"
    figures = {
        "Mae": day.mae,
        "Mase": day.mase,
        "Wape": day.wape,
        "Bias": day.bias,
        "Coverage80": day.coverage_80,
        "Coverage95": day.coverage_95,
        "AbsoluteError": day.absolute_error,
        "AbsoluteActual": day.absolute_actual,
    }
    return {
        "TimeGenerated": midnight,
        "RowId": row_id(day),
        "Plant": day.circuit.plant_id,
        "Circuit": day.circuit.circuit_id,
        "IssuedFor": midnight,
        "ReleaseId": day.release,
        "ModelVersion": day.model_version,
        "Fallback": day.fallback,
        "Hindcast": day.hindcast,
        "Points": day.rows,
        **{name: value if math.isfinite(value) else None for name, value in figures.items()},
    }


def _export(exporter: MetricExporter, gauges: Sequence[Gauge]) -> None:
    reader = InMemoryMetricReader()
    resource = Resource({"service.name": "mlops-assets"})
    provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    meter = provider.get_meter("mlops_assets")
    instruments = {
        name: meter.create_gauge(name, unit=GAUGES[name]) for name in {each.name for each in gauges}
    }
    for gauge in gauges:
        key = gauge.circuit
        about = {"plant": key.plant_id, "circuit": key.circuit_id} if key else {}
        instruments[gauge.name].set(gauge.value, about)
    points = reader.get_metrics_data()
    provider.shutdown()
    if points is None:
        raise DataError("no gauges are sent: $OTEL_SDK_DISABLED is set; unset it")
    if exporter.export(points) is not MetricExportResult.SUCCESS:
        raise DataError(
            "Application Insights did not take the gauges: the log of azure.monitor says why; "
            "it needs the role Monitoring Metrics Publisher, and they are not sent late"
        )


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turn what the SDK raises into one line."""
    later = "the rows are sent again with the next ones"
    try:
        yield
    except ClientAuthenticationError as error:
        raise DataError(f"{what}: no identity is accepted ({said(error)}); {later}") from error
    except HttpResponseError as error:
        if error.status_code == 403:  # noqa: PLR2004 HTTP's own
            raise DataError(
                f"{what}: this identity may not send to the rule ({said(error)}); give it the role "
                f"that infra/ gives it; {later}"
            ) from error
        raise DataError(f"{what} answers {error.status_code} {error.reason}; {later}") from error
    except AzureError as error:
        raise DataError(f"{what} cannot be reached: {said(error)}; {later}") from error
