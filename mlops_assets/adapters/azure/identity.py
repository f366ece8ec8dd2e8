"""Who we are to Azure: its own chain of credentials, as the identity of one role.

No key is ever configured. An emulator on this machine has no identities and takes the key of
`STORAGE_KEY` instead, which counts nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from azure.core.credentials import AzureNamedKeyCredential
from azure.identity import DefaultAzureCredential

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure.core.credentials import TokenCredential

    from mlops_assets.settings.azure import AzureBackend, Role

STORAGE_KEY = "MLOPS_AZURE_STORAGE_KEY"


def credential(backend: AzureBackend, role: Role) -> TokenCredential:
    """Return who a role is: its own managed identity where the settings name one.

    Elsewhere the chain asks what it finds: the environment, a workload identity, `az login`.
    """
    client = backend.identities.get(role)
    if client is None:
        return DefaultAzureCredential()
    return DefaultAzureCredential(
        managed_identity_client_id=client, workload_identity_client_id=client
    )


def storage_credential(
    backend: AzureBackend, role: Role, environ: Mapping[str, str]
) -> TokenCredential | AzureNamedKeyCredential:
    """Return what opens the storage account: an emulator's key, else who the role is."""
    if key := emulator_key(backend, environ):
        return AzureNamedKeyCredential(backend.storage_account, key)
    return credential(backend, role)


def emulator_key(backend: AzureBackend, environ: Mapping[str, str]) -> str | None:
    """Return the key of an emulator on this machine; None for any other account."""
    return environ.get(STORAGE_KEY) or None if is_loopback(backend.blob_url) else None


def is_loopback(url: str) -> bool:
    """Whether an address never leaves this machine."""
    host = urlsplit(url).hostname or ""
    return host in {"127.0.0.1", "::1", "localhost"} or host.endswith(".localhost")
