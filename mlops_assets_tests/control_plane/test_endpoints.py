"""The control plane's rules about batch endpoints: names, quotas, updates and invocations."""

from __future__ import annotations

import pytest

from mlops_assets_tests.control_plane import ControlPlane, endpoints
from mlops_assets_tests.control_plane.caller import Caller, problem
from mlops_assets_tests.control_plane.execution import Outcome
from mlops_assets_tests.fakes.azure_ml import a_backend

pytestmark = pytest.mark.azure

ENDPOINT, DEPLOYMENT = "2023-10-01", "2024-01-01-preview"
FOLDER = "azureml://datastores/prod/paths/asked/1/"
GIVEN = {"jobInputType": "UriFolder", "uri": FOLDER}


@pytest.fixture
def plane():
    plane = ControlPlane(a_backend())
    plane.jobs.execute = lambda plane, job: Outcome(0, "")
    assets = plane.assets.of("mlops-prod")
    for version in "12":
        model = {"modelUri": "azureml://x", "modelType": "custom_model"}
        plane.registry.assets.put("models", "m", version, model)
    plane.registry.assets.put("environments", "e", "1.0.0", {"image": "image:1"})
    assets.put("codes", "score", "1", {"codeUri": "x"})
    yield plane
    plane.close()


@pytest.fixture
def ask(plane):
    return Caller(plane)


def prod(plane, rest):
    return plane.arm_id("mlops-prod", rest)


def put_endpoint(plane, ask, name="plant-1", workspace="mlops-prod", **properties):
    body = {"location": "westeurope", "properties": {"authMode": "AADToken", **properties}}
    path = plane.arm_id(workspace, f"/batchEndpoints/{name}")
    return ask("PUT", path, body, version=ENDPOINT)


def put_deployment(plane, ask, name="one-a", endpoint="plant-1", number="1", **changes):
    body = {
        "location": "westeurope",
        "tags": {"model": number},
        "properties": {
            "model": {
                "referenceType": "Id",
                "assetId": f"azureml://registries/mlops-registry/models/m/versions/{number}",
            },
            "environmentId": "azureml://registries/mlops-registry/environments/e/versions/1.0.0",
            "codeConfiguration": {
                "codeId": prod(plane, "/codes/score/versions/1"),
                "scoringScript": "score.py",
            },
            "compute": prod(plane, "/computes/score-cluster"),
            **changes,
        },
    }
    path = prod(plane, f"/batchEndpoints/{endpoint}/deployments/{name}")
    return ask("PUT", path, body, version=DEPLOYMENT)


def shown(plane, ask, name="one-a"):
    path = prod(plane, f"/batchEndpoints/plant-1/deployments/{name}")
    found = ask("GET", path, version=DEPLOYMENT).body
    return found["properties"]["provisioningState"], found["tags"]["model"]


def invoke(plane, ask, given=GIVEN, name=None, **headers):
    properties = {"inputData": {"request": given} if given else {}}
    if name:
        properties["name"] = name
    return ask(
        "POST", plane.endpoints.scoring_uri("plant-1"), {"properties": properties}, **headers
    )


@pytest.fixture
def deployed(plane, ask):
    ask.until_done(put_endpoint(plane, ask))
    ask.until_done(put_deployment(plane, ask))


@pytest.mark.parametrize("name", ["ab", "a" * 33, "1plant", "plant_1", "plant-", "a--b", "plänt"])
def test_names_that_the_service_does_not_take_are_refused(plane, ask, name):
    assert problem(put_endpoint(plane, ask, name))[0] == 400


def test_a_name_is_one_endpoint_in_the_region_whatever_its_case(plane, ask):
    put_endpoint(plane, ask)
    taken = put_endpoint(plane, ask, "PLANT-1", workspace="mlops-test")
    assert problem(taken)[:2] == (409, "Conflict")
    path = plane.arm_id("mlops-test", "/batchEndpoints/plant-1")
    assert problem(ask("GET", path, version=ENDPOINT))[0] == 404


def test_quotas_end_at_the_service_s_limits(plane, ask, monkeypatch):
    monkeypatch.setattr(endpoints, "ENDPOINTS", 2)
    monkeypatch.setattr(endpoints, "PER_ENDPOINT", 2)
    monkeypatch.setattr(endpoints, "DEPLOYMENTS", 3)
    for name in ("plant-1", "plant-2"):
        ask.until_done(put_endpoint(plane, ask, name))
    assert problem(put_endpoint(plane, ask, "plant-3"))[1] == "QuotaExceeded"
    assert put_endpoint(plane, ask, "plant-2").status == 201
    for name, endpoint in (("one-a", "plant-1"), ("one-b", "plant-1"), ("two-a", "plant-2")):
        ask.until_done(put_deployment(plane, ask, name, endpoint))
    over = put_deployment(plane, ask, "one-c", "plant-1")
    assert problem(over)[2].startswith("The limit of 2 deployments of one endpoint")
    over = put_deployment(plane, ask, "two-b", "plant-2")
    assert problem(over)[2].startswith("The limit of 3 deployments in")
    assert put_deployment(plane, ask, "two-a", "plant-2", number="2").status == 201


def test_an_update_shows_when_it_has_ended_and_a_failed_one_as_failed(plane, ask, deployed):
    accepted = put_deployment(plane, ask, number="2")
    assert shown(plane, ask)[0] in {"Updating", "Succeeded"}
    assert ask.until_done(accepted) == "Succeeded"
    assert shown(plane, ask) == ("Succeeded", "2")
    plane.faults.fail_update("/deployments/", 2)
    assert ask.until_done(put_deployment(plane, ask, "one-b")) == "Succeeded"
    assert ask.until_done(put_deployment(plane, ask, number="1")) == "Failed"
    assert shown(plane, ask)[0] == "Failed"
    refused = invoke(plane, ask, azureml_model_deployment="one-a")
    assert problem(refused)[:2] == (409, "Conflict")
    assert ask.until_done(put_deployment(plane, ask, number="1")) == "Succeeded"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"environmentId": "azureml://registries/mlops-registry/environments/e/versions/9"}, "e:9"),
        ({"model": {"referenceType": "Id", "assetId": "azureml:m:1"}}, "is no id"),
        ({"model": {"referenceType": "DataPath", "path": "x"}}, "by its id"),
        ({"compute": "score-cluster"}, "Unknown compute"),
        ({"codeConfiguration": {}}, "scoring script"),
        ({"miniBatchSize": 0}, "miniBatchSize"),
    ],
)
def test_a_deployment_of_what_is_not_there_is_refused(plane, ask, deployed, changes, says):
    status, _, message = problem(put_deployment(plane, ask, "one-b", **changes))
    assert status in {400, 404}
    assert says in message


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"jobInputType": "MLTable", "uri": FOLDER}, "(MLTable) are not supported"),
        ({"jobInputType": "Literal", "value": "2026-01-31"}, "Literal inputs are not supported"),
        ({"jobInputType": "CustomModel", "uri": FOLDER}, "'CustomModel' is not supported"),
        ({"jobInputType": "UriFolder", "uri": "azureml://datastores/x/paths/y"}, "no path"),
        (None, "exactly one data input; 0"),
    ],
)
def test_only_one_file_or_folder_is_taken(plane, ask, deployed, given, says):
    refused = invoke(plane, ask, given, azureml_model_deployment="one-a")
    status, _, message = problem(refused)
    assert (status, says in message) == (400, True), message


def test_a_result_goes_to_blob_datastores_only(plane, ask, deployed):
    output = {"score": {"jobOutputType": "UriFile", "uri": "abfss://lake@x/y"}}
    body = {"properties": {"inputData": {"request": GIVEN}, "outputData": output}}
    uri = plane.endpoints.scoring_uri("plant-1")
    status, _, message = problem(ask("POST", uri, body, azureml_model_deployment="one-a"))
    assert (status, "on no Blob datastore" in message) == (400, True)


def test_an_invocation_goes_to_the_deployment_it_names_or_to_the_default(plane, ask, deployed):
    assert "no default deployment" in problem(invoke(plane, ask))[2]
    assert problem(invoke(plane, ask, azureml_model_deployment="none"))[0] == 404
    refused = put_endpoint(plane, ask, defaults={"deploymentName": "none"})
    assert problem(refused)[0] == 400
    ask.until_done(put_endpoint(plane, ask, defaults={"deploymentName": "one-a"}))
    assert invoke(plane, ask).status == 201
    path = prod(plane, "/batchEndpoints/plant-1/deployments/one-a")
    assert "is the default" in problem(ask("DELETE", path, version=DEPLOYMENT))[2]


def test_a_name_is_one_invocation_and_none_is_another_each_time(plane, ask, deployed):
    said = [invoke(plane, ask, name="day-1", azureml_model_deployment="one-a") for _ in range(2)]
    assert said[0].status == 201
    assert problem(said[1])[:2] == (409, "Conflict")
    for _ in range(2):
        invoke(plane, ask, azureml_model_deployment="one-a")
    assert len({job.name for job in plane.jobs.jobs}) == 3


def test_an_endpoint_goes_with_its_deployments(plane, ask, deployed):
    path = prod(plane, "/batchEndpoints/plant-1")
    assert ask.until_done(ask("DELETE", path, version=ENDPOINT)) == "Succeeded"
    assert problem(ask("GET", path, version=ENDPOINT))[0] == 404
    assert not plane.endpoints.deployments
    assert put_endpoint(plane, ask, workspace="mlops-test").status == 201
