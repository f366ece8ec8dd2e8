"""Endpoints on Azure: one batch endpoint a plant, and the live manifest beside it that decides.

In production each circuit has two deployments, ``a`` and ``b``. The idle one is filled by `prepare`
while the other serves; `swap` then changes one blob, the plant's live manifest, and with it what
the next batch invokes. So a plant serves all-old or all-new whatever becomes of an update, and a
rollback mostly finds its deployment ready. The test workspace has one of each circuit. Where the
settings say so, one deployment serves a whole plant: it brings the environment, reads the models by
the digests of each request, and no release changes it.

A deployment keeps the code that it was made with. One of another version than ours serves on, is
told of by `outdated`, and is made anew, in the idle place, by whoever prepares it again.

What a deployment serves is told by its tags, model, environment and state in Azure itself; nothing
of ours repeats it, so nothing of ours can be wrong about it.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlops_assets.adapters.azure.code import code_digest
from mlops_assets.adapters.azure.lease import check_from_elsewhere
from mlops_assets.adapters.azure.names import endpoint_name
from mlops_assets.adapters.azure.serving import Serving, ours, told
from mlops_assets.domain.errors import AbsentRoleError, MlopsError, RefusedError
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
# What is live and was lost is put back beside what somebody waits for, and not waited for longer
# than an update may take: a neighbour that is stuck must not hold up a rollback.
LOST_PATIENCE_SECONDS = 150.0
# How often an endpoint is told one and the same thing that it does not show then.
_TOLD_AT_MOST = 2
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
        code: the digest of the code that deployments are given.
    """

    stored: TreeEndpoints
    azure: BatchEndpoints
    backend: AzureBackend
    workspace: Literal["test", "prod"]
    now: Callable[[], datetime]
    monotonic: Callable[[], float] = time.monotonic
    code: Callable[[], str] = code_digest
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
        """Fill an idle deployment for each that is not served yet, or not by this version's code.

        What is live of their plants and was lost is put back besides, as far as it can be: only
        those that are asked for are refused.

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
        still_ours = check_from_elsewhere()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            wanted = {plant: [d for d in deployments if _of(d, plant)] for plant in live}
            opened = {
                plant: pool.submit(self._open, each, wanted[plant]) for plant, each in live.items()
            }
            wishes: list[tuple[bool, Deployment, Wish]] = []
            for plant, opening in opened.items():
                try:
                    found = opening.result()
                    wishes += self._wishes(wanted[plant], live[plant], found)
                except MlopsError as error:
                    broken[plant] = str(error)
            filling = [
                (asked, each, pool.submit(self._fill, each, wish, still_ours, asked=asked))
                for asked, each, wish in sorted(wishes, key=lambda wish: not wish[0])
            ]
            for asked, each, filled in filling:
                try:
                    filled.result()
                except MlopsError as error:
                    said = f"{each.circuit} is not ready: {error}"
                    if asked:
                        broken.setdefault(each.circuit.plant_id, said)
                    else:
                        _LOG.warning("%s; it is live, and nothing serves it", said)
            for plant in live:
                self._looked.pop(plant, None)
            # Whoever swaps holds the ledger, and is not to wait for Azure then.
            looks = {plant: pool.submit(self._look, plant) for plant in live if plant not in broken}
            for plant, looking in looks.items():
                try:
                    looking.result()
                except MlopsError as error:
                    broken[plant] = str(error)
        return broken

    def outdated(self) -> Sequence[Deployment]:
        """What is live and served by the code of another version of the platform than this one."""
        stale: list[Deployment] = []
        for plant in self.stored.plants():
            found = self.azure.deployments(self._endpoint(plant))
            for each in self.stored.live(plant).live.values():
                name = self._serving.by(each, found)
                if name is not None and not self._serving.current(found[name]):
                    stale.append(each)
        return stale

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
            name = self._serving.by(deployment, self._look(plant))
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
        return Serving(self.backend, self.workspace, self.code())

    def _endpoint(self, plant_id: str) -> str:
        return endpoint_name(self.backend, self.workspace, plant_id)

    def _look(self, plant_id: str) -> dict[str, Served]:
        """The deployments of a plant as they are now, remembered for a while."""
        found = self.azure.deployments(self._endpoint(plant_id))
        self._looked[plant_id] = (self.monotonic(), found)
        return found

    def _open(self, live: LiveManifest, wanted: Sequence[Deployment]) -> dict[str, Served]:
        """The deployments of a plant's endpoint, with room for what a plant is served by.

        None that may be changed for what is wanted is being changed any more.
        """
        endpoint, serving = self._endpoint(live.plant_id), self._serving
        names = {name for each in wanted for name in serving.names(each.circuit)}
        names |= serving.needed(wanted, ())
        found = self.azure.open(endpoint, {"plant": live.plant_id}, names)
        if self.backend.serves == "plant" and len(found) >= self.backend.quota.per_endpoint:
            busy = {serving.by(each, found) for each in live.live.values()}
            for name in sorted(set(found) - busy):
                self.azure.remove(endpoint, name)
            found = self.azure.settled(endpoint)
        return found

    def _wishes(
        self, wanted: Sequence[Deployment], live: LiveManifest, found: Mapping[str, Served]
    ) -> Iterator[tuple[bool, Deployment, Wish]]:
        """What is to be made or updated so that the wanted and the live ones are served.

        Each comes with whether it is one of those wanted.
        """
        serving = self._serving
        coming = {each.circuit for each in wanted}
        # In test the one deployment of a circuit goes over to what is tried next.
        lost = [
            each
            for each in live.live.values()
            if (self.workspace == "prod" or each.circuit not in coming)
            and each not in wanted
            and serving.by(each, found) is None
        ]
        taken: set[str] = set()
        for deployment in [*(each for each in wanted if not serving.ready(each, found)), *lost]:
            name = serving.idle(deployment, live, found, taken)
            asked = deployment in wanted
            if name in taken or (not asked and name in found and found[name].moving):
                continue
            taken.add(name)
            before = self._before(deployment)
            yield asked, deployment, serving.wish(name, deployment, before, self.now())

    def _fill(
        self, deployment: Deployment, wish: Wish, still_ours: Callable[[], None], *, asked: bool
    ) -> None:
        """Change one deployment, unless the plant may be another's by now: its turn comes late."""
        still_ours()
        endpoint = self._endpoint(deployment.circuit.plant_id)
        self.azure.put(endpoint, wish, None if asked else LOST_PATIENCE_SECONDS)

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
        telling, times = None, 0
        while True:
            live = self.stored.live(plant_id)
            there = self.azure.tags(endpoint)
            if there is None or ours(there) == told(live):
                break
            times = times + 1 if telling == live else 1
            if times > _TOLD_AT_MOST:
                _LOG.warning(
                    "%s: endpoint %s was tagged with what is live %d times and shows something "
                    "else; look for a policy that changes tags",
                    plant_id,
                    endpoint,
                    _TOLD_AT_MOST,
                )
                break
            telling = live
            strange = {name: text for name, text in there.items() if name not in ours(there)}
            self.azure.tag(endpoint, strange | told(live))
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
            needed = self._needed(live)
            # A needed one that is stuck is waited for by nobody.
            found = self.azure.settled(endpoint, set(self.azure.deployments(endpoint)) - needed)
            serving = {self._serving.by(each, found) for each in live.live.values()}
            for name in sorted(set(found) - needed - serving):
                self.azure.remove(endpoint, name)

    def _differences(self, plant_id: str) -> Iterator[str]:
        endpoint = self._endpoint(plant_id)
        try:
            live = self.stored.live(plant_id)
            tags, found = self.azure.tags(endpoint), self.azure.deployments(endpoint)
        except AbsentRoleError:
            raise  # Another host can ask.
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
            shows = (
                f"tagged with generation {tagged}"
                if tagged != str(live.generation)
                else "tagged with something else besides"
            )
            yield (
                f"{plant_id}: generation {live.generation} is live, but endpoint {endpoint} is "
                f"{shows}"
            )


def _live(live: Mapping[str, LiveManifest], circuit: CircuitKey) -> bool:
    return live[circuit.plant_id].of(circuit) is not None


def _of(deployment: Deployment, plant_id: str) -> bool:
    return deployment.circuit.plant_id == plant_id


def _plants(deployments: Sequence[Deployment]) -> list[str]:
    return sorted({each.circuit.plant_id for each in deployments})
