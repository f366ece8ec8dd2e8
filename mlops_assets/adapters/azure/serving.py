"""Which deployment of an endpoint serves one of ours, which may be changed, and what tags say.

A deployment serves one of ours where Azure shows it so: its update has ended, and its tags, model
and environment are those that were signed. It is current where it runs the code of this version of
the platform besides, with what that is told; one that is not serves on until it is renewed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.adapters.azure import place
from mlops_assets.adapters.azure.code import asset_name
from mlops_assets.adapters.azure.endpoint import Wish
from mlops_assets.adapters.azure.names import (
    BUNDLES,
    SLOTS,
    bundle_name,
    deployment_name,
    registered_environment,
    registered_model,
)
from mlops_assets.domain.arithmetic import NODE
from mlops_assets.domain.identifiers import EnvironmentRef, digest_of, sha256

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime
    from typing import Literal

    from mlops_assets.adapters.azure.endpoint import Served
    from mlops_assets.adapters.azure.names import Slot
    from mlops_assets.domain.deployment import Deployment, LiveManifest
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.settings.azure import AzureBackend

# Azure takes 50 tags; circuits past these are told by the live manifest alone.
_CIRCUITS_IN_TAGS = 40
SERVES_VARIABLE = "MLOPS_SERVES"


@dataclass(frozen=True, slots=True)
class Serving:
    """The rules of one serving workspace.

    ``code`` is the digest of the code that deployments are given now.
    """

    backend: AzureBackend
    workspace: Literal["test", "prod"]
    code: str

    def names(self, circuit: CircuitKey) -> list[str]:
        """The deployments of a circuit: two in production, of which one is idle, one in test."""
        slots: tuple[Slot, ...] = SLOTS if self.workspace == "prod" else SLOTS[:1]
        return [deployment_name(circuit, slot) for slot in slots]

    def idle(
        self,
        deployment: Deployment,
        live: LiveManifest,
        found: Mapping[str, Served],
        taken: Collection[str],
    ) -> str:
        """The deployment of a circuit that may be changed: never the one that serves it."""
        if self.backend.serves == "plant":
            return self._bundle(deployment)
        serving = live.of(deployment.circuit)
        busy = None if serving is None else self.by(serving, found)
        names = self.names(deployment.circuit)
        free = [name for name in names if name != busy and name not in taken] or names
        return next((name for name in free if name not in found), free[0])

    def by(self, deployment: Deployment, found: Mapping[str, Served]) -> str | None:
        """The deployment that serves one of ours as it was signed.

        Current ones come first, then those of the kind that the settings name.
        """
        bundles = sorted(name for name in found if name.startswith(BUNDLES))
        own = self.names(deployment.circuit)
        names = [*bundles, *own] if self.backend.serves == "plant" else [*own, *bundles]
        right = [name for name in names if self._serves(deployment, found.get(name))]
        return min(right, key=lambda name: not self.current(found[name]), default=None)

    def current(self, each: Served) -> bool:
        """Whether a deployment runs the code of this version, with what it is told now."""
        return (
            f"/{asset_name(self.code)}/".casefold() in each.code.casefold()
            and self._variables().items() <= each.variables.items()
        )

    def ready(self, deployment: Deployment, found: Mapping[str, Served]) -> bool:
        """Whether nothing has to be done to serve one of ours, and by current code."""
        name = self.by(deployment, found)
        return name is not None and self.current(found[name])

    def _serves(self, deployment: Deployment, each: Served | None) -> bool:
        if each is None or not each.ready:
            return False
        if not _same(each.environment, self._environment(deployment)):
            return False
        if each.name.startswith(BUNDLES):
            return each.tags.get("environment_digest") == deployment.environment_digest
        return _same(each.model, self._model(deployment)) and (
            each.tags.get("deployment_digest") == _digest(deployment)
        )

    def wish(
        self, name: str, deployment: Deployment, before: Deployment | None, now: datetime
    ) -> Wish:
        """What a deployment shall be to serve one of ours, which replaces ``before``."""
        tags = {
            "plant": deployment.circuit.plant_id,
            "environment_version": deployment.environment,
            "environment_digest": deployment.environment_digest,
            "code_digest": self.code,
            "deployed_at": now.isoformat(timespec="seconds"),
        }
        if self.backend.serves == "circuit":
            tags |= {
                "circuit": deployment.circuit.circuit_id,
                "release_id": deployment.release,
                "model_version": str(deployment.model_version),
                "model_digest": deployment.model_digest,
                "data_version": deployment.data_version,
                "previous_release": deployment.replaces or "none",
                "previous_model_version": str(before.model_version) if before else "none",
                "previous_environment_version": before.environment if before else "none",
                "deployment_digest": _digest(deployment),
            }
        return Wish(
            name=name,
            tags=tags,
            # A bundle brings no model of its own; Azure wants one named, so it is one of the plant.
            model=self._model(deployment),
            environment=self._environment(deployment),
            variables=self._variables(),
        )

    def needed(self, live: Iterable[Deployment], before: Iterable[Deployment]) -> set[str]:
        """The deployments of what is live, and of the step back from it."""
        if self.backend.serves == "circuit":
            return {name for each in live for name in self.names(each.circuit)}
        return {self._bundle(each) for each in (*live, *before)}

    def _bundle(self, deployment: Deployment) -> str:
        """The deployment of a plant that is current: another code or setting is another one."""
        runs = digest_of({"code": self.code, "variables": self._variables()})
        return bundle_name(deployment.environment_digest, runs)

    def _variables(self) -> dict[str, str]:
        """What a deployment is told of its surroundings."""
        here = place.variables(self.backend, self.workspace)
        return {SERVES_VARIABLE: self.backend.serves, **here, **NODE}

    def _model(self, deployment: Deployment) -> str:
        return registered_model(self.backend, deployment.circuit, deployment.model_version)

    def _environment(self, deployment: Deployment) -> str:
        return registered_environment(self.backend, EnvironmentRef.parse(deployment.environment))


def _digest(deployment: Deployment) -> str:
    return sha256(deployment.to_bytes())


def _same(found: str, wanted: str) -> bool:
    """Whether two ids name one asset; Azure does not keep the case of what it is told."""
    return found.casefold() == wanted.casefold()


def ours(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags of an endpoint that repeat what is live; a policy of Azure may add others."""
    return {
        name: text
        for name, text in tags.items()
        if name in {"plant", "generation", "live_manifest"} or name.startswith("live_")
    }


def told(live: LiveManifest) -> dict[str, str]:
    """An endpoint's tags: which live manifest it repeats, and each circuit's release and model."""
    circuits = {
        f"live_{name}": f"{each.release} model {each.model_version}"
        for name, each in sorted(live.live.items())[:_CIRCUITS_IN_TAGS]
    }
    generation = {"generation": str(live.generation), "live_manifest": sha256(live.to_bytes())}
    return {"plant": live.plant_id, **generation, **circuits}
