"""The control plane as a process: the SDK's own HTTPS, and identities as a machine has them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from azure.ai.ml import command
from azure.ai.ml.entities import Environment

from mlops_assets.adapters.azure.client import Clients, explained
from mlops_assets.adapters.azure.identity import credential
from mlops_assets.adapters.azure.monitor import azure_monitor
from mlops_assets.adapters.azure.pull_request import AzurePullRequests
from mlops_assets.domain.errors import EngineError, RefusedError
from mlops_assets.domain.monitor import Gauge
from mlops_assets.settings.azure import DevOps, Monitor
from mlops_assets_tests.control_plane.process import served
from mlops_assets_tests.control_plane.test_jobs import ended
from mlops_assets_tests.fakes.monitor import a_day

pytestmark = pytest.mark.azure

ASKS_WHO_IT_IS = """
from azure.identity import DefaultAzureCredential
print(len(DefaultAzureCredential().get_token("https://management.azure.com/.default").token) > 99)
"""


@pytest.fixture(scope="module")
def plane(tmp_path_factory, azurite):
    account = azurite.account()
    folder = tmp_path_factory.mktemp("plane")
    backend = account.backend(
        monitor=Monitor(rule="dcr-1"),
        devops=DevOps(organization="northwind", project="forecasts", repository="config"),
    )
    with served(backend, folder, account.environ) as server:
        yield server


@pytest.fixture
def clients(plane, monkeypatch):
    """Clients of one role."""
    for name, value in plane.environment().items():
        monkeypatch.setenv(name, value)
    return lambda role: Clients(plane.backend, credential(plane.backend, role), None, 0.02)


def test_a_job_runs_under_the_identity_of_its_cluster(plane, clients):
    dev = clients("dev").workspace("dev")
    dev.environments.create_or_update(Environment(name="env", version="1.0.0", image="image:1"))
    words = f"{sys.executable} -c '{ASKS_WHO_IT_IS}'"
    dev.jobs.create_or_update(
        command(name="who", command=words, environment="azureml:env:1.0.0", compute="train-cluster")
    )
    told = ended(dev, "who").status, [job["log"] for job in plane.jobs()]
    assert told == ("Completed", ["True\n"])


def test_each_role_is_known_by_its_managed_identity(plane, clients):
    environment = Environment(name="roles", version="1.0.0", image="image:1")
    clients("dev").workspace("dev").environments.create_or_update(environment)
    no = pytest.raises(RefusedError, match=r"environments/versions/write' over scope 'prod'")
    with no, explained("registering"):
        clients("prod").workspace("prod").environments.create_or_update(environment)


def test_what_was_ordered_to_fail_fails_and_is_tried_again(plane, clients):
    plane.order("fail", method="GET", path="/computes/")
    plane.order("lose_answer", method="GET", path="/computes/")
    found = clients("test").workspace("test").compute.get("test-cluster")
    assert found.max_instances == 2
    told = [call["status"] for call in plane.calls() if "/computes/" in call["url"]]
    assert told == [503, -1, 200]


def test_rows_and_gauges_reach_the_monitor_that_the_settings_name(plane, clients):
    prod = clients("prod").credential
    monitor = azure_monitor(plane.backend.monitor, prod, plane.environment())
    monitor.rows([a_day()])
    monitor.gauges([Gauge(name="mlops.wape", value=0.25, circuit=a_day().circuit)])
    took = plane.monitored()
    assert [(row["Plant"], row["Circuit"]) for row in took["rows"]] == [("P1", "C1")]
    assert [point["value"] for point in took["points"]] == [0.25]


def test_pull_requests_are_asked_for_under_the_identity_that_trains(plane, clients):
    pulls = AzurePullRequests(plane.backend.devops, clients("dev").credential)
    assert pulls.that_made(["a" * 40], "refs/heads/main") == {}
    with pytest.raises(EngineError):
        AzurePullRequests(plane.backend.devops, clients("prod").credential).that_made(
            ["a" * 40], "refs/heads/main"
        )


def test_it_ends_with_who_started_it(azurite, tmp_path):
    with served(azurite.account().backend(), tmp_path) as server:
        pid = server.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_wrong_folder_is_told_by_its_log(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "mlops_assets_tests.control_plane.server", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert "settings.json" in ran.stderr
