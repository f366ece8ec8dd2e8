"""Endpoints in memory, with what lies in a registry for them."""

from __future__ import annotations

import threading
from contextlib import contextmanager

from mlops_assets.domain.deployment import Deployment, LiveManifest
from mlops_assets.domain.errors import DataError, StaleError
from mlops_assets.domain.manifest import Entry, Manifest, Serving


class FakeEndpoints:
    def __init__(self):
        self.files: dict[str, LiveManifest] = {}
        self.deployments: dict[tuple, Deployment] = {}
        self.swaps = 0
        self.broken: dict[str, str] = {}
        self.calls: list[tuple[str, ...]] = []
        self._lock = threading.RLock()
        self._plants: dict[str, threading.RLock] = {}

    def live(self, plant_id):
        return self.files.get(plant_id, LiveManifest(plant_id=plant_id, generation=0, live={}))

    def plants(self):
        return sorted(self.files)

    def room(self, circuits):
        return None

    def prepare(self, deployments):
        """Ready is what was recorded; a test may break the preparing of a plant."""
        named = [(each.circuit, each.release) for each in deployments]
        self.calls.append(("prepare", *sorted(str(circuit) for circuit, _ in named)))
        for each, name in zip(deployments, named, strict=True):
            if self.deployments.get(name) != each:
                raise DataError(f"{each.circuit}: is prepared and was not recorded")
        plants = {circuit.plant_id for circuit, _ in named}
        return {plant: why for plant, why in self.broken.items() if plant in plants}

    def announce(self, plants):
        self.calls.append(("announce", *sorted(plants)))

    def differences(self):
        return ()

    def outdated(self):
        return ()

    def swap(self, expected, wanted):
        plant = expected.plant_id
        if wanted.plant_id != plant or wanted.generation != expected.generation + 1:
            raise StaleError(f"{plant}: generation {wanted.generation} does not follow")
        with self._lock:
            if self.live(plant) != expected:
                raise StaleError(f"{plant}: somebody else deployed first; read it again and repeat")
            self.files[plant] = wanted
            self.swaps += 1
            self.calls.append(("swap", plant))

    @contextmanager
    def lock(self, plant_id):
        with self._lock:
            held = self._plants.setdefault(plant_id, threading.RLock())
        with held:
            yield

    def record(self, deployment):
        name = (deployment.circuit, deployment.release)
        if self.deployments.setdefault(name, deployment) != deployment:
            raise StaleError(f"{name}: is written once and holds other content")

    def recorded(self, circuit, release):
        return self.deployments.get((circuit, release))


def a_serving(**changed) -> Serving:
    """How the test circuits are served: hourly, one day ahead, in UTC."""
    usual = {
        "cutoff_date": "2024-06-14",
        "horizon": 24,
        "interval": "1h",
        "timezone": "UTC",
        "maximum_gap_hours": 6,
        "minimum": None,
        "maximum": None,
    }
    return Serving(**(usual | changed))


def an_entry(circuit, *, version=1, digest="d" * 64, replaces=None, serving=None, **changed):
    """A release's entry that deploys one model version."""
    usual = {
        "circuit": circuit,
        "action": "deploy",
        "config_commit": "c" * 40,
        "replaces": replaces,
        "model_version": version,
        "model_digest": digest,
        "forecaster": "auto_ets",
        "data_version": "2024-06-14",
        "data_digest": "1" * 64,
        "environment": "forecasting:1.0.0",
        "environment_digest": "e" * 64,
        "spec_digest": "2" * 64,
        "evidence": {},
        "serving": serving or a_serving(),
    }
    return Entry(**(usual | changed))


def retired(circuit, replaces):
    """A release's entry that takes a circuit away."""
    return Entry(circuit=circuit, action="retire", config_commit="c" * 40, replaces=replaces)


def a_release(*entries, attempt=1):
    """A manifest of these entries."""
    ordered = tuple(sorted(entries, key=lambda entry: entry.circuit))
    return Manifest(entries=ordered, attempt=attempt, four_eyes="required")
