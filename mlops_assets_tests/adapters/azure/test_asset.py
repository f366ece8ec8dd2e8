"""Assets in Azure ML: said once, as our stores hold them, and never another in their place."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import pytest
import yaml

from mlops_assets.adapters.azure import model
from mlops_assets.adapters.azure.environment import packages
from mlops_assets.adapters.local.training_data import LocalTrainingDataStore
from mlops_assets.domain.errors import EngineError, ForeignError, RefusedError
from mlops_assets.domain.identifiers import CircuitKey, DataVersion, sha256
from mlops_assets.domain.training_data import TrainingData, content_digest
from mlops_assets_tests.fakes.azure_ml import (
    azure_ml,
    clients_of,
    environments,
    models,
    training_data,
)
from mlops_assets_tests.fakes.environment import FakeEnvironmentRegistry, environment
from mlops_assets_tests.fakes.model import FakeModelRegistry, model_files, model_record
from mlops_assets_tests.fakes.readings import readings

pytestmark = pytest.mark.azure

FILES = model_files()
NAME = "sensor_model_P001_C001"


@pytest.fixture
def plane():
    with azure_ml() as made:
        yield made


@pytest.fixture
def stored():
    return FakeModelRegistry()


def puts(plane, kind):
    """What was registered: the path's end and the body of each PUT."""
    return [
        (call.request.path.split(f"/{kind}/")[1], json.loads(call.request.body))
        for call in plane.calls
        if call.request.method == "PUT" and f"/{kind}/" in call.request.path
    ]


def imports(plane):
    return [call for call in plane.calls if call.request.path.endswith("/import")]


def test_training_data_is_an_mltable_asset_whose_version_is_its_cutoff_date(plane, tmp_path):
    rows = readings([1.0, 2.0]).select("plant_id", "circuit_id", "timestamp", "value")
    moments = rows["timestamp"].to_list()
    data = TrainingData(
        circuit=CircuitKey("P1", "C1"),
        version=DataVersion(date(2024, 6, 21)),
        content_digest=content_digest(rows),
        delta_version=125,
        rows=2,
        cutoff_date=date(2024, 6, 21),
        timezone="Europe/Vienna",
        first_timestamp=moments[0],
        last_timestamp=moments[-1],
        columns=tuple(rows.columns),
        path="",
    )
    stored = LocalTrainingDataStore(tmp_path / "workspaces" / "dev" / "data")
    registered = training_data(plane, stored).register(data, rows)
    ((path, body),) = puts(plane, "data")
    assert path == "sensor_training_data_P1_C1/versions/2024-06-21"
    properties = body["properties"]
    assert properties["dataType"] == "mltable"
    assert properties["dataUri"] == f"azureml://datastores/dev/paths/{registered.path[15:]}/"
    assert properties["properties"] == {
        "content_digest": data.content_digest,
        "delta_version": "125",
    }
    assert properties["tags"] == {
        "plant": "P1",
        "circuit": "C1",
        "sensor_id": "SENSOR_P1_C1",
        "cutoff_date": "2024-06-21",
        "timezone": "Europe/Vienna",
        "delta_version": "125",
        "rows": "2",
    }


def test_a_model_is_a_custom_model_with_our_version_our_tags_and_its_digest(plane, stored):
    record = models(plane, stored).register(model_record(FILES, version=12), FILES)
    ((path, body),) = puts(plane, "models")
    assert path == f"{NAME}/versions/12"
    properties = body["properties"]
    assert properties["modelType"] == "custom_model"
    assert properties["modelUri"].endswith(
        "/workspaces/mlops-dev/datastores/dev/paths/models/P001/C001/12"
    )
    assert properties["properties"]["model_digest"] == record.digest
    assert properties["tags"] == {"plant": "P001", "circuit": "C001", **record.tags}


def test_registering_again_asks_and_changes_nothing(plane, stored):
    registry = models(plane, stored, shared=True)
    for _ in range(3):
        registry.register(model_record(FILES), FILES)
    assert len(puts(plane, "models")) == 1
    assert len(imports(plane)) == 1


def test_what_a_killed_process_had_only_stored_is_registered_by_whoever_needs_it(plane, stored):
    stored.register(model_record(FILES), FILES)
    shared = models(plane, stored, shared=True)
    shared.register(model_record(FILES), FILES)
    place = plane.assets.of("mlops-dev")
    assert place.find("models", NAME, "1")["properties"]["modelType"] == "custom_model"
    assert plane.registry.has("models", NAME, "1")


def test_another_model_under_our_version_is_refused_and_named(plane, stored):
    other = {"modelType": "custom_model", "modelUri": "azureml://datastores/dev/paths/x"}
    properties = {"properties": {"model_digest": "f" * 64}}
    plane.assets.of("mlops-dev").put("models", NAME, "1", other | properties)
    with pytest.raises(ForeignError) as caught:
        models(plane, stored).register(model_record(FILES), FILES)
    digest = model_record(FILES).digest
    assert str(caught.value) == (
        f"model {NAME}:1 in dev: is registered with model_digest ffffffffffff, not {digest[:12]}: "
        "it was not made here; training takes the next version"
    )


@pytest.mark.parametrize(
    ("fault", "method", "path"),
    [
        ("throttle", "PUT", "/models/"),
        ("fail", "PUT", "/models/"),
        ("lose_answer", "PUT", "/models/"),
        ("throttle", "POST", "/import"),
        ("fail", "POST", "/import"),
        ("throttle", "GET", "/versions/"),
        ("fail", "GET", "discovery"),
    ],
)
def test_a_model_reaches_the_registry_through_a_service_that_breaks(
    plane, stored, fault, method, path
):
    getattr(plane.faults, fault)(method, path, times=2)
    models(plane, stored, shared=True).register(model_record(FILES), FILES)
    assert plane.registry.has("models", NAME, "1")


@pytest.mark.parametrize("fault", ["lose_answer", "fail_after"])
def test_an_import_whose_answer_was_lost_is_waited_for_and_no_second_copy(plane, stored, fault):
    plane.latency.copy = 20.0
    getattr(plane.faults, fault)("POST", "/import", times=1)
    registry = models(plane, stored, shared=True)
    registry.register(model_record(FILES), FILES)
    assert plane.registry.has("models", NAME, "1")


def test_sixty_models_reach_the_registry_together(plane, stored):
    plane.latency.copy = 20.0
    # Twenty threads of the SDK need a while for what takes no time here at all.
    plane.clock.quiet = 0.1
    registry = replace(models(plane, stored, shared=True), gathers=True)
    circuits = [CircuitKey("P001", f"C{number:03}") for number in range(60)]
    records = [registry.register(model_record(FILES, circuit=c), FILES) for c in circuits]
    assert imports(plane) == []
    began = plane.clock.elapsed
    assert list(registry.publish(records)) == circuits
    assert plane.clock.elapsed - began < 60 * 20 / 10
    assert len(imports(plane)) == 60
    assert list(registry.publish(records)) == circuits
    assert len(imports(plane)) == 60


def test_one_copy_that_fails_stops_no_other_and_is_done_by_the_next_run(plane, stored):
    registry = replace(models(plane, stored, shared=True), gathers=True)
    circuits = [CircuitKey("P001", f"C{number}") for number in range(4)]
    records = [registry.register(model_record(FILES, circuit=c), FILES) for c in circuits]
    plane.faults.fail_update("/import/models/sensor_model_P001_C1", 1)
    with pytest.raises(EngineError, match="sensor_model_P001_C1:1 in the registry"):
        list(registry.publish(records))
    there = [plane.registry.has("models", f"sensor_model_P001_C{n}", "1") for n in range(4)]
    assert there == [True, False, True, True]
    assert list(registry.publish(records)) == circuits


def test_a_copy_that_shows_late_is_waited_for(plane, stored):
    shows = plane.faults.fail("GET", f"/registries/.*/models/{NAME}/", status=404, skip=3, times=3)
    registry = models(plane, stored, shared=True)
    registry.register(model_record(FILES), FILES)
    assert shows.met > 6
    assert len(imports(plane)) == 1


def test_an_import_that_fails_is_one_line_and_is_done_by_the_next_run(plane, stored):
    plane.faults.fail_update(f"/import/models/{NAME}", 1)
    registry = models(plane, stored, shared=True)
    with pytest.raises(EngineError) as caught:
        registry.register(model_record(FILES), FILES)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"registering model {NAME}:1 in the registry: ")
    registry.register(model_record(FILES), FILES)
    assert plane.registry.has("models", NAME, "1")


@pytest.mark.parametrize("role", ["prod", "test", "etl", "release"])
def test_only_the_identity_that_trains_registers_in_dev(plane, stored, role):
    record = stored.register(model_record(FILES), FILES)
    with pytest.raises(RefusedError) as caught:
        model.in_dev(clients_of(plane, role), stored)(record)
    assert caught.value.code == "E_FORBIDDEN"
    assert 403 in {call.status for call in plane.calls}
    assert ("models", NAME) not in plane.assets.of("mlops-dev")._all


@pytest.mark.parametrize("role", ["dev", "prod", "test"])
def test_only_the_identity_that_releases_writes_the_registry(plane, stored, role):
    record = stored.register(model_record(FILES), FILES)
    dev = model.in_dev(clients_of(plane, "dev"), stored)
    with pytest.raises(RefusedError):
        model.in_registry(clients_of(plane, role), dev)(record)
    assert not plane.registry.has("models", NAME, "1")


def test_an_environment_holds_its_packages_and_what_this_program_needs_each_with_hashes(
    plane, tmp_path
):
    wanted = environment("forecasting:1.5.0")
    environments(plane, FakeEnvironmentRegistry(), tmp_path).register(wanted)
    ((path, body),) = puts(plane, "environments")
    assert path == "forecasting/versions/1.5.0"
    properties = body["properties"]
    conda = yaml.safe_load(properties["condaFile"])
    python, pip, listed = conda["dependencies"]
    assert (python, pip) == ("python=3.11", "pip")
    assert listed["pip"] == [
        f"numpy==2.0.0 --hash={wanted.packages[0].hashes[0]}",
        "polars==2.1.0 --hash=sha256:00",
    ]
    assert properties["tags"]["requires_retrain"] == "false"
    recipe = (tmp_path / "dev" / "forecasting" / "1.5.0.json").read_bytes()
    assert properties["properties"] == {
        "environment_digest": wanted.digest,
        "recipe_digest": sha256(recipe),
    }


def test_the_environments_own_package_comes_before_the_locks():
    lock = """\
numpy==1.0.0 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via pandas
typing_extensions==4.0 ; python_version < "3.12" \\
    --hash=sha256:cc
"""
    wanted = environment()
    assert packages(wanted, lock) == (
        f"numpy==2.0.0 --hash={wanted.packages[0].hashes[0]}",
        'typing_extensions==4.0 ; python_version < "3.12" --hash=sha256:cc',
    )


def test_an_environment_reaches_the_registry_once(plane, tmp_path):
    registry = environments(plane, FakeEnvironmentRegistry(), tmp_path, shared=True)
    for _ in range(2):
        registry.register(environment())
    assert len(imports(plane)) == 1
    assert plane.registry.has("environments", "forecasting", "1.0.0")


def test_a_registry_that_brings_other_bytes_than_it_was_given_is_refused(plane, stored):
    registry = models(plane, stored, shared=True)
    record = registry.register(model_record(FILES), FILES)
    found = plane.registry.assets._all["models", NAME]["1"]["properties"]
    found["properties"] = {**found["properties"], "model_digest": "0" * 64}
    with pytest.raises(ForeignError, match="in the registry: is registered with model_digest 000"):
        registry.show(replace(record))
