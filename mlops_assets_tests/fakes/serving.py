"""A small production in memory: readings, a registry, endpoints, and a ledger for rollbacks."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl

from mlops_assets.domain.errors import ModelError
from mlops_assets.domain.identifiers import (
    CircuitKey,
    DataVersion,
    EnvironmentRef,
    digest_of_files,
)
from mlops_assets.domain.model import ModelRecord
from mlops_assets.domain.release import LedgerEntry
from mlops_assets.flows.deployment import deploy
from mlops_assets.flows.forecast import predict
from mlops_assets.ports import ServingWorkspace, SharedRegistry
from mlops_assets_tests.fakes.deployment import FakeEndpoints, a_release, an_entry
from mlops_assets_tests.fakes.forecast import (
    FORECASTING,
    FakePredictionFiles,
    FakePredictionsTable,
    model_files,
)
from mlops_assets_tests.fakes.quality import FakeQualityTable
from mlops_assets_tests.fakes.readings import a_lake, readings

DAY = date(2024, 6, 20)
MIDNIGHT = datetime(2024, 6, 20, tzinfo=UTC)
NOW = MIDNIGHT + timedelta(hours=6)
ENVIRONMENT = EnvironmentRef.parse("forecasting:1.0.0")


class Shelf:
    """Registered models and their bytes; a test may damage either."""

    def __init__(self):
        self.records: dict[tuple[CircuitKey, int], ModelRecord] = {}
        self.bytes: dict[tuple[CircuitKey, int], dict[str, bytes]] = {}
        self.reads = 0

    def add(self, circuit, version, *, cutoff=date(2024, 6, 14), wape="0.05", **settings):
        """Register a fake model and return its digest."""
        files = model_files(**settings)
        self.bytes[circuit, version] = files
        self.records[circuit, version] = ModelRecord(
            circuit=circuit,
            version=version,
            digest=digest_of_files(files),
            spec_digest="2" * 64,
            data_version=DataVersion(cutoff),
            data_digest="1" * 64,
            environment=ENVIRONMENT,
            environment_digest="e" * 64,
            config_commit="c" * 40,
            tags={"wape": wape},
        )
        return self.records[circuit, version].digest

    def get(self, circuit, version):
        if (circuit, version) not in self.records:
            raise ModelError(f"model {circuit} version {version}: there is no such version")
        return self.records[circuit, version]

    def files(self, record):
        self.reads += 1
        found = self.bytes[record.circuit, record.version]
        if digest_of_files(found) != record.digest:
            raise ModelError(f"model {record.circuit} version {record.version}: is damaged")
        return found


class Environments:
    """One registered environment."""

    def get(self, ref):
        return SimpleNamespace(digest="e" * 64) if ref == ENVIRONMENT else None


class Log:
    """A ledger of events only."""

    def __init__(self):
        self.written: list[LedgerEntry] = []
        self.files: dict[tuple[str, str], bytes] = {}

    def put(self, kind, name, data):
        return self.files.setdefault((kind, name), data) is data

    def get(self, kind, name):
        return self.files.get((kind, name))

    @contextmanager
    def lock(self):
        yield

    def entries(self):
        return tuple(self.written)

    def append(self, event, actor, data, now):
        entry = LedgerEntry(
            seq=len(self.written), prev="0" * 64, at=now, event=event, actor=actor, data=data
        )
        self.written.append(entry)
        return entry


@dataclass
class Production:
    """Everything that serving flows need, and short ways to use them."""

    lake: object = field(
        default_factory=lambda: a_lake(
            predictions=FakePredictionsTable(),
            quality=FakeQualityTable(),
            hindcasts=FakeQualityTable(),
        )
    )
    prod: ServingWorkspace = field(
        default_factory=lambda: ServingWorkspace(
            endpoints=FakeEndpoints(), predictions=FakePredictionFiles()
        )
    )
    test: ServingWorkspace = field(
        default_factory=lambda: ServingWorkspace(
            endpoints=FakeEndpoints(), predictions=FakePredictionFiles()
        )
    )
    shelf: Shelf = field(default_factory=Shelf)
    ledger: Log = field(default_factory=Log)

    @property
    def registry(self):
        return SharedRegistry(models=self.shelf, environments=Environments())

    def send(self, circuit, *, until=MIDNIGHT, days=30, drop=(), level=100.0):
        """Merge hourly readings that end before ``until``; the hour of the day is added to each."""
        hours = np.arange(days * 24)
        start = until - timedelta(days=days)
        values = [level + (start.hour + hour) % 24 for hour in hours]
        rows = readings(values, key=str(circuit), start=start)
        rows = rows.filter(~pl.col("timestamp").is_in(list(drop)))
        self.lake.readings.merge(rows, slice_id=f"{circuit}-{until}-{level}-{days}")

    def release(self, *entries, attempt=1):
        """Deploy a release and say so in the ledger, as a promotion does."""
        manifest = a_release(*entries, attempt=attempt)
        deploy(self.prod, self.registry, manifest, now=NOW)
        self.say_deployed(manifest)
        return manifest.release

    def say_deployed(self, manifest):
        circuits = {str(entry.circuit): entry.replaces for entry in manifest.entries}
        data = {"release": manifest.release, "circuits": circuits}
        self.ledger.append("deployed", "platform", data, NOW)

    def serve(self, *circuits, serving=None, version=1, previous=None, **settings):
        """Readings, a model and a deployment for each circuit."""
        entries = []
        for circuit in circuits:
            self.send(circuit)
            ladder = {}
            if previous is not None:
                digest = self.shelf.add(circuit, version, **previous)
                ladder = {"previous_model_version": version, "previous_model_digest": digest}
            wanted = version + (previous is not None)
            digest = self.shelf.add(circuit, wanted, **settings)
            entries.append(
                an_entry(circuit, version=wanted, digest=digest, serving=serving, **ladder)
            )
        return self.release(*entries)

    def predict(self, day=DAY, circuits=None, now=NOW, data_now=None):
        return predict(
            self.lake,
            self.prod,
            self.registry,
            day=day,
            circuits=circuits,
            now=now,
            data_now=data_now or now,
            forecasting=FORECASTING,
        )

    def rows(self, circuit=None, day=DAY):
        circuits = None if circuit is None else [circuit]
        return self.lake.predictions.read(issued_for=day, circuits=circuits)

    def live(self, circuit):
        """The release that serves a circuit."""
        deployment = self.prod.endpoints.live(circuit.plant_id).of(circuit)
        return None if deployment is None else deployment.release
