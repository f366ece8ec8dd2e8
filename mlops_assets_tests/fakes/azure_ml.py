"""Azure ML as tests reach it: the control plane behind the SDK, as any of the roles."""

from __future__ import annotations

from contextlib import contextmanager

from mlops_assets.adapters.azure import environment, model
from mlops_assets.adapters.azure.client import Clients
from mlops_assets.adapters.azure.code import asset_name
from mlops_assets.adapters.azure.deployment import AzureEndpoints
from mlops_assets.adapters.azure.endpoint import BatchEndpoints
from mlops_assets.adapters.azure.environment import AzureEnvironmentRegistry
from mlops_assets.adapters.azure.model import AzureModelRegistry
from mlops_assets.adapters.azure.names import model_name
from mlops_assets.adapters.azure.training_data import AzureTrainingDataStore
from mlops_assets.adapters.local.tree import DiskTree
from mlops_assets.settings.azure import AzureBackend
from mlops_assets_tests.control_plane import ControlPlane, PlaneTransport, VirtualClock


def a_backend(**changes):
    """Settings of names alone."""
    usual = {
        "subscription": "00000000-0000-0000-0000-000000000001",
        "resource_group": "rg-mlops",
        "location": "westeurope",
        "storage_account": "mlops",
        "registry": "mlops-registry",
        "workspaces": {"dev": "mlops-dev", "test": "mlops-test", "prod": "mlops-prod"},
    }
    return AzureBackend(**(usual | changes))


def clients_of(plane, role, polling_interval=5.0):
    """Clients of one identity, without a socket; waits take the control plane's time."""
    return Clients(
        plane.backend,
        plane.identities.credential(role),
        transport=PlaneTransport(plane),
        polling_interval=polling_interval,
    )


@contextmanager
def azure_ml(backend=None, **options):
    """A control plane with what `infra/` makes, stopped at the end; waits pass at once."""
    options.setdefault("clock", VirtualClock())
    plane = ControlPlane(backend or a_backend(), **options)
    try:
        yield plane
    finally:
        plane.close()


def training_data(plane, stored):
    """Training data of dev, whose folders lie in ``stored``."""
    return AzureTrainingDataStore(stored, clients_of(plane, "dev"))


def models(plane, stored, *, shared=False):
    """The models of dev, or of the shared registry, whose bytes lie in ``stored``."""
    show = model.in_dev(clients_of(plane, "dev"), stored)
    if shared:
        show = model.in_registry(clients_of(plane, "release"), show, plane.clock.sleep)
    return AzureModelRegistry(stored, show)


LOCK = "polars==2.1.0 --hash=sha256:00\n"


def environments(plane, stored, kept, *, shared=False, lock=LOCK):
    """The environments of dev, or of the shared registry; recipes lie in the folder ``kept``."""

    def recipes(role):
        (kept / role).mkdir(parents=True, exist_ok=True)
        return environment.Recipes(DiskTree(kept / role), lock)

    show = environment.in_dev(clients_of(plane, "dev"), recipes("dev"))
    if shared:
        clients = clients_of(plane, "release")
        show = environment.in_registry(clients, show, recipes("release"), plane.clock.sleep)
    return AzureEnvironmentRegistry(stored, show)


def stock(plane, circuits, versions=(1, 2, 3, 4, 5)):
    """Put models and the usual environment into the shared registry, as releases before did."""
    for circuit in circuits:
        for version in versions:
            uri = f"azureml://datastores/registry/paths/models/{circuit}/{version}"
            properties = {"modelType": "custom_model", "modelUri": uri}
            plane.registry.assets.put("models", model_name(circuit), str(version), properties)
    plane.registry.assets.put("environments", "forecasting", "1.0.0", {"image": "ubuntu"})


def endpoints(plane, stored, workspace="prod", *, code="0123456789abcdef", **options):
    """The endpoints of a serving workspace, whose live manifests lie in ``stored``.

    ``code`` is the version of the platform that deploys; ``options`` are those of BatchEndpoints.
    """
    clients = clients_of(plane, workspace, polling_interval=15.0)
    name, place = asset_name(code), plane.backend.workspaces[workspace]
    plane.assets.of(place).put("codes", name, "1", {"codeUri": "https://mlops.example/prod/code/1"})
    asset = f"{plane.arm_id(place)}/codes/{name}/versions/1"
    azure = BatchEndpoints(clients, workspace, lambda: asset, plane.clock.sleep, **options)
    return AzureEndpoints(
        stored, azure, plane.backend, workspace, now=plane.clock.now, code=lambda: code
    )
