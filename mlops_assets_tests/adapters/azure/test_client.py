"""Clients of Azure ML against the control plane: the SDK as it is, no socket."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from azure.ai.ml.entities import Model

from mlops_assets.adapters.azure.client import Clients, explained
from mlops_assets.domain.errors import EngineError
from mlops_assets.settings.azure import AzureBackend, Cloud
from mlops_assets_tests.control_plane import ControlPlane, PlaneTransport

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
    plane = ControlPlane(BACKEND)
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
