"""Batch endpoints as what applies models: an invocation is a job that scores one request.

The SDK keeps the headers of an invocation in a mapping that all calls share, and what one call put
there stays for the next. So the deployment is named in every call, and one is made at a time.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from azure.ai.ml import Input
from azure.ai.ml.constants import AssetTypes
from azure.core.exceptions import HttpResponseError

from mlops_assets.adapters.azure.client import explained
from mlops_assets.adapters.azure.jobs import AzureJobs

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets.adapters.azure.client import Clients
    from mlops_assets.domain.deployment import Deployment
    from mlops_assets.settings.azure import Workspace

_CONFLICT = 409
_SHARED_HEADERS = threading.Lock()


class AzureScoring(AzureJobs):
    """The batch endpoints of one serving workspace.

    Args:
        clients: of the identity that predicts.
        workspace: test or prod.
        served_by: the endpoint and the deployment on it that serve one of ours; it refuses one
            that nothing serves.
    """

    def __init__(
        self,
        clients: Clients,
        workspace: Workspace,
        served_by: Callable[[Deployment], tuple[str, str]],
    ) -> None:
        super().__init__(clients, workspace)
        self._served_by = served_by

    def place(self, deployment: Deployment) -> str:
        """Endpoint and deployment, as ``ENDPOINT/DEPLOYMENT``."""
        return "/".join(self._served_by(deployment))

    def invoke(self, name: str, place: str, *, request: str) -> str:
        """Order one scoring of a request; a name that was ordered before is left as it is."""
        endpoint, _, deployment = place.partition("/")
        client = self._clients.workspace(self._workspace)
        with explained(f"invoking {place} in workspace {self._workspace}"), _SHARED_HEADERS:
            try:
                job = client.batch_endpoints.invoke(
                    endpoint_name=endpoint,
                    deployment_name=deployment,
                    inputs={"request": Input(type=AssetTypes.URI_FOLDER, path=request)},
                    job_name=name,
                    experiment_name=f"forecast_{endpoint}",
                )
            except HttpResponseError as error:
                if error.status_code != _CONFLICT:
                    raise
                # Our own, whose answer was lost: the SDK sends again what it has no answer to.
                return name
        return str(job.name)
