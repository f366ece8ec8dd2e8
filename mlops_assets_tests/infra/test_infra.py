"""The templates of `infra/`: as Azure publishes its resources, and as the platform expects them."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import pytest
import yaml

from mlops_assets.adapters.azure.monitor import COLUMNS
from mlops_assets.domain.monitor import GAUGES
from mlops_assets.settings.access import ACCESS
from mlops_assets.settings.azure import CONTAINERS, ROLES, WORKSPACES, Monitor, read_azure
from mlops_assets_tests.control_plane.roles import RULES
from mlops_assets_tests.infra.published import REQUIRED, load, problems, templates
from mlops_assets_tests.infra.template import FOLDER, Template, resource_id

pytestmark = pytest.mark.azure

# The order in which docs/azure.md deploys them.
ORDER = (
    "monitor", "storage", "identities", "network", "workspaces", "synapse", "endpoints", "access",
    "alerts",
)  # fmt: skip
PUBLISHED = load()
# The identifiers of Azure's own roles, as it publishes them.
READER, CONTRIBUTOR = (
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
)
SECONDS = {"PT15M": 900, "PT30M": 1800, "PT1H": 3600, "PT2H": 7200, "PT6H": 21600,
           "PT12H": 43200, "P1D": 86400, "P2D": 172800}  # fmt: skip


@pytest.fixture(scope="module")
def open_ones():
    return templates()


@pytest.fixture(scope="module", params=[False, True], ids=["public", "private"])
def every(request):
    return templates(private=request.param)


def of(found, kind):
    """The resources of a type, by the last part of their names."""
    return {
        each["name"].rpartition("/")[2]: each
        for one in found.values()
        for each in one.resources
        if each["type"] == kind
    }


def test_every_resource_is_as_azure_publishes_it(every):
    said = [
        line
        for one in every.values()
        for each in one.resources
        for line in problems(each, PUBLISHED)
    ]
    assert said == []


@pytest.mark.parametrize(
    ("template", "kind", "change", "says"),
    [
        ("storage", "storageAccounts", lambda p: p.update(isHnsEnable=True), "isHnsEnable"),
        ("storage", "storageAccounts", lambda p: p.update(minimumTlsVersion="TLS9"), "TLS9"),
        ("workspaces", "computes", lambda p: p["properties"].update(vmSizes="x"), "vmSizes"),
        ("alerts", "scheduledQueryRules", lambda p: p.update(severity="high"), "'high'"),
        ("access", "roleAssignments", lambda p: p.pop("principalId"), "principalId"),
    ],
)
def test_a_property_that_azure_does_not_know_is_found(open_ones, template, kind, change, says):
    chosen = next(r for r in open_ones[template].resources if r["type"].endswith(f"/{kind}"))
    wrong = copy.deepcopy(chosen)
    change(wrong["properties"])
    (said,) = problems(wrong, PUBLISHED)
    assert says in said


def test_what_was_published_holds_nothing_that_is_not_used(open_ones):
    used = {f"{r['type']}@{r['apiVersion']}" for one in open_ones.values() for r in one.resources}
    assert set(PUBLISHED) - {"definitions"} == used


def test_whatever_a_template_needs_is_there_before_it(every):
    made: set[str] = set()
    for name in ORDER:
        one = every[name]
        made |= {resource_id(each) for each in one.resources}
        for each in one.resources:
            named = set(re.findall(r"/subscriptions/[^\"']+", json.dumps(each)))
            own = {"/providers/Microsoft.Authorization/roleDefinitions/"}
            missing = {
                place
                for place in named - made
                if not any(text in place for text in own)
                and not place.endswith("/resourceGroups/rg-mlops")
            }
            assert missing <= _subnets(every), f"{name}: {each['name']}"


def _subnets(every):
    (network,) = of(every, "Microsoft.Network/virtualNetworks").values()
    names = [subnet["name"] for subnet in network["properties"]["subnets"]]
    return {f"{resource_id(network)}/subnets/{name}" for name in names}


def test_every_template_is_in_the_order_in_which_they_are_deployed(open_ones):
    assert sorted(open_ones) == sorted(ORDER)


def test_what_depends_on_another_names_one_of_its_template(every):
    for one in every.values():
        known = {resource_id(each) for each in one.resources}
        known |= {each["loop"] for each in one.resources if "loop" in each}
        for each in one.resources:
            waits = [re.sub(r"^/subscriptions/[^/]+(?=/providers)", "", place)
                     for place in each.get("dependsOn", ())]  # fmt: skip
            for place in waits:
                assert any(place == one or one.endswith(place) for one in known), each["name"]


@pytest.mark.parametrize("name", ["abc", "n" * 11])
def test_names_are_ones_that_azure_takes(name):
    limits = {
        "Microsoft.Storage/storageAccounts": r"[a-z0-9]{3,24}",
        "Microsoft.Storage/storageAccounts/blobServices/containers": r"[a-z0-9-]{3,63}",
        "Microsoft.KeyVault/vaults": r"[a-zA-Z][a-zA-Z0-9-]{1,22}[a-zA-Z0-9]",
        "Microsoft.MachineLearningServices/workspaces": r"[a-zA-Z0-9][\w-]{2,32}",
        "Microsoft.MachineLearningServices/registries": r"[a-zA-Z0-9][\w-]{2,32}",
        "Microsoft.MachineLearningServices/workspaces/computes": r"[a-zA-Z][a-zA-Z0-9-]{1,30}\w",
        "Microsoft.Synapse/workspaces": r"[a-z0-9][a-z0-9-]{0,47}[a-z0-9]",
        "Microsoft.Synapse/workspaces/bigDataPools": r"[a-zA-Z][a-zA-Z0-9]{0,14}",
        "Microsoft.ManagedIdentity/userAssignedIdentities": r"[a-zA-Z0-9][\w-]{2,127}",
        "Microsoft.OperationalInsights/workspaces": r"[a-zA-Z0-9][a-zA-Z0-9-]{2,61}[a-zA-Z0-9]",
        "Microsoft.Insights/dataCollectionRules": r"[\w-]{3,64}",
        "Microsoft.Insights/dataCollectionEndpoints": r"[\w-]{3,44}",
    }
    seen = set()
    for one in templates(name=name, private=True).values():
        for each in one.resources:
            last = each["name"].rpartition("/")[2]
            assert re.fullmatch(limits.get(each["type"], r"[\w .-]{1,90}"), last), each["name"]
            assert resource_id(each).lower() not in seen
            seen.add(resource_id(each).lower())
    assert all(
        each["properties"]["groupShortName"].__len__() <= 12
        for each in of(templates(), "Microsoft.Insights/actionGroups").values()
    )


def test_a_name_that_azure_would_refuse_is_refused_before():
    for name in ("ab", "n" * 12):
        with pytest.raises(AssertionError):
            Template("storage", {"name": name})


def test_the_resources_and_their_sizes_are_the_architectures(open_ones):
    accounts = of(open_ones, "Microsoft.Storage/storageAccounts")
    assert {each["sku"]["name"] for each in accounts.values()} == {"Standard_LRS"}
    assert accounts["northwindlake"]["properties"]["isHnsEnabled"] is True
    assert "isHnsEnabled" not in accounts["northwindstore"]["properties"]
    computes = of(open_ones, "Microsoft.MachineLearningServices/workspaces/computes")
    sizes = {}
    for name, each in computes.items():
        about = each["properties"]["properties"]
        scale = about["scaleSettings"]
        sizes[name] = (about["vmSize"], scale["minNodeCount"], scale["maxNodeCount"])
    assert sizes == {
        "train-cluster": ("STANDARD_DS3_V2", 0, 4),
        "test-cluster": ("STANDARD_DS2_V2", 0, 2),
        "score-cluster": ("STANDARD_DS3_V2", 0, 4),
    }
    (pool,) = of(open_ones, "Microsoft.Synapse/workspaces/bigDataPools").values()
    assert pool["properties"]["nodeSize"] == "Small"
    assert len(of(open_ones, "Microsoft.MachineLearningServices/workspaces")) == len(WORKSPACES)
    assert len(of(open_ones, "Microsoft.MachineLearningServices/registries")) == 1
    assert len(of(open_ones, "Microsoft.KeyVault/vaults")) == 1


def test_no_key_opens_the_lake_and_nothing_is_public():
    for private in (False, True):
        lake = of(templates(private=private), "Microsoft.Storage/storageAccounts")["northwindlake"]
        about = lake["properties"]
        assert about["allowSharedKeyAccess"] is False
        assert about["allowBlobPublicAccess"] is False
        assert about["supportsHttpsTrafficOnly"] is True
        assert about["publicNetworkAccess"] == ("Disabled" if private else "Enabled")


def test_the_private_option_closes_everything_that_holds_data_and_opens_it_inside():
    found = templates(private=True)
    closed = {
        resource_id(each)
        for one in found.values()
        for each in one.resources
        if each.get("properties", {}).get("publicNetworkAccess") == "Disabled"
    }
    reached = {
        link["properties"]["privateLinkServiceId"]
        for each in of(found, "Microsoft.Network/privateEndpoints").values()
        for link in each["properties"]["privateLinkServiceConnections"]
    }
    assert closed == reached
    for each in of(found, "Microsoft.MachineLearningServices/workspaces/computes").values():
        assert each["properties"]["properties"]["enableNodePublicIp"] is False
        assert each["properties"]["properties"]["subnet"]["id"] in _subnets(found)


def test_containers_are_the_settings_and_heads_of_the_ledger_cannot_be_removed(open_ones):
    kind = "Microsoft.Storage/storageAccounts/blobServices/containers"
    assert set(of(open_ones, kind)) == set(CONTAINERS)
    (policy,) = of(open_ones, f"{kind}/immutabilityPolicies").values()
    assert policy["name"] == "northwindlake/default/anchors/default"
    config = Path(FOLDER).parent / "config" / "release_policy.yml"
    kept = yaml.safe_load(config.read_text())["retention"]["proof_days"]
    assert policy["properties"]["immutabilityPeriodSinceCreationInDays"] >= kept


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


def test_the_rule_and_the_table_have_the_columns_that_are_sent(open_ones):
    (rule,) = of(open_ones, "Microsoft.Insights/dataCollectionRules").values()
    (stream,) = rule["properties"]["streamDeclarations"].items()
    assert stream[0] == Monitor().stream
    assert {each["name"]: each["type"] for each in stream[1]["columns"]} == dict(COLUMNS)
    table = of(open_ones, "Microsoft.OperationalInsights/workspaces/tables")["CircuitMetrics_CL"]
    columns = table["properties"]["schema"]["columns"]
    assert {each["name"]: each["type"].lower() for each in columns} == dict(COLUMNS)


def test_alert_rules_ask_for_what_is_told_and_reach_somebody(open_ones):
    groups = of(open_ones, "Microsoft.Insights/actionGroups")
    rules = of(open_ones, "Microsoft.Insights/scheduledQueryRules")
    asked = set()
    for rule in rules.values():
        about = rule["properties"]
        (criterion,) = about["criteria"]["allOf"]
        query = criterion["query"]
        gauges = set(re.findall(r"'(mlops\.[\w.]+)'", query))
        assert gauges <= set(GAUGES)
        asked |= gauges
        assert ("AppMetrics" in query) == bool(gauges)
        if "CircuitMetrics_CL" in query:
            known = {*COLUMNS, "At", "Circuits", "CircuitMetrics_CL"}
            assert set(re.findall(r"\b[A-Z]\w+", query)) <= known
        assert set(re.findall(r"by ([A-Z]\w+, [A-Z]\w+)", query)) <= {"Plant, Circuit"}
        assert about["severity"] in range(5)
        every, mute = SECONDS[about["evaluationFrequency"]], SECONDS[about["muteActionsDuration"]]
        assert every <= mute
        assert every <= SECONDS[about["windowSize"]] <= SECONDS[about["overrideQueryTimeRange"]]
        # A rule that resolves itself may not be muted.
        assert about["autoMitigate"] is False
        assert re.search(r"`mlops \w+`|such as", about["description"]), rule["name"]
        (group,) = about["actions"]["actionGroups"]
        assert group.rpartition("/")[2] in groups
    assert asked == {
        "mlops.forecast_failed", "mlops.degraded", "mlops.drifted", "mlops.readings_age_hours",
    }  # fmt: skip
    for name, group in groups.items():
        (mail,) = group["properties"]["emailReceivers"]
        key = name.removeprefix("northwind-")
        assert mail["emailAddress"] == REQUIRED["alerts"]["recipients"][key]


def test_the_shown_settings_are_read_and_name_what_the_templates_make(open_ones):
    backend = read_azure((FOLDER / "settings.yml").read_bytes(), "infra/settings.yml")
    assert backend.storage_account in of(open_ones, "Microsoft.Storage/storageAccounts")
    spaces = of(open_ones, "Microsoft.MachineLearningServices/workspaces")
    assert set(backend.workspaces.values()) == set(spaces)
    assert backend.registry in of(open_ones, "Microsoft.MachineLearningServices/registries")
    clusters = of(open_ones, "Microsoft.MachineLearningServices/workspaces/computes")
    assert {backend.compute.dev, backend.compute.test, backend.compute.prod} == set(clusters)
    dev = clusters[backend.compute.dev]["properties"]["properties"]["scaleSettings"]
    assert dev["maxNodeCount"] == backend.compute.dev_nodes
    assert backend.synapse is not None
    assert backend.synapse.workspace in of(open_ones, "Microsoft.Synapse/workspaces")
    assert backend.synapse.pool in of(open_ones, "Microsoft.Synapse/workspaces/bigDataPools")
    printed = {f"<{name}>" for t in ("identities", "monitor") for name in open_ones[t].outputs()}
    shown = {*backend.identities.values(), backend.monitor.ingestion, backend.monitor.rule}
    assert shown <= printed
    assert set(backend.identities) == set(ROLES)
