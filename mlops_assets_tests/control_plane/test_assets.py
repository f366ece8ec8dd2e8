"""The control plane's rules about assets: written once, numbered, and copied to the registry."""

from __future__ import annotations

import pytest

from mlops_assets_tests.control_plane import ControlPlane
from mlops_assets_tests.control_plane.assets import PAGE
from mlops_assets_tests.control_plane.caller import Caller, problem
from mlops_assets_tests.fakes.azure_ml import a_backend

pytestmark = pytest.mark.azure

DATA, MODELS, ENVIRONMENTS = "2023-04-01-preview", "2023-08-01-preview", "2023-04-01-preview"
REGISTRY = "2021-10-01-dataplanepreview"
URI = "azureml://datastores/dev/paths/models/1"
MODEL = {"properties": {"modelUri": URI, "modelType": "custom_model", "properties": {"d": "1"}}}


@pytest.fixture
def plane():
    plane = ControlPlane(a_backend())
    yield plane
    plane.close()


@pytest.fixture
def ask(plane):
    return Caller(plane)


def dev(plane, rest):
    return plane.arm_id("mlops-dev", rest)


def put_model(plane, ask, version="1", body=MODEL):
    return ask("PUT", dev(plane, f"/models/m/versions/{version}"), body, version=MODELS)


def test_a_version_that_is_registered_again_may_say_other_tags_and_nothing_else(plane, ask):
    assert put_model(plane, ask).status == 201
    again = {"properties": {**MODEL["properties"], "tags": {"a": "b"}}}
    assert put_model(plane, ask, body=again).status == 200
    shown = ask("GET", dev(plane, "/models/m/versions/1"), version=MODELS).body
    assert shown["properties"]["tags"] == {"a": "b"}
    for change in ({"modelUri": URI + "0"}, {"modelType": "mlflow_model"}):
        other = {"properties": {**MODEL["properties"], **change}}
        status, code, message = problem(put_model(plane, ask, body=other))
        assert (status, code) == (409, "UserError")
        assert "the existing asset's model" in message
    other = {"properties": {**MODEL["properties"], "properties": {"d": "2"}}}
    assert problem(put_model(plane, ask, body=other))[0] == 409
    shown = ask("GET", dev(plane, "/models/m/versions/1"), version=MODELS).body
    assert shown["properties"]["modelUri"] == URI


def test_the_next_version_is_one_more_than_the_highest_number(plane, ask):
    for version in ("9", "10", "3"):
        put_model(plane, ask, version)
    container = ask("GET", dev(plane, "/models/m"), version=MODELS).body["properties"]
    assert container["nextVersion"] == "11"
    assert container["latestVersion"] == "3"


@pytest.mark.parametrize("version", ["0", "1.0.0", "v1", "2026-01-31"])
def test_a_model_s_version_is_a_positive_integer(plane, ask, version):
    status, _, message = problem(put_model(plane, ask, version))
    assert (status, "is no positive integer" in message) == (400, True)


def test_what_is_not_there_is_not_found(plane, ask):
    for path in ("/models/m", "/models/m/versions/1", "/computes/none", "/jobs/none"):
        version = {"/c": "2023-08-01-preview", "/j": "2024-01-01-preview"}.get(path[:2], MODELS)
        assert problem(ask("GET", dev(plane, path), version=version))[:2] == (404, "NotFound")
    other = plane.arm_id("no-such-workspace", "/models/m")
    assert problem(ask("GET", other, version=MODELS))[0] == 404


def test_long_lists_come_in_pages_and_the_archived_only_when_asked_for(plane, ask):
    for number in range(1, PAGE + 2):
        put_model(plane, ask, str(number))
    first = ask("GET", dev(plane, "/models/m/versions"), version=MODELS).body
    assert len(first["value"]) == PAGE
    assert [each["name"] for each in ask("GET", first["nextLink"]).body["value"]] == ["1"]
    put_model(plane, ask, "1", {"properties": {**MODEL["properties"], "isArchived": True}})
    first = ask("GET", dev(plane, "/models/m/versions"), version=MODELS).body
    assert "nextLink" not in first


@pytest.mark.parametrize(
    ("path", "version", "properties", "word"),
    [
        ("/models/m/versions/1", MODELS, {"modelUri": "x", "modelType": "custom_model"}, "no path"),
        ("/models/m/versions/1", MODELS, {"modelUri": URI, "modelType": "odd"}, "odd"),
        ("/models/m/versions/1", MODELS,
         {"modelUri": URI.replace("/dev/", "/none/"), "modelType": "custom_model"}, "no path"),
        ("/models/a b/versions/1", MODELS, {"modelUri": URI, "modelType": "custom_model"}, "name"),
        ("/data/d/versions/1", DATA, {"dataUri": URI, "dataType": "odd"}, "odd"),
        ("/environments/e/versions/1.0.0", ENVIRONMENTS, {"condaFile": "name: e"}, "an image"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(plane, path, version, properties, word):
    refused = Caller(plane)("PUT", dev(plane, path), {"properties": properties}, version=version)
    status, _, message = problem(refused)
    assert status == 400
    assert word in message


def test_a_call_needs_an_api_version_that_its_provider_knows(plane, ask):
    path = dev(plane, "/models/m")
    assert problem(ask("GET", path))[1] == "MissingApiVersionParameter"
    assert problem(ask("GET", path, version="2099-01-01"))[1] == "NoRegisteredProviderFound"
    assert problem(ask("GET", dev(plane, "/online"), version=MODELS))[1] == "InvalidResourceType"
    assert problem(ask("DELETE", path, version=MODELS))[1] == "MethodNotAllowed"


def reference(plane, version="1"):
    guid = plane.guid("workspace/mlops-dev")
    return {
        "properties": {
            "referenceType": "Id",
            "destinationName": "m",
            "destinationVersion": version,
            "sourceAssetId": f"azureml://locations/westeurope/workspaces/{guid}/models/m/versions/"
            + version,
        }
    }


def registry(plane, rest):
    prefix = dev(plane, "").replace("workspaces/mlops-dev", "registries/mlops-registry")
    return f"/mferp/managementfrontend{prefix}{rest}"


def test_an_import_copies_a_version_when_it_ends_and_never_over_another(plane, ask):
    put_model(plane, ask)
    accepted = ask("POST", registry(plane, "/import"), reference(plane), version=REGISTRY)
    assert accepted.status == 202
    shared = registry(plane, "/models/m/versions/1")
    assert ask.until_done(accepted) == "Succeeded"
    found = ask("GET", shared, version=REGISTRY).body
    assert found["id"] == "azureml://registries/mlops-registry/models/m/versions/1"
    assert found["properties"]["properties"] == {"d": "1"}
    again = ask("POST", registry(plane, "/import"), reference(plane), version=REGISTRY)
    assert problem(again)[:2] == (409, "Conflict")


def test_an_import_of_nothing_and_one_that_fails_leave_nothing(plane, ask):
    none = ask("POST", registry(plane, "/import"), reference(plane), version=REGISTRY)
    assert problem(none)[0] == 404
    put_model(plane, ask)
    plane.faults.fail_update("/import/models/m", 1)
    failing = ask("POST", registry(plane, "/import"), reference(plane), version=REGISTRY)
    assert ask.until_done(failing) == "Failed"
    shared = registry(plane, "/models/m/versions/1")
    assert problem(ask("GET", shared, version=REGISTRY))[0] == 404


def test_the_registry_takes_models_by_import_alone(plane, ask):
    shared = registry(plane, "/models/m/versions/1")
    status, _, message = problem(ask("PUT", shared, MODEL, version=REGISTRY))
    assert (status, "by import alone" in message) == (400, True)
