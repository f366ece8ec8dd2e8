"""Names that Azure takes, made of our ids: small letters, digits and hyphens, at most 32 of them.

Azure compares names without regard to case and forgives no character of its own; ids of plants and
circuits may hold capitals, underscores and 32 characters, and differ in those alone. So each name
of an endpoint or deployment reads like its id and ends with the digest that tells it apart. The
endpoints of a whole region share one space of names, with other companies' too: their digests cover
subscription, resource group and workspace as well.

Names of assets (models, data, experiments) may be long and hold both cases, so they hold the ids as
they are; only where an id itself holds the separator does a digest follow.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from mlops_assets.domain.identifiers import IdentifierError, digest_of

if TYPE_CHECKING:
    from mlops_assets.domain.identifiers import CircuitKey, EnvironmentRef
    from mlops_assets.settings.azure import AzureBackend, Workspace

Slot = Literal["a", "b"]
SLOTS: tuple[Slot, Slot] = ("a", "b")

# How the names of deployments begin that serve a whole plant.
BUNDLES = "plant-"
MODEL = "sensor_model"
TRAINING_DATA = "sensor_training_data"
# What an id may lend to a name that ends with its digest: prefix and digest fill the rest.
_READABLE = 11
_DIGEST = 8


def endpoint_name(backend: AzureBackend, workspace: Workspace, plant_id: str) -> str:
    """The batch endpoint of one plant in one workspace, alone in its region.

    >>> from mlops_assets.settings.azure import AzureBackend
    >>> backend = AzureBackend(
    ...     subscription="s", resource_group="g", location="l", storage_account="a", registry="r",
    ...     workspaces={"prod": "ml-prod"})
    >>> endpoint_name(backend, "prod", "P001")
    'plant-p001-prod-7178888e'
    """
    place = [backend.subscription, backend.resource_group, backend.workspaces[workspace]]
    return f"plant-{_readable(plant_id)}-{workspace}-{_digest(*place, plant_id)}"


def deployment_name(circuit: CircuitKey, slot: Slot) -> str:
    """One of the deployments of a circuit on its plant's endpoint.

    >>> from mlops_assets.domain.identifiers import CircuitKey
    >>> deployment_name(CircuitKey("P001", "C001"), "a")
    'circuit-c001-5608f1b8-a'
    """
    return f"circuit-{_readable(circuit.circuit_id)}-{_digest(circuit.circuit_id)}-{slot}"


def bundle_name(environment_digest: str, runs: str) -> str:
    """The deployment that serves a whole plant in one environment; ``runs`` tells its code.

    >>> bundle_name("0e2a3f21" + 56 * "0", "5d41402abc4b2a76")
    'plant-0e2a3f21-5d41402a'
    """
    return f"{BUNDLES}{environment_digest[:_DIGEST]}-{runs[:_DIGEST]}"


def model_name(circuit: CircuitKey) -> str:
    """A circuit's model in a workspace and in the registry.

    >>> from mlops_assets.domain.identifiers import CircuitKey
    >>> model_name(CircuitKey("P001", "C001"))
    'sensor_model_P001_C001'
    """
    return f"{MODEL}_{_joined(circuit)}"


def registered_model(backend: AzureBackend, circuit: CircuitKey, version: int) -> str:
    """A model version of the shared registry, as deployments name it."""
    registry = f"azureml://registries/{backend.registry}"
    return f"{registry}/models/{model_name(circuit)}/versions/{version}"


def registered_environment(backend: AzureBackend, ref: EnvironmentRef) -> str:
    """An environment version of the shared registry, as deployments name it."""
    registry = f"azureml://registries/{backend.registry}"
    return f"{registry}/environments/{ref.name}/versions/{ref.version}"


def training_data_name(circuit: CircuitKey) -> str:
    """A circuit's training data in the dev workspace."""
    return f"{TRAINING_DATA}_{_joined(circuit)}"


def home_uri(path: str) -> str:
    """Where a path of a home lies on Azure, as Azure ML names it.

    >>> home_uri("workspaces/dev/models/P001/C001/7")
    'azureml://datastores/dev/paths/models/P001/C001/7'
    """
    container, _, rest = path.removeprefix("workspaces/").partition("/")
    if container not in {"dev", "test", "prod", "registry"}:
        raise IdentifierError(f"{path!r} is in no workspace, nor in the registry")
    return f"azureml://datastores/{container}/paths/{rest}"


def _readable(text: str) -> str:
    """What people recognise of an id: small letters, digits, single hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:_READABLE].strip("-")


def _digest(*texts: str) -> str:
    return digest_of(list(texts))[:_DIGEST]


def _joined(circuit: CircuitKey) -> str:
    """Plant and circuit in one text, told apart whatever the ids hold."""
    joined = f"{circuit.plant_id}_{circuit.circuit_id}"
    if joined.count("_") == 1:
        return joined
    return f"{joined}_{_digest(circuit.plant_id, circuit.circuit_id)}"
