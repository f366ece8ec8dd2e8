"""Jobs and invocations while Azure is throttled, broken or unheard: one job, whatever happens."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from azure.ai.ml.entities import Environment

from mlops_assets.adapters.azure.endpoint import BatchEndpoints, Wish
from mlops_assets.adapters.azure.jobs import AzureFits
from mlops_assets.adapters.azure.scoring import AzureScoring
from mlops_assets.domain.errors import EngineError, RefusedError
from mlops_assets_tests.control_plane.clock import VirtualClock
from mlops_assets_tests.control_plane.execution import Outcome
from mlops_assets_tests.control_plane.wire import LostError
from mlops_assets_tests.engines.test_processes import job
from mlops_assets_tests.fakes.azure_ml import a_backend, azure_ml, clients_of

pytestmark = pytest.mark.azure

JOBS, INVOKE = r"/jobs/fit-1$", r"/jobs$"
FAULTS = {
    "throttled": lambda faults, *call: faults.throttle(*call, times=3, seconds=20),
    "broken": lambda faults, *call: faults.fail(*call, times=3),
    "unreached": lambda faults, *call: faults.lose_request(*call, times=2),
    "unheard": lambda faults, *call: faults.lose_answer(*call, times=2),
    "done and then broken": lambda faults, *call: faults.fail_after(*call, times=1),
}
# The SDK makes another request from its headers after each that did not arrive, four times.
SENT_AGAIN = 3
ASKED = "azureml://datastores/prod/paths/jobs/scoring/asked"


@pytest.fixture
def plane():
    with azure_ml(clock=VirtualClock()) as made:
        made.jobs.execute = lambda _plane, _job: Outcome(0, "")
        yield made


@pytest.fixture
def fits(plane):
    return fits_of(plane)


def fits_of(plane):
    clients = clients_of(plane, "dev")
    clients.workspace("dev").environments.create_or_update(
        Environment(name="forecasting", version="1.0.0", image="ubuntu")
    )
    return AzureFits(clients, Registered(plane, "dev"))


@pytest.fixture
def served(plane):
    """An endpoint with one deployment, and what that was wished to be."""
    plane.registry.assets.put("models", "m", "1", {"modelType": "custom_model", "modelUri": ASKED})
    plane.registry.assets.put("environments", "forecasting", "1.0.0", {"image": "ubuntu"})
    code = Registered(plane, "prod").id()
    azure = BatchEndpoints(clients_of(plane, "prod"), "prod", lambda: code, plane.clock.sleep)
    azure.open("plant-p1", {"plant": "P1"}, ())
    registry = f"azureml://registries/{plane.backend.registry}"
    wish = Wish(
        name="circuit-c1-a",
        tags={"plant": "P1"},
        model=f"{registry}/models/m/versions/1",
        environment=f"{registry}/environments/forecasting/versions/1.0.0",
        variables={},
    )
    azure.put("plant-p1", wish)
    return azure, wish


@pytest.fixture
def scoring(plane, served):
    return AzureScoring(clients_of(plane, "prod"), "prod", lambda _: ("plant-p1", "circuit-c1-a"))


class Registered:
    """A code asset that is there already."""

    def __init__(self, plane, workspace):
        self._plane, self._workspace = plane, plane.backend.workspaces[workspace]

    def id(self):
        place = self._plane.assets.of(self._workspace)
        place.put("codes", "code", "1", {"codeUri": "https://mlops.example/dev/code/1"})
        return self._plane.arm_id(self._workspace, "/codes/code/versions/1")


def submit(fits):
    uri = "azureml://datastores/dev/paths/jobs/fits"
    fits.submit("fit-1", job("A"), order=f"{uri}/order", outcome=f"{uri}/1", seconds=900)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fit_is_one_job_whatever_becomes_of_the_call(plane, fits, fault):
    FAULTS[fault](plane.faults, "PUT", JOBS)
    submit(fits)
    assert [each.name for each in plane.jobs.jobs] == ["fit-1"]


@pytest.mark.parametrize("fault", FAULTS)
def test_an_invocation_is_one_job_whatever_becomes_of_the_call(plane, scoring, fault):
    FAULTS[fault](plane.faults, "POST", INVOKE)
    name = scoring.invoke("score-1", "plant-p1/circuit-c1-a", request=ASKED)
    assert name == "score-1"
    assert [each.name for each in plane.jobs.jobs] == ["score-1"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_question_is_answered_in_the_end(plane, fits, fault):
    submit(fits)
    FAULTS[fault](plane.faults, "GET", JOBS)
    assert fits.look("fit-1") is not None


def test_a_service_that_stays_away_is_one_line(plane, fits, scoring):
    submit(fits)
    plane.faults.fail("*", "/jobs", times=1000)
    with pytest.raises(EngineError, match="asking after job fit-1 in workspace dev: Azure is too"):
        fits.look("fit-1")
    with pytest.raises(EngineError, match="invoking plant-p1/circuit-c1-a in workspace prod: "):
        scoring.invoke("score-1", "plant-p1/circuit-c1-a", request=ASKED)


def test_every_invocation_names_its_deployment(plane, scoring):
    for number in range(3):
        scoring.invoke(f"score-{number}", "plant-p1/circuit-c1-a", request=ASKED)
    posts = [call.request for call in plane.calls if call.request.method == "POST"]
    named = [each.headers.get("azureml-model-deployment") for each in posts]
    assert named == ["circuit-c1-a"] * 3


def test_two_that_invoke_at_once_each_name_their_own_deployment(plane, served, scoring):
    """The SDK sends again, from headers that all calls share, what it could not send at first."""
    azure, wish = served
    azure.put("plant-p1", replace(wish, name="circuit-c2-a"))
    handle, first, other_done = plane.handle, threading.Event(), threading.Event()
    lost = []

    def away_at_first(request):
        if request.method == "POST" and b"score-1" in request.body and len(lost) < SENT_AGAIN:
            first.set()
            # Whoever comes in between is through by now, or waits until this call is.
            other_done.wait(0 if lost else 1.0)
            lost.append(request)
            raise LostError(sent=False)
        return handle(request)

    plane.handle = away_at_first

    def second():
        assert first.wait(60)
        scoring.invoke("score-2", "plant-p1/circuit-c2-a", request=ASKED)
        other_done.set()

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(second)
        scoring.invoke("score-1", "plant-p1/circuit-c1-a", request=ASKED)
        coming.result(60)
    assert {each.name: each.deployment["name"] for each in plane.jobs.jobs} == {
        "score-1": "circuit-c1-a",
        "score-2": "circuit-c2-a",
    }


def test_a_job_runs_as_the_identity_that_the_settings_name():
    identity = "11111111-2222-3333-4444-555555555555"
    with azure_ml(a_backend(identities={"dev": identity})) as named:
        named.jobs.execute = lambda _plane, _job: Outcome(0, "")
        submit(fits_of(named))
        (found,) = named.jobs.jobs
        assert found.properties["identity"] == {"identityType": "Managed", "clientId": identity}


def test_who_may_not_train_orders_no_fit(plane, fits):
    forbidden = AzureFits(clients_of(plane, "prod"), Registered(plane, "dev"))
    with pytest.raises(RefusedError, match="submitting job fit-1 to workspace dev: this identity"):
        submit(forbidden)
    assert plane.jobs.jobs == []
