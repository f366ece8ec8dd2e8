"""What a batch endpoint runs fails loudly: every line that Azure's log may hold."""

from __future__ import annotations

import json
from datetime import date

import pytest

from mlops_assets import score_job
from mlops_assets.adapters.azure import place
from mlops_assets.domain.errors import DataError, ModelError
from mlops_assets.domain.identifiers import CircuitKey, canonical_json, digest_of_files, sha256
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


def there(request):
    """Where the answer to a request goes."""
    return f"scoring/2024-06-24/plant-p1/circuit-c1-a/{sha256(request)[:16]}/1/outcome/outcome"


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
            delta_version=self.production.lake.readings.version(),
            day=day,
            live=live,
        ).to_bytes()

    def answered(self, request, models=None, *, answer=None, environ=None):
        opened = Opened(
            readings=self.production.lake.readings,
            registry=self.production.registry.models,
            exchange=self.exchange,
        )
        asked = asked_bytes(answer or there(request), request)
        return answered(asked, "request", models, lambda: opened, environ or {})


def test_an_answer_tells_of_every_circuit_and_the_log_how_many(monkeypatch):
    scored = Scored(monkeypatch)
    request = scored.request(C1, C2)
    assert scored.answered(request) == f"{DAY}: 2 circuits"
    found = read_answer(scored.left[there(request)], request, "there")
    assert [(each.circuit, each.issue.fallback) for each in found] == [(C1, "none"), (C2, "none")]


def test_a_circuit_that_fails_fails_the_job_after_the_answer_was_left(monkeypatch):
    scored = Scored(monkeypatch)
    request = scored.request(C1, C2, day=date(1999, 1, 1))
    with pytest.raises(DataError, match=r"P1/C1: no reading in the \d+ days before 1999-01-01; P1"):
        scored.answered(request)
    assert all(each.failed for each in read_answer(scored.left[there(request)], request, "there"))


def test_a_script_that_azure_runs_again_says_the_same_and_writes_nothing(monkeypatch):
    scored = Scored(monkeypatch)
    request = scored.request(C1, day=date(1999, 1, 1))
    for _ in range(2):
        with pytest.raises(DataError, match="P1/C1: no reading in the"):
            scored.answered(request)
    first = scored.left[there(request)]
    monkeypatch.setattr(score_job, "scored", None)
    with pytest.raises(DataError, match="P1/C1: no reading in the"):
        scored.answered(request)
    assert scored.left[there(request)] == first


def test_the_live_model_comes_with_the_deployment_or_not_at_all(monkeypatch, tmp_path):
    scored = Scored(monkeypatch)
    request = scored.request(C1)
    scored.answered(request, DeployedModels(tmp_path))
    (found,) = read_answer(scored.left[there(request)], request, "there")
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
    assert found.live[C1] == scored.production.prod.endpoints.live("P1").of(C1)


@pytest.mark.parametrize(
    "answer",
    [
        "there",
        "slots/0/x",
        "scoring/2024-06-24/plant-p1/circuit-c1-a/0123456789abcdef/1/outcome/outcome",
        "scoring/../../../../ledger/log.jsonl/1/outcome/outcome",
    ],
)
def test_an_answer_goes_nowhere_but_to_its_request(monkeypatch, answer):
    scored = Scored(monkeypatch)
    with pytest.raises(DataError, match="request: its answer does not go where answers to it go"):
        scored.answered(scored.request(C1), answer=answer)
    assert scored.left == {}


@pytest.mark.parametrize("variable", ["AZUREML_ROOT_RUN_ID", "AZUREML_RUN_ID"])
def test_a_request_that_was_changed_after_its_job_was_ordered_is_not_scored(monkeypatch, variable):
    scored = Scored(monkeypatch)
    ordered, other = scored.request(C1), scored.request(C1, C2)
    job = {variable: f"score-{DAY}-{sha256(ordered)[:16]}-1"}
    with pytest.raises(DataError, match=f"request: is not the request of job {job[variable]}"):
        scored.answered(other, environ=job)
    assert scored.left == {}
    assert scored.answered(ordered, environ=job) == f"{DAY}: 1 circuits"


def test_an_old_script_reads_a_newer_request_whose_additions_it_may_leave_out(monkeypatch):
    scored = Scored(monkeypatch)
    document = json.loads(scored.request(C1))
    document["hurry"] = True
    document["live"]["P1/C1"] |= {"colour": "red"}
    document["live"]["P1/C1"]["serving"] |= {"shape": "round"}
    assert scored.answered(canonical_json(document)) == f"{DAY}: 1 circuits"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"format": 3}, "request: has format 3, this script reads 2"),
        ({"day": None}, "request: is no request to score that this script understands (TypeError"),
        ({"live": {"P1/C1": {}}}, "request: is no request to score that this script understands"),
    ],
)
def test_an_old_script_says_in_one_line_what_deploys_it_anew(monkeypatch, change, why):
    scored = Scored(monkeypatch)
    newer = canonical_json(json.loads(scored.request(C1)) | change)
    with pytest.raises(DataError) as caught:
        scored.answered(newer)
    assert str(caught.value).startswith(why)
    assert str(caught.value).endswith(
        "the next release or rollback of its plant gives the deployment this version's code"
    )
    assert "\n" not in str(caught.value)


def test_a_process_that_was_not_told_where_it_reads_says_what_deploys_it_anew(monkeypatch):
    monkeypatch.delenv(place.STORAGE, raising=False)
    with pytest.raises(DataError, match=r"MLOPS_STORAGE: say nothing .* deploys it anew"):
        score_job.open_place()


def test_what_a_deployment_is_told_is_what_it_reads():
    backend = a_backend(identities={"prod": "11111111-2222-3333-4444-555555555555"})
    found, workspace = place.told(place.variables(backend, "prod"))
    assert (found.blob_url, workspace) == (backend.blob_url, "prod")
    assert found.identities == {"prod": "11111111-2222-3333-4444-555555555555"}
    assert place.told(place.variables(a_backend(), "test"))[0].identities == {}
