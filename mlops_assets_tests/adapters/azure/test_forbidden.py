"""The identities that serve can neither train nor register, whatever program they are given to."""

from __future__ import annotations

import pytest

from mlops_assets.adapters.azure.environment import AzureEnvironmentRegistry, Recipes
from mlops_assets.adapters.azure.environment import in_dev as environment_in_dev
from mlops_assets.adapters.azure.jobs import AzureFits
from mlops_assets.adapters.azure.model import AzureModelRegistry, in_registry
from mlops_assets.adapters.azure.model import in_dev as model_in_dev
from mlops_assets.adapters.azure.training_data import AzureTrainingDataStore
from mlops_assets.adapters.local.model import LocalModelRegistry
from mlops_assets.adapters.local.training_data import LocalTrainingDataStore
from mlops_assets.adapters.local.tree import DiskTree
from mlops_assets.domain.errors import RefusedError
from mlops_assets_tests.contracts.test_training_data import some
from mlops_assets_tests.engines.test_processes import job
from mlops_assets_tests.fakes.azure_ml import a_backend, azure_ml, clients_of
from mlops_assets_tests.fakes.environment import FakeEnvironmentRegistry, environment
from mlops_assets_tests.fakes.model import model_files, model_record

pytestmark = pytest.mark.azure


class SomeCode:
    """The code of a job, as if somebody else had registered it."""

    def id(self):
        place = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices"
        return f"{place}/workspaces/mlops-dev/codes/c/versions/1"


# What the dev workspace is called where somebody else's clients are pointed at their own workspace.
PLACES = {"prod": "mlops-prod", "test": "mlops-test"}


def trainings(clients, home):
    """Everything by which training begins or registers, each with clients of one identity."""
    files = model_files()
    dev = home / "workspaces" / "dev"
    models = LocalModelRegistry(dev / "models", home)
    data = AzureTrainingDataStore(LocalTrainingDataStore(dev / "data"), clients)
    environments = AzureEnvironmentRegistry(
        FakeEnvironmentRegistry(),
        environment_in_dev(clients, Recipes(DiskTree(home), "polars==2.1.0\n")),
    )
    in_dev = AzureModelRegistry(models, model_in_dev(clients, models))
    shared = AzureModelRegistry(models, in_registry(clients, lambda record: None))
    fits = AzureFits(clients, SomeCode())
    uri = "azureml://datastores/dev/paths/a"
    return {
        "training data": lambda: data.register(*some()),
        "an environment": lambda: environments.register(environment()),
        "a model": lambda: in_dev.register(model_record(files), files),
        "a shared model": lambda: shared.register(model_record(files), files),
        "a fit": lambda: fits.submit("fit-1", job("A"), order=uri, outcome=uri, seconds=60.0),
    }


@pytest.mark.parametrize("where", ["in dev", "at home"])
@pytest.mark.parametrize("role", sorted(PLACES))
def test_who_serves_gets_403_from_every_call_that_trains_or_registers(role, where, tmp_path):
    names = {"dev": "mlops-dev", "test": "mlops-test", "prod": "mlops-prod"}
    with azure_ml(a_backend(workspaces=names)) as plane:
        clients = clients_of(plane, role)
        if where == "at home":
            # As if the settings called its own workspace dev: rights are the service's, not ours.
            clients.backend = a_backend(workspaces=names | {"dev": PLACES[role]})
        for what, train in trainings(clients, tmp_path).items():
            with pytest.raises(RefusedError) as refused:
                train()
            assert refused.value.code == "E_FORBIDDEN", what
            assert "\n" not in str(refused.value)
        assert plane.jobs.jobs == []
        written = [call for call in plane.calls if call.request.method != "GET"]
        assert {call.status for call in written} <= {403}
        assert all(call.status == 403 for call in plane.calls if call.role == "")


def test_who_trains_gets_403_where_it_would_serve_or_share(tmp_path):
    with azure_ml() as plane:
        clients, files = clients_of(plane, "dev"), model_files()
        models = LocalModelRegistry(tmp_path / "workspaces" / "dev" / "models", tmp_path)
        show = in_registry(clients, model_in_dev(clients, models))
        with pytest.raises(RefusedError, match="registries/assets/write' over scope 'registry'"):
            AzureModelRegistry(models, show).register(model_record(files), files)
        assert plane.registry.assets._all == {}
