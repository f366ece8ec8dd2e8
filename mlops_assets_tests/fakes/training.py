"""Where one engineer trains: a platform in memory with circuits, readings and a cheap engine."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

from mlops_assets.domain.circuit import Config, Policy, StagePolicy, spec_digest
from mlops_assets.domain.deployment import Deployment, LiveManifest
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.manifest import Serving
from mlops_assets.flows import model
from mlops_assets.forecasters.catalogue import ALGORITHMS
from mlops_assets.ports import (
    CommitInfo,
    DevWorkspace,
    Platform,
    ServingWorkspace,
    SharedRegistry,
)
from mlops_assets_tests.fakes.clock import FakeClock
from mlops_assets_tests.fakes.deployment import FakeEndpoints
from mlops_assets_tests.fakes.engine import FakeFittingEngine, FakeTrainingSlots, cheap_fit
from mlops_assets_tests.fakes.environment import FakeEnvironmentRegistry, environment
from mlops_assets_tests.fakes.ledger import FakeLedger
from mlops_assets_tests.fakes.model import FakeModelRegistry
from mlops_assets_tests.fakes.readings import a_circuit, a_lake, readings
from mlops_assets_tests.fakes.training_data import FakeTrainingDataStore

NOW = datetime(2024, 7, 1, 12, tzinfo=UTC)
START = datetime(2024, 5, 1, tzinfo=UTC)
COMMIT = "c" * 40


class Desk:
    """Where one engineer trains: circuits with readings, and everything in memory."""

    def __init__(self, *circuits, fit=cheap_fit, **spec):
        self.lake = a_lake()
        self.models, self.registry = FakeModelRegistry(), FakeModelRegistry()
        self.environments = FakeEnvironmentRegistry()
        self.data = FakeTrainingDataStore()
        self.ledger = FakeLedger()
        self.endpoints = FakeEndpoints()
        self.engine = FakeFittingEngine(fit)
        self.asked = []
        self.circuits = {}
        self.known = [environment()]
        for name in circuits or ("P1/C1", "P1/C2"):
            self.want(name, **spec)
            self.send(name)

    def want(self, name, **spec):
        circuit = a_circuit(name, **spec)
        digest = spec_digest(circuit.spec, ALGORITHMS[circuit.spec.forecaster])
        self.circuits[circuit.key] = replace(circuit, spec_digest=digest)

    def send(self, name, *, days=60, start=START, level=100.0):
        values = [level + hour % 24 for hour in range(24 * days)]
        rows = readings(values, key=name, start=start)
        self.lake.readings.merge(rows, slice_id=f"{name} {days} {level}")

    @property
    def config(self):
        stage = StagePolicy(roles=("ml_engineer",))
        return Config(
            commit=COMMIT,
            plants={},
            circuits=dict(self.circuits),
            environments={each.ref: each for each in self.known},
            policy=Policy(registry=stage, production=stage),
        )

    @property
    def platform(self):
        git = SimpleNamespace(log=lambda path, *, since, until: [commit_of(path)])
        serving = ServingWorkspace(endpoints=self.endpoints, predictions=None)
        return Platform(
            kind="init",
            clock=FakeClock(NOW),
            config=git,
            ledger=self.ledger,
            lake=self.lake,
            dev=DevWorkspace(
                training_data=self.data,
                models=self.models,
                environments=self.environments,
                evidence=None,
            ),
            registry=SharedRegistry(models=self.registry, environments=self.environments),
            test=serving,
            prod=serving,
            slots=FakeTrainingSlots(),
            engine=self.hire,
            renderer=None,
        )

    def hire(self, workers):
        self.asked.append(workers)
        return self.engine

    def train(self, *names, now=NOW, **options):
        keys = [CircuitKey.parse(name) for name in names] or list(self.circuits)
        return model.train(self.platform, self.config, keys, now=now, **options)

    def one(self, name="P1/C1", **options):
        return self.train(name, **options).outcomes[CircuitKey.parse(name)]

    def put_live(self, record, proof=b""):
        """Copy a dev model to the registry and make it what production serves."""
        self.registry.register(record, self.models.files(record), proof)
        circuit = record.circuit
        deployment = Deployment(
            circuit=circuit,
            release="r-000000000000",
            release_digest="0" * 64,
            model_version=record.version,
            model_digest=record.digest,
            environment=str(record.environment),
            environment_digest=record.environment_digest,
            previous_model_version=None,
            previous_model_digest=None,
            seasonal_naive_hours=24,
            data_version=str(record.data_version),
            serving=Serving(
                cutoff_date="2024-06-21",
                horizon=24,
                interval="1h",
                timezone="UTC",
                maximum_gap_hours=24,
                minimum=None,
                maximum=None,
            ),
            replaces=None,
        )
        self.endpoints.record(deployment)
        before = self.endpoints.live(circuit.plant_id)
        after = LiveManifest(
            plant_id=circuit.plant_id,
            generation=before.generation + 1,
            live={**before.live, circuit.circuit_id: deployment},
        )
        self.endpoints.swap(before, after)


def commit_of(path):
    return CommitInfo(
        commit=COMMIT,
        author="author@co.example",
        committer="author@co.example",
        co_authors=(),
        reviewers=(),
        subject=f"Change {path}",
        committed_at=NOW,
        pull_request="17",
    )


class Notes:
    """Remembers what a progress was told."""

    def __init__(self):
        self.counts, self.labels, self.lines = {}, [], []

    def begin(self, what, total):
        self.counts[what] = total

    def advance(self, label=""):
        self.labels.append(label)

    def say(self, line):
        self.lines.append(line)
