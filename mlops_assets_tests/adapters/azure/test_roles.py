"""A host that has one role alone does its own work, and needs no more of the containers for it."""

from __future__ import annotations

from datetime import date

import pytest

from mlops_assets.flows.training_data import register
from mlops_assets.stores.azure import AzureStores
from mlops_assets_tests.fakes.clock import FakeClock
from mlops_assets_tests.fakes.readings import NOW, a_circuit, readings
from mlops_assets_tests.fakes.training_data import FakeTrainingDataStore

pytestmark = pytest.mark.azure


def stores(account, *roles):
    return AzureStores(account.backend(plays=roles or None), FakeClock(NOW), account.environ)


def test_a_host_that_is_dev_alone_pins_training_data(storage_account, monkeypatch):
    for name, value in storage_account.environ.items():
        monkeypatch.setenv(name, value)
    stores(storage_account).lake().readings.merge(readings([1.0, 2.0]), slice_id="a")
    lake, store = stores(storage_account, "dev").lake(), FakeTrainingDataStore()
    data, new = register(lake, store, a_circuit(cutoff_date=date(2024, 6, 1)), data_now=NOW)
    assert new
    assert store.rows(data)["value"].to_list() == [1.0, 2.0]
