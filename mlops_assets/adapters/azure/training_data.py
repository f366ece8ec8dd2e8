"""Training data as MLTable data assets of the dev workspace, one version a cutoff date.

The folder lies in the workspace's container and is what local homes hold; Azure ML is told where.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from azure.ai.ml.constants import AssetTypes
from azure.ai.ml.entities import Data

from mlops_assets.adapters.azure.asset import registered, same_place
from mlops_assets.adapters.azure.names import home_uri, training_data_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from mlops_assets.adapters.azure.client import Clients
    from mlops_assets.domain.identifiers import CircuitKey, DataVersion
    from mlops_assets.domain.training_data import TrainingData
    from mlops_assets.ports import TrainingDataStore


@dataclass(frozen=True, slots=True)
class AzureTrainingDataStore:
    """Training data of the dev workspace.

    Args:
        stored: the folders; they say what is registered.
        clients: Azure ML, as the identity that trains.
    """

    stored: TrainingDataStore
    clients: Clients

    def register(self, data: TrainingData, rows: pl.DataFrame) -> TrainingData:
        """Write the folder and register it; the same content again is the same asset."""
        found = self.stored.register(data, rows)
        self.show(found)
        return found

    def show(self, data: TrainingData) -> None:
        """Register stored training data in Azure ML, where it is not yet."""
        name, version = training_data_name(data.circuit), str(data.version)
        operations = self.clients.workspace("dev").data
        uri, workspace = home_uri(data.path), self.clients.backend.workspaces["dev"]
        registered(
            f"training data {name}:{version} in dev",
            {"content_digest": data.content_digest},
            get=lambda: operations.get(name, version=version),
            make=lambda: operations.create_or_update(_asset(data, name, version)),
            advice="training takes the next revision of that date",
            differs=lambda found: (
                "" if same_place(found.path, uri, workspace) else f"path {found.path}"
            ),
        )

    def get(self, circuit: CircuitKey, version: DataVersion) -> TrainingData:
        """One asset; DataError when there is none."""
        return self.stored.get(circuit, version)

    def versions(self, circuit: CircuitKey) -> Sequence[TrainingData]:
        """All assets, oldest version first."""
        return self.stored.versions(circuit)

    def rows(self, data: TrainingData) -> pl.DataFrame:
        """The rows, after checking them against the content digest."""
        return self.stored.rows(data)


def _asset(data: TrainingData, name: str, version: str) -> Data:
    circuit = data.circuit
    return Data(
        name=name,
        version=version,
        type=AssetTypes.MLTABLE,
        path=f"{home_uri(data.path)}/",
        description=f"Readings of {circuit} up to {data.cutoff_date}",
        tags={
            "plant": circuit.plant_id,
            "circuit": circuit.circuit_id,
            "sensor_id": f"SENSOR_{circuit.plant_id}_{circuit.circuit_id}",
            "cutoff_date": data.cutoff_date.isoformat(),
            "timezone": data.timezone,
            "delta_version": str(data.delta_version),
            "rows": str(data.rows),
        },
        properties={
            "content_digest": data.content_digest,
            "delta_version": str(data.delta_version),
        },
    )
