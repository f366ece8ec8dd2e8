"""Releases: what was proposed, and the copy of it in the shared registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.assets.events import Fact, check_specs
from mlops_assets.assets.home import page_copy
from mlops_assets.assets.partitions import circuits, each, every

if TYPE_CHECKING:
    from mlops_assets.domain.manifest import Entry, Manifest
    from mlops_assets.domain.release import ReleaseView

GROUP = "release"
OWNERS = ["team:ml-engineering"]

CANDIDATE = dg.AssetSpec(
    "release_candidate",
    description="The build artifact: this circuit's entry in an immutable release manifest, which "
    "people sign as a whole.",
    group_name=GROUP,
    kinds={"json"},
    owners=OWNERS,
    deps=[each("evidence"), each("model")],
    partitions_def=circuits,
    skippable=True,
)
REGISTRY_MODEL = dg.AssetSpec(
    "registry_model",
    description="Stage 1: the model and its environment copied, byte for byte, to the shared "
    "registry after an ML engineer signed.",
    group_name=GROUP,
    kinds={"azureml"},
    owners=OWNERS,
    deps=[each("release_candidate"), every("environment")],
    partitions_def=circuits,
    skippable=True,
)
REGISTRY_CHECKS = {"registry_approval": "Did the right people sign this release for the registry?"}
REGISTRY_CHECK_SPECS = check_specs("registry_model", REGISTRY_CHECKS, circuits)


class _Names:
    """Release and digest of the manifest that facts are told of, hashed once for its circuits."""

    def __init__(self) -> None:
        self._manifest: Manifest | None = None
        self._found = "", ""

    def of(self, manifest: Manifest) -> tuple[str, str]:
        """Return both; a manifest cannot change."""
        if manifest is not self._manifest:
            self._manifest, self._found = manifest, (manifest.release, manifest.digest)
        return self._found


_names = _Names()


def candidate_fact(manifest: Manifest, entry: Entry) -> Fact:
    """Tell one circuit's entry of a manifest."""
    return Fact(
        asset="release_candidate",
        partition=str(entry.circuit),
        version=_names.of(manifest)[1],
        metadata=entry_metadata(manifest, entry),
    )


def registry_fact(manifest: Manifest, entry: Entry, view: ReleaseView) -> Fact:
    """Tell one circuit's model in the shared registry."""
    from mlops_assets.flows.awaited import given

    return Fact(
        asset="registry_model",
        partition=str(entry.circuit),
        version=entry.model_digest or _names.of(manifest)[1],
        metadata={
            **entry_metadata(manifest, entry),
            "signed_by": given(view, "registry") or None,
            "path": f"registry/models/{entry.circuit}/{entry.model_version}",
        },
    )


def page_of(release: str) -> dict[str, object]:
    """Return where the evidence page of a release lies, from the home, and what opens it here."""
    return {
        "page": f"workspaces/dev/evidence/releases/{release}/page.html",
        "open_page": dg.MetadataValue.notebook(page_copy(release)),
    }


def entry_metadata(manifest: Manifest, entry: Entry) -> dict[str, object]:
    """Return what an approver follows a circuit's release by."""
    retired = entry.action == "retire"
    release, digest = _names.of(manifest)
    return {
        "plant": entry.circuit.plant_id,
        "release": release,
        "release_digest": digest,
        "action": entry.action,
        "attempt": manifest.attempt,
        "reviewed": manifest.four_eyes == "required",
        "model_version": None if retired else entry.model_version,
        "model_digest": entry.model_digest or None,
        "forecaster": entry.forecaster or None,
        "data_version": entry.data_version or None,
        "delta_version": None if retired else entry.delta_version,
        "environment": entry.environment or None,
        "spec_digest": entry.spec_digest or None,
        "config_commit": entry.config_commit,
        "replaces": entry.replaces,
        **page_of(release),
    }
