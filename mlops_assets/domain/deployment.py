"""Deployments: what a plant's endpoint serves, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.manifest import Serving

LIVE_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One circuit as deployed by one release: written once, never changed.

    ``replaces`` is the release whose deployment this one replaced when it was promoted.
    """

    circuit: CircuitKey
    release: str
    release_digest: str
    model_version: int
    model_digest: str
    environment: str
    environment_digest: str
    previous_model_version: int | None
    previous_model_digest: str | None
    seasonal_naive_hours: int
    data_version: str
    serving: Serving
    replaces: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveManifest:
    """What one plant serves now: one small file, replaced as a whole by compare-and-swap.

    ``generation`` rises by one with every change; ``live`` maps circuit id to its deployment.
    """

    plant_id: str
    generation: int
    live: Mapping[str, Deployment]
