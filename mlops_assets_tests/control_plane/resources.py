"""Workspaces, their datastores and clusters: what `infra/` makes before anything runs."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from mlops_assets.settings.azure import CONTAINERS
from mlops_assets_tests.control_plane.wire import Answer, Request, bad_request, not_found

if TYPE_CHECKING:
    from mlops_assets_tests.control_plane.plane import ControlPlane

_WORKSPACE = (
    "2024-10-01-preview",
    "2023-08-01-preview",
    "2023-04-01-preview",
    "2024-01-01-preview",
)
_SKUS = {"dev": "STANDARD_DS3_V2", "test": "STANDARD_DS2_V2", "prod": "STANDARD_DS3_V2"}
_NODES = {"dev": 4, "test": 2, "prod": 4}


class Resources:
    """What is there from the start."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self.computes: dict[tuple[str, str], dict[str, Any]] = {}
        for key, workspace in plane.backend.workspaces.items():
            name = str(getattr(plane.backend.compute, key))
            nodes = plane.backend.compute.dev_nodes if key == "dev" else _NODES[key]
            self.computes[workspace, name] = self._cluster(workspace, name, _SKUS[key], nodes)
        root = plane.workspace_prefix
        plane.route("GET", root, self.workspace, *_WORKSPACE)
        plane.route("GET", root + r"/datastores", self.datastores, "2024-10-01-preview")
        plane.route(
            "GET", root + r"/datastores/(?P<name>[^/]+)", self.datastore, "2024-10-01-preview"
        )
        plane.route(
            "POST", root + r"/datastores/[^/]+/listSecrets", self.secrets, "2024-10-01-preview"
        )
        computes = root + r"/computes/(?P<name>[^/]+)"
        plane.route("GET", computes, self.compute, "2023-08-01-preview")
        plane.route("PUT", computes, self.put_compute, "2023-08-01-preview")
        plane.route("GET", root + r"/computes", self.list_computes, "2023-08-01-preview")
        plane.route("GET", r"/discovery/(?P<workspace>[^/]+)", self.discovery, public=True)

    def known(self, workspace: str) -> str:
        """Return the workspace's name as it is written.

        Raises:
            RefusalError: there is none of that name.
        """
        for name in self._plane.backend.workspaces.values():
            if name.lower() == workspace.lower():
                return name
        raise not_found(f"The workspace '{workspace}'")

    @property
    def services(self) -> str:
        """Where the services beside the resource manager answer, without a slash at the end."""
        plane = self._plane
        if plane.public:
            return f"https://{plane.backend.location}.api.azureml.ms"
        return plane.address

    def workspace(self, request: Request, workspace: str) -> Answer:
        plane, name = self._plane, self.known(workspace)
        guid = plane.guid(f"workspace/{name}")
        return Answer(
            200,
            {
                "id": plane.arm_id(name),
                "name": name,
                "type": "Microsoft.MachineLearningServices/workspaces",
                "location": plane.backend.location,
                "identity": {"type": "SystemAssigned"},
                "properties": {
                    "friendlyName": name,
                    "workspaceId": guid,
                    "provisioningState": "Succeeded",
                    "discoveryUrl": f"{self.services}/discovery/{name}",
                    "mlFlowTrackingUri": (
                        f"azureml://{self.services.removeprefix('https://')}/mlflow/v1.0"
                        f"{plane.arm_id(name)}"
                    ),
                    "storageAccount": f"/storageAccounts/{plane.backend.storage_account}",
                },
            },
        )

    def discovery(self, request: Request, workspace: str) -> Answer:
        self.known(workspace)
        names = ("api", "history", "pipelines", "catalog", "mlflow", "modelmanagement")
        return Answer(200, dict.fromkeys(names, self.services))

    def datastore_names(self) -> tuple[str, ...]:
        return ("workspaceblobstore", *CONTAINERS)

    def datastore(self, request: Request, workspace: str, name: str) -> Answer:
        workspace = self.known(workspace)
        if name not in self.datastore_names():
            raise not_found(f"The datastore '{name}'")
        return Answer(200, self._datastore(workspace, name))

    def datastores(self, request: Request, workspace: str) -> Answer:
        workspace = self.known(workspace)
        return Answer(
            200, {"value": [self._datastore(workspace, each) for each in self.datastore_names()]}
        )

    def secrets(self, request: Request, workspace: str) -> Answer:
        """Datastores carry no key: identities reach the account."""
        self.known(workspace)
        return Answer(200, {"secretsType": "None"})

    def compute(self, request: Request, workspace: str, name: str) -> Answer:
        found = self.computes.get((self.known(workspace), name))
        if found is None:
            raise not_found(f"The compute '{name}'")
        return Answer(200, copy.deepcopy(found))

    def list_computes(self, request: Request, workspace: str) -> Answer:
        workspace = self.known(workspace)
        found = [each for (place, _), each in self.computes.items() if place == workspace]
        return Answer(200, {"value": copy.deepcopy(found)})

    def put_compute(self, request: Request, workspace: str, name: str) -> Answer:
        """Make or change a cluster; it is there when its operation ends."""
        workspace, body = self.known(workspace), request.json
        wanted = body["properties"]
        if wanted.get("computeType") != "AmlCompute":
            raise bad_request(f"computeType {wanted.get('computeType')!r} is not served here.")
        scale = wanted["properties"]["scaleSettings"]
        made = self._cluster(
            workspace, name, wanted["properties"]["vmSize"], int(scale["maxNodeCount"])
        )
        creating = copy.deepcopy(made)
        creating["properties"]["provisioningState"] = "Creating"
        self.computes[workspace, name] = creating

        def finish() -> None:
            self.computes[workspace, name] = made

        plane = self._plane
        operation = plane.operations.start(finish, plane.latency.of_update())
        return Answer(201, copy.deepcopy(creating), plane.operations.headers(operation))

    def nodes(self, workspace: str, compute: str) -> int:
        """How many nodes that cluster may have."""
        properties = self.computes[workspace, compute]["properties"]["properties"]
        return int(properties["scaleSettings"]["maxNodeCount"])

    def compute_name(self, workspace: str, arm_id: str) -> str:
        """Return the cluster that a resource id names.

        Raises:
            RefusalError: 400, as the service says it of a job or a deployment.
        """
        name = arm_id.rsplit("/", 1)[-1]
        right = self._plane.arm_id(workspace, f"/computes/{name}")
        if arm_id.lower() != right.lower() or (workspace, name) not in self.computes:
            raise bad_request(f"Unknown compute target '{arm_id}'.")
        return name

    def _datastore(self, workspace: str, name: str) -> dict[str, Any]:
        plane = self._plane
        container = "azureml-blobstore" if name == "workspaceblobstore" else name
        return {
            "id": plane.arm_id(workspace, f"/datastores/{name}"),
            "name": name,
            "type": "Microsoft.MachineLearningServices/workspaces/datastores",
            "properties": {
                "datastoreType": "AzureBlob",
                "accountName": plane.backend.storage_account,
                "containerName": container,
                "endpoint": plane.backend.cloud.storage_suffix,
                "protocol": "https",
                "credentials": {"credentialsType": "None"},
                "isDefault": name == "workspaceblobstore",
                "tags": {},
                "properties": {},
            },
        }

    def _cluster(self, workspace: str, name: str, size: str, nodes: int) -> dict[str, Any]:
        plane = self._plane
        return {
            "id": plane.arm_id(workspace, f"/computes/{name}"),
            "name": name,
            "type": "Microsoft.MachineLearningServices/workspaces/computes",
            "location": plane.backend.location,
            "properties": {
                "computeType": "AmlCompute",
                "computeLocation": plane.backend.location,
                "provisioningState": "Succeeded",
                "properties": {
                    "vmSize": size,
                    "vmPriority": "Dedicated",
                    "osType": "Linux",
                    "scaleSettings": {
                        "minNodeCount": 0,
                        "maxNodeCount": nodes,
                        "nodeIdleTimeBeforeScaleDown": "PT120S",
                    },
                },
            },
        }
