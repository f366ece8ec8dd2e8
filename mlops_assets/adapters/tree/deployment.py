"""Endpoints as folders: one small file says what a plant serves; old deployments stay beside it.

``<plant>/live.json`` is replaced as a whole, by compare-and-swap under the plant's lock.
``<plant>/deployments/<circuit>/<release>.json`` is written once.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlops_assets.domain.deployment import Deployment, LiveManifest
from mlops_assets.domain.errors import DataError, StaleError
from mlops_assets.domain.identifiers import checked_release

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlops_assets.adapters.tree import Tree
    from mlops_assets.domain.identifiers import CircuitKey


class TreeEndpoints:
    """What the endpoints of one serving workspace serve, and ever served."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._held = threading.local()

    def live(self, plant_id: str) -> LiveManifest:
        """What the plant serves, generation 0 and empty when nothing was deployed."""
        return self._live(plant_id, self._tree.read(_live(plant_id)))

    def _live(self, plant_id: str, data: bytes | None) -> LiveManifest:
        if data is None:
            return LiveManifest(plant_id=plant_id, generation=0, live={})
        where = self._tree.path(_live(plant_id))
        live = LiveManifest.from_bytes(data, where)
        if live.plant_id != plant_id:
            raise DataError(
                f"{where}: is the live manifest of {live.plant_id}; "
                "restore it from a copy of the home"
            )
        return live

    def plants(self) -> Sequence[str]:
        """Plants with an endpoint, sorted."""
        found = self._tree.folders()
        return [plant for plant in found if self._tree.state(_live(plant)) is not None]

    def swap(self, expected: LiveManifest, wanted: LiveManifest) -> None:
        """Replace the whole file if it still is ``expected``, else StaleError."""
        plant = expected.plant_id
        if wanted.plant_id != plant or wanted.generation != expected.generation + 1:
            raise StaleError(
                f"{plant}: generation {wanted.generation} of {wanted.plant_id} does not follow "
                f"generation {expected.generation} of {plant}; read it again and repeat"
            )
        with self.lock(plant):
            data = self._tree.read(_live(plant))
            found = self._live(plant, data)
            if found != expected:
                raise StaleError(
                    f"{plant}: its live manifest is generation {found.generation}, not "
                    f"{expected.generation}: somebody else deployed first; read it again and repeat"
                )
            self._tree.swap(_live(plant), data, wanted.to_bytes())

    @contextmanager
    def lock(self, plant_id: str) -> Iterator[None]:
        """Hold the plant against other writers; may be nested in one thread."""
        held: dict[str, int] = self._held.__dict__.setdefault("plants", {})
        if held.get(plant_id):
            held[plant_id] += 1
            try:
                yield
            finally:
                held[plant_id] -= 1
            return
        with self._tree.locked(f"{plant_id}/.lock"):
            held[plant_id] = 1
            try:
                yield
            finally:
                held[plant_id] = 0

    def record(self, deployment: Deployment) -> None:
        """Keep a deployment for good (write once), so that rollback finds it."""
        name = _recorded(deployment.circuit, deployment.release)
        self._tree.write_once(name, deployment.to_bytes())

    def recorded(self, circuit: CircuitKey, release: str) -> Deployment | None:
        """A deployment that was ever made here."""
        name = _recorded(circuit, release)
        data, where = self._tree.read(name), self._tree.path(name)
        if data is None:
            return None
        deployment = Deployment.from_bytes(data, where)
        if (deployment.circuit, deployment.release) != (circuit, release):
            raise DataError(
                f"{where}: is the deployment of {deployment.circuit} by "
                f"{deployment.release}; restore it from a copy of the home"
            )
        return deployment


def _live(plant_id: str) -> str:
    return f"{plant_id}/live.json"


def _recorded(circuit: CircuitKey, release: str) -> str:
    folder = f"{circuit.plant_id}/deployments/{circuit.circuit_id}"
    return f"{folder}/{checked_release(release)}.json"
