"""Fits as command jobs, through the SDK to the control plane, which really runs them."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from datetime import date

import pytest
from azure.ai.ml.entities import Environment

from mlops_assets.adapters.azure.client import Clients
from mlops_assets.adapters.azure.code import ARCHIVE, SCORING_SCRIPT, CodeAsset, code_files
from mlops_assets.adapters.azure.exchange import BlobExchange
from mlops_assets.adapters.azure.jobs import AzureFits
from mlops_assets.domain.errors import EngineError, StaleError
from mlops_assets.domain.identifiers import DataVersion
from mlops_assets.engines.azureml.fitting import AzureFittingEngine
from mlops_assets.engines.azureml.ordered import Patience
from mlops_assets_tests.control_plane import ControlPlane, PlaneTransport
from mlops_assets_tests.control_plane.execution import Outcome
from mlops_assets_tests.control_plane.jobs import ENDED
from mlops_assets_tests.engines.test_processes import MOODY, job, named
from mlops_assets_tests.fakes.engine import FakeTrainingSlots, cheap_fit

pytestmark = pytest.mark.azure

IMAGE = "mcr.microsoft.com/azureml/minimal:1"


@pytest.fixture
def plane(storage_account):
    plane = ControlPlane(storage_account.backend(), node_environment=storage_account.environ)
    yield plane
    plane.close()


@pytest.fixture
def clients(plane):
    found = Clients(plane.backend, plane.identities.credential("dev"), PlaneTransport(plane), 0.01)
    found.workspace("dev").environments.create_or_update(
        Environment(name="forecasting", version="1.0.0", image=IMAGE)
    )
    return found


@pytest.fixture
def exchange(storage_account):
    return BlobExchange(storage_account.blobs("dev", "jobs"))


@pytest.fixture
def fits(clients, storage_account):
    return AzureFits(clients, CodeAsset(clients, "dev", storage_account.blobs("dev", "code")))


def engine(exchange, fits, **settings):
    usual = {"fit_function": MOODY, "patience": Patience(first=0.05, longest=0.2, queue=600)}
    return AzureFittingEngine(2, FakeTrainingSlots(), exchange, fits, **(usual | settings))


def test_a_fit_is_a_command_job_of_its_circuit_s_experiment(plane, exchange, fits):
    place = plane.assets.of(plane.backend.workspaces["dev"])
    place.put("data", "sensor_training_data_P001_A", "2024-06-02.r1", {"dataType": "mltable"})
    jobs = [replace(job("A"), data=DataVersion(date(2024, 6, 2), 1)), job("REFUSES")]
    found = named(engine(exchange, fits).fit(jobs))
    logs = [*found.values(), *(each.outcome for each in plane.jobs.jobs)]
    assert not isinstance(found["A"], str), logs
    assert dict(found["A"].files) == cheap_fit(jobs[0]).files
    assert found["REFUSES"] == "nothing but gaps"
    submitted = {each.name: each.properties for each in plane.jobs.jobs}
    assert {each["experimentName"] for each in submitted.values()} == {
        "plant_P001_circuit_A",
        "plant_P001_circuit_REFUSES",
    }
    (one,) = [each for name, each in submitted.items() if name.startswith("fit-p001-a-")]
    assert one["limits"]["timeout"] == "PT1H15M"
    assert one["resources"]["instanceCount"] == 1
    assert one["displayName"] == "A 2024-06-02"
    assert one["inputs"]["training_data"]["jobInputType"] == "mltable"
    assert one["inputs"]["training_data"]["mode"] == "Direct"
    assert one["inputs"]["training_data"]["uri"].endswith(
        "/data/sensor_training_data_P001_A/versions/2024-06-02.r1"
    )
    assert [each.status for each in plane.jobs.jobs] == ["Completed", "Completed"]


def test_a_run_that_was_killed_finds_its_job_and_orders_nothing_twice(plane, exchange, fits):
    results = engine(exchange, fits).fit([job("A")])
    key, first = next(results)
    # Killed here: nobody says that the outcome was handed on.
    again = named(engine(exchange, fits).fit([job("A")]))
    assert again[key.circuit_id].files == first.files
    assert len(plane.jobs.jobs) == 1
    list(results)
    assert named(engine(exchange, fits).fit([job("A")]))["A"].files == first.files
    assert len(plane.jobs.jobs) == 2


def test_a_job_that_nobody_waits_for_any_more_is_cancelled(plane, exchange, fits):
    results = engine(exchange, fits).fit([job("A", hours=72), job("HANGS")])
    next(results)
    end = time.monotonic() + 120
    while not any("hangs" in each.name for each in plane.jobs.jobs):
        assert time.monotonic() < end
        time.sleep(0.02)
    results.close()
    (hanging,) = [each for each in plane.jobs.jobs if "hangs" in each.name]
    while hanging.status != "Canceled":
        assert time.monotonic() < end, hanging.status
        time.sleep(0.02)


def test_a_cancel_that_takes_a_while_never_puts_one_job_too_many_on_the_cluster(
    plane, exchange, fits
):
    """Counted by the service, as its quota is: a job whose cancelling goes on is in flight."""
    plane.latency.cancel, most = 0.5, [0]

    def hang(_plane, each):
        each.stop.wait(60)
        return Outcome(1, "cancelled")

    def sleep(_seconds):
        open_now = [each for each in plane.jobs.jobs if each.status not in ENDED]
        most[0] = max(most[0], len(open_now))
        time.sleep(0.02)

    plane.jobs.execute = hang
    long = Patience(first=2000, longest=2000, queue=10**7, cancel=10**7)
    found = named(engine(exchange, fits, patience=long, sleep=sleep).fit([job("A"), job("B")]))
    assert all("ran for more than 4500 s and was cancelled" in why for why in found.values())
    assert [each.status for each in plane.jobs.jobs] == ["Canceled"] * 4
    assert most == [2]


def test_a_name_that_is_unknown_is_none_and_what_is_over_stays_as_it_is(plane, exchange, fits):
    assert fits.look("fit-never") is None
    list(engine(exchange, fits).fit([job("A")]))
    (one,) = plane.jobs.jobs
    fits.cancel(one.name)
    assert fits.look(one.name).status == "completed"
    assert fits.look(one.name).page.startswith(f"https://ml.azure.com/runs/{one.name}")
    with pytest.raises(EngineError, match="cancelling job fit-never in workspace dev: "):
        fits.cancel("fit-never")


def test_what_azure_refuses_is_one_line_about_one_circuit(plane, exchange, fits):
    odd = job("A")
    odd = replace(odd, spec=replace(odd.spec, environment="forecasting:9.9.9"))
    found = named(engine(exchange, fits).fit([odd, job("B")]))
    assert found["B"].circuit.circuit_id == "B"
    assert found["A"].startswith("submitting job fit-p001-a-")
    assert "\n" not in found["A"]


def test_an_order_lies_once_and_other_bytes_are_refused(exchange):
    for _ in range(2):
        exchange.put("a/order", b"1")
    with pytest.raises(StaleError, match=r"dev/jobs/a/order: holds other bytes"):
        exchange.put("a/order", b"2")
    assert exchange.get("a/order") == b"1"
    assert exchange.get("a/other") is None
    exchange.put("a/1/spent", b"")
    assert exchange.names("a") == ["a/1/spent", "a/order"]
    assert exchange.uri("a/order") == "azureml://datastores/dev/paths/jobs/a/order"


def test_the_code_asset_is_the_same_for_the_same_sources(plane, clients, storage_account):
    blobs = storage_account.blobs("dev", "code")
    first, again = (CodeAsset(clients, "dev", blobs).id() for _ in range(2))
    assert first == again
    name = first.split("/")[-3]
    made = plane.assets.of("mlops-dev").find("codes", name, "1")
    digest = name.removeprefix("mlops-assets-")
    assert made["properties"]["codeUri"] == f"{storage_account.url}/dev/code/{digest}"
    files = [each.name for each in blobs.list()]
    assert files == [f"{digest}/{ARCHIVE}", f"{digest}/{SCORING_SCRIPT}"]


def test_jobs_run_the_archive_and_not_what_else_is_installed(tmp_path):
    for name, data in code_files().items():
        (tmp_path / name).write_bytes(data)
    said = "import mlops_assets.engines.worker as found; print(found.__file__)"
    for words, environ in (
        (["-c", said], {"PYTHONPATH": ARCHIVE}),
        (["-c", f"import score; {said}; print(score.run.__module__)"], {}),
    ):
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environ, capture_output=True, check=True
        )
        first, *rest = done.stdout.decode().split()
        assert first == str(tmp_path / ARCHIVE / "mlops_assets/engines/worker.py")
        assert rest in ([], ["mlops_assets.score_job"])
