"""What a batch endpoint runs fails loudly: every line that Azure's log may hold."""

from __future__ import annotations

from datetime import date

import pytest

from mlops_assets import score_job
from mlops_assets.domain.errors import DataError, ModelError
from mlops_assets.domain.identifiers import CircuitKey, digest_of_files
from mlops_assets.domain.model import MODEL_FILES
from mlops_assets.engines.azureml.request import ScoreRequest, asked_bytes, read_answer
from mlops_assets.score_job import DeployedModels, LowerRungs, Opened, answered
from mlops_assets_tests.fakes.azure_ml import a_backend
from mlops_assets_tests.fakes.forecast import FORECASTING
from mlops_assets_tests.fakes.remote import FakeExchange
from mlops_assets_tests.fakes.serving import DAY, Production

pytestmark = pytest.mark.azure

C1, C2 = CircuitKey("P1", "C1"), CircuitKey("P1", "C2")


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """A process of Azure ML of its own."""
    monkeypatch.setattr(score_job, "_BROUGHT", score_job._Brought())
    monkeypatch.delenv(score_job.MODEL_DIR, raising=False)
    monkeypatch.delenv(score_job.SERVES, raising=False)


def a_model(folder, content=b"{}"):
    files = dict.fromkeys(MODEL_FILES, content)
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "record.json").write_bytes(b"beside a model's own files")
    return digest_of_files(files)


def test_models_are_found_by_their_digests_wherever_they_lie(tmp_path):
    first = a_model(tmp_path / "7", b"{}")
    second = a_model(tmp_path / "plant" / "C2" / "1", b"[]")
    found = DeployedModels(tmp_path).read("P1")
    assert set(found) == {first, second}
    assert set(found[first]) == set(MODEL_FILES)
    with pytest.raises(ModelError, match="P1: the models of a deployment are not changed"):
        DeployedModels(tmp_path).write("P1", {})


def test_a_folder_that_lacks_a_file_is_no_model(tmp_path):
    a_model(tmp_path / "7")
    (tmp_path / "7" / "golden.json").unlink()
    assert DeployedModels(tmp_path).read("P1") == {}


@pytest.mark.parametrize("folder", ["", "absent"])
def test_a_process_that_was_brought_no_model_does_not_begin(monkeypatch, tmp_path, folder):
    if folder:
        monkeypatch.setenv(score_job.MODEL_DIR, str(tmp_path / folder))
    with pytest.raises(ModelError, match="holds no model; deploy the release again"):
        score_job.init()
    with pytest.raises(ModelError, match="`init` comes before `run`"):
        score_job.run([])


def test_a_plant_s_deployment_brings_none_and_begins(monkeypatch):
    monkeypatch.setenv(score_job.SERVES, "plant")
    score_job.init()
    assert score_job.run([]) == []


def test_a_file_that_is_no_request_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv(score_job.SERVES, "plant")
    score_job.init()
    with pytest.raises(DataError, match=r"readings\.parquet: is no request"):
        score_job.run([str(tmp_path / "readings.parquet")])
    (tmp_path / "request").write_bytes(b"anything")
    with pytest.raises(DataError, match="request: is not a request to score"):
        score_job.run([str(tmp_path / "request")])


class Scored:
    """One request on a production in memory, whose forecasters are fakes."""

    def __init__(self, monkeypatch):
        self.production = Production()
        for circuit in (C1, C2):
            self.production.send(circuit)
            self.production.serve(circuit)
        monkeypatch.setattr(
            "mlops_assets.flows.ladder.Forecasting.installed", staticmethod(lambda: FORECASTING)
        )
        self.exchange = FakeExchange()
        self.left = self.exchange.files

    def request(self, *circuits, day=DAY):
        live = {key: self.production.prod.endpoints.live("P1").of(key) for key in circuits}
        return ScoreRequest(
            backend=a_backend(),
            workspace="prod",
            table="abfss://lake/readings",
            delta_version=self.production.lake.readings.version(),
            day=day,
            live=live,
        ).to_bytes()

    def answered(self, request, models=None):
        opened = Opened(
            readings=self.production.lake.readings,
            registry=self.production.registry.models,
            exchange=self.exchange,
        )
        return answered(asked_bytes("there", request), "request", models, lambda _: opened)


def test_an_answer_tells_of_every_circuit_and_the_log_how_many(monkeypatch):
    scored = Scored(monkeypatch)
    request = scored.request(C1, C2)
    assert scored.answered(request) == f"{DAY}: 2 circuits"
    found = read_answer(scored.left["there"], request, "there")
    assert [(each.circuit, each.issue.fallback) for each in found] == [(C1, "none"), (C2, "none")]


def test_a_circuit_that_fails_fails_the_job_after_the_answer_was_left(monkeypatch):
    scored = Scored(monkeypatch)
    request = scored.request(C1, C2, day=date(1999, 1, 1))
    with pytest.raises(DataError, match=r"P1/C1: no reading in the \d+ days before 1999-01-01; P1"):
        scored.answered(request)
    assert all(each.failed for each in read_answer(scored.left["there"], request, "there"))


def test_a_script_that_azure_runs_again_says_the_same_and_writes_nothing(monkeypatch):
    scored = Scored(monkeypatch)
    request = scored.request(C1, day=date(1999, 1, 1))
    for _ in range(2):
        with pytest.raises(DataError, match="P1/C1: no reading in the"):
            scored.answered(request)
    first = scored.left["there"]
    monkeypatch.setattr(score_job, "scored", None)
    with pytest.raises(DataError, match="P1/C1: no reading in the"):
        scored.answered(request)
    assert scored.left["there"] == first


def test_the_live_model_comes_with_the_deployment_or_not_at_all(monkeypatch, tmp_path):
    scored = Scored(monkeypatch)
    request = scored.request(C1)
    scored.answered(request, DeployedModels(tmp_path))
    (found,) = read_answer(scored.left["there"], request, "there")
    assert found.issue.fallback == "seasonal_naive"
    assert "version 1 is not what the deployment of P1/C1 brings" in found.issue.fallback_reason


def test_only_what_the_deployment_is_to_bring_is_withheld(monkeypatch):
    registry = Scored(monkeypatch).production.registry.models
    rungs = LowerRungs(registry, {C1: 1})
    with pytest.raises(ModelError):
        rungs.get(C1, 1)
    record = rungs.get(C2, 1)
    assert rungs.files(record) == registry.files(record)


def test_a_request_arrives_as_it_was_sent(monkeypatch):
    scored = Scored(monkeypatch)
    data = scored.request(C1, C2)
    found = ScoreRequest.from_bytes(data, "request")
    assert found.to_bytes() == data
    assert found.backend == a_backend()
    assert found.live[C1] == scored.production.prod.endpoints.live("P1").of(C1)
