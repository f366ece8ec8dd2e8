"""What every monitor must do, the fake and the real ones alike."""

from __future__ import annotations

import json
import re

import pytest

from mlops_assets.adapters.azure.monitor import COLUMNS, AzureSentRows, azure_monitor
from mlops_assets.adapters.local.monitor import LocalMonitor, LocalSentRows
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.monitor import Gauge, row_id
from mlops_assets.settings.azure import AzureBackend, Monitor
from mlops_assets_tests.control_plane import ControlPlane, PlaneTransport
from mlops_assets_tests.control_plane.monitor import MonitorService
from mlops_assets_tests.fakes.monitor import FakeMonitor, FakeSentRows, a_day

pytestmark = pytest.mark.azure

KEY = "22222222-2222-2222-2222-222222222222"
RULE = "dcr-0123456789abcdef0123456789abcdef"
BACKEND = AzureBackend(
    subscription="11111111-1111-1111-1111-111111111111",
    resource_group="rg-mlops",
    location="westeurope",
    storage_account="mlopslake",
    registry="mlops-registry",
    workspaces={"dev": "mlops-dev", "test": "mlops-test", "prod": "mlops-prod"},
)


class Watched:
    """A monitor, and what somebody sees who looks at what it took.

    ``rows`` are the ids that count, by circuit and day; ``gauges`` the figures by name and circuit.
    """

    def __init__(self, monitor, rows, gauges):
        self.monitor, self.rows, self.gauges = monitor, rows, gauges


def _fake(tmp_path):
    monitor = FakeMonitor()

    def rows():
        newest = {(str(day.circuit), str(day.issued_for)): day for day in monitor.taken.values()}
        return {key: row_id(day) for key, day in newest.items()}

    return Watched(
        monitor,
        rows,
        lambda: {(each.name, str(each.circuit or "")): each.value for each in monitor.seen},
    )


def _local(tmp_path):
    def rows():
        lines = [
            json.loads(line)
            for path in (tmp_path / "rows").glob("*.jsonl")
            for line in path.read_text().splitlines()
        ]
        return {(line["circuit"], line["issued_for"]): line["id"] for line in lines}

    def gauges():
        found = {}
        for line in (tmp_path / "metrics.prom").read_text().splitlines():
            if not line.startswith("#"):
                name, plant, circuit, value = re.fullmatch(
                    r'(\w+?)(?:\{plant="(\w+)",circuit="(\w+)"\})? (\S+)', line
                ).groups()
                key = f"{plant}/{circuit}" if plant else ""
                found[name.replace("mlops_", "mlops.", 1), key] = float(value)
        return found

    return Watched(LocalMonitor(tmp_path), rows, gauges)


def _azure(tmp_path):
    plane = ControlPlane(BACKEND)
    service = MonitorService(plane, RULE, COLUMNS, KEY)
    monitor = azure_monitor(
        Monitor(ingestion="https://mlops.westeurope-1.ingest.monitor.azure.com", rule=RULE),
        plane.identities.credential("prod"),
        {"APPLICATIONINSIGHTS_CONNECTION_STRING": f"InstrumentationKey={KEY}"},
        transport=PlaneTransport(plane),
    )

    def rows():
        return {(key, day[:10]): row["RowId"] for (key, day), row in service.newest().items()}

    def gauges():
        return {
            (each["name"], f"{each['plant']}/{each['circuit']}" if "plant" in each else ""): each[
                "value"
            ]
            for each in service.points
        }

    return Watched(monitor, rows, gauges)


@pytest.fixture(params=["fake", "local", "azure"])
def watched(request, tmp_path):
    return {"fake": _fake, "local": _local, "azure": _azure}[request.param](tmp_path)


@pytest.fixture(params=["fake", "local", "azure"])
def sent(request, tmp_path):
    match request.param:
        case "fake":
            return FakeSentRows()
        case "local":
            return LocalSentRows(tmp_path)
        case "azure":
            account = request.getfixturevalue("storage_account")
            return AzureSentRows(account.blobs("ledger", "monitoring"))


def test_rows_are_there_by_circuit_and_day(watched):
    one, two = a_day(), a_day("P2/C1", mae=9.0)
    watched.monitor.rows([one, two])
    assert watched.rows() == {
        ("P1/C1", "2024-06-20"): row_id(one),
        ("P2/C1", "2024-06-20"): row_id(two),
    }


def test_a_row_that_is_sent_twice_counts_once_and_the_newest_one_counts(watched):
    watched.monitor.rows([a_day(rows=12)])
    watched.monitor.rows([a_day(rows=12)])
    watched.monitor.rows([a_day(rows=24)])
    assert watched.rows() == {("P1/C1", "2024-06-20"): row_id(a_day(rows=24))}


def test_gauges_keep_plant_circuit_and_every_digit(watched):
    key = CircuitKey("P1", "C1")
    watched.monitor.gauges(
        [
            Gauge(name="mlops.wape", value=0.1 + 0.2, circuit=key),
            Gauge(name="mlops.degraded", value=1.0, circuit=key),
            Gauge(name="mlops.readings_age_hours", value=2.5),
        ]
    )
    assert watched.gauges() == {
        ("mlops.wape", "P1/C1"): 0.1 + 0.2,
        ("mlops.degraded", "P1/C1"): 1.0,
        ("mlops.readings_age_hours", ""): 2.5,
    }


def test_what_was_sent_is_read_again_and_replaced_as_a_whole(sent):
    assert sent.read() == {}
    with sent.lock():
        sent.write({"P1/C1:2024-06-20": "a", "P1/C2:2024-06-20": "b"})
    sent.write({"P1/C1:2024-06-21": "c"})
    assert sent.read() == {"P1/C1:2024-06-21": "c"}


@pytest.mark.parametrize("data", [b"{", b"[1]", b'{"a": 1}', b"\xff"])
def test_a_damaged_memory_of_what_was_sent_is_named(tmp_path, data):
    (tmp_path / "sent.json").write_bytes(data)
    with pytest.raises(DataError, match=r"sent\.json: is not what was written there; delete it"):
        LocalSentRows(tmp_path).read()
