"""The templates of `infra/`: as Azure publishes its resources, and as the platform expects them."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import pytest
import yaml

from mlops_assets.settings.azure import CONTAINERS, ROLES, WORKSPACES, read_azure
from mlops_assets_tests.infra.deployed import (
    BUILT_IN,
    ORDER,
    PUBLISHED,
    ROLE,
    admitted,
    definitions,
    of,
    subnets,
)
from mlops_assets_tests.infra.published import OWN, problems, templates
from mlops_assets_tests.infra.template import FOLDER, GROUP, Template, resource_id

pytestmark = pytest.mark.azure


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
    made = {GROUP, *(f"{ROLE}{each}" for each in BUILT_IN)}
    for name in ORDER:
        one = every[name]
        made |= {resource_id(each) for each in one.resources}
        made |= {f"{ROLE}{each['name']}" for each in definitions(one)}
        for each in one.resources:
            named = set(re.findall(r"/subscriptions/[^\"']+", json.dumps(each)))
            missing = {place for place in named - made if not place.startswith(OWN)}
            assert missing <= subnets(every) | admitted(each), f"{name}: {each['name']}"


def test_every_template_is_in_the_order_in_which_they_are_deployed(open_ones):
    assert sorted(open_ones) == sorted(ORDER)


def test_what_depends_on_another_names_one_of_its_template(every):
    for one in every.values():
        known = {resource_id(each) for each in one.resources}
        known |= {each["loop"] for each in one.resources if "loop" in each}
        for each in one.resources:
            assert set(each.get("dependsOn", ())) <= known, each["name"]


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
        "Microsoft.ContainerRegistry/registries": r"[a-zA-Z0-9]{5,50}",
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
    for workspace in WORKSPACES:
        assert "isHnsEnabled" not in accounts[f"northwind{workspace}store"]["properties"]
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


def test_a_policy_that_was_locked_is_left_alone_and_nothing_else_is():
    given = {"name": "northwind"}
    open_one, locked = (
        Template("storage", given),
        Template("storage", given | {"anchorsLocked": True}),
    )
    left = {resource_id(each) for each in open_one.resources} - {
        resource_id(each) for each in locked.resources
    }
    assert [place.partition("/containers/")[2] for place in left] == [
        "anchors/immutabilityPolicies/default"
    ]


def test_containers_are_the_settings_and_heads_of_the_ledger_cannot_be_removed(open_ones):
    kind = "Microsoft.Storage/storageAccounts/blobServices/containers"
    assert set(of(open_ones, kind)) == set(CONTAINERS)
    (policy,) = of(open_ones, f"{kind}/immutabilityPolicies").values()
    assert policy["name"] == "northwindlake/default/anchors/default"
    config = Path(FOLDER).parent / "config" / "release_policy.yml"
    kept = yaml.safe_load(config.read_text())["retention"]["proof_days"]
    assert policy["properties"]["immutabilityPeriodSinceCreationInDays"] >= kept


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
