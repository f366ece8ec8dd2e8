"""What the loopback only plays, asked of Azure itself; every trace of it is removed again.

Run it from a host that has the identities of the settings, as docs/azure.md says.
"""

from __future__ import annotations

import os

import pytest
from azure.ai.ml import command
from azure.ai.ml.entities import Data

from mlops_assets.adapters.azure.blobs import open_blobs
from mlops_assets.adapters.azure.client import Clients, explained
from mlops_assets.adapters.azure.delta import open_table
from mlops_assets.adapters.azure.examination import Examination
from mlops_assets.adapters.azure.identity import credential
from mlops_assets.adapters.azure.monitor import azure_monitor
from mlops_assets.adapters.azure.pull_request import AzurePullRequests
from mlops_assets.adapters.delta.quality import DeltaQualityTable
from mlops_assets.domain.errors import DataError, MlopsError, RefusedError, StaleError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.monitor import Gauge
from mlops_assets.domain.quality import days_of, quality_frame
from mlops_assets_tests.fakes.monitor import a_day

pytestmark = pytest.mark.azure


@pytest.fixture
def blobs(backend, name):
    made = open_blobs(backend, "dev", "dev", name, environ=os.environ)
    yield made
    for blob in list(made.list()):
        made.delete(blob.name)


def test_the_doctor_finds_nothing(backend):
    found = Examination(backend, os.environ).ask({"P001": 10})
    assert [f"{one.gate}: {one.reason}" for one in found if not one.passed] == []


def test_a_blob_is_made_once_replaced_by_its_etag_and_held_by_one(blobs):
    assert blobs.put_if_absent("once", b"1")
    assert not blobs.put_if_absent("once", b"2")
    _, etag = blobs.get_with_etag("once")
    blobs.replace("once", b"3", etag)
    with pytest.raises(StaleError):
        blobs.replace("once", b"4", etag)
    assert blobs.append("log", b"a\n", 0) == 1
    with pytest.raises(StaleError):
        blobs.append("log", b"b\n", 0)
    with blobs.lease("held"), pytest.raises(StaleError), blobs.lease("held", wait=False):
        pass


def test_a_head_of_the_ledger_cannot_be_removed(backend):
    anchors = open_blobs(backend, "release", "anchors", environ=os.environ)
    anchors.put_if_absent("live-probe", b"never removed")
    with pytest.raises(DataError):
        anchors.delete("live-probe")
    assert anchors.get("live-probe") == b"never removed"


def test_who_serves_can_write_no_readings(backend, name):
    lake = open_blobs(backend, "prod", "lake", name, environ=os.environ)
    with pytest.raises(DataError, match="this identity may not"):
        lake.put("readings", b"")


def test_a_table_takes_rows_twice_and_keeps_one(backend, name, blobs):
    table = DeltaQualityTable(
        open_table(backend, "dev", "dev", f"{name}/quality", environ=os.environ)
    )
    day = a_day(mase=1.0)
    assert table.replace(quality_frame([day])) == 1
    assert table.replace(quality_frame([day])) == 0
    assert days_of(table.read()) == (day,)


def test_a_version_of_training_data_is_registered_once_for_all(backend, name, blobs):
    dev = Clients(backend, credential(backend, "dev")).workspace("dev")

    def register(folder):
        path = f"azureml://datastores/dev/paths/{name}/{folder}/"
        asset = Data(name=name, version="2024-06-20", type="uri_folder", path=path)
        with explained(f"registering {name}"):
            return dev.data.create_or_update(asset)

    try:
        assert register("one").version == "2024-06-20"
        with pytest.raises(MlopsError):
            register("two")
        assert dev.data.get(name, version="2024-06-20").path.rstrip("/").endswith("/one")
    finally:
        dev.data.archive(name, version="2024-06-20")


def test_a_training_job_under_productions_identity_is_refused(backend, name):
    prod = Clients(backend, credential(backend, "prod")).workspace("prod")
    job = command(
        name=name,
        command="true",
        environment=f"azureml://registries/{backend.registry}/environments/none/versions/1",
        compute=backend.compute.prod,
    )
    with pytest.raises(RefusedError, match="this identity may not"), explained(f"job {name}"):
        prod.jobs.create_or_update(job)


def test_rows_and_gauges_are_taken(backend):
    monitor = azure_monitor(backend.monitor, credential(backend, "prod"), os.environ)
    monitor.rows([a_day("LIVE/PROBE")])
    key = CircuitKey("LIVE", "PROBE")
    monitor.gauges([Gauge(name="mlops.scored_days", value=0.0, circuit=key)])


def test_the_branch_makes_reviews_evidence(backend):
    pulls = AzurePullRequests(backend.devops, credential(backend, "release"))
    assert list(pulls.policy_problems("refs/heads/main")) == []
