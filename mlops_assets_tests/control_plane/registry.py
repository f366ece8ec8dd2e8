"""The shared registry: discovered first, asked by its own address, filled by import alone."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

from mlops_assets_tests.control_plane.assets import FIXED, Assets, shown
from mlops_assets_tests.control_plane.wire import (
    Answer,
    RefusalError,
    Request,
    bad_request,
    not_found,
)

if TYPE_CHECKING:
    from mlops_assets_tests.control_plane.plane import ControlPlane

_VERSION = "2021-10-01-dataplanepreview"
_SOURCE = re.compile(
    r"azureml://locations/(?P<location>[^/]+)/workspaces/(?P<guid>[^/]+)/"
    r"(?P<kind>[a-z]+)/(?P<name>[^/]+)/versions/(?P<version>[^/]+)"
)
_IMPORTED = ("models", "environments", "data")


class Registry:
    """One registry. What is imported is a copy, and stays when its source goes."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self.name = plane.backend.registry
        self.assets = Assets(plane, f"azureml://registries/{self.name}")
        # The registry's own copies of what was imported, by their URI here.
        self.files: dict[str, dict[str, bytes]] = {}
        root = plane.registry_prefix
        plane.route(
            "GET",
            r"/registrymanagement/v1\.0/registries/(?P<registry>[^/]+)/discovery",
            self.discovery,
        )
        plane.route("POST", root + r"/import", self.imported, _VERSION)
        for kind in FIXED:
            one = root + rf"/(?P<kind>{kind})/(?P<name>[^/]+)"
            plane.route("GET", one, self.container, _VERSION)
            plane.route("GET", root + rf"/(?P<kind>{kind})", self.names, _VERSION)
            plane.route("GET", one + r"/versions", self.list, _VERSION)
            plane.route("GET", one + r"/versions/(?P<version>[^/]+)", self.get, _VERSION)
            plane.route("PUT", one + r"/versions/(?P<version>[^/]+)", self.put, _VERSION)

    def discovery(self, request: Request, registry: str) -> Answer:
        self._check(registry)
        plane = self._plane
        address = f"{plane.resources.services}/"
        return Answer(
            200,
            {
                "registryName": self.name,
                "primaryRegion": plane.backend.location,
                "regions": [plane.backend.location],
                "primaryRegionResourceProviderUri": address,
                "resourceGroup": plane.backend.resource_group,
                "subscriptionId": plane.backend.subscription,
                "registryFqdns": {plane.backend.location: {"uri": address}},
            },
        )

    def imported(self, request: Request, registry: str) -> Answer:
        """Copy a version of a workspace. The copy is there when the operation ends."""
        self._check(registry)
        wanted = request.json["properties"]
        source = _SOURCE.fullmatch(str(wanted.get("sourceAssetId")))
        if wanted.get("referenceType") != "Id" or not source or source["kind"] not in _IMPORTED:
            raise bad_request(f"sourceAssetId '{wanted.get('sourceAssetId')}' is no asset.")
        plane, kind = self._plane, source["kind"]
        place = next(
            (
                name
                for name in plane.backend.workspaces.values()
                if plane.guid(f"workspace/{name}") == source["guid"]
            ),
            None,
        )
        if place is None or source["location"] != plane.backend.location:
            raise not_found(f"The workspace '{source['guid']}'")
        found = plane.assets.of(place).find(kind, source["name"], source["version"])
        name, version = wanted["destinationName"], wanted["destinationVersion"]
        if self.has(kind, name, version):
            raise RefusalError(
                409, "Conflict", f"Asset {name}:{version} already exists in registry {self.name}."
            )
        properties = copy.deepcopy(found["properties"])
        if kind == "models":
            properties["modelUri"] = (
                f"azureml://registries/{self.name}/models/{name}/versions/{version}/blobs"
            )
            if plane.storage.there:
                self.files[properties["modelUri"]] = plane.storage.read(
                    found["properties"]["modelUri"]
                )
                if not self.files[properties["modelUri"]]:
                    raise bad_request(f"Asset {source['name']}:{source['version']} has no files.")
        failing = plane.faults.update_fails(f"{request.path}/{kind}/{name}")

        def finish() -> None:
            if not failing:
                self.assets.put(kind, name, version, properties)

        operation = plane.operations.start(
            finish,
            plane.latency.copy,
            ("ImportFailed", f"Asset {name}:{version} could not be copied.") if failing else None,
        )
        return Answer(202, None, plane.operations.headers(operation, location=True))

    def has(self, kind: str, name: str, version: str) -> bool:
        try:
            self.assets.find(kind, name, version)
        except RefusalError:
            return False
        return True

    def container(self, request: Request, registry: str, kind: str, name: str) -> Answer:
        self._check(registry)
        return Answer(200, self.assets.container(kind, name))

    def names(self, request: Request, registry: str, kind: str) -> Answer:
        self._check(registry)
        return self.assets.list_names(kind, request)

    def list(self, request: Request, registry: str, kind: str, name: str) -> Answer:
        self._check(registry)
        return self.assets.list_versions(kind, name, request)

    def get(self, request: Request, registry: str, kind: str, name: str, version: str) -> Answer:
        self._check(registry)
        return Answer(200, shown(self.assets.find(kind, name, version)))

    def put(self, request: Request, registry: str, kind: str, name: str, version: str) -> Answer:
        """Say other tags of a version that is there; nothing is registered past import."""
        self._check(registry)
        properties: dict[str, Any] = request.json["properties"]
        if kind in _IMPORTED and not self.has(kind, name, version):
            raise bad_request(f"{kind} {name}:{version} comes to the registry by import alone.")
        made = self.assets.put(kind, name, version, properties)
        operation = self._plane.operations.start(lambda: None, 0.0)
        return Answer(201, shown(made), self._plane.operations.headers(operation))

    def _check(self, registry: str) -> None:
        if registry.lower() != self.name.lower():
            raise not_found(f"The registry '{registry}'")
