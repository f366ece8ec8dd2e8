"""The daily batch on batch endpoints: the SDK, the control plane, and the script it really runs."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest

from mlops_assets.adapters.azure.client import Clients
from mlops_assets.adapters.azure.code import CodeAsset
from mlops_assets.adapters.azure.deployment import AzureEndpoints
from mlops_assets.adapters.azure.endpoint import BatchEndpoints
from mlops_assets.adapters.azure.exchange import open_exchange
from mlops_assets.adapters.azure.readings import open_readings
from mlops_assets.adapters.azure.scoring import AzureScoring
from mlops_assets.domain.deployment import deployment_of
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.engines.azureml.batch import AzureBatchEngine
from mlops_assets.engines.azureml.ordered import Patience
from mlops_assets.flows.issue import Issuing
from mlops_assets_tests.control_plane import ControlPlane, PlaneTransport
from mlops_assets_tests.fakes.azure_ml import stock
from mlops_assets_tests.fakes.deployment import FakeEndpoints, a_serving, an_entry
from mlops_assets_tests.fakes.trained_home import TrainedHome

pytestmark = pytest.mark.azure

DAY = date(2024, 6, 24)
KEYS = [CircuitKey("P1", "C1"), CircuitKey("P1", "C2")]
RELEASE = "r-0123456789ab"


class OnAzure:
    """A trained home whose readings and models lie in a storage account, served by Azure ML."""

    def __init__(self, home, account, **backend):
        self.home, self.account = home, account
        self.plane = ControlPlane(
            account.backend(**backend), node_environment=account.environ, polls=0
        )
        self.backend = self.plane.backend
        self.readings = open_readings(self.backend, "etl", environ=account.environ)
        self.readings.merge(home.platform.lake.readings.read(), slice_id="all")
        self.live = {}
        for key, record in home.records.items():
            folder = home.layout.dev_models / key.plant_id / key.circuit_id / "1"
            for path in folder.iterdir():
                account.blobs("registry").put(f"models/{key}/1/{path.name}", path.read_bytes())
            entry = an_entry(
                key,
                digest=record.digest,
                environment="forecasting:1.0.0",
                environment_digest=record.environment_digest,
                serving=a_serving(cutoff_date="2024-06-21"),
            )
            self.live[key] = deployment_of(entry, release=RELEASE, release_digest="ab" * 32)
        stock(self.plane, KEYS, versions=[1])
        clients = Clients(
            self.backend, self.plane.identities.credential("prod"), PlaneTransport(self.plane), 0.01
        )
        code = CodeAsset(clients, "prod", account.blobs("prod", "code"))
        self.endpoints = AzureEndpoints(
            FakeEndpoints(),
            BatchEndpoints(clients, "prod", code.id, self.plane.clock.sleep),
            self.backend,
            "prod",
            now=lambda: datetime(2024, 6, 24, tzinfo=UTC),
        )
        for each in self.live.values():
            self.endpoints.record(each)
        assert self.endpoints.prepare(list(self.live.values())) == {}
        self.exchange = open_exchange(self.backend, "prod", "prod", environ=account.environ)
        self.scoring = AzureScoring(clients, "prod", self.endpoints.served_by)

    def work(self, version):
        """The day's batch on a version of the readings."""
        return Issuing(
            live=self.live,
            day=DAY,
            readings=self.home.platform.lake.readings,
            delta_version=version,
            models=self.home.platform.dev.models,
        )

    def issued(self):
        """What the endpoints answer, by circuit."""
        engine = AzureBatchEngine(
            self.exchange,
            self.scoring,
            patience=Patience(first=0.05, longest=0.2, queue=600),
        )
        work = self.work(self.readings.version())
        return {each.circuit: each for each in engine.issue(work, list(self.live))}

    def again(self):
        """The same, of a version that nobody has asked for: the answer is not there yet."""
        self.readings.merge(
            self.home.platform.lake.readings.read().with_columns(pl.col("value") + 1), slice_id="b"
        )
        return self.issued().values()

    def here(self):
        """What the same work gives in this process, on the same rows."""
        work = self.work(self.home.platform.lake.readings.version())
        return {each.circuit: each for each in work(KEYS)}

    def logs(self):
        return [job.outcome and job.outcome.log for job in self.plane.jobs.jobs]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return TrainedHome(tmp_path_factory.mktemp("home"), *map(str, KEYS))


@pytest.fixture
def on_azure(home, storage_account):
    made = []

    def make(**backend):
        made.append(OnAzure(home, storage_account, **backend))
        return made[-1]

    yield make
    for each in made:
        each.plane.close()


@pytest.mark.parametrize("serves", ["circuit", "plant"])
def test_endpoints_give_every_digit_of_the_batch_here_and_are_asked_once(on_azure, serves):
    azure = on_azure(serves=serves)
    there, here = azure.issued(), azure.here()
    for key in KEYS:
        assert there[key].issue is not None, (there[key].failed, azure.logs())
        assert there[key].issue.fallback == "none"
        for name in ("value", "lo_80", "hi_80", "lo_95", "hi_95"):
            mine, theirs = (getattr(each[key].issue.values, name) for each in (here, there))
            assert np.array_equal(mine, theirs)
    jobs = azure.plane.jobs.jobs
    assert len(jobs) == {"circuit": 2, "plant": 1}[serves]
    assert {job.status for job in jobs} == {"Completed"}
    again = azure.issued()
    assert {key: each.issue.fallback for key, each in again.items()} == dict.fromkeys(KEYS, "none")
    assert len(azure.plane.jobs.jobs) == len(jobs)


def test_a_script_that_cannot_score_fails_its_job_and_says_why(on_azure, storage_account):
    azure = on_azure()
    storage_account.blobs("registry").put("models/P1/C2/1/arrays.npz", b"flipped")
    found = azure.issued()
    assert found[KEYS[0]].issue.fallback == "none"
    # The deployment brings no model of the signed digest: the next rung serves, and says so.
    assert found[KEYS[1]].issue.fallback == "seasonal_naive"
    assert found[KEYS[1]].issue.fallback_reason == (
        "live model: version 1 is not what the deployment of P1/C2 brings; deploy its release again"
    )
    azure.live = {KEYS[0]: azure.live[KEYS[0]]}
    storage_account.blobs("registry").delete("models/P1/C1/1/model.json")
    (lost,) = azure.again()
    assert "its invocation was lost (score-" in lost.failed
    assert "without an outcome; see https://ml.azure.com/runs/score-" in lost.failed
    assert [job.status for job in azure.plane.jobs.jobs[-2:]] == ["Failed", "Failed"]
    assert "holds no model; deploy the release again" in azure.logs()[-1]
