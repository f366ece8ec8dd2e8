"""Rows and gauges reach Azure Monitor through its own SDKs, and a monitor in trouble is named."""

from __future__ import annotations

import os
import threading

import pytest

from mlops_assets.adapters.azure.monitor import COLUMNS, azure_monitor, row_of
from mlops_assets.domain.errors import DataError, UsageError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.monitor import GAUGES, Gauge, row_id
from mlops_assets.settings.azure import AzureBackend, Monitor
from mlops_assets_tests.control_plane import ControlPlane, PlaneTransport, VirtualClock
from mlops_assets_tests.control_plane.monitor import MonitorService
from mlops_assets_tests.fakes.monitor import a_day

pytestmark = pytest.mark.azure

KEY = "22222222-2222-2222-2222-222222222222"
RULE = "dcr-0123456789abcdef0123456789abcdef"
CONNECTION = {
    "APPLICATIONINSIGHTS_CONNECTION_STRING": f"InstrumentationKey={KEY};"
    "IngestionEndpoint=https://westeurope-0.in.applicationinsights.azure.com/"
}
SETTINGS = Monitor(ingestion="https://mlops-abcd.westeurope-1.ingest.monitor.azure.com", rule=RULE)
BACKEND = AzureBackend(
    subscription="11111111-1111-1111-1111-111111111111",
    resource_group="rg-mlops",
    location="westeurope",
    storage_account="mlopslake",
    registry="mlops-registry",
    workspaces={"dev": "mlops-dev", "test": "mlops-test", "prod": "mlops-prod"},
)
C1 = CircuitKey("P1", "C1")


@pytest.fixture
def plane():
    plane = ControlPlane(BACKEND, clock=VirtualClock())
    yield plane
    plane.close()


@pytest.fixture
def service(plane):
    return MonitorService(plane, RULE, COLUMNS, KEY)


def connected(plane, *, role="prod", settings=SETTINGS, environ=CONNECTION):
    return azure_monitor(
        settings, plane.identities.credential(role), environ, transport=PlaneTransport(plane)
    )


def test_a_row_says_what_the_table_says_and_no_figure_is_no_number(plane, service):
    connected(plane).rows([a_day()])
    (row,) = service.rows
    assert row == {
        "TimeGenerated": "2024-06-20T00:00:00Z",
        "RowId": row_id(a_day()),
        "Plant": "P1",
        "Circuit": "C1",
        "IssuedFor": "2024-06-20T00:00:00Z",
        "ReleaseId": "r-0123456789ab",
        "ModelVersion": 3,
        "Fallback": "none",
        "Hindcast": False,
        "Points": 24,
        "Mae": 1.5,
        "Mase": None,
        "Wape": 0.125,
        "Bias": -0.5,
        "Coverage80": 0.75,
        "Coverage95": 1.0,
        "AbsoluteError": 36.0,
        "AbsoluteActual": 288.0,
    }


def test_every_column_of_the_table_is_filled_and_no_other():
    assert list(row_of(a_day())) == list(COLUMNS)


def test_every_call_is_one_that_azure_publishes(plane, service):
    monitor = connected(plane)
    monitor.rows([a_day()])
    monitor.gauges([Gauge(name="mlops.wape", value=0.1, circuit=C1)])
    calls = [(call.request.method, call.request.url.partition("?")) for call in plane.calls]
    stream = f"{SETTINGS.ingestion}/dataCollectionRules/{RULE}/streams/Custom-CircuitMetrics_CL"
    assert calls == [
        ("POST", (stream, "?", "api-version=2023-01-01")),
        ("POST", ("https://westeurope-0.in.applicationinsights.azure.com//v2.1/track", "", "")),
    ]


def test_rows_of_a_large_fleet_go_in_requests_that_the_service_takes(plane, service):
    days = [a_day(f"P{number // 20}/C{number % 20}") for number in range(2500)]
    connected(plane).rows(days)
    sent = [call for call in plane.calls if "/streams/" in call.request.path]
    assert len(sent) > 1
    assert len(service.newest()) == 2500


def test_each_gauge_arrives_once_with_plant_and_circuit_apart(plane, service):
    gauges = [Gauge(name=name, value=0.5, circuit=C1) for name in GAUGES]
    connected(plane).gauges([*gauges, Gauge(name="mlops.readings_age_hours", value=2.0)])
    assert sorted((each["name"], each.get("plant"), each.get("circuit"), each["value"])
                  for each in service.points if each.get("plant")) == sorted(
        (name, "P1", "C1", 0.5) for name in GAUGES
    )  # fmt: skip
    assert [each for each in service.points if "plant" not in each] == [
        {"name": "mlops.readings_age_hours", "value": 2.0}
    ]


def test_gauges_of_a_large_fleet_are_all_taken(plane, service):
    keys = [CircuitKey(f"P{number // 50:02}", f"C{number % 50:02}") for number in range(1100)]
    connected(plane).gauges([Gauge(name="mlops.wape", value=0.1, circuit=key) for key in keys])
    assert {(each["plant"], each["circuit"]) for each in service.points} == {
        (key.plant_id, key.circuit_id) for key in keys
    }
    assert len(service.points) == len(keys)


def test_throttling_and_server_errors_are_waited_out(plane, service):
    plane.faults.throttle("POST", "/streams/", seconds=7)
    plane.faults.fail("POST", "/v2.1/track", times=2)
    monitor = connected(plane)
    monitor.rows([a_day()])
    monitor.gauges([Gauge(name="mlops.wape", value=0.1, circuit=C1)])
    assert (len(service.rows), len(service.points)) == (1, 1)
    assert plane.clock.elapsed >= 7


def test_an_answer_that_was_lost_repeats_a_row_under_the_same_name(plane, service):
    plane.faults.fail_after("POST", "/streams/", status=503)
    connected(plane).rows([a_day()])
    assert [row["RowId"] for row in service.rows] == [row_id(a_day())] * 2
    assert len(service.newest()) == 1


@pytest.mark.parametrize(
    ("order", "says"),
    [
        (lambda faults: faults.fail("POST", "/streams/", times=9), "answers 503"),
        (lambda faults: faults.lose_request("POST", "/streams/", times=9), "cannot be reached"),
    ],
)
def test_a_monitor_that_is_down_is_one_line(plane, service, order, says):
    order(plane.faults)
    with pytest.raises(DataError, match=rf"^Logs Ingestion {says}.*sent again with the next ones$"):
        connected(plane).rows([a_day()])


def test_gauges_that_are_not_taken_are_said_so(plane, service):
    plane.faults.fail("POST", "/v2.1/track", times=9)
    with pytest.raises(DataError, match="Application Insights did not take the gauges"):
        connected(plane).gauges([Gauge(name="mlops.wape", value=0.1, circuit=C1)])


def test_an_identity_that_may_not_send_is_told_which_role_it_needs(plane, service):
    with pytest.raises(DataError, match="this identity may not send to the rule"):
        connected(plane, role="test").rows([a_day()])
    assert service.rows == []


def test_what_the_settings_lack_is_named(plane):
    for settings, name in ((Monitor(rule=RULE), "ingestion"), (Monitor(ingestion="x"), "rule")):
        with pytest.raises(UsageError, match=rf"monitor: {name} is missing"):
            connected(plane, settings=settings)
    with pytest.raises(DataError, match=r"\$APPLICATIONINSIGHTS_CONNECTION_STRING is not set"):
        connected(plane, environ={}).gauges([])
    broken = {"APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=no"}
    with pytest.raises(DataError, match="CONNECTION_STRING: Invalid instrumentation key"):
        connected(plane, environ=broken).gauges([])


def test_nothing_stays_behind_that_would_tell_anybody_how_the_sdk_is_used(
    plane, service, monkeypatch
):
    for name in list(os.environ):
        if name.startswith("APPLICATIONINSIGHTS_"):
            monkeypatch.delenv(name)
    before = set(threading.enumerate())
    connected(plane).gauges([Gauge(name="mlops.wape", value=0.1, circuit=C1)])
    assert set(threading.enumerate()) <= before
