"""What any store of training data must do."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from mlops_assets.adapters.local.training_data import LocalTrainingDataStore
from mlops_assets.adapters.tree.training_data import TreeTrainingDataStore
from mlops_assets.domain.errors import DataError, StaleError
from mlops_assets.domain.identifiers import CircuitKey, DataVersion
from mlops_assets.domain.training_data import TrainingData, content_digest
from mlops_assets_tests.fakes.readings import readings
from mlops_assets_tests.fakes.training_data import FakeTrainingDataStore

KEY = CircuitKey("P1", "C1")


@pytest.fixture(params=["local", "fake", pytest.param("azure", marks=pytest.mark.azure)])
def store(request, tmp_path):
    if request.param == "azure":
        from mlops_assets_tests.fakes.azure_ml import azure_ml, training_data

        with azure_ml() as plane:
            tree = request.getfixturevalue("azurite").tree("workspaces/dev/data")
            yield training_data(plane, TreeTrainingDataStore(tree))
    else:
        local = LocalTrainingDataStore(tmp_path / "workspaces" / "dev" / "data")
        yield FakeTrainingDataStore() if request.param == "fake" else local


def some(values=(1.0, 2.0), revision=0):
    rows = readings(list(values)).select("plant_id", "circuit_id", "timestamp", "value")
    moments = rows["timestamp"].to_list()
    data = TrainingData(
        circuit=KEY,
        version=DataVersion(date(2024, 6, 21), revision),
        content_digest=content_digest(rows),
        delta_version=3,
        rows=len(rows),
        cutoff_date=date(2024, 6, 21),
        timezone="UTC",
        first_timestamp=moments[0],
        last_timestamp=moments[-1],
        columns=tuple(rows.columns),
        path="",
    )
    return data, rows


def test_what_was_registered_is_given_back(store):
    data, rows = some()
    registered = store.register(data, rows)
    assert registered == replace(data, path=registered.path)
    assert registered.path.endswith("P1/C1/2024-06-21")
    assert store.get(KEY, data.version) == registered
    assert store.rows(registered).equals(rows)


def test_the_same_content_again_is_the_same_asset(store):
    data, rows = some()
    first = store.register(data, rows)
    later = replace(data, delta_version=9)
    assert store.register(later, rows.reverse()) == first


def test_other_content_under_a_version_is_refused(store):
    store.register(*some())
    with pytest.raises(StaleError, match="2024-06-21 holds other rows"):
        store.register(*some(values=(1.0, 3.0)))


def test_rows_that_are_not_those_of_the_digest_are_refused(store):
    data, _ = some()
    with pytest.raises(DataError, match="not those of its digest"):
        store.register(data, some(values=(7.0, 8.0))[1])


def test_versions_are_told_oldest_first_and_10_after_9(store):
    assert store.versions(KEY) == ()
    for revision in (10, 0, 9):
        store.register(*some(values=(float(revision), 1.0), revision=revision))
    assert [data.version.revision for data in store.versions(KEY)] == [0, 9, 10]


def test_an_asset_that_is_not_there_is_named(store):
    with pytest.raises(DataError, match=r"P1/C1: there is no training data 2024-06-21"):
        store.get(KEY, DataVersion(date(2024, 6, 21)))
