"""Clients of Azure ML against the control plane: the SDK as it is, no socket."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from azure.ai.ml.entities import BatchEndpoint, Data, Model
from azure.core.exceptions import HttpResponseError

from mlops_assets.adapters.azure.client import Clients, explained, one_line
from mlops_assets.domain.errors import EngineError, MlopsError, RefusedError, StaleError
from mlops_assets.settings.azure import AzureBackend, Cloud
from mlops_assets_tests.control_plane import ControlPlane, PlaneTransport, VirtualClock

pytestmark = pytest.mark.azure

BACKEND = AzureBackend(
    subscription="11111111-1111-1111-1111-111111111111",
    resource_group="rg-forecast",
    location="westeurope",
    storage_account="forecastlake",
    registry="forecast-registry",
    workspaces={"dev": "ml-dev", "test": "ml-test", "prod": "ml-prod"},
)


@pytest.fixture
def plane():
    plane = ControlPlane(BACKEND, clock=VirtualClock(quiet=0.0))
    yield plane
    plane.close()


@pytest.fixture
def clients(plane):
    return Clients(BACKEND, plane.identities.credential(), PlaneTransport(plane), 0.01)


def test_a_model_is_registered_shared_once_and_found_in_the_registry(clients):
    dev = clients.workspace("dev")
    made = dev.models.create_or_update(
        Model(
            name="sensor_model",
            version="7",
            type="custom_model",
            path="azureml://datastores/dev/paths/models/7",
            tags={"plant": "P001"},
        )
    )
    assert made.version == "7"
    shared = clients.share_model("sensor_model", "7")
    assert shared.id == "azureml://registries/forecast-registry/models/sensor_model/versions/7"
    assert clients.registry().models.get("sensor_model", "7").tags == {"plant": "P001"}
    with pytest.raises(EngineError, match="sharing it: A model with this"), explained("sharing it"):
        clients.share_model("sensor_model", "7")


def test_a_cloud_that_the_sdk_does_not_know_leaves_its_variable_as_it_was(plane, monkeypatch):
    monkeypatch.delenv("AZUREML_CURRENT_CLOUD", raising=False)
    cloud = Cloud(
        resource_manager="https://127.0.0.1:4/", registry_discovery="https://127.0.0.1:4/"
    )
    backend = replace(BACKEND, cloud=cloud)
    Clients(backend, plane.identities.credential(), PlaneTransport(plane)).workspace("dev")
    assert "AZUREML_CURRENT_CLOUD" not in os.environ


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("(NotFound) none\nCode: NotFound\nMessage: none", "(NotFound) none"),
        ("  \n two\tthree.\n", "two three"),
        ("token eyJhbGci.eyJzdWI.c2ln is bad", "token *** is bad"),
        ("https://a/b?sv=1&sig=abc%2B&se=2", "https://a/b?sv=1&sig=***&se=2"),
        ('{"result": "Failed", "errors": [{"path": "a.b", "message": "no\\n such"}]}',
         "a.b: no such"),
        ("", "TimeoutError"),
    ],
)  # fmt: skip
def test_what_the_sdk_says_is_one_line_without_a_secret(text, line):
    assert one_line(TimeoutError(text)) == line


@pytest.mark.parametrize(
    ("status", "message", "kind", "says"),
    [
        (403, "no", RefusedError, "doing: this identity may not: no; `mlops doctor` says"),
        (400, "(QuotaExceeded) 20", RefusedError, "doing: (QuotaExceeded) 20; docs/azure.md says"),
        (409, "exists", StaleError, "doing: exists"),
        (429, "slow", EngineError, "doing: Azure is too busy or broken: slow; run it again later"),
        (502, "bad", EngineError, "doing: Azure is too busy or broken: bad; run it again later"),
        (404, "none", EngineError, "doing: none"),
    ],
)
def test_what_azure_refuses_is_said_by_who_has_to_act(status, message, kind, says):
    error = HttpResponseError(message)
    error.status_code = status
    with pytest.raises(MlopsError) as caught, explained("doing"):
        raise error
    assert type(caught.value) is kind
    assert str(caught.value).startswith(says)


def test_a_bug_of_ours_stays_an_exception():
    with pytest.raises(ZeroDivisionError), explained("doing"):
        _ = 1 / 0


def test_an_update_of_a_deployment_asks_nothing_past_our_transport(clients):
    assert clients.workspace("prod").batch_deployments._credentials is None
    assert clients.workspace("dev").data._datastore_operation is None


def test_a_client_is_made_once_whoever_asks_first(clients):
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: clients.workspace("dev"), range(8)))
    assert {id(each) for each in found} == {id(clients.workspace("dev"))}
    assert clients.workspace("prod") is not clients.workspace("dev")


def test_all_clients_share_connections_that_give_up_after_seconds(plane):
    clients = Clients(BACKEND, plane.identities.credential())
    dev, prod = clients.workspace("dev"), clients.workspace("prod")
    transports = {id(client._requests_pipeline._transport) for client in (dev, prod)} | {
        id(dev.models._service_client._client._pipeline._transport)
    }
    assert transports == {id(clients.transport)}
    assert clients.transport.connection_config.timeout == 20
    assert clients.transport.connection_config.read_timeout == 120


def test_nothing_is_printed_where_other_tools_read_our_answers(plane, clients, capfd):
    prod = clients.workspace("prod").batch_endpoints
    plane.polls = 2
    prod.begin_create_or_update(BatchEndpoint(name="plant-1")).result()
    prod.begin_delete("plant-1").result()
    clients.workspace("dev").data.create_or_update(
        Data(name="d", version="1", type="mltable", path="azureml://datastores/dev/paths/d/")
    )
    assert not plane.endpoints.endpoints
    assert capfd.readouterr() == ("", "")
