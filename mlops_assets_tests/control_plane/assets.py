"""Versioned assets: data, models, environments and code, each version written once.

A version's content never changes: a second registration of it may say other tags, and nothing
else. `nextVersion` is the highest integer and one.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

from mlops_assets_tests.control_plane.wire import (
    Answer,
    RefusalError,
    Request,
    bad_request,
    not_found,
)

if TYPE_CHECKING:
    from mlops_assets_tests.control_plane.plane import ControlPlane

# By kind: what is fixed with the version, and the word the service has for it.
FIXED = {
    "data": ("dataUri", "dataType"),
    "models": ("modelUri", "modelType", "jobName"),
    "environments": ("image", "condaFile", "build", "osType", "inferenceConfig"),
    "codes": ("codeUri",),
}
_WORD = {"data": "data", "models": "model", "environments": "environment", "codes": "code"}
VERSIONS = {
    "data": ("2023-04-01-preview",),
    "models": ("2023-08-01-preview",),
    "environments": ("2023-04-01-preview",),
    "codes": ("2023-04-01", "2023-04-01-preview"),
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-_.]{0,254}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-_.]{0,29}")
DATASTORE = re.compile(
    r"azureml://(?:(?i:subscriptions)/(?P<sub>[^/]+)/(?i:resourcegroups)/[^/]+/(?:providers/[^/]+/)?"
    r"(?i:workspaces)/(?P<workspace>[^/]+)/)?datastores/(?P<name>[^/]+)/paths/(?P<path>.+)"
)
PAGE = 30


class Assets:
    """All versions of all assets of one place: a workspace or the registry."""

    def __init__(self, plane: ControlPlane, prefix: str) -> None:
        self._plane, self._prefix = plane, prefix
        self._all: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
        self._made = 0

    def find(self, kind: str, name: str, version: str) -> dict[str, Any]:
        """Return one version.

        Raises:
            RefusalError: 404.
        """
        try:
            return self._all[kind, name][version]
        except KeyError:
            raise not_found(f"{_WORD[kind].capitalize()} {name}:{version}") from None

    def put(self, kind: str, name: str, version: str, properties: dict[str, Any]) -> dict[str, Any]:
        """Register a version, or say other tags of it."""
        if not _NAME.fullmatch(name) or not _VERSION.fullmatch(version):
            raise bad_request(f"'{name}:{version}' is no name and version of an asset.")
        if kind == "models" and not re.fullmatch(r"[1-9]\d{0,9}", version):
            raise bad_request(f"Model version '{version}' is no positive integer.")
        wanted = {key: value for key, value in properties.items() if value is not None}
        versions = self._all.setdefault((kind, name), {})
        if (old := versions.get(version)) is not None:
            self._check_unchanged(kind, old["properties"], wanted)
            kept = {key: old["properties"].get(key) for key in FIXED[kind]}
            old["properties"] |= wanted | {k: v for k, v in kept.items() if v is not None}
            return copy.deepcopy(old)
        self._made += 1
        now = self._plane.clock.now().isoformat()
        versions[version] = {
            "id": f"{self._prefix}/{kind}/{name}/versions/{version}",
            "name": version,
            "type": f"Microsoft.MachineLearningServices/workspaces/{kind}/versions",
            "properties": {**_defaults(kind), **wanted},
            "systemData": {
                "createdAt": now,
                "createdBy": "identity",
                "createdByType": "Application",
                "lastModifiedAt": now,
            },
            "_order": self._made,
        }
        return copy.deepcopy(versions[version])

    def container(self, kind: str, name: str) -> dict[str, Any]:
        """What is known of an asset over all its versions."""
        versions = self._all.get((kind, name))
        if not versions:
            raise not_found(f"{_WORD[kind].capitalize()} container {name}")
        newest = max(versions.values(), key=lambda each: each["_order"])
        properties: dict[str, Any] = {
            "latestVersion": newest["name"],
            "nextVersion": str(
                1 + max((int(each) for each in versions if each.isdigit()), default=0)
            ),
            "isArchived": False,
            "tags": {},
            "properties": {},
        }
        if kind == "data":
            properties["dataType"] = newest["properties"]["dataType"]
        return {
            "id": f"{self._prefix}/{kind}/{name}",
            "name": name,
            "type": f"Microsoft.MachineLearningServices/workspaces/{kind}",
            "properties": properties,
            "systemData": newest["systemData"],
        }

    def list_versions(self, kind: str, name: str, request: Request) -> Answer:
        query = request.query
        found = list(self._all.get((kind, name), {}).values())
        if query.get("listViewType", "ActiveOnly") == "ActiveOnly":
            found = [each for each in found if not each["properties"].get("isArchived")]
        if digest := query.get("hash"):
            found = [
                each
                for each in found
                if each["properties"]["properties"].get("hash_sha256") == digest
            ]
        newest_first = "desc" in query.get("$orderBy", "createdtime desc")
        found.sort(key=lambda each: each["_order"], reverse=newest_first)
        if top := query.get("$top"):
            found = found[: int(top)]
        return page(request, [shown(each) for each in found])

    def list_names(self, kind: str, request: Request) -> Answer:
        names = sorted(name for of, name in self._all if of == kind and self._all[of, name])
        return page(request, [self.container(kind, name) for name in names])

    def datastore_uri(self, uri: str, workspace: str | None) -> str:
        """Return where bytes lie, checked to be on a datastore that exists.

        Raises:
            RefusalError: 400.
        """
        found = DATASTORE.fullmatch(uri or "")
        if not found or found["name"] not in self._plane.resources.datastore_names():
            raise bad_request(f"'{uri}' is no path on a datastore of this workspace.")
        if found["workspace"] and workspace and found["workspace"] != workspace:
            raise bad_request(f"'{uri}' is in another workspace than '{workspace}'.")
        return uri

    def _check_unchanged(self, kind: str, old: dict[str, Any], new: dict[str, Any]) -> None:
        word = _WORD[kind]
        for name in FIXED[kind]:
            if name in new and _plain(old.get(name)) != _plain(new[name]):
                raise RefusalError(
                    409,
                    "UserError",
                    f"A {word} version with this name and version already exists. If you are "
                    f"trying to create a new {word} version, use a different name or version. If "
                    f"you are trying to update an existing {word} version, the existing asset's "
                    f"{name} cannot be changed. Only tags, description, and isArchived can be "
                    "updated.",
                )
        had, has = old.get("properties") or {}, new.get("properties")
        if has is not None and any(has.get(key, value) != value for key, value in had.items()):
            raise RefusalError(
                409, "UserError", f"Existing properties of a {word} version cannot be changed."
            )


class WorkspaceAssets:
    """The assets of every workspace, and their calls."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._places = {
            name: Assets(plane, plane.arm_id(name)) for name in plane.backend.workspaces.values()
        }
        root = plane.workspace_prefix
        for kind, versions in VERSIONS.items():
            one = root + rf"/(?P<kind>{kind})/(?P<name>[^/]+)"
            plane.route("GET", one, self.container, *versions)
            plane.route("GET", root + rf"/(?P<kind>{kind})", self.names, *versions)
            plane.route("GET", one + r"/versions", self.list, *versions)
            plane.route("GET", one + r"/versions/(?P<version>[^/]+)", self.get, *versions)
            plane.route("PUT", one + r"/versions/(?P<version>[^/]+)", self.put, *versions)

    def of(self, workspace: str) -> Assets:
        return self._places[self._plane.resources.known(workspace)]

    def container(self, request: Request, workspace: str, kind: str, name: str) -> Answer:
        return Answer(200, self.of(workspace).container(kind, name))

    def names(self, request: Request, workspace: str, kind: str) -> Answer:
        return self.of(workspace).list_names(kind, request)

    def list(self, request: Request, workspace: str, kind: str, name: str) -> Answer:
        return self.of(workspace).list_versions(kind, name, request)

    def get(self, request: Request, workspace: str, kind: str, name: str, version: str) -> Answer:
        return Answer(200, shown(self.of(workspace).find(kind, name, version)))

    def put(self, request: Request, workspace: str, kind: str, name: str, version: str) -> Answer:
        assets, properties = self.of(workspace), request.json["properties"]
        place = self._plane.resources.known(workspace)
        if kind in {"data", "models", "codes"}:
            field = FIXED[kind][0]
            account = f"{self._plane.backend.blob_url}/"
            if not str(properties.get(field, "")).startswith(account):
                assets.datastore_uri(properties.get(field, ""), place)
        if kind == "data" and properties.get("dataType") not in {
            "mltable",
            "uri_folder",
            "uri_file",
        }:
            raise bad_request(f"dataType '{properties.get('dataType')}' is unknown.")
        if kind == "models" and properties.get("modelType") not in {"custom_model", "mlflow_model"}:
            raise bad_request(f"modelType '{properties.get('modelType')}' is unknown.")
        if kind == "environments" and not (properties.get("image") or properties.get("build")):
            raise bad_request("An environment needs an image or a build context.")
        existed = version in assets._all.get((kind, name), {})
        made = assets.put(kind, name, version, properties)
        return Answer(200 if existed else 201, shown(made))


def shown(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what only we need."""
    return copy.deepcopy({key: value for key, value in record.items() if key != "_order"})


def page(request: Request, values: list[dict[str, Any]]) -> Answer:
    """One page of a list, and where the next is."""
    start = int(request.query.get("$skipToken", "0"))
    body: dict[str, Any] = {"value": values[start : start + PAGE]}
    if start + PAGE < len(values):
        url = re.sub(r"&?\$skipToken=\d+", "", request.url)
        body["nextLink"] = f"{url}{'&' if '?' in url else '?'}$skipToken={start + PAGE}"
    return Answer(200, body)


def _defaults(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "tags": {},
        "properties": {},
        "isArchived": False,
        "isAnonymous": False,
        "description": None,
    }
    if kind == "models":
        found["flavors"] = {}
    if kind == "environments":
        found |= {"environmentType": "UserCreated", "osType": "Linux"}
    return found


def _plain(value: Any) -> Any:
    return value.rstrip("/") if isinstance(value, str) else value
