"""Failure on demand, as the SDK meets it: waited out, named, and never done twice."""

from __future__ import annotations

import pytest
from azure.ai.ml import Input
from azure.ai.ml.entities import Environment
from azure.core.exceptions import HttpResponseError, ServiceRequestError

from mlops_assets.adapters.azure.client import explained
from mlops_assets.domain.errors import EngineError
from mlops_assets_tests.control_plane import ControlPlane, VirtualClock
from mlops_assets_tests.control_plane.caller import Caller
from mlops_assets_tests.control_plane.execution import Outcome
from mlops_assets_tests.control_plane.test_endpoints import put_deployment, put_endpoint
from mlops_assets_tests.fakes.azure_ml import a_backend, clients_of

pytestmark = pytest.mark.azure

ENVIRONMENT = Environment(name="e", version="1.0.0", image="image:1")
PATH = "/environments/e/"


@pytest.fixture
def plane():
    plane = ControlPlane(a_backend(), clock=VirtualClock(quiet=0.0))
    yield plane
    plane.close()


@pytest.fixture
def environments(plane):
    return clients_of(plane, "dev").workspace("dev").environments


def statuses(plane, path=PATH):
    return [call.status for call in plane.calls if path in call.request.path]


def test_throttling_is_waited_out_for_as_long_as_the_service_says(plane, environments):
    plane.faults.throttle("PUT", PATH, times=3, seconds=17)
    environments.create_or_update(ENVIRONMENT)
    assert statuses(plane) == [429, 429, 429, 201]
    assert plane.clock.elapsed >= 3 * 17


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_broken_service_is_asked_again_ever_later(plane, environments, status):
    plane.faults.fail("PUT", PATH, status=status, times=4)
    environments.create_or_update(ENVIRONMENT)
    assert statuses(plane) == [status] * 4 + [201]
    assert plane.clock.elapsed == pytest.approx(0 + 1.6 + 3.2 + 6.4)


def test_a_service_that_stays_broken_is_one_line_after_minutes_and_not_hours(plane, environments):
    plane.faults.fail("PUT", PATH, times=99)
    with (
        pytest.raises(EngineError, match=r"^registering e: Azure is too busy or broken: .*later$"),
        explained("registering e"),
    ):
        environments.create_or_update(ENVIRONMENT)
    assert 60 < plane.clock.elapsed < 300


def test_a_broken_connection_is_opened_again(plane, environments):
    plane.faults.lose_request("PUT", PATH)
    plane.faults.lose_answer("PUT", PATH)
    environments.create_or_update(ENVIRONMENT)
    assert statuses(plane) == [-1, -1, 200]
    plane.faults.lose_request("GET", PATH, times=99)
    with pytest.raises(ServiceRequestError):
        environments.get("e", "1.0.0")
    plane.faults.clear()
    assert environments.get("e", "1.0.0").version == "1.0.0"


@pytest.mark.parametrize("lost", ["lose_answer", "fail_after"])
def test_an_invocation_whose_answer_is_lost_is_one_job_where_it_has_a_name(plane, lost):
    plane.jobs.execute = lambda plane, job: Outcome(0, "")
    plane.registry.assets.put("models", "m", "1", {"modelUri": "x", "modelType": "custom_model"})
    plane.registry.assets.put("environments", "e", "1.0.0", {"image": "image:1"})
    plane.assets.of("mlops-prod").put("codes", "score", "1", {"codeUri": "x"})
    ask = Caller(plane)
    ask.until_done(put_endpoint(plane, ask))
    ask.until_done(put_deployment(plane, ask))
    getattr(plane.faults, lost)("POST", "/jobs")
    prod = clients_of(plane, "prod").workspace("prod")
    given = Input(type="uri_folder", path="azureml://datastores/prod/paths/asked/")
    with pytest.raises(HttpResponseError, match="A job named 'day-1' already exists"):
        prod.batch_endpoints.invoke(
            "plant-1", deployment_name="one-a", inputs={"request": given}, job_name="day-1"
        )
    assert [job.name for job in plane.jobs.jobs] == ["day-1"]
    plane.faults.clear()
    getattr(plane.faults, lost)("POST", "/jobs")
    prod.batch_endpoints.invoke("plant-1", deployment_name="one-a", inputs={"request": given})
    assert len(plane.jobs.jobs) == 3


def test_only_the_requests_that_were_meant_go_wrong(plane, environments):
    fault = plane.faults.fail("PUT", PATH, times=1, skip=1)
    for version in ("1.0.0", "1.0.1", "1.0.2"):
        environments.create_or_update(Environment(name="e", version=version, image="image:1"))
    assert statuses(plane) == [201, 503, 201, 201]
    assert fault.met == 4
