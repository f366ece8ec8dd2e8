"""Endpoints as folders: one small file says what a plant serves; old deployments stay beside it.

``<plant>/live.json`` is replaced as a whole, by compare-and-swap under the plant's lock.
``<plant>/deployments/<circuit>/<release>.json`` is written once.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlops_assets.adapters.local.files import locked, read_bytes, write_atomic, write_once
from mlops_assets.domain.deployment import Deployment, LiveManifest
from mlops_assets.domain.errors import DataError, StaleError
from mlops_assets.domain.identifiers import checked_release

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from mlops_assets.domain.identifiers import CircuitKey


class LocalEndpoints:
    """The endpoints of one serving workspace, in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held = threading.local()

    def live(self, plant_id: str) -> LiveManifest:
        """What the plant serves, generation 0 and empty when nothing was deployed."""
        path = self._live(plant_id)
        data = read_bytes(path)
        if data is None:
            return LiveManifest(plant_id=plant_id, generation=0, live={})
        live = LiveManifest.from_bytes(data, self._name(path))
        if live.plant_id != plant_id:
            raise DataError(
                f"{self._name(path)}: is the live manifest of {live.plant_id}; "
                "restore it from a copy of the home"
            )
        return live

    def plants(self) -> Sequence[str]:
        """Plants with an endpoint, sorted."""
        return sorted(path.parent.name for path in self._folder.glob("*/live.json"))

    def prepare(self, deployments: Sequence[Deployment]) -> Mapping[str, str]:  # noqa: ARG002
        """Nothing is to be made ready: a model is loaded when it is applied."""
        return {}

    def announce(self, plants: Collection[str]) -> None:
        """Nothing else shows what is live."""

    def differences(self) -> Sequence[str]:
        """The live manifest is all that serves."""
        return ()

    def swap(self, expected: LiveManifest, wanted: LiveManifest) -> None:
        """Replace the whole file if it still is ``expected``, else StaleError."""
        plant = expected.plant_id
        if wanted.plant_id != plant or wanted.generation != expected.generation + 1:
            raise StaleError(
                f"{plant}: generation {wanted.generation} of {wanted.plant_id} does not follow "
                f"generation {expected.generation} of {plant}; read it again and repeat"
            )
        with self.lock(plant):
            found = self.live(plant)
            if found != expected:
                raise StaleError(
                    f"{plant}: its live manifest is generation {found.generation}, not "
                    f"{expected.generation}: somebody else deployed first; read it again and repeat"
                )
            write_atomic(self._live(plant), wanted.to_bytes())

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
        with locked(self._folder / plant_id / ".lock"):
            held[plant_id] = 1
            try:
                yield
            finally:
                held[plant_id] = 0

    def record(self, deployment: Deployment) -> None:
        """Keep a deployment for good (write once), so that rollback finds it."""
        path = self._recorded(deployment.circuit, deployment.release)
        write_once(path, deployment.to_bytes())

    def recorded(self, circuit: CircuitKey, release: str) -> Deployment | None:
        """A deployment that was ever made here."""
        path = self._recorded(circuit, release)
        data = read_bytes(path)
        if data is None:
            return None
        deployment = Deployment.from_bytes(data, self._name(path))
        if (deployment.circuit, deployment.release) != (circuit, release):
            raise DataError(
                f"{self._name(path)}: is the deployment of {deployment.circuit} by "
                f"{deployment.release}; restore it from a copy of the home"
            )
        return deployment

    def _live(self, plant_id: str) -> Path:
        return self._folder / plant_id / "live.json"

    def _recorded(self, circuit: CircuitKey, release: str) -> Path:
        folder = self._folder / circuit.plant_id / "deployments" / circuit.circuit_id
        return folder / f"{checked_release(release)}.json"

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self._folder.parent.parent.parent))
