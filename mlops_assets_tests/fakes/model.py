"""A model registry in memory, and records and files to put there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import ModelError, StaleError
from mlops_assets.domain.identifiers import (
    CircuitKey,
    DataVersion,
    EnvironmentRef,
    checked_model_version,
    digest_of_files,
    sha256,
)
from mlops_assets.domain.model import MODEL_FILES, ModelRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

CIRCUIT = CircuitKey("P001", "C001")


def model_files(content: str = "a model") -> dict[str, bytes]:
    return {name: f"{name} of {content}".encode() for name in MODEL_FILES}


def model_record(
    files: Mapping[str, bytes], *, circuit: CircuitKey = CIRCUIT, version: int = 1, **changes
) -> ModelRecord:
    record = ModelRecord(
        circuit=circuit,
        version=version,
        digest=digest_of_files(dict(files)),
        spec_digest=sha256(b"spec"),
        data_version=DataVersion.parse("2024-06-21"),
        data_digest=sha256(b"data"),
        environment=EnvironmentRef.parse("forecasting:1.0.0"),
        environment_digest=sha256(b"environment"),
        config_commit="a" * 40,
        tags={"forecaster": "seasonal_naive", "trained_at": "2024-07-01T00:00:00+00:00"},
    )
    return replace(record, **changes)


class FakeModelRegistry:
    def __init__(self) -> None:
        self.stored: dict[tuple[CircuitKey, int], tuple[ModelRecord, dict[str, bytes], bytes]] = {}

    def register(
        self, record: ModelRecord, files: Mapping[str, bytes], proof: bytes = b""
    ) -> ModelRecord:
        name = f"model {record.circuit} version {checked_model_version(record.version)}"
        if set(files) != set(MODEL_FILES):
            raise ModelError(f"{name}: a model is exactly {', '.join(MODEL_FILES)}")
        if digest_of_files(dict(files)) != record.digest:
            raise ModelError(f"{name}: its record says digest {record.digest[:12]}")
        entry = (record, dict(files), proof)
        existing = self.stored.setdefault((record.circuit, record.version), entry)[0]
        if replace(existing, tags={}) != replace(record, tags={}):
            raise StaleError(f"{name}: is registered already; register the next version")
        return existing

    def publish(self, records):
        return iter([record.circuit for record in records])

    def next_version(self, circuit: CircuitKey) -> int:
        return max((version for key, version in self.stored if key == circuit), default=0) + 1

    def get(self, circuit: CircuitKey, version: int) -> ModelRecord:
        return self._stored(circuit, version)[0]

    def versions(self, circuit: CircuitKey):
        return [entry[0] for (key, _), entry in sorted(self.stored.items()) if key == circuit]

    def circuits(self):
        return sorted({key for key, _ in self.stored})

    def files(self, record: ModelRecord) -> dict[str, bytes]:
        files = self._stored(record.circuit, record.version)[1]
        if digest_of_files(files) != record.digest:
            raise ModelError(
                f"model {record.circuit} version {record.version}: its files are not those"
            )
        return dict(files)

    def proof(self, record: ModelRecord) -> bytes:
        return self._stored(record.circuit, record.version)[2]

    def folder(self, record: ModelRecord) -> str:
        return f"workspaces/dev/models/{record.circuit}/{record.version}"

    def _stored(self, circuit: CircuitKey, version: int):
        try:
            return self.stored[circuit, checked_model_version(version)]
        except KeyError as error:
            raise ModelError(
                f"model {circuit} version {version}: there is no such version"
            ) from error
