"""The private option: nobody comes in from outside, and what works inside reaches what it needs."""

from __future__ import annotations

import pytest

from mlops_assets_tests.infra.deployed import admitted, of, subnets
from mlops_assets_tests.infra.published import OWN, REQUIRED, templates
from mlops_assets_tests.infra.template import Template, resource_id

pytestmark = pytest.mark.azure


def test_the_private_option_closes_everything_that_holds_data_and_opens_it_inside():
    found = templates(private=True)
    closed = {resource_id(each) for one in found.values() for each in one.resources
              if _is_closed(each.get("properties", {}))}  # fmt: skip
    reached: dict[str, set[str]] = {}
    for each in of(found, "Microsoft.Network/privateEndpoints").values():
        for link in each["properties"]["privateLinkServiceConnections"]:
            place = link["properties"]["privateLinkServiceId"]
            reached.setdefault(place, set()).update(link["properties"]["groupIds"])
    assert closed == {place for place in reached if not place.startswith(OWN)}
    assert {place for place in reached if place.startswith(OWN)} == {
        REQUIRED["endpoints"]["registryStore"], REQUIRED["endpoints"]["registryImages"],
    }  # fmt: skip
    # Batch deployments need all four of the store that their workspace keeps its own things in.
    for each in of(found, "Microsoft.MachineLearningServices/workspaces").values():
        assert reached[each["properties"]["storageAccount"]] == {"blob", "file", "queue", "table"}
        assert each["properties"]["imageBuildCompute"] in of(
            found, "Microsoft.MachineLearningServices/workspaces/computes"
        )
    for each in of(found, "Microsoft.MachineLearningServices/workspaces/computes").values():
        assert each["properties"]["properties"]["enableNodePublicIp"] is False
        assert each["properties"]["properties"]["subnet"]["id"] in subnets(found)


def _is_closed(about):
    """Whether nobody comes in from outside, but for what an account names."""
    named = about.get("networkAcls", {})
    return about.get("publicNetworkAccess") == "Disabled" or named.get("defaultAction") == "Deny"


def test_with_the_private_option_only_the_registry_takes_what_is_shared_with_it():
    found = templates(private=True)
    lake = of(found, "Microsoft.Storage/storageAccounts")["northwindlake"]
    (registry,) = of(found, "Microsoft.MachineLearningServices/registries").values()
    assert admitted(lake) == {resource_id(registry)}
    assert admitted(of(templates(), "Microsoft.Storage/storageAccounts")["northwindlake"]) == set()


def test_synapse_is_called_from_azure_and_from_the_address_that_was_given_alone():
    kind = "Microsoft.Synapse/workspaces/firewallRules"
    given = {"name": "northwind", "administrator": "33333333-3333-3333-3333-333333333333"}
    assert set(of({"synapse": Template("synapse", given)}, kind)) == {"AllowAllWindowsAzureIps"}
    rule = of(templates(), kind)["client"]["properties"]
    assert rule == dict.fromkeys(("startIpAddress", "endIpAddress"), "203.0.113.7")
    assert of(templates(private=True), kind) == {}
