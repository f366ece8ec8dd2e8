"""What a deployment knows of its surroundings: variables that are set where it is deployed.

A request that is scored says what to forecast and never where: whoever may write a request must not
choose to which address the identity of production takes its token.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import DataError
from mlops_assets.domain.identifiers import canonical_json
from mlops_assets.settings.azure import AzureBackend, Cloud

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    ServingName = Literal["test", "prod"]

WORKSPACE, STORAGE = "MLOPS_WORKSPACE", "MLOPS_STORAGE"


def variables(backend: AzureBackend, workspace: ServingName) -> dict[str, str]:
    """Return what a deployment of a workspace is told."""
    storage = {
        "account": backend.storage_account,
        "suffix": backend.cloud.storage_suffix,
        "blob": backend.cloud.blob,
        "identity": backend.identities.get(workspace, ""),
    }
    return {WORKSPACE: workspace, STORAGE: canonical_json(storage).decode()}


def told(environ: Mapping[str, str]) -> tuple[AzureBackend, ServingName]:
    """Return the storage and the workspace that this process was told; its other names are empty.

    Raises:
        DataError: it was told none.
    """
    try:
        storage = json.loads(environ[STORAGE])
        workspace: ServingName = "prod" if environ[WORKSPACE] == "prod" else "test"
        backend = AzureBackend.of_storage(
            storage["account"],
            Cloud(storage_suffix=storage["suffix"], blob=storage["blob"]),
            {workspace: storage["identity"]} if storage["identity"] else {},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{WORKSPACE}, {STORAGE}: say nothing that this script understands; `mlops renew` "
            "deploys it anew"
        ) from error
    return backend, workspace
