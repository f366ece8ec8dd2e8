"""Every HTTP call that the adapters make through Azure ML's SDK: an upgrade of it shows here.

`calls.txt` holds them by what was done: method, address, api-version and body. Its api-versions are
the SDK's own and mixed, so they are pinned by the version of the SDK and by nothing else.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from pathlib import Path

import pytest

from mlops_assets.adapters.azure.code import CodeAsset
from mlops_assets.adapters.azure.exchange import BlobExchange
from mlops_assets.adapters.azure.jobs import AzureFits
from mlops_assets.adapters.azure.scoring import AzureScoring
from mlops_assets.adapters.local.model import LocalModelRegistry
from mlops_assets.adapters.local.training_data import LocalTrainingDataStore
from mlops_assets.domain.deployment import deployment_of
from mlops_assets_tests.contracts.test_training_data import some
from mlops_assets_tests.control_plane import ControlPlane, VirtualClock
from mlops_assets_tests.control_plane.execution import Outcome
from mlops_assets_tests.engines.test_processes import job
from mlops_assets_tests.fakes.azure_ml import (
    clients_of,
    endpoints,
    environments,
    models,
    training_data,
)
from mlops_assets_tests.fakes.deployment import FakeEndpoints, a_release, an_entry
from mlops_assets_tests.fakes.environment import FakeEnvironmentRegistry, environment
from mlops_assets_tests.fakes.model import CIRCUIT, model_files, model_record

pytestmark = pytest.mark.azure

RECORDED = Path(__file__).with_name("calls.txt")
SAID_SHORTER = (
    (r"/subscriptions/[\w-]+/resource[Gg]roups/[\w-]+/providers/[\w.]+", ""),
    (r"//subscriptions/[\w-]+/resource[Gg]roups/[\w-]+/workspaces", "//WORKSPACES"),
    (r"/subscriptions/[\w-]+/providers/[\w.]+", ""),
    (r"https?://127\.0\.0\.1:\d+/mlops\d+|https://mlops\d+\.blob\.[\w.]+", "ACCOUNT"),
    (r"\bmlops\d{3}\b", "ACCOUNT"),
    (r"mlops-assets-[0-9a-f]{16}", "mlops-assets-DIGEST"),
    (r"/code/[0-9a-f]{16}", "/code/DIGEST"),
    (r"hash=[0-9a-f]{64}", "hash=DIGEST"),
    (r"-[0-9a-f]{16}\b", "-DIGEST"),
    (r"/workspaces/[0-9a-f-]{36}/", "/workspaces/GUID/"),
)
# Where the SDK finds that it is run within a git repository, it tells of it.
OF_GIT = re.compile(r"azureml\.git\.|mlflow\.source\.git\.")


class Recorder:
    """What is called, under the title of what is done."""

    def __init__(self, plane):
        self._plane, self.lines, self._begun = plane, [], 0

    def done(self, title):
        """Say what the calls since the last title were for."""
        self.lines += ["", f"# {title}"]
        for call in self._plane.calls[self._begun :]:
            request = call.request
            self.lines.append(f"{request.method} {shorter(request.url)} -> {call.status}")
            if deployment := request.headers.get("azureml-model-deployment"):
                self.lines.append(f"    azureml-model-deployment: {deployment}")
            if request.body:
                body = shorter(json.dumps(without_git(request.json), sort_keys=True))
                self.lines.append(f"    {body}")
        self._begun = len(self._plane.calls)


def await_end_of(plane, verb):
    """Wait for the questions that the SDK asks in a thread of its own after one verb."""
    end = time.monotonic() + 120
    while plane.calls[-1].status != 200 or plane.calls[-1].request.path.endswith(verb):
        assert time.monotonic() < end
        time.sleep(0.01)


def shorter(text):
    for pattern, word in SAID_SHORTER:
        text = re.sub(pattern, word, text)
    return text


def without_git(body):
    properties = (body.get("properties") or {}).get("properties")
    for name in [name for name in properties or {} if OF_GIT.match(name)]:
        del properties[name]
    return body


@pytest.fixture
def plane(storage_account):
    plane = ControlPlane(storage_account.backend(), clock=VirtualClock(quiet=0.0))
    plane.jobs.execute = lambda plane, job: Outcome(0, "")
    yield plane
    plane.close()


def test_every_call_is_the_one_that_was_recorded(plane, storage_account, tmp_path):
    recorder, dev = Recorder(plane), tmp_path / "workspaces" / "dev"
    training_data(plane, LocalTrainingDataStore(dev / "data")).register(*some())
    recorder.done("training data is registered in dev")
    wanted = environment()
    environments(plane, FakeEnvironmentRegistry(), tmp_path).register(wanted)
    recorder.done("an environment is registered in dev")
    environments(plane, FakeEnvironmentRegistry(), tmp_path, shared=True).register(wanted)
    recorder.done("and shared to the registry")
    files = model_files()
    stored, record = LocalModelRegistry(dev / "models", tmp_path), model_record(files)
    models(plane, stored).register(record, files)
    recorder.done("a model is registered in dev")
    models(plane, LocalModelRegistry(dev / "models", tmp_path), shared=True).register(
        model_record(files), files
    )
    recorder.done("and shared to the registry")

    clients = clients_of(plane, "dev")
    exchange = BlobExchange(storage_account.blobs("dev", "jobs"))
    fits = AzureFits(clients, CodeAsset(clients, "dev", storage_account.blobs("dev", "code")))
    fits.look("fit-never")
    recorder.done("a job that is not there is asked after")
    places = {"order": exchange.uri("a/order"), "outcome": exchange.uri("a/1")}
    fits.submit("fit-p001-a-1", job("A"), seconds=3600.0, **places)
    recorder.done("a fit is submitted, the first one with its code")
    fits.submit("fit-p001-a-2", job("A"), seconds=3600.0, **places)
    recorder.done("and another")
    plane.jobs.find("mlops-dev", "fit-p001-a-1").status = "Running"
    fits.cancel("fit-p001-a-1")
    await_end_of(plane, "cancel")
    recorder.done("a job is canceled")

    serving = endpoints(plane, FakeEndpoints())
    manifest = a_release(an_entry(CIRCUIT, digest=record.digest))
    deployment = deployment_of(
        manifest.entries[0], release=manifest.release, release_digest=manifest.digest
    )
    assert serving.prepare([deployment]) == {}
    recorder.done("a plant's endpoint and a deployment are made")
    served = serving.served_by(deployment)
    recorder.done("what serves a deployment is asked")
    scoring = AzureScoring(clients_of(plane, "prod"), "prod", lambda deployment: served)
    asked = "azureml://datastores/prod/paths/asked"
    scoring.invoke("score-1", scoring.place(deployment), request=asked)
    recorder.done("it is invoked")
    scoring.look("score-1")
    recorder.done("its job is asked after")

    found = "\n".join(recorder.lines).strip() + "\n"
    (tmp_path / "calls.txt").write_text(found, encoding="utf-8")
    assert found == RECORDED.read_text(encoding="utf-8"), (
        f"the SDK calls otherwise; where that is right, copy {tmp_path}/calls.txt to {RECORDED}"
    )


def test_what_was_recorded_needs_no_call_that_the_control_plane_does_not_check():
    """Each kind of call of the adapters is there, so that none drifts unseen."""
    text = RECORDED.read_text(encoding="utf-8")
    kinds = Counter(line.split(" ")[0] for line in text.splitlines() if " -> " in line)
    assert set(kinds) == {"GET", "PUT", "POST"}
    parts = "data models environments codes jobs import batchEndpoints deployments cancel discovery"
    for part in (*(f"/{part}" for part in parts.split()), ".inference."):
        assert part in text
