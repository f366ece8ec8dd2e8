"""Who may what: tokens that count, and the 403 that keeps each identity to its work."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from mlops_assets_tests.control_plane import ControlPlane
from mlops_assets_tests.control_plane.caller import Caller, problem
from mlops_assets_tests.control_plane.roles import INVOKING
from mlops_assets_tests.control_plane.wire import Request
from mlops_assets_tests.fakes.azure_ml import a_backend

pytestmark = pytest.mark.azure

READ = "2024-10-01-preview"


@pytest.fixture
def plane():
    plane = ControlPlane(a_backend())
    yield plane
    plane.close()


def asked(plane, token):
    headers = {"authorization": token} if token else {}
    url = f"{plane.address}{plane.arm_id('mlops-dev')}?api-version={READ}"
    return problem(plane.handle(Request("GET", url, headers)))[:2]


def test_only_a_token_that_was_given_for_here_and_has_not_ended_counts(plane, monkeypatch):
    right = plane.identities.token("dev", "https://management.azure.com").token
    head, body, signature = right.split(".")
    other = plane.identities.token("dev", "https://storage.azure.com").token
    swapped = plane.identities.token("prod", "https://management.azure.com").token.split(".")[1]
    invalid = (401, "InvalidAuthenticationToken")
    assert asked(plane, "") == (401, "AuthenticationFailed")
    assert asked(plane, f"Basic {right}") == (401, "AuthenticationFailed")
    assert asked(plane, "Bearer none") == invalid
    assert asked(plane, f"Bearer {head}.{swapped}.{signature}") == invalid
    assert asked(plane, f"Bearer {head}.{body}.{signature[:-2]}AA") == invalid
    assert asked(plane, f"Bearer {other}") == (401, "InvalidAuthenticationTokenAudience")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3601)
    assert asked(plane, f"Bearer {right}") == (401, "ExpiredAuthenticationToken")


PUT_MODEL = ("PUT", "/models/m/versions/1", "2023-08-01-preview")
PUT_DATA = ("PUT", "/data/d/versions/1", "2023-04-01-preview")
PUT_ENVIRONMENT = ("PUT", "/environments/e/versions/1", "2023-04-01-preview")
PUT_JOB = ("PUT", "/jobs/j", "2025-01-01-preview")
PUT_COMPUTE = ("PUT", "/computes/c", "2023-08-01-preview")
PUT_ENDPOINT = ("PUT", "/batchEndpoints/e", "2023-10-01")
PUT_DEPLOYMENT = ("PUT", "/batchEndpoints/e/deployments/d", "2024-01-01-preview")
DELETE_DEPLOYMENT = ("DELETE", "/batchEndpoints/e/deployments/d", "2024-01-01-preview")
READ_WORKSPACE = ("GET", "", READ)
REGISTERING = (PUT_MODEL, PUT_DATA, PUT_ENVIRONMENT, PUT_JOB, PUT_COMPUTE)
SERVING = (PUT_ENDPOINT, PUT_DEPLOYMENT, DELETE_DEPLOYMENT)


@pytest.mark.parametrize("call", REGISTERING, ids=lambda each: each[1])
@pytest.mark.parametrize(
    ("role", "place"), [("prod", "prod"), ("prod", "dev"), ("test", "test"), ("release", "dev")]
)
def test_who_serves_or_releases_neither_trains_nor_registers(plane, role, place, call):
    method, path, version = call
    refused = Caller(plane, role)(
        method, plane.arm_id(f"mlops-{place}", path), {"properties": {}}, version=version
    )
    status, code, message = problem(refused)
    assert (status, code) == (403, "AuthorizationFailed")
    assert f"over scope '{place}'" in message


@pytest.mark.parametrize("call", SERVING, ids=lambda each: f"{each[0]} {each[1]}")
@pytest.mark.parametrize(
    ("role", "place"), [("dev", "prod"), ("test", "prod"), ("prod", "test"), ("release", "prod")]
)
def test_nobody_deploys_where_another_serves(plane, role, place, call):
    method, path, version = call
    refused = Caller(plane, role)(
        method, plane.arm_id(f"mlops-{place}", path), {"properties": {}}, version=version
    )
    assert problem(refused)[0] == 403


def test_who_trains_makes_no_cluster_and_shares_nothing(plane):
    dev = Caller(plane, "dev")
    method, path, version = PUT_COMPUTE
    refused = dev(method, plane.arm_id("mlops-dev", path), {}, version=version)
    assert problem(refused)[0] == 403
    path = plane.arm_id("mlops-dev", "/import")
    path = path.replace("workspaces/mlops-dev", "registries/mlops-registry")
    path, version = f"/mferp/managementfrontend{path}", "2021-10-01-dataplanepreview"
    status, _, message = problem(dev("POST", path, {}, version=version))
    assert (status, "registries/assets/write" in message) == (403, True)
    allowed = Caller(plane, "release")("POST", path, {"properties": {}}, version=version)
    assert problem(allowed)[0] == 400


def test_each_may_what_its_work_needs(plane):
    for role, place, call in (
        ("dev", "dev", READ_WORKSPACE),
        ("release", "dev", READ_WORKSPACE),
        ("test", "test", READ_WORKSPACE),
        ("prod", "prod", READ_WORKSPACE),
    ):
        method, path, version = call
        found = Caller(plane, role)(method, plane.arm_id(f"mlops-{place}", path), version=version)
        assert found.status == 200, role
    body = {"location": "westeurope", "properties": {"authMode": "AADToken"}}
    for role in ("test", "prod"):
        path = plane.arm_id(f"mlops-{role}", f"/batchEndpoints/plant-{role}")
        accepted = Caller(plane, role)("PUT", path, body, version="2023-10-01")
        assert Caller(plane, role).until_done(accepted) == "Succeeded"
    assert problem(Caller(plane, "etl")("GET", plane.arm_id("mlops-dev"), version=READ))[0] == 403


@pytest.mark.parametrize("missing", INVOKING)
def test_who_invokes_needs_everything_that_microsoft_lists(plane, missing):
    endpoint = plane.arm_id("mlops-prod", "/batchEndpoints/plant-1")
    body = {"location": "westeurope", "properties": {"authMode": "AADToken"}}
    Caller(plane, "prod")("PUT", endpoint, body, version="2023-10-01")
    uri = plane.endpoints.scoring_uri("plant-1")
    assert problem(Caller(plane, "prod")("POST", uri, {}))[0] == 400
    plane.identities.rules["prod"] = tuple(
        replace(grant, but=(missing,)) for grant in plane.identities.rules["prod"]
    )
    status, _, message = problem(Caller(plane, "prod")("POST", uri, {}))
    assert (status, f"'{missing}'" in message) == (403, True)


def test_a_machine_s_endpoint_gives_tokens_to_who_knows_its_header(plane):
    query = f"api-version=2019-08-01&resource={plane.address}"
    url = f"{plane.address}/msi/token?{query}&client_id={plane.identities.client_id('dev')}"
    assert problem(plane.handle(Request("GET", url, {"x-identity-header": "no"})))[0] == 401
    given = plane.handle(Request("GET", url, {"x-identity-header": plane.identities.secret})).body
    assert int(given["expires_on"]) > time.time() + 3000
    token = f"Bearer {given['access_token']}"
    url = f"{plane.address}{plane.arm_id('mlops-dev')}?api-version={READ}"
    assert plane.handle(Request("GET", url, {"authorization": token})).status == 200
    stranger = f"{plane.address}/msi/token?{query}&client_id=nobody"
    refused = plane.handle(Request("GET", stranger, {"x-identity-header": plane.identities.secret}))
    assert problem(refused)[:2] == (400, "invalid_request")
