"""Versions of ours in Azure ML that somebody else made, and those that nobody got to make."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace

import pytest
from azure.ai.ml.entities import Data, Environment, Model

from mlops_assets.adapters.azure.environment import IMAGE
from mlops_assets.adapters.azure.jobs import AzureFits
from mlops_assets.adapters.local.training_data import LocalTrainingDataStore
from mlops_assets.domain.errors import EngineError, ForeignError
from mlops_assets_tests.fakes.azure_ml import azure_ml, clients_of, environments, models
from mlops_assets_tests.fakes.azure_ml import training_data as shown_data
from mlops_assets_tests.fakes.environment import FakeEnvironmentRegistry, environment
from mlops_assets_tests.fakes.model import FakeModelRegistry, model_files, model_record
from mlops_assets_tests.fakes.training import Desk

pytestmark = pytest.mark.azure

ELSEWHERE = "azureml://datastores/dev/paths/planted/"
DATA, MODEL = "sensor_training_data_P1_C1", "sensor_model_P1_C1"
CUTOFF = date(2024, 6, 21)


@pytest.fixture
def plane():
    with azure_ml() as made:
        yield made


@pytest.fixture
def desk(plane, tmp_path):
    """An engineer whose training data and models are shown in Azure ML."""
    made = Desk("P1/C1", cutoff_date=CUTOFF)
    made.data = shown_data(plane, LocalTrainingDataStore(tmp_path / "workspaces" / "dev" / "data"))
    made.models = models(plane, made.models)
    return made


def dev_of(plane):
    return clients_of(plane, "dev").workspace("dev")


def data_by_hand(plane, version, **properties):
    asset = Data(name=DATA, version=version, type="mltable", path=ELSEWHERE, properties=properties)
    dev_of(plane).data.create_or_update(asset)


def model_by_hand(plane, name, version, path=ELSEWHERE, **properties):
    dev_of(plane).models.create_or_update(
        Model(name=name, version=version, type="custom_model", path=path, properties=properties)
    )


def environment_by_hand(plane, **how):
    dev_of(plane).environments.create_or_update(
        Environment(name="forecasting", version="1.0.0", **how)
    )


def test_data_made_by_hand_under_our_version_makes_ours_the_next_revision(plane, desk):
    data_by_hand(plane, "2024-06-21")
    outcome = desk.one()
    assert outcome.status == "trained"
    assert str(outcome.data.version) == "2024-06-21.r1"
    shown = dev_of(plane).data.get(DATA, version="2024-06-21.r1")
    assert shown.properties["content_digest"] == outcome.data.content_digest
    # Again, the content lies stored under both; the revision is the one that is shown.
    assert desk.one().data.version == outcome.data.version


def test_data_that_bear_our_digest_and_lie_elsewhere_are_not_ours(plane, desk):
    content = desk.one().data.content_digest
    with azure_ml() as other:
        data_by_hand(other, "2024-06-21", content_digest=content)
        store = shown_data(other, desk.data.stored)
        (known,) = store.versions(next(iter(desk.circuits)))
        with pytest.raises(ForeignError) as caught:
            store.show(known)
    assert str(caught.value).startswith(
        f"training data {DATA}:2024-06-21 in dev: is registered with path azureml://"
    )
    assert str(caught.value).endswith(
        "it was not made here; training takes the next revision of that date"
    )


@pytest.mark.parametrize("kind", ["data", "models"])
def test_what_a_killed_training_had_only_stored_is_shown_by_the_next(plane, desk, kind):
    """Killed between our store and Azure ML: the rerun finds the content, and shows it."""
    plane.faults.fail("PUT", f"/{kind}/", times=100)
    assert desk.one().status == "failed"
    plane.faults.clear()
    outcome = desk.one()
    assert outcome.status == ("trained" if kind == "data" else "unchanged")
    assert dev_of(plane).data.get(DATA, version="2024-06-21").path
    assert dev_of(plane).models.get(MODEL, version="1").path


def test_a_fit_that_names_data_that_are_not_there_is_refused_by_the_service(plane, desk, tmp_path):
    environments(plane, FakeEnvironmentRegistry(), tmp_path).register(environment())
    desk.one()
    (job,) = desk.engine.fitted
    place = plane.backend.workspaces["dev"]
    plane.assets.of(place).put("codes", "c", "1", {"codeUri": "https://mlops.example/c"})

    class Code:
        def id(self):
            return plane.arm_id(place, "/codes/c/versions/1")

    fits, uri = AzureFits(clients_of(plane, "dev"), Code()), "azureml://datastores/dev/paths/o"
    del plane.assets.of(place)._all["data", DATA]
    with pytest.raises(EngineError, match=f"submitting job fit-1 .* {DATA}:2024-06-21 not found"):
        fits.submit("fit-1", job, order=uri, outcome=uri, seconds=60.0)


def test_a_model_made_by_hand_under_our_version_makes_ours_the_next_and_says_so(plane, desk):
    model_by_hand(plane, MODEL, "1")
    said = []
    progress = SimpleNamespace(begin=lambda *_: None, advance=lambda *_: None, say=said.append)
    outcome = desk.one(progress=progress)
    assert (outcome.status, outcome.record.version) == ("trained", 2)
    assert said[-1] == (
        f"model {MODEL}:1 in dev: is registered with no model_digest: it was not made here; "
        "training takes the next version"
    )
    assert dev_of(plane).models.get(MODEL, version="2").properties["model_digest"]
    assert (desk.one().status, desk.one().record.version) == ("unchanged", 2)


def test_a_number_taken_while_our_process_was_dead_is_passed_over_by_the_next(plane, desk):
    plane.faults.fail("PUT", "/models/", times=100)
    assert desk.one().status == "failed"
    plane.faults.clear()
    model_by_hand(plane, MODEL, "1")
    outcome = desk.one()
    assert (outcome.status, outcome.record.version) == ("unchanged", 2)
    assert dev_of(plane).models.get(MODEL, version="2").properties["model_digest"]


def test_numbers_that_are_all_taken_fail_the_circuit_with_the_reason(plane, desk):
    for version in range(1, 10):
        model_by_hand(plane, MODEL, str(version))
    outcome = desk.one()
    assert outcome.status == "failed"
    assert outcome.reason.startswith(f"model {MODEL}:5 in dev: is registered with no model_digest")


def test_a_conflict_that_shows_nothing_is_no_success(plane, desk):
    plane.faults.fail("PUT", "/models/", status=409, times=100)
    outcome = desk.one()
    assert outcome.status == "failed"
    assert outcome.reason.startswith(f"registering model {MODEL}:1 in dev: ")


def test_a_model_that_bears_our_digests_and_lies_elsewhere_is_not_ours(plane):
    files, stored = model_files(), FakeModelRegistry()
    with azure_ml() as other:
        models(other, FakeModelRegistry()).register(model_record(files), files)
        theirs = dev_of(other).models.get("sensor_model_P001_C001", version="1").properties
    model_by_hand(plane, "sensor_model_P001_C001", "1", **theirs)
    with pytest.raises(ForeignError, match=r"is registered with path azureml://.*planted"):
        models(plane, stored).register(model_record(files), files)


CONDA = {
    "name": "forecasting",
    "channels": ["conda-forge"],
    "dependencies": ["python=3.11", "pip", {"pip": ["numpy==6.6.6 --hash=sha256:66"]}],
}


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"image": "planted.azurecr.io/any:1"}, "image planted.azurecr.io/any:1"),
        ({"image": IMAGE, "conda_file": CONDA}, "other packages"),
        ({"image": IMAGE}, "other packages"),
    ],
)
@pytest.mark.parametrize("shared", [False, True])
def test_an_environment_of_another_image_or_other_packages_is_not_ours_whatever_it_bears(
    plane, tmp_path, how, why, shared
):
    with azure_ml() as other:
        environments(other, FakeEnvironmentRegistry(), tmp_path / "o").register(environment())
        theirs = dev_of(other).environments.get("forecasting", version="1.0.0").properties
    environment_by_hand(plane, properties=dict(theirs), **how)
    registry = environments(plane, FakeEnvironmentRegistry(), tmp_path, shared=shared)
    with pytest.raises(ForeignError) as caught:
        registry.register(environment())
    assert str(caught.value) == (
        f"environment forecasting:1.0.0 in dev: is registered with {why}: it was not made here; "
        "find out who made it, and give the environment its next version in config/environments"
    )
    assert not plane.registry.has("environments", "forecasting", "1.0.0")


def test_an_environment_without_our_properties_is_not_ours(plane, tmp_path):
    environment_by_hand(plane, image=IMAGE, conda_file=CONDA)
    with pytest.raises(ForeignError, match="is registered with no environment_digest"):
        environments(plane, FakeEnvironmentRegistry(), tmp_path).register(environment())


def test_a_copy_in_the_registry_of_another_image_is_not_ours(plane, tmp_path):
    registry = environments(plane, FakeEnvironmentRegistry(), tmp_path, shared=True)
    registry.register(environment())
    copy = plane.registry.assets._all["environments", "forecasting"]["1.0.0"]["properties"]
    copy["image"] = "planted.azurecr.io/any:1"
    with pytest.raises(ForeignError, match="in the registry: is registered with image planted"):
        registry.register(environment())


def test_a_later_version_of_this_program_keeps_what_was_made_and_makes_no_other(plane, tmp_path):
    registry = environments(plane, FakeEnvironmentRegistry(), tmp_path, shared=True)
    registry.register(environment())
    later = "polars==3.0.0 --hash=sha256:33\n"
    after = environments(plane, FakeEnvironmentRegistry(), tmp_path, shared=True, lock=later)
    after.register(environment())
    shown = dev_of(plane).environments.get("forecasting", version="1.0.0")
    assert any("polars==2.1.0" in line for line in shown.conda_file["dependencies"][2]["pip"])


def test_what_dev_alone_says_of_an_environment_reaches_no_registry(plane, tmp_path):
    """Dev's record and dev's asset may be of one hand; the releasing identity makes its own."""
    theirs = "polars==2.1.0 --hash=sha256:66\n"
    environments(plane, FakeEnvironmentRegistry(), tmp_path, lock=theirs).register(environment())
    with pytest.raises(ForeignError, match="another version of this program; give the environment"):
        environments(plane, FakeEnvironmentRegistry(), tmp_path, shared=True).register(
            environment()
        )
    assert not plane.registry.has("environments", "forecasting", "1.0.0")


def test_a_record_that_lacks_the_packages_of_its_environment_is_refused(plane, tmp_path):
    wanted = environment()
    environments(plane, FakeEnvironmentRegistry(), tmp_path).register(wanted)
    (record,) = (tmp_path / "dev").rglob("1.0.0.json")
    record.chmod(0o644)
    record.write_bytes(record.read_bytes().replace(b"numpy==2.0.0", b"numpy==2.0.1"))
    with pytest.raises(ForeignError, match=r"1\.0\.0\.json: is not made of forecasting:1\.0\.0"):
        environments(plane, FakeEnvironmentRegistry(), tmp_path).register(wanted)
