"""Models in Azure ML: custom models under our own integer versions.

The dev workspace's point to the folders of our store; the shared registry's are copies that Azure
makes of those, never made anew. Our store chooses the version, under the circuit's lock.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from azure.ai.ml.constants import AssetTypes
from azure.ai.ml.entities import Model

from mlops_assets.adapters.azure.asset import registered, same_place
from mlops_assets.adapters.azure.names import home_uri, model_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mlops_assets.adapters.azure.client import Clients
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.model import ModelRecord
    from mlops_assets.ports import ModelRegistry

_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class AzureModelRegistry:
    """The models of one place.

    Args:
        stored: the versions and their bytes.
        show: registers a stored version in Azure ML, where it is not yet.
        gathers: whether versions are shown by `publish` alone, many at once: a copy to the shared
            registry takes half a minute.
    """

    stored: ModelRegistry
    show: Callable[[ModelRecord], None]
    gathers: bool = False

    def register(
        self, record: ModelRecord, files: Mapping[str, bytes], proof: bytes = b""
    ) -> ModelRecord:
        """Store under ``record.version``; the same model again returns what is there."""
        found = self.stored.register(record, files, proof)
        if not self.gathers:
            self.show(found)
        return found

    def publish(self, records: Sequence[ModelRecord]) -> Iterator[CircuitKey]:
        """Show registered versions in Azure ML, all together; yields each circuit when it is."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            showing = [(record.circuit, pool.submit(self.show, record)) for record in records]
            for circuit, shown in showing:
                shown.result()
                yield circuit

    def next_version(self, circuit: CircuitKey) -> int:
        """One more than the highest integer version."""
        return self.stored.next_version(circuit)

    def get(self, circuit: CircuitKey, version: int) -> ModelRecord:
        """One version; ModelError when there is none."""
        return self.stored.get(circuit, version)

    def versions(self, circuit: CircuitKey) -> Sequence[ModelRecord]:
        """All versions, lowest first (10 after 9)."""
        return self.stored.versions(circuit)

    def circuits(self) -> Sequence[CircuitKey]:
        """Every circuit that has a version, sorted."""
        return self.stored.circuits()

    def files(self, record: ModelRecord) -> Mapping[str, bytes]:
        """The bytes, read once and checked against ``record.digest``."""
        return self.stored.files(record)

    def proof(self, record: ModelRecord) -> bytes:
        """What was registered as proof, checked; empty when there was none."""
        return self.stored.proof(record)

    def folder(self, record: ModelRecord) -> str:
        """Where it lies, for people and for notebooks, relative to the home."""
        return self.stored.folder(record)


def in_dev(clients: Clients, stored: ModelRegistry) -> Callable[[ModelRecord], None]:
    """Return what registers a stored model in the dev workspace."""

    def show(record: ModelRecord) -> None:
        name, version = model_name(record.circuit), str(record.version)
        operations = clients.workspace("dev").models
        uri, workspace = home_uri(stored.folder(record)), clients.backend.workspaces["dev"]
        registered(
            f"model {name}:{version} in dev",
            _properties(record),
            get=lambda: operations.get(name, version=version),
            make=lambda: operations.create_or_update(_asset(record, name, uri)),
            advice="training takes the next version",
            differs=lambda found: (
                "" if same_place(found.path, uri, workspace) else f"path {found.path}"
            ),
        )

    return show


def in_registry(
    clients: Clients,
    dev: Callable[[ModelRecord], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Callable[[ModelRecord], None]:
    """Return what copies a model of the dev workspace to the shared registry.

    ``clients`` are the releasing identity's; ``dev`` makes sure that dev has it.
    """

    def show(record: ModelRecord) -> None:
        name, version = model_name(record.circuit), str(record.version)
        dev(record)
        registered(
            f"model {name}:{version} in the registry",
            _properties(record),
            get=lambda: clients.registry().models.get(name, version=version),
            make=lambda: clients.share_model(name, version),
            advice="find out who made it; `mlops refresh` trains the circuit anew, under the next",
            sleep=sleep,
        )

    return show


def _asset(record: ModelRecord, name: str, uri: str) -> Model:
    circuit = record.circuit
    return Model(
        name=name,
        version=str(record.version),
        type=AssetTypes.CUSTOM_MODEL,
        path=uri,
        description=f"Model {record.version} of {circuit}",
        tags={"plant": circuit.plant_id, "circuit": circuit.circuit_id, **record.tags},
        properties=_properties(record),
    )


def _properties(record: ModelRecord) -> dict[str, str]:
    """What makes a version this model and no other; Azure never changes them."""
    return {
        "model_digest": record.digest,
        "spec_digest": record.spec_digest,
        "data_version": str(record.data_version),
        "data_digest": record.data_digest,
        "environment": str(record.environment),
        "environment_digest": record.environment_digest,
        "config_commit": record.config_commit,
    }
