"""What the templates of `infra/` deploy, as tests ask for it."""

from __future__ import annotations

from mlops_assets_tests.infra.published import load
from mlops_assets_tests.infra.template import SUBSCRIPTION, resource_id

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
QUEUES, TABLES = (
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
)
PULL, PUSH = ("7f951dda-4ed3-4680-a7ca-43fe172d538d", "8311e382-0749-4cb8-b61a-304f252e45ec")
LOOK, TRAIN, REGISTER, PUBLISH = (
    "acdd72a7-3385-48ef-bd42-f606fba81ae7",
    "f6c7c914-8db3-469d-8ca1-694a8f32e121",
    "1823dd4f-9b8c-4ab6-ab4e-7397a3684615",
    "3913510d-42f4-4e42-8a64-420c390055eb",
)
BUILT_IN = (
    READER, CONTRIBUTOR, QUEUES, TABLES, PULL, PUSH, LOOK, TRAIN, REGISTER, PUBLISH,
)  # fmt: skip
ROLE = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/"
SECONDS = {"PT15M": 900, "PT30M": 1800, "PT1H": 3600, "PT2H": 7200, "PT6H": 21600,
           "PT12H": 43200, "P1D": 86400, "P2D": 172800}  # fmt: skip


def of(found, kind):
    """The resources of a type, by the last part of their names."""
    return {
        each["name"].rpartition("/")[2]: each
        for one in found.values()
        for each in one.resources
        if each["type"] == kind
    }


def subnets(every):
    (network,) = of(every, "Microsoft.Network/virtualNetworks").values()
    names = [subnet["name"] for subnet in network["properties"]["subnets"]]
    return {f"{resource_id(network)}/subnets/{name}" for name in names}


def admitted(resource):
    """Whom an account lets in by name, which need not be there yet."""
    rules = resource.get("properties", {}).get("networkAcls", {}).get("resourceAccessRules", ())
    return {rule["resourceId"] for rule in rules}


def definitions(one):
    """Roles that a template defines: an assignment names them by the subscription."""
    return [each for each in one.resources if each["type"].endswith("/roleDefinitions")]
