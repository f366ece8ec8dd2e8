"""Who may do what: the templates give exactly what the settings and the control plane say."""

from __future__ import annotations

import re

import pytest

from mlops_assets.settings.access import ACCESS
from mlops_assets.settings.azure import CONTAINERS, ROLES, WORKSPACES
from mlops_assets_tests.control_plane.roles import RULES
from mlops_assets_tests.infra.deployed import CONTRIBUTOR, PULL, PUSH, QUEUES, READER, TABLES, of
from mlops_assets_tests.infra.published import templates

pytestmark = pytest.mark.azure


def test_no_key_opens_any_account_and_nothing_is_public():
    for private in (False, True):
        accounts = of(templates(private=private), "Microsoft.Storage/storageAccounts")
        assert len(accounts) == 1 + len(WORKSPACES)
        for each in accounts.values():
            about = each["properties"]
            assert about["allowSharedKeyAccess"] is False
            assert about["allowBlobPublicAccess"] is False
            assert about["supportsHttpsTrafficOnly"] is True
            assert about["networkAcls"]["defaultAction"] == ("Deny" if private else "Allow")


def test_whoever_writes_or_deletes_in_the_lake_is_logged(open_ones):
    (setting,) = [each for each in open_ones["storage"].resources
                  if each["type"] == "Microsoft.Insights/diagnosticSettings"]  # fmt: skip
    assert setting["scope"].endswith("/storageAccounts/northwindlake/blobServices/default")
    logged = {each["category"] for each in setting["properties"]["logs"] if each["enabled"]}
    assert logged == {"StorageWrite", "StorageDelete"}


def test_no_two_workspaces_share_what_one_of_them_could_read_or_change(every):
    spaces = of(every, "Microsoft.MachineLearningServices/workspaces").values()
    for part in ("storageAccount", "keyVault", "containerRegistry"):
        assert len({each["properties"][part] for each in spaces}) == len(WORKSPACES)
    for each in spaces:
        assert each["properties"]["systemDatastoresAuthMode"] == "Identity"
    for each in of(every, "Microsoft.ContainerRegistry/registries").values():
        assert each["properties"]["adminUserEnabled"] is False


@pytest.mark.parametrize("private", [False, True])
def test_a_cluster_reaches_the_store_and_the_images_of_its_own_workspace_alone(private):
    found = _grants(templates(private=private))
    places = [f"northwind{workspace}{part}" for workspace in WORKSPACES
              for part in ("store", "images")]  # fmt: skip
    build = PUSH if private else PULL
    assert {key: roles for key, roles in found.items() if key[1] in places} == {
        (workspace, f"northwind{workspace}{part}"): roles
        for workspace in WORKSPACES
        for part, roles in (("store", {CONTRIBUTOR, QUEUES, TABLES}), ("images", {build}))
    }


def _grants(open_ones):
    """What each identity gets: (role, scope's last name) by id of the Azure role."""
    found = {}
    for each in open_ones["access"].resources:
        if each["type"].endswith("/roleAssignments") and "scope" in each:
            who = re.search(
                r"userAssignedIdentities/northwind-(\w+)", each["properties"]["principalId"]
            )
            role = each["properties"]["roleDefinitionId"].rpartition("/")[2]
            key = (who[1] if who else "synapse", each["scope"].rpartition("/")[2])
            found.setdefault(key, set()).add(role)
    return found


def test_each_identity_gets_of_the_lake_exactly_what_the_settings_say(open_ones):
    given = {
        key: roles & {READER, CONTRIBUTOR}
        for key, roles in _grants(open_ones).items()
        if key[1] in CONTAINERS and key[0] != "synapse"
    }
    right = {"read": {READER}, "write": {CONTRIBUTOR}}
    assert given == {
        (role, container): right[how]
        for role, parts in ACCESS.items()
        for container, how in parts.items()
    }


def test_only_the_etl_writes_readings_and_production_changes_nothing_that_models_learn_from():
    writers = {c: {r for r in ROLES if ACCESS[r].get(c) == "write"} for c in CONTAINERS}
    assert writers["raw"] == writers["lake"] == {"etl"}
    assert writers["forecasts"] == writers["prod"] == {"prod"}
    assert writers["registry"] == {"release"}
    assert writers["test"] == {"test"}
    assert "prod" not in writers["dev"]
    assert "dev" not in ACCESS["prod"]


def test_what_runs_before_anybody_approved_it_reads_containers_and_nothing_more(open_ones):
    given = {place: roles for (who, place), roles in _grants(open_ones).items() if who == "review"}
    assert set(given) == set(ACCESS["review"])
    assert all(roles == {READER} for roles in given.values())


def test_who_serves_may_do_what_the_control_plane_lets_it_and_no_more(open_ones):
    kind = "Microsoft.Authorization/roleDefinitions"
    serving, asking = sorted(
        of(open_ones, kind).values(), key=lambda one: one["properties"]["roleName"], reverse=True
    )
    assert asking["properties"]["permissions"][0]["actions"] == [
        "Microsoft.Authorization/permissions/read"
    ]
    (permission,) = serving["properties"]["permissions"]
    for role in ("test", "prod"):
        (grant,) = [each for each in RULES[role] if each.scope == role]
        assert set(permission["actions"]) == set(grant.actions)
        assert serving["name"] in _grants(open_ones)[role, f"northwind-{role}"]
    assert {who for (who, _), roles in _grants(open_ones).items() if serving["name"] in roles} == {
        "test",
        "prod",
    }


def test_a_workspace_has_the_datastores_that_its_cluster_may_read(open_ones):
    kind = "Microsoft.MachineLearningServices/workspaces"
    for each in open_ones["workspaces"].resources:
        if each["type"] == f"{kind}/datastores":
            role = each["name"].partition("/")[0].removeprefix("northwind-")
            container = each["properties"]["containerName"]
            assert container in ACCESS[role]
            assert each["properties"]["credentials"] == {"credentialsType": "None"}
        if each["type"] == f"{kind}/computes":
            role = each["name"].partition("/")[0].removeprefix("northwind-")
            (identity,) = each["identity"]["userAssignedIdentities"]
            assert identity.endswith(f"/northwind-{role}")


def test_every_identity_is_printed_by_the_ids_that_the_steps_need(open_ones):
    names = {each["name"].removeprefix("northwind-") for each in open_ones["identities"].resources}
    assert set(open_ones["identities"].outputs()) == {
        f"{name}{part}" for name in names for part in ("ClientId", "PrincipalId", "Id")
    }
