"""Endpoints on Azure: one batch endpoint a plant, and the live manifest beside it that decides.

In production each circuit has two deployments, ``a`` and ``b``. The idle one is filled by `prepare`
while the other serves; `swap` then changes one blob, the plant's live manifest, and with it what
the next batch invokes. So a plant serves all-old or all-new whatever becomes of an update, and a
rollback mostly finds its deployment ready. The test workspace has one of each circuit. Where the
settings say so, one deployment serves a whole plant: it brings the environment, reads the models by
the digests of each request, and no release changes it.

What a deployment serves is told by its tags, model, environment and state in Azure itself; nothing
of ours repeats it, so nothing of ours can be wrong about it.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlops_assets.adapters.azure.names import endpoint_name
from mlops_assets.adapters.azure.serving import Serving, ours, told
from mlops_assets.domain.errors import MlopsError, RefusedError
from mlops_assets.domain.quota import Shares, judge_quota

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from typing import Literal

    from mlops_assets.adapters.azure.endpoint import BatchEndpoints, Served, Wish
    from mlops_assets.adapters.tree.deployment import TreeEndpoints
    from mlops_assets.domain.deployment import Deployment, LiveManifest
    from mlops_assets.domain.gates import Verdict
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.settings.azure import AzureBackend

_LOG = logging.getLogger(__name__)
# Updates at once over all plants: 200 of two minutes each end within ten.
AT_ONCE = 40
_LOOKED_SECONDS = 60.0
# What one circuit takes of the region's deployments, here and in the other serving workspace.
SHARES: Mapping[str, Shares] = {
    "test": Shares(here=1, elsewhere=2, sharing=1),
    "prod": Shares(here=2, elsewhere=1, sharing=1),
}


@dataclass(slots=True)
class AzureEndpoints:
    """The endpoints of one serving workspace.

    Args:
        stored: live manifests, locks and records, as blobs.
        azure: the batch endpoints.
        backend: names, quota, and what one deployment serves.
        workspace: test or prod.
        now: the time that deployments are tagged with.
        monotonic: seconds that only rise.
    """

    stored: TreeEndpoints
    azure: BatchEndpoints
    backend: AzureBackend
    workspace: Literal["test", "prod"]
    now: Callable[[], datetime]
    monotonic: Callable[[], float] = time.monotonic
    _looked: dict[str, tuple[float, dict[str, Served]]] = field(default_factory=dict)

    def live(self, plant_id: str) -> LiveManifest:
        """What the plant serves, generation 0 and empty when nothing was deployed."""
        return self.stored.live(plant_id)

    def plants(self) -> Sequence[str]:
        """Plants with an endpoint, sorted."""
        return self.stored.plants()

    def lock(self, plant_id: str) -> AbstractContextManager[None]:
        """Hold the plant against other writers."""
        return self.stored.lock(plant_id)

    def record(self, deployment: Deployment) -> None:
        """Keep a deployment for good (write once), so that rollback finds it."""
        self.stored.record(deployment)

    def recorded(self, circuit: CircuitKey, release: str) -> Deployment | None:
        """A deployment that was ever made here."""
        return self.stored.recorded(circuit, release)

    def room(self, circuits: Collection[CircuitKey]) -> Verdict | None:
        """Whether these fit beside what is live, by the region's quota; nothing is asked of it."""
        counted = {plant: set(self.stored.live(plant).live) for plant in self.stored.plants()}
        for circuit in circuits:
            counted.setdefault(circuit.plant_id, set()).add(circuit.circuit_id)
        return judge_quota(
            {plant: len(names) for plant, names in counted.items()},
            self.backend.quota,
            SHARES[self.workspace],
            serves=self.backend.serves,
        )

    def prepare(self, deployments: Sequence[Deployment]) -> Mapping[str, str]:
        """Fill an idle deployment for each; what is live of their plants is made good besides.

        Returns:
            The plants that are not ready, each with the sentence that says why.

        Raises:
            RefusedError: E_QUOTA, where they do not fit; nothing was changed.
        """
        live = {plant: self.stored.live(plant) for plant in _plants(deployments)}
        new = [each.circuit for each in deployments if not _live(live, each.circuit)]
        if new and (verdict := self.room(new)) is not None and not verdict.passed:
            raise RefusedError("E_QUOTA", f"{self.workspace}: {verdict.reason}")
        broken: dict[str, str] = {}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            opened = {plant: pool.submit(self._open, each) for plant, each in live.items()}
            wishes: list[tuple[str, Deployment, Wish]] = []
            for plant, opening in opened.items():
                try:
                    found = opening.result()
                    wanted = [each for each in deployments if each.circuit.plant_id == plant]
                    wishes += ((plant, *wish) for wish in self._wishes(wanted, live[plant], found))
                except MlopsError as error:
                    broken[plant] = str(error)
            filling = [
                (plant, each.circuit, pool.submit(self.azure.put, self._endpoint(plant), wish))
                for plant, each, wish in wishes
            ]
            for plant, circuit, filled in filling:
                try:
                    filled.result()
                except MlopsError as error:
                    broken.setdefault(plant, f"{circuit} is not ready: {error}")
        for plant in live:
            self._looked.pop(plant, None)
        return broken

    def swap(self, expected: LiveManifest, wanted: LiveManifest) -> None:
        """Replace the whole file if it still is ``expected``, else StaleError.

        Raises:
            RefusedError: E_NOT_PREPARED, where nothing serves what would be live.
        """
        fresh = self.stored.live(expected.plant_id) == expected
        for circuit_id, deployment in wanted.live.items() if fresh else ():
            if expected.live.get(circuit_id) != deployment:
                self.served_by(deployment)
        self.stored.swap(expected, wanted)

    def served_by(self, deployment: Deployment) -> tuple[str, str]:
        """The endpoint and the deployment on it that serve one of ours.

        Raises:
            RefusedError: E_NOT_PREPARED, nothing does.
        """
        plant = deployment.circuit.plant_id
        at, found = self._looked.get(plant, (0.0, {}))
        name = self._serving.by(deployment, found)
        if name is None or self.monotonic() - at > _LOOKED_SECONDS:
            found = self.azure.deployments(self._endpoint(plant))
            self._looked[plant] = (self.monotonic(), found)
            name = self._serving.by(deployment, found)
        if name is None:
            raise RefusedError(
                "E_NOT_PREPARED",
                f"{deployment.circuit}: nothing on endpoint {self._endpoint(plant)} serves what "
                f"{deployment.release} deployed; the next release or rollback of {plant} puts it "
                "there",
            )
        return self._endpoint(plant), name

    def announce(self, plants: Collection[str]) -> None:
        """Tag endpoints with what is live, and remove deployments that nothing needs any more."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            telling = {plant: pool.submit(self._announce, plant) for plant in plants}
            for plant, telling_it in telling.items():
                try:
                    telling_it.result()
                except MlopsError as error:
                    _LOG.warning(
                        "%s: what is live is not shown on Azure yet (%s); its next release or "
                        "rollback shows it",
                        plant,
                        error,
                    )

    def differences(self) -> Sequence[str]:
        """Where what serves is not what the live manifests say, a sentence each."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = pool.map(lambda plant: list(self._differences(plant)), self.stored.plants())
            return [each for part in found for each in part]

    @property
    def _serving(self) -> Serving:
        return Serving(self.backend, self.workspace)

    def _endpoint(self, plant_id: str) -> str:
        return endpoint_name(self.backend, self.workspace, plant_id)

    def _open(self, live: LiveManifest) -> dict[str, Served]:
        """The deployments of a plant's endpoint, with room for what a plant is served by."""
        endpoint = self._endpoint(live.plant_id)
        found = self.azure.open(endpoint, {"plant": live.plant_id})
        if self.backend.serves == "plant" and len(found) >= self.backend.quota.per_endpoint:
            serving = {self._serving.by(each, found) for each in live.live.values()}
            for name in sorted(set(found) - serving):
                self.azure.remove(endpoint, name)
            found = self.azure.settled(endpoint)
        return found

    def _wishes(
        self, wanted: Sequence[Deployment], live: LiveManifest, found: Mapping[str, Served]
    ) -> Iterator[tuple[Deployment, Wish]]:
        """What is to be made or updated so that the wanted and the live ones are served."""
        coming = {each.circuit for each in wanted}
        # In test the one deployment of a circuit goes over to what is tried next.
        lost = [
            each
            for each in live.live.values()
            if self.workspace == "prod" or each.circuit not in coming
        ]
        taken: set[str] = set()
        for deployment in [*lost, *wanted]:
            if self._serving.by(deployment, found) is not None:
                continue
            name = self._serving.idle(deployment, live, found, taken)
            if name not in taken:
                taken.add(name)
                before = self._before(deployment)
                yield deployment, self._serving.wish(name, deployment, before, self.now())

    def _before(self, deployment: Deployment) -> Deployment | None:
        """The deployment that one replaced."""
        if deployment.replaces is None:
            return None
        return self.stored.recorded(deployment.circuit, deployment.replaces)

    def _needed(self, live: LiveManifest) -> set[str]:
        before = (self._before(each) for each in live.live.values())
        return self._serving.needed(live.live.values(), [each for each in before if each])

    def _announce(self, plant_id: str) -> None:
        """Tag until what was told is still what is live: others may have come in between."""
        endpoint = self._endpoint(plant_id)
        live = self.stored.live(plant_id)
        while (there := self.azure.tags(endpoint)) is not None and ours(there) != told(live):
            strange = {name: text for name, text in there.items() if name not in ours(there)}
            self.azure.tag(endpoint, strange | told(live))
            live = self.stored.live(plant_id)
        if there is not None and set(self.azure.deployments(endpoint)) - self._needed(live):
            self._remove_unneeded(plant_id)

    def _remove_unneeded(self, plant_id: str) -> None:
        """Remove what no live circuit needs; nobody prepares meanwhile."""
        endpoint = self._endpoint(plant_id)
        with self.stored.lock(plant_id):
            live = self.stored.live(plant_id)
            if not live.live:
                self.azure.close(endpoint)
                return
            found = self.azure.settled(endpoint)
            serving = {self._serving.by(each, found) for each in live.live.values()}
            for name in sorted(set(found) - self._needed(live) - serving):
                self.azure.remove(endpoint, name)

    def _differences(self, plant_id: str) -> Iterator[str]:
        endpoint = self._endpoint(plant_id)
        try:
            live = self.stored.live(plant_id)
            tags, found = self.azure.tags(endpoint), self.azure.deployments(endpoint)
        except MlopsError as error:
            yield f"{plant_id}: what Azure serves cannot be asked: {error}"
            return
        for each in live.live.values():
            if self._serving.by(each, found) is None:
                yield (
                    f"{each.circuit}: {each.release} is live, but no deployment on endpoint "
                    f"{endpoint} serves it as it was signed"
                )
        if live.live and tags is not None and ours(tags) != told(live):
            tagged = tags.get("generation", "none")
            yield (
                f"{plant_id}: generation {live.generation} is live, but endpoint {endpoint} is "
                f"tagged with generation {tagged}"
            )


def _live(live: Mapping[str, LiveManifest], circuit: CircuitKey) -> bool:
    return live[circuit.plant_id].of(circuit) is not None


def _plants(deployments: Sequence[Deployment]) -> list[str]:
    return sorted({each.circuit.plant_id for each in deployments})
