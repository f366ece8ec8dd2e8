"""Jobs of the control plane: really run, on as many nodes as there are, and never twice."""

from __future__ import annotations

import time

import pytest
from azure.ai.ml import Input, Output, command
from azure.ai.ml.entities import (
    BatchEndpoint,
    CodeConfiguration,
    Environment,
    ManagedIdentityConfiguration,
    Model,
)
from azure.ai.ml.entities import ModelBatchDeployment as Deployment
from azure.ai.ml.entities import ModelBatchDeploymentSettings as Settings
from azure.core.exceptions import HttpResponseError, ResourceExistsError

from mlops_assets.adapters.azure.client import Clients
from mlops_assets_tests.control_plane import ControlPlane, PlaneTransport
from mlops_assets_tests.control_plane.execution import seconds_of

pytestmark = pytest.mark.azure

IMAGE = "mcr.microsoft.com/azureml/minimal:1"
SCORE = """
import os
from pathlib import Path

def init():
    global factor
    (found,) = Path(os.environ["AZUREML_MODEL_DIR"]).rglob("factor.txt")
    factor = int(found.read_text())

def run(mini_batch):
    return [f"{Path(each).name} {factor * int(Path(each).read_text())}" for each in mini_batch]
"""


@pytest.fixture
def plane(storage_account):
    plane = ControlPlane(storage_account.backend(), node_environment=storage_account.environ)
    yield plane
    plane.close()


@pytest.fixture
def clients(plane):
    return Clients(plane.backend, plane.identities.credential(), PlaneTransport(plane), 0.01)


def uri(container, path):
    return f"azureml://datastores/{container}/paths/{path}"


def ended(client, name):
    """The job once it has ended."""
    end = time.monotonic() + 120
    while (job := client.jobs.get(name)).status not in {"Completed", "Failed", "Canceled"}:
        assert time.monotonic() < end, job.status
        time.sleep(0.02)
    return job


def a_job(client, name, words, **changes):
    client.environments.create_or_update(Environment(name="env", version="1.0.0", image=IMAGE))
    return command(
        **{
            "name": name,
            "command": words,
            "environment": "azureml:env:1.0.0",
            "compute": "train-cluster",
            "experiment_name": "plant_P001_circuit_C001",
            **changes,
        }
    )


def test_a_command_is_run_with_its_inputs_and_leaves_its_outputs(plane, clients, storage_account):
    dev, blobs = clients.workspace("dev"), storage_account.blobs("dev")
    blobs.put_if_absent("orders/1/order", b"21")
    job = a_job(
        dev,
        "fit-1",
        "python -c 'import sys; print(int(open(sys.argv[1]).read()) * int(sys.argv[3]),"
        ' file=open(sys.argv[2] + "/result", "w"))\''
        " ${{inputs.order}} ${{outputs.result}} ${{inputs.times}}",
        inputs={
            "order": Input(type="uri_file", path=uri("dev", "orders/1/order")),
            "times": 2,
        },
        outputs={"result": Output(type="uri_folder", path=uri("dev", "results/1"))},
    )
    dev.jobs.create_or_update(job)
    assert ended(dev, "fit-1").status == "Completed", plane.jobs.jobs[0].outcome
    assert blobs.get("results/1/result") == b"42\n"


def test_a_name_is_one_job_for_ever(plane, clients):
    dev = clients.workspace("dev")
    for _ in range(2):
        dev.jobs.create_or_update(a_job(dev, "fit-1", "exit 3"))
    assert ended(dev, "fit-1").status == "Failed"
    assert len(plane.jobs.jobs) == 1
    with pytest.raises(HttpResponseError, match="the existing job's command cannot be changed"):
        dev.jobs.create_or_update(a_job(dev, "fit-1", "exit 4"))


def test_a_job_runs_as_the_identity_of_its_cluster_or_not_at_all(plane, clients):
    dev = clients.workspace("dev")
    other = ManagedIdentityConfiguration(client_id=plane.identities.client_id("prod"))
    with pytest.raises(HttpResponseError, match="is not assigned to compute 'train-cluster'"):
        dev.jobs.create_or_update(a_job(dev, "fit-1", "true", identity=other))
    own = ManagedIdentityConfiguration(client_id=plane.identities.client_id("dev"))
    dev.jobs.create_or_update(a_job(dev, "fit-2", "true", identity=own))
    assert ended(dev, "fit-2").status == "Completed"


def test_a_job_that_is_canceled_or_reaches_its_limit_is_ended(plane, clients):
    dev = clients.workspace("dev")
    long = a_job(dev, "long", "sleep 600")
    late = a_job(dev, "late", "sleep 600")
    late.set_limits(timeout=1)
    for job in (long, late):
        dev.jobs.create_or_update(job)
    dev.jobs.begin_cancel("long").result()
    assert ended(dev, "long").status == "Canceled"
    assert ended(dev, "late").status == "Canceled"
    assert "limit of 1 s" in plane.jobs.find("mlops-dev", "late").outcome.log
    with pytest.raises(HttpResponseError, match="has ended as Canceled"):
        dev.jobs.begin_cancel("long").result()


def test_a_cluster_runs_as_many_jobs_at_once_as_it_has_nodes(plane, clients):
    dev = clients.workspace("dev")
    for number in range(6):
        dev.jobs.create_or_update(a_job(dev, f"fit-{number}", "sleep 600"))
    end = time.monotonic() + 120
    states = []
    while states.count("Running") < 4:
        assert time.monotonic() < end, states
        states = sorted(job.status for job in dev.jobs.list())
    assert states == ["Queued"] * 2 + ["Running"] * 4


def deployed(plane, clients, storage_account, script=SCORE, **settings):
    """One endpoint with one deployment of a model from the registry."""
    dev, prod = clients.workspace("dev"), clients.workspace("prod")
    storage_account.blobs("dev").put_if_absent("models/doubling/factor.txt", b"2")
    storage_account.blobs("prod").put_if_absent("code/1/score.py", script.encode())
    dev.models.create_or_update(
        Model(name="m", version="1", type="custom_model", path=uri("dev", "models/doubling"))
    )
    dev.environments.create_or_update(Environment(name="env", version="1.0.0", image=IMAGE))
    model = clients.share_model("m", "1").id
    environment = clients.share_environment("env", "1.0.0").id
    plane.assets.of("mlops-prod").put("codes", "score", "1", {"codeUri": uri("prod", "code/1")})
    prod.batch_endpoints.begin_create_or_update(BatchEndpoint(name="plant-1")).result()
    prod.batch_deployments.begin_create_or_update(
        Deployment(
            name="circuit-1-a",
            endpoint_name="plant-1",
            model=model,
            environment=environment,
            compute="score-cluster",
            code_configuration=CodeConfiguration(
                code=plane.arm_id("mlops-prod", "/codes/score/versions/1"),
                scoring_script="score.py",
            ),
            settings=Settings(mini_batch_size=2, instance_count=1, **settings),
        )
    ).result()
    return prod


def invoked(prod, name, folder):
    return prod.batch_endpoints.invoke(
        "plant-1",
        deployment_name="circuit-1-a",
        inputs={"request": Input(type="uri_folder", path=uri("prod", folder))},
        job_name=name,
    )


def test_a_scoring_script_is_run_with_the_registry_s_own_copy_of_the_model(
    plane, clients, storage_account
):
    prod = deployed(plane, clients, storage_account, error_threshold=0)
    storage_account.blobs("dev").delete("models/doubling/factor.txt")
    for name, value in (("a", b"1"), ("b", b"2"), ("c", b"3")):
        storage_account.blobs("prod").put_if_absent(f"asked/{name}", value)
    assert invoked(prod, "day-1", "asked/").name == "day-1"
    job = ended(prod, "day-1")
    assert job.status == "Completed", plane.jobs.jobs[0].outcome
    assert plane.storage.read(uri("workspaceblobstore", "azureml/day-1/score/")) == {
        "predictions.csv": b"a 2\nb 4\nc 6\n"
    }
    with pytest.raises(ResourceExistsError):
        invoked(prod, "day-1", "asked/")


def test_only_the_error_threshold_says_whether_a_script_that_raises_fails_its_job(
    plane, clients, storage_account
):
    broken = "def run(mini_batch):\n    raise ValueError('no such table')\n"
    prod = deployed(plane, clients, storage_account, broken, error_threshold=0)
    storage_account.blobs("prod").put_if_absent("asked/a", b"1")
    invoked(prod, "strict", "asked/")
    assert ended(prod, "strict").status == "Failed"
    assert "no such table" in plane.jobs.jobs[-1].outcome.log
    deployment = prod.batch_deployments.get("circuit-1-a", "plant-1")
    deployment.error_threshold = -1
    prod.batch_deployments.begin_create_or_update(deployment).result()
    invoked(prod, "lax", "asked/")
    assert ended(prod, "lax").status == "Completed"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("PT1H", 3600), ("PT30S", 30), ("P1DT2M", 86520), ("PT0.5S", 0.5), (None, None), ("P", None)],
)
def test_a_duration_is_read_as_iso_8601(text, seconds):
    assert seconds_of(text) == seconds
