"""One circuit on one batch endpoint of a real subscription, from its environment to its answer.

It takes an hour: images are built, a node is started. The circuit has no reading, so that nothing
is written to the lake: the script has to start in our environment, find its model, open the table
as production, and say so. It leaves versions of the registry, which nobody can remove.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from mlops_assets.adapters.azure import environment as environments
from mlops_assets.adapters.azure import model as models
from mlops_assets.adapters.azure.blobs import open_blobs
from mlops_assets.adapters.azure.client import Clients
from mlops_assets.adapters.azure.code import CodeAsset, code_digest
from mlops_assets.adapters.azure.deployment import AzureEndpoints
from mlops_assets.adapters.azure.endpoint import BatchEndpoints
from mlops_assets.adapters.azure.exchange import open_exchange
from mlops_assets.adapters.azure.identity import credential
from mlops_assets.adapters.azure.names import endpoint_name
from mlops_assets.adapters.azure.readings import open_readings
from mlops_assets.adapters.azure.scoring import AzureScoring
from mlops_assets.adapters.azure.serving import Serving
from mlops_assets.adapters.azure.tree import BlobTree
from mlops_assets.adapters.tree.model import TreeModelRegistry
from mlops_assets.catalog import load
from mlops_assets.domain.deployment import deployment_of
from mlops_assets.domain.identifiers import CircuitKey, EnvironmentRef
from mlops_assets.engines.azureml.batch import AzureBatchEngine
from mlops_assets.forecasters.catalogue import ALGORITHMS
from mlops_assets.forecasters.training import fit
from mlops_assets.stores.azure import _lock
from mlops_assets_tests.contracts.test_fitting_engine import weeks
from mlops_assets_tests.fakes.deployment import FakeEndpoints, a_serving, an_entry
from mlops_assets_tests.fakes.model import model_record

pytestmark = pytest.mark.azure

DAY = date(2024, 6, 24)
CONFIG = Path(__file__).resolve().parents[2] / "config"


@dataclass(frozen=True)
class Work:
    """A day's batch of one circuit."""

    live: dict
    delta_version: int
    day: date = DAY


class OnEndpoint:
    """Two versions of a model in the registry, and the endpoint that serves one, then the other."""

    def __init__(self, backend, name):
        self.backend, self.name, self.key = backend, name, CircuitKey(name, "C1")
        self.prod = Clients(backend, credential(backend, "prod"))
        code = CodeAsset(
            self.prod, "prod", open_blobs(backend, "prod", "prod", "code", environ=os.environ)
        )
        self.azure = BatchEndpoints(self.prod, "prod", code.id, time.sleep)
        self.endpoint = endpoint_name(backend, "prod", name)
        self.endpoints = AzureEndpoints(
            FakeEndpoints(), self.azure, backend, "prod", lambda: datetime.now(UTC)
        )
        self.exchange = open_exchange(backend, "prod", "prod", environ=os.environ)
        self.scoring = AzureScoring(self.prod, "prod", self.endpoints.served_by)

    def tree(self, role, container, folder):
        home = f"workspaces/{container}" if container != "registry" else "registry"
        place = f"{self.name}/{folder}"
        return BlobTree(
            open_blobs(self.backend, role, container, place, environ=os.environ), f"{home}/{place}"
        )

    def released(self):
        """Deployments of the first and the second version, all that they need being registered."""
        dev = Clients(self.backend, credential(self.backend, "dev"))
        release = Clients(self.backend, credential(self.backend, "release"))
        files = {
            path.relative_to(CONFIG).as_posix(): path.read_bytes() for path in CONFIG.rglob("*.yml")
        }
        (shipped,) = load(files, commit="0" * 40, algorithms=ALGORITHMS).environments.values()
        wanted = replace(shipped, ref=EnvironmentRef.parse(f"{self.name}:1.0.0"))
        lock = _lock()
        shown = environments.in_dev(
            dev, environments.Recipes(self.tree("dev", "dev", "nodes"), lock)
        )
        copied = environments.in_registry(
            release, shown, environments.Recipes(self.tree("release", "registry", "nodes"), lock)
        )
        # Twice: the second time meets what the first one made, and has to know it as ours.
        copied(wanted)
        copied(wanted)
        stored = TreeModelRegistry(self.tree("dev", "dev", "models"))
        share = models.in_registry(release, models.in_dev(dev, stored))
        job = replace(weeks("A", "seasonal_naive"), circuit=self.key)
        result = fit(job)
        for version in (1, 2):
            record = model_record(
                result.files,
                circuit=self.key,
                version=version,
                environment=wanted.ref,
                environment_digest=wanted.digest,
            )
            share(stored.register(record, result.files))
            share(record)
            entry = an_entry(
                self.key,
                version=version,
                digest=record.digest,
                environment=str(wanted.ref),
                environment_digest=wanted.digest,
                serving=a_serving(cutoff_date="2024-06-21"),
            )
            yield deployment_of(entry, release=f"r-{version:012}", release_digest="ab" * 32)

    def close(self):
        """Remove all of it that can be removed."""
        if self.azure.tags(self.endpoint) is not None:
            self.azure.close(self.endpoint)
        for role, container in (("dev", "dev"), ("release", "registry")):
            blobs = open_blobs(self.backend, role, container, self.name, environ=os.environ)
            for blob in list(blobs.list()):
                blobs.delete(blob.name)
        for name in self.exchange.names(f"scoring/{DAY}/{self.endpoint}"):
            self.exchange.remove(name)


@pytest.fixture
def on_endpoint(backend, name):
    made = OnEndpoint(backend, name)
    yield made
    made.close()


def test_a_circuit_is_served_by_its_endpoint_as_it_was_signed(on_endpoint, backend):
    first, second = on_endpoint.released()
    on_endpoint.endpoints.record(first)
    # What Azure shows of model, environment, code and variables is what `Serving` compares.
    assert on_endpoint.endpoints.prepare([first]) == {}
    endpoint, slot = on_endpoint.endpoints.served_by(first)
    assert endpoint == on_endpoint.endpoint
    rules = Serving(backend, "prod", code_digest())
    assert rules.ready(first, on_endpoint.azure.deployments(endpoint))
    the_script_starts_and_answers_under_our_name(on_endpoint, backend, first)
    an_update_shows_the_old_model_until_it_ends(on_endpoint, rules, slot, first, second)


def the_script_starts_and_answers_under_our_name(on_endpoint, backend, deployment):
    table = open_readings(backend, "prod", environ=os.environ)
    work = Work({on_endpoint.key: deployment}, table.version())
    engine = AzureBatchEngine(on_endpoint.exchange, on_endpoint.scoring, attempts=1)
    (issued,) = engine.issue(work, [on_endpoint.key])
    # Its own sentence, which travelled by the answer: a driver that did not start has none.
    assert issued.failed.startswith("no reading in the 28 days before 2024-06-24")
    (answer,) = [
        place
        for place in on_endpoint.exchange.names(f"scoring/{DAY}/{on_endpoint.endpoint}")
        if place.endswith("/1/outcome/outcome")
    ]
    job = on_endpoint.scoring.look(f"score-{DAY}-{answer.split('/')[-4]}-1")
    assert job is not None
    assert job.status == "failed"


def an_update_shows_the_old_model_until_it_ends(on_endpoint, rules, slot, first, second):
    wish = rules.wish(slot, second, first, datetime.now(UTC))
    update = threading.Thread(target=on_endpoint.azure.put, args=(on_endpoint.endpoint, wish))
    update.start()
    while update.is_alive():
        there = on_endpoint.azure.deployments(on_endpoint.endpoint)
        if there[slot].moving:
            assert there[slot].model.rstrip("/").endswith("/versions/1")
        assert rules.by(first, there) is None or not there[slot].moving
        time.sleep(5)
    update.join()
    assert rules.by(second, on_endpoint.azure.deployments(on_endpoint.endpoint)) == slot
