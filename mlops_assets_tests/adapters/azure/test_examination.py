"""The doctor on Azure: each thing that would go wrong there is said with what mends it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlops_assets.adapters.azure import examination
from mlops_assets.adapters.azure.examination import Examination
from mlops_assets.adapters.azure.monitor import COLUMNS
from mlops_assets.settings.azure import ROLES, Cloud, DevOps, Monitor, Synapse
from mlops_assets_tests.control_plane import ControlPlane, PlaneTransport
from mlops_assets_tests.control_plane.authorization import AuthorizationService
from mlops_assets_tests.control_plane.devops import DevOpsService
from mlops_assets_tests.control_plane.livy import LivyService
from mlops_assets_tests.control_plane.monitor import MonitorService

pytestmark = pytest.mark.azure

RULE = "dcr-0123456789abcdef0123456789abcdef"
IDENTITIES = {role: f"{number}" * 8 + "-0000-0000-0000-000000000000" for number, role in
              enumerate(ROLES, 1)}  # fmt: skip
PLANTS = {"P001": 5, "P002": 5}


class Clinic:
    """A backend that is as `infra/` makes it, but for what a test breaks."""

    def __init__(self, account):
        self.backend = account.backend(
            identities=IDENTITIES,
            cloud=Cloud(blob=account.url),
            monitor=Monitor(ingestion="https://x.ingest.monitor.azure.com", rule=RULE),
            devops=DevOps(organization="northwind", project="forecasting", repository="config"),
        )
        self.environ = {**account.environ, "APPLICATIONINSIGHTS_CONNECTION_STRING": "set"}
        self.plane = ControlPlane(self.backend)
        self.rights = AuthorizationService(self.plane)
        self.devops = DevOpsService(self.plane, self.backend.devops)
        MonitorService(self.plane, RULE, COLUMNS, "key")
        self.signed_in = {role: role for role in ROLES}

    def ask(self, circuits=PLANTS):
        found = Examination(
            self.backend,
            self.environ,
            credentials=lambda role: self.plane.identities.credential(self.signed_in[role]),
            transport=PlaneTransport(self.plane),
        ).ask(circuits)
        return {one.gate.removeprefix("azure: "): one for one in found}

    def problem(self):
        """The only answer that is a no, by its question."""
        (bad,) = [(name, one.reason) for name, one in self.ask().items() if not one.passed]
        return bad


@pytest.fixture
def clinic(storage_account):
    made = Clinic(storage_account)
    yield made
    made.plane.close()


def test_what_infra_makes_is_well(clinic):
    found = clinic.ask()
    assert [f"{name}: {one.reason}" for name, one in found.items() if not one.passed] == []
    assert set(found) == {
        "versions", "identities", "workspaces", "clusters", "registry", "containers", "access",
        "serving", "work", "synapse", "names", "monitor", "reviews",
    }  # fmt: skip
    assert found["identities"].reason == "6 identities"
    assert found["clusters"].reason.startswith("train-cluster 0-4 STANDARD_DS3_V2, test-cluster")


def test_nothing_is_changed_by_asking(clinic):
    clinic.ask()
    assert {call.request.method for call in clinic.plane.calls} == {"GET"}


def test_an_identity_that_is_not_the_one_of_the_settings_is_named(clinic):
    clinic.signed_in["prod"] = "dev"
    name, says = next((name, one.reason) for name, one in clinic.ask().items() if not one.passed)
    assert name == "identities"
    assert says.startswith(
        f"prod is {IDENTITIES['dev']} here, not the identity {IDENTITIES['prod']}"
    )


def test_one_person_who_plays_every_role_is_told_so(clinic):
    clinic.backend = replace(clinic.backend, identities={})
    clinic.signed_in = dict.fromkeys(ROLES, "owner")
    found = clinic.ask()
    assert found["identities"].reason.startswith("one identity for every role")
    assert found["access"].reason.startswith("not asked: roles share an identity")
    assert all(one.passed for one in found.values())


@pytest.mark.parametrize(
    ("role", "lacks"),
    [
        ("etl", ()),
        ("dev", ("work",)),
        ("release", ("work",)),
        ("test", ("work",)),
        ("prod", ("work",)),
        ("review", ()),
    ],
)
def test_a_host_of_one_role_is_asked_about_that_role_alone(clinic, role, lacks):
    clinic.backend = clinic.backend.as_roles(role)
    found = clinic.ask()
    assert [f"{name}: {one.reason}" for name, one in found.items() if not one.passed] == []
    assert found["identities"].reason == f"this host is {role}, and nothing else"
    clinic.rights.given = {}
    bad = {name for name, one in clinic.ask().items() if not one.passed}
    assert bad == {"access", *lacks}


def test_a_right_that_is_missing_and_one_that_is_too_much_are_both_named(clinic):
    given = clinic.rights.given
    given["prod", "containers/lake"] = given["prod", "containers/prod"]
    given["etl", "containers/raw"] = given["dev", "containers/raw"]
    name, says = clinic.problem()
    assert name == "access"
    assert "etl may not write raw" in says
    assert "prod may write lake, and should not" in says
    assert says.endswith(": deploy infra/access.json again")


def test_a_role_that_serves_and_could_train_is_named(clinic):
    given = clinic.rights.given
    given["prod", "workspaces/dev"] = given["dev", "workspaces/dev"]
    name, says = clinic.problem()
    assert name == "serving"
    assert "prod may workspaces/jobs/write in dev" in says


@pytest.mark.parametrize(
    ("role", "place", "as_role", "says"),
    [
        ("prod", "workspaces/prod", None, "prod may not workspaces/batchEndpoints/write in "),
        ("prod", "workspaces/prod", "release", "prod may not workspaces/codes/versions/write in "),
        ("dev", "workspaces/dev", "release", "dev may not workspaces/jobs/write in mlops-dev"),
        ("release", "registries/registry", "dev", "release may not registries/assets/write in "),
        ("test", "registries/registry", None, "test may not registries/assets/read in "),
    ],
)
def test_a_role_that_may_not_do_its_own_work_is_named(clinic, role, place, as_role, says):
    given = clinic.rights.given
    like = {"workspaces/prod": "workspaces/dev"}.get(place, place)
    given[role, place] = given[as_role, like] if as_role else []
    name, told = clinic.problem()
    assert name == "work"
    assert says in told
    assert told.endswith(": deploy infra/access.json again")


def test_settings_that_name_no_repository_of_reviews_are_refused(clinic):
    clinic.backend = replace(clinic.backend, devops=None)
    name, says = clinic.problem()
    assert name == "reviews"
    assert says.startswith("the settings name no repository of Azure DevOps")


def test_a_workspace_that_is_not_there_is_named(clinic):
    clinic.backend = replace(
        clinic.backend, workspaces={**clinic.backend.workspaces, "test": "ml-gone"}
    )
    found = clinic.ask()
    assert not found["workspaces"].passed
    assert "workspace ml-gone, as test" in found["workspaces"].reason


def test_a_cluster_of_another_size_is_named(clinic):
    compute = replace(clinic.backend.compute, dev_nodes=8)
    clinic.backend = replace(clinic.backend, compute=compute)
    name, says = clinic.problem()
    assert name == "clusters"
    assert says.endswith("has 4 nodes, the settings say dev_nodes: 8")


def test_a_container_that_is_not_there_is_named(clinic, storage_account):
    with storage_account.service() as service:
        service.delete_container("forecasts")
    name, says = clinic.problem()
    assert name == "containers"
    assert says.endswith("/forecasts: there is no such container; make it as infra/ does")


def test_an_approval_that_outlives_the_next_push_is_no_evidence(clinic):
    clinic.devops.policy["resetOnSourcePush"] = False
    name, says = clinic.problem()
    assert name == "reviews"
    assert says == (
        "an approval outlives the next push: set the branch policy of refs/heads/main in Azure "
        "DevOps"
    )
    clinic.devops.policy = None
    assert clinic.problem()[1].startswith("no reviewer is required: ")


def test_a_pool_that_is_not_there_is_named(clinic):
    pool = Synapse(workspace="mlops-synapse", pool="etl")
    LivyService(clinic.plane, pool, lambda _: (0, ""))
    clinic.backend = replace(clinic.backend, synapse=pool)
    assert clinic.ask()["synapse"].reason == "mlops-synapse/etl"
    clinic.backend = replace(clinic.backend, synapse=replace(pool, pool="gone"))
    name, says = clinic.problem()
    assert name == "synapse"
    assert says.startswith("Synapse pool mlops-synapse/gone, as etl, cannot be asked: ")


def test_a_monitor_without_its_connection_is_named(clinic):
    del clinic.environ["APPLICATIONINSIGHTS_CONNECTION_STRING"]
    name, says = clinic.problem()
    assert name == "monitor"
    assert says.startswith("$APPLICATIONINSIGHTS_CONNECTION_STRING is not set")


def test_two_plants_that_would_share_an_endpoint_are_refused(clinic, monkeypatch):
    monkeypatch.setattr(examination, "endpoint_name", lambda _backend, where, _plant: where)
    assert clinic.problem() == (
        "names",
        "two plants would share an endpoint: rename one of them in config",
    )


def test_a_package_of_another_version_is_named(clinic, monkeypatch):
    wanted = {"azure-ai-ml": "2.", "azure-nothing": "1."}
    monkeypatch.setattr(examination, "PACKAGES", wanted)
    name, says = clinic.problem()
    assert name == "versions"
    assert "azure-nothing is not installed" in says
    assert "requirements-azure.lock" in says


def test_a_service_that_does_not_answer_stops_no_other_question(clinic):
    clinic.plane.faults.fail("GET", "/permissions", status=403, times=999)
    found = clinic.ask()
    bad = {name: one.reason for name, one in found.items() if not one.passed}
    assert set(bad) == {"access", "serving", "work"}
    assert all("what " in says and "cannot be asked" in says for says in bad.values())
