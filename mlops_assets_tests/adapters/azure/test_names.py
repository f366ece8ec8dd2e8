"""Names: what Azure takes, whatever ids hold, and never one name for two things."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.adapters.azure.names import (
    SLOTS,
    bundle_name,
    deployment_name,
    endpoint_name,
    home_uri,
    model_name,
    training_data_name,
)
from mlops_assets.domain.identifiers import CircuitKey, IdentifierError
from mlops_assets.settings.azure import WORKSPACES, AzureBackend

pytestmark = pytest.mark.azure

# Batch endpoints and deployments: a letter, then letters, digits and hyphens, 3 to 32 in all.
_COUNTED = re.compile(r"[a-z](?:[a-z0-9]|-(?!-)){1,30}[a-z0-9]")
_ASSET = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,254}")

ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", fullmatch=True)
# Ids that differ in what Azure forgets: case, separators, and what a long name drops.
close = st.builds(
    lambda body, marks: "P" + "".join(c + m for c, m in zip(body, marks, strict=False)),
    st.text("aAbB1", min_size=1, max_size=12),
    st.lists(st.sampled_from(["", "-", "_", "--", "__"]), min_size=12, max_size=12),
).map(lambda text: text[:32])


def backend(**changed):
    usual = {
        "subscription": "00000000-0000-0000-0000-000000000001",
        "resource_group": "forecasting",
        "location": "westeurope",
        "storage_account": "forecasts",
        "registry": "forecasting",
        "workspaces": {"dev": "ml-dev", "test": "ml-test", "prod": "ml-prod"},
    }
    return AzureBackend(**(usual | changed))


@given(ids | close, st.sampled_from(WORKSPACES))
def test_every_plant_has_a_name_that_azure_takes(plant, workspace):
    name = endpoint_name(backend(), workspace, plant)
    assert _COUNTED.fullmatch(name), name
    assert workspace in name


@given(ids | close, st.sampled_from(SLOTS))
def test_every_circuit_has_names_that_azure_takes(circuit, slot):
    assert _COUNTED.fullmatch(deployment_name(CircuitKey("P1", circuit), slot))


@given(ids | close, ids | close)
def test_assets_have_names_that_azure_takes(plant, circuit):
    key = CircuitKey(plant, circuit)
    for name in (model_name(key), training_data_name(key)):
        assert _ASSET.fullmatch(name)
        assert len(name) <= 255


@given(st.lists(ids | close, min_size=2, max_size=30, unique_by=str.casefold))
def test_two_plants_or_circuits_never_share_a_name(names):
    endpoints = {endpoint_name(backend(), "prod", name).casefold() for name in names}
    deployments = {deployment_name(CircuitKey("P1", n), s) for n in names for s in SLOTS}
    assert len(endpoints) == len(names)
    assert len(deployments) == 2 * len(names)
    assert not deployments & {bundle_name(name * 64, name * 16) for name in "0123456789abcdef"}


@given(st.lists(st.tuples(ids | close, ids | close), min_size=2, max_size=30, unique=True))
def test_two_circuits_never_share_an_asset(pairs):
    assert len({model_name(CircuitKey(*pair)) for pair in pairs}) == len(pairs)


def test_ids_that_read_alike_when_joined_are_told_apart():
    left, right = CircuitKey("P_1", "C"), CircuitKey("P", "1_C")
    assert model_name(left) != model_name(right)
    assert training_data_name(left) != training_data_name(right)


@pytest.mark.parametrize(
    "changed",
    [
        {"subscription": "00000000-0000-0000-0000-000000000002"},
        {"resource_group": "another"},
        {"workspaces": {"dev": "d", "test": "t", "prod": "ml-prod-2"}},
    ],
)
def test_the_same_plant_of_another_place_has_another_name(changed):
    here, there = backend(), backend(**changed)
    assert endpoint_name(here, "prod", "P001") != endpoint_name(there, "prod", "P001")


def test_the_same_plant_has_another_endpoint_in_test():
    assert endpoint_name(backend(), "test", "P1") != endpoint_name(backend(), "prod", "P1")


def test_a_name_stays_what_it_was_once_given():
    assert endpoint_name(backend(), "prod", "P001") == "plant-p001-prod-611a6a12"
    assert deployment_name(CircuitKey("P001", "C001"), "b") == "circuit-c001-5608f1b8-b"
    assert model_name(CircuitKey("P001", "C001")) == "sensor_model_P001_C001"
    assert training_data_name(CircuitKey("P001", "C001")) == "sensor_training_data_P001_C001"


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("workspaces/dev/models/P1/C1/7", "azureml://datastores/dev/paths/models/P1/C1/7"),
        ("workspaces/prod/code/1", "azureml://datastores/prod/paths/code/1"),
        ("registry/models/P1/C1/7", "azureml://datastores/registry/paths/models/P1/C1/7"),
    ],
)
def test_what_lies_in_a_container_is_named_by_its_datastore(path, uri):
    assert home_uri(path) == uri


def test_what_lies_elsewhere_has_no_datastore():
    with pytest.raises(IdentifierError, match="in no workspace"):
        home_uri("lake/raw/file.csv")
