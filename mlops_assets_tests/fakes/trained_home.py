"""A home on a disk whose circuits are trained, for what reads models and readings there."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from mlops_assets.adapters.local.notebook import KernelRenderer
from mlops_assets.domain.circuit import Config, GatePolicy, Policy, StagePolicy
from mlops_assets.domain.evaluation import paired_bound
from mlops_assets.domain.identifiers import digest_of_files
from mlops_assets.domain.model import FitJob, ModelRecord
from mlops_assets.domain.proof import proof_document, write_proof
from mlops_assets.flows import training_data
from mlops_assets.forecasters.training import fit
from mlops_assets.ports import Platform
from mlops_assets.settings import HomeLayout
from mlops_assets.stores.local import dev_of, lake_of, registry_of, serving_of
from mlops_assets_tests.fakes.clock import FakeClock
from mlops_assets_tests.fakes.environment import environment
from mlops_assets_tests.fakes.ledger import FakeLedger
from mlops_assets_tests.fakes.readings import a_circuit, readings
from mlops_assets_tests.fakes.release import FakeConfigRepository

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2024, 5, 1, tzinfo=UTC)
CUTOFF = date(2024, 6, 21)
NOW = datetime(2024, 7, 1, 8, tzinfo=UTC)


def load(hours, *, level=50.0):
    """A believable daily and weekly load with a little noise that repeats."""
    return [
        level
        + 10 * math.sin(hour / 24 * math.tau)
        + 3 * math.sin(hour / 168 * math.tau)
        + ((hour * 7919) % 101) / 50
        for hour in range(hours)
    ]


class TrainedHome:
    """Readings to NOW, models to CUTOFF; config and ledger stay in memory."""

    def __init__(self, root: Path, *keys: str, forecaster: str = "seasonal_naive") -> None:
        self.layout = HomeLayout(root)
        root.mkdir(parents=True, exist_ok=True)
        self.layout.home_file.write_text(json.dumps({"format": 1, "kind": "init"}))
        self.circuits = [
            a_circuit(key, cutoff_date=CUTOFF, forecaster=forecaster, unit="MW") for key in keys
        ]
        files = {circuit.file: b"spec" for circuit in self.circuits}
        self.git = FakeConfigRepository(files)
        self.policy = Policy(
            registry=StagePolicy(roles=("ml_engineer",)),
            production=StagePolicy(roles=("ml_engineer",)),
            gates=GatePolicy(),
        )
        self.ledger = FakeLedger()
        self.platform = Platform(
            kind="init",
            clock=FakeClock(NOW),
            config=self.git,
            ledger=self.ledger,
            lake=lake_of(self.layout),
            dev=dev_of(self.layout),
            registry=registry_of(self.layout),
            test=serving_of(self.layout, "test"),
            prod=serving_of(self.layout, "prod"),
            slots=None,
            engine=None,
            renderer=lambda: KernelRenderer(root, self.layout.config),
        )
        self.environment = self.platform.dev.environments.register(environment())
        hours = (NOW - START) // timedelta(hours=1)
        for number, circuit in enumerate(self.circuits):
            rows = readings(load(hours, level=50 + 10 * number), key=str(circuit.key), start=START)
            self.platform.lake.readings.merge(rows, slice_id=f"slice-{number}")
        self.records = {circuit.key: self.train(circuit) for circuit in self.circuits}

    @property
    def config(self) -> Config:
        return Config(
            commit=self.git.head(),
            plants={},
            circuits={circuit.key: circuit for circuit in self.circuits},
            environments={self.environment.ref: self.environment},
            policy=self.policy,
        )

    def train(self, circuit) -> ModelRecord:
        """Fit and register the next version of a circuit's model."""
        dev = self.platform.dev
        data, _ = training_data.register(
            self.platform.lake, dev.training_data, circuit, data_now=NOW
        )
        series = training_data.series_of(dev.training_data, data, circuit.spec)
        result = fit(FitJob(circuit=circuit.key, spec=circuit.spec, series=series))
        record = ModelRecord(
            circuit=circuit.key,
            version=dev.models.next_version(circuit.key),
            digest=digest_of_files(dict(result.files)),
            spec_digest=circuit.spec_digest,
            data_version=data.version,
            data_digest=data.content_digest,
            environment=self.environment.ref,
            environment_digest=self.environment.digest,
            config_commit=self.git.head(),
            tags={"forecaster": result.forecaster},
        )
        proof = write_proof(proof_document(result, paired_bound(result.backtest)))
        return dev.models.register(record, result.files, proof)

    def review(self, circuit, *, author="author@co.example", reviewers=()) -> None:
        """Commit a change of a circuit's spec, and say that its model came from there."""
        self.git.add({circuit.file: b"changed"}, author=author, reviewers=reviewers)
        self.records[circuit.key] = replace(
            self.records[circuit.key], config_commit=self.git.head()
        )
