"""Batch endpoints and their deployments, with the service's names, quotas and refusals.

A deployment serves what it was last updated to once the update has ended; while it lasts, and when
it failed, invocations are refused. Names of endpoints are unique in the region.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

from mlops_assets_tests.control_plane.assets import page
from mlops_assets_tests.control_plane.invocation import checked_input
from mlops_assets_tests.control_plane.wire import (
    Answer,
    RefusalError,
    Request,
    bad_request,
    not_found,
)

if TYPE_CHECKING:
    from mlops_assets_tests.control_plane.plane import ControlPlane

_FOR_EVER = 10.0**9
ENDPOINTS, DEPLOYMENTS, PER_ENDPOINT = 100, 500, 20
_NAME = re.compile(r"[A-Za-z](?:[A-Za-z0-9-]{1,30})[A-Za-z0-9]")
_ENDPOINT_VERSIONS = ("2023-10-01", "2024-01-01-preview")
_SCORING = (
    r"//(?:(?P<named>[^/.]+)\.[^/.]+\.inference\.ml\.azure\.com|[^/]*/inference/(?P<at>[^/]+))/jobs"
)


class Endpoints:
    """The batch endpoints of the region."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self.endpoints: dict[str, dict[str, Any]] = {}
        self.deployments: dict[tuple[str, str], dict[str, Any]] = {}
        self._workspaces: dict[str, str] = {}
        # As a policy of Azure may have it: tags that an endpoint has are never taken away.
        self.keeps_tags = False
        root = plane.workspace_prefix + r"/batchEndpoints"
        one = root + r"/(?P<endpoint>[^/]+)"
        plane.route("GET", root, self.list, *_ENDPOINT_VERSIONS)
        plane.route("GET", one, self.get, *_ENDPOINT_VERSIONS)
        plane.route("PUT", one, self.put, *_ENDPOINT_VERSIONS)
        plane.route("DELETE", one, self.delete, *_ENDPOINT_VERSIONS)
        deployment = one + r"/deployments/(?P<name>[^/]+)"
        both = ("2024-01-01-preview", "2023-10-01")
        plane.route("GET", one + r"/deployments", self.list_deployments, *both)
        plane.route("GET", deployment, self.get_deployment, *both)
        plane.route("PUT", deployment, self.put_deployment, *both)
        plane.route("DELETE", deployment, self.delete_deployment, *both)
        plane.route("POST", _SCORING, self.invoke)

    # What a request to score names

    def named_by(self, request: Request) -> str | None:
        """The endpoint that a scoring address belongs to."""
        found = re.fullmatch(_SCORING, f"//{request.host}{request.path}")
        return (found["named"] or found["at"]).lower() if found else None

    def workspace_of(self, endpoint: str) -> str:
        return self._workspaces.get(endpoint.lower(), "")

    def scoring_uri(self, endpoint: str) -> str:
        plane = self._plane
        if plane.public:
            return f"https://{endpoint}.{plane.backend.location}.inference.ml.azure.com/jobs"
        return f"{plane.address}/inference/{endpoint}/jobs"

    # Endpoints

    def list(self, request: Request, workspace: str) -> Answer:
        place = self._plane.resources.known(workspace)
        return page(
            request,
            [
                copy.deepcopy(each)
                for name, each in sorted(self.endpoints.items())
                if self._workspaces[name] == place
            ],
        )

    def get(self, request: Request, workspace: str, endpoint: str) -> Answer:
        return Answer(200, copy.deepcopy(self._endpoint(workspace, endpoint)))

    def put(self, request: Request, workspace: str, endpoint: str) -> Answer:
        plane, body = self._plane, request.json
        place, key = plane.resources.known(workspace), endpoint.lower()
        if not _NAME.fullmatch(endpoint) or "--" in endpoint:
            raise bad_request(
                f"Endpoint name '{endpoint}' is not valid: 3 to 32 letters, digits and single "
                "hyphens, beginning with a letter."
            )
        if self._workspaces.get(key, place) != place:
            raise RefusalError(
                409, "Conflict", f"There already exists an endpoint with this name: {endpoint}."
            )
        if key not in self.endpoints and len(self.endpoints) >= ENDPOINTS:
            raise _quota("endpoints", ENDPOINTS)
        properties = body["properties"]
        if properties.get("authMode") != "AADToken" and properties.get("authMode") != "aadToken":
            raise bad_request(f"authMode '{properties.get('authMode')}' is not supported.")
        default = (properties.get("defaults") or {}).get("deploymentName")
        if default and (key, default.lower()) not in self.deployments:
            raise bad_request(f"Default deployment '{default}' does not exist.")
        new = {
            "id": plane.arm_id(place, f"/batchEndpoints/{endpoint}"),
            "name": endpoint,
            "type": "Microsoft.MachineLearningServices/workspaces/batchEndpoints",
            "location": body["location"],
            "tags": self._tags(key, body.get("tags") or {}),
            "properties": {
                **properties,
                "authMode": "AADToken",
                "scoringUri": self.scoring_uri(endpoint),
                "provisioningState": "Succeeded",
            },
        }
        existed = key in self.endpoints
        self._workspaces[key] = place
        return self._accept(request, self.endpoints, key, new, existed=existed)

    def delete(self, request: Request, workspace: str, endpoint: str) -> Answer:
        self._endpoint(workspace, endpoint)
        key = endpoint.lower()

        def finish() -> None:
            self.endpoints.pop(key, None)
            self._workspaces.pop(key, None)
            for each in [found for found in self.deployments if found[0] == key]:
                del self.deployments[each]

        return self._accept_deletion(finish)

    # Deployments

    def list_deployments(self, request: Request, workspace: str, endpoint: str) -> Answer:
        self._endpoint(workspace, endpoint)
        key = endpoint.lower()
        found = [each for (of, _), each in sorted(self.deployments.items()) if of == key]
        return page(request, copy.deepcopy(found))

    def get_deployment(self, request: Request, workspace: str, endpoint: str, name: str) -> Answer:
        return Answer(200, copy.deepcopy(self._deployment(workspace, endpoint, name)))

    def put_deployment(self, request: Request, workspace: str, endpoint: str, name: str) -> Answer:
        plane, body = self._plane, request.json
        place, key = plane.resources.known(workspace), (endpoint.lower(), name.lower())
        of = self._endpoint(workspace, endpoint)
        if not _NAME.fullmatch(name):
            raise bad_request(
                f"Deployment name '{name}' is not valid: 3 to 32 letters, digits and hyphens, "
                "beginning with a letter."
            )
        existed = key in self.deployments
        if not existed:
            if sum(each[0] == key[0] for each in self.deployments) >= PER_ENDPOINT:
                raise _quota("deployments of one endpoint", PER_ENDPOINT)
            if len(self.deployments) >= DEPLOYMENTS:
                raise _quota("deployments", DEPLOYMENTS)
        elif self.deployments[key]["properties"]["provisioningState"] in {"Updating", "Creating"}:
            raise RefusalError(
                409, "Conflict", f"Deployment '{name}' is being updated; wait until it has ended."
            )
        properties = body["properties"]
        self._check(properties, place)
        new = {
            "id": f"{of['id']}/deployments/{name}",
            "name": name,
            "type": "Microsoft.MachineLearningServices/workspaces/batchEndpoints/deployments",
            "location": body["location"],
            "tags": body.get("tags") or {},
            "properties": {**properties, "provisioningState": "Succeeded"},
        }
        return self._accept(request, self.deployments, key, new, existed=existed)

    def delete_deployment(
        self, request: Request, workspace: str, endpoint: str, name: str
    ) -> Answer:
        self._deployment(workspace, endpoint, name)
        defaults = self._endpoint(workspace, endpoint)["properties"].get("defaults") or {}
        if str(defaults.get("deploymentName", "")).lower() == name.lower():
            raise bad_request(f"Deployment '{name}' is the default of its endpoint.")
        key = (endpoint.lower(), name.lower())
        return self._accept_deletion(lambda: self.deployments.pop(key, None))

    def invoke(self, request: Request, named: str | None, at: str | None) -> Answer:
        """Begin a job of one deployment."""
        key = str(named or at).lower()
        of = self.endpoints.get(key)
        if of is None:
            raise not_found(f"The endpoint '{key}'")
        defaults = of["properties"].get("defaults") or {}
        name = request.headers.get("azureml-model-deployment") or defaults.get("deploymentName")
        if not name:
            raise bad_request(f"Endpoint '{key}' has no default deployment.")
        deployment = self.deployments.get((key, name.lower()))
        if deployment is None:
            raise not_found(f"The deployment '{name}'")
        state = deployment["properties"]["provisioningState"]
        if state != "Succeeded":
            raise RefusalError(
                409, "Conflict", f"Deployment '{name}' is {state}; it cannot be invoked."
            )
        properties = (request.json or {}).get("properties") or {}
        given = checked_input(properties, self._plane.resources.datastore_names())
        return self._plane.jobs.score(self._workspaces[key], of, deployment, properties, given)

    def _tags(self, key: str, told: dict[str, str]) -> dict[str, str]:
        """What an endpoint is tagged with once it was told these."""
        kept = self.endpoints.get(key, {}).get("tags", {}) if self.keeps_tags else {}
        return {**kept, **told}

    # What both share

    def _accept(
        self,
        request: Request,
        records: dict[Any, dict[str, Any]],
        key: Any,
        new: dict[str, Any],
        *,
        existed: bool,
    ) -> Answer:
        """Take an update on: old until it ends, then new, or Failed where that was ordered."""
        plane = self._plane
        failing = plane.faults.update_fails(request.path)
        before = copy.deepcopy(records.get(key, new))
        before["properties"]["provisioningState"] = "Updating" if existed else "Creating"
        records[key] = before
        new = copy.deepcopy(new)
        if failing:
            new["properties"]["provisioningState"] = "Failed"

        def finish() -> None:
            records[key] = new

        error = ("DeploymentFailed", f"The update of {request.path} failed.") if failing else None
        seconds = plane.latency.of_update()
        if plane.faults.update_hangs(request.path):
            seconds = _FOR_EVER
        operation = plane.operations.start(finish, seconds, error)
        shown = copy.deepcopy(new)
        shown["properties"]["provisioningState"] = before["properties"]["provisioningState"]
        return Answer(201, shown, plane.operations.headers(operation))

    def _accept_deletion(self, finish: Any) -> Answer:
        plane = self._plane
        operation = plane.operations.start(finish, plane.latency.of_update())
        return Answer(202, None, plane.operations.headers(operation, location=True))

    def _endpoint(self, workspace: str, endpoint: str) -> dict[str, Any]:
        place, key = self._plane.resources.known(workspace), endpoint.lower()
        if self._workspaces.get(key) != place:
            raise not_found(f"The endpoint '{endpoint}'")
        return self.endpoints[key]

    def _deployment(self, workspace: str, endpoint: str, name: str) -> dict[str, Any]:
        self._endpoint(workspace, endpoint)
        try:
            return self.deployments[endpoint.lower(), name.lower()]
        except KeyError:
            raise not_found(f"The deployment '{name}'") from None

    def _check(self, properties: dict[str, Any], workspace: str) -> None:
        """Refuse a deployment of what is not there."""
        plane = self._plane
        plane.resources.compute_name(workspace, str(properties.get("compute")))
        model = properties.get("model") or {}
        if model.get("referenceType") != "Id":
            raise bad_request("A model is named by its id.")
        plane.jobs.asset("models", str(model.get("assetId")), workspace)
        plane.jobs.asset("environments", str(properties.get("environmentId")), workspace)
        code = properties.get("codeConfiguration") or {}
        if not code.get("scoringScript"):
            raise bad_request("A custom model needs a scoring script.")
        plane.jobs.asset("codes", str(code.get("codeId")), workspace)
        if int(properties.get("miniBatchSize", 10)) < 1:
            raise bad_request("miniBatchSize has to be at least 1.")


def _quota(what: str, limit: int) -> RefusalError:
    return RefusalError(
        400, "QuotaExceeded", f"The limit of {limit} {what} in this region has been reached."
    )
