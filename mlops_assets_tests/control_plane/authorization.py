"""What each identity was given, as `infra/access.json` gives it: the service's own answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mlops_assets.settings.azure import ROLES
from mlops_assets_tests.control_plane.wire import Answer
from mlops_assets_tests.infra.template import Template

if TYPE_CHECKING:
    from mlops_assets_tests.control_plane.plane import ControlPlane
    from mlops_assets_tests.control_plane.wire import Request

_STORAGE = "Microsoft.Storage/storageAccounts"
_BLOBS = f"{_STORAGE}/blobServices/containers/blobs"
_IMAGES = "Microsoft.ContainerRegistry/registries"
_ML = "Microsoft.MachineLearningServices"
# As far as the platform asks for them: Azure's own roles, by their published identifiers.
BUILT_IN: dict[str, dict[str, list[str]]] = {
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": {"dataActions": [f"{_BLOBS}/read"]},
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": {
        "dataActions": [f"{_BLOBS}/{one}" for one in ("delete", "read", "write", "add/action")]
    },
    "acdd72a7-3385-48ef-bd42-f606fba81ae7": {"actions": ["*/read"]},
    "f6c7c914-8db3-469d-8ca1-694a8f32e121": {
        "actions": [f"{_ML}/workspaces/*/{one}" for one in ("read", "action", "delete", "write")],
        "notActions": [f"{_ML}/workspaces/delete", f"{_ML}/workspaces/write"],
    },
    "1823dd4f-9b8c-4ab6-ab4e-7397a3684615": {
        "actions": [f"{_ML}/registries/read", f"{_ML}/registries/assets/*"]
    },
    "3913510d-42f4-4e42-8a64-420c390055eb": {"dataActions": ["Microsoft.Insights/Telemetry/Write"]},
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": {
        "dataActions": [
            f"{_STORAGE}/queueServices/queues/messages/{one}"
            for one in ("delete", "read", "write", "process/action")
        ]
    },
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": {
        "dataActions": [
            f"{_STORAGE}/tableServices/tables/entities/{one}"
            for one in ("delete", "read", "write", "add/action", "update/action")
        ]
    },
    "7f951dda-4ed3-4680-a7ca-43fe172d538d": {"actions": [f"{_IMAGES}/pull/read"]},
    "8311e382-0749-4cb8-b61a-304f252e45ec": {
        "actions": [f"{_IMAGES}/pull/read", f"{_IMAGES}/push/write"]
    },
}


class AuthorizationService:
    """Answers an identity what it may do at a scope; ``given`` maps it by role and place."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self.given: dict[tuple[str, str], list[dict[str, Any]]] = {}
        template = Template("access", {"name": "northwind"})
        known = dict(BUILT_IN)
        for each in template.resources:
            if each["type"].endswith("/roleDefinitions"):
                known[each["name"]] = each["properties"]["permissions"][0]
        for each in template.resources:
            if each["type"].endswith("/roleAssignments"):
                who = re.search(r"northwind-(\w+)", each["properties"]["principalId"])
                place = "/".join(each.get("scope", "").split("/")[-2:]).replace("northwind-", "")
                role = known[each["properties"]["roleDefinitionId"].rpartition("/")[2]]
                self.given.setdefault((who[1] if who else "", place), []).append(role)
        plane.route(
            "GET",
            r"/subscriptions/(?P<place>.*)/providers/Microsoft\.Authorization/permissions",
            self.permissions,
            "2022-04-01",
            public=True,
        )

    def permissions(self, request: Request, place: str) -> Answer:
        claims = self._plane.identities._claims(request)
        role = next(r for r in ROLES if self._plane.identities.client_id(r) == claims["appid"])
        backend = self._plane.backend
        names = {real: key for key, real in backend.workspaces.items()}
        names[backend.registry] = "registry"
        kind, last = place.split("/")[-2:]
        here = (role, f"{kind}/{names.get(last, last)}")
        found = [*self.given.get((role, ""), ()), *self.given.get(here, ())]
        whole = {"actions": [], "notActions": [], "dataActions": [], "notDataActions": []}
        return Answer(200, {"value": [whole | each for each in found]})
