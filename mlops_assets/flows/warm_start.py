"""Warm start: what a live model's training learned, and what a model's own training began from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.domain.errors import ModelError
from mlops_assets.domain.proof import read_proof
from mlops_assets.domain.warm_start import WarmStart, read_learned, read_warm_start

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from mlops_assets.domain.deployment import Deployment
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.ports import ModelRegistry, Platform


def handed_on(platform: Platform, live: Deployment) -> WarmStart | None:
    """Return what a live model hands to the next training of its circuit, if anything.

    Raises:
        ModelError: its proof cannot be read, or is not about the model that is live.
    """
    proof = _proof(platform.registry.models, live.circuit, live.model_version, live.model_digest)
    learned = read_learned(proof.get("learned"))
    return None if learned is None else WarmStart(model=live.model_digest, learned=learned)


def begun_from(
    platform: Platform, circuit: CircuitKey, version: int, digest: str
) -> WarmStart | None:
    """Return what the training of a released model began from, None where from nothing.

    Raises:
        ModelError: neither dev nor the shared registry has its proof.
    """
    try:
        proof = _proof(platform.dev.models, circuit, version, digest)
    except ModelError:
        proof = _proof(platform.registry.models, circuit, version, digest)
    return read_warm_start(proof.get("warm_start"))


def _proof(
    models: ModelRegistry, circuit: CircuitKey, version: int, digest: str
) -> Mapping[str, Any]:
    record = models.get(circuit, version)
    where = f"model {circuit} version {version}"
    if record.digest != digest:
        raise ModelError(f"{where}: has digest {record.digest[:12]}, not {digest[:12]}")
    return read_proof(models.proof(record), where=where)
