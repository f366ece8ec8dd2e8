"""Evidence: what must exist and verify before a person can sign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.domain.identifiers import CircuitKey

# For the registry request; each is one digested file of the circuit's evidence bundle.
REGISTRY_KINDS = ("pull_request", "scoring_notebook", "training_log", "metrics", "lineage")
# For the production request; each is one digested file of the release.
PRODUCTION_KINDS = ("test_validation", "rollback_plan")

Kind = Literal[
    "pull_request",
    "scoring_notebook",
    "training_log",
    "metrics",
    "lineage",
    "test_validation",
    "rollback_plan",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The bundle of one model version: ``digests`` maps kind to the SHA-256 of its file."""

    circuit: CircuitKey
    model_version: int
    digests: Mapping[str, str]

    def missing(self) -> tuple[str, ...]:
        """Kinds that the registry request needs and this bundle lacks."""
        return tuple(kind for kind in REGISTRY_KINDS if kind not in self.digests)
