"""Who we are to Azure: its own chain of credentials, as the identity of one role.

No key is ever configured. An emulator on this machine has no identities and takes the key of
`STORAGE_KEY` instead, which counts nowhere else.

Tokens are kept for a process: some links of the chain, `az login` among them, ask anew each time.
"""

from __future__ import annotations

import os
import threading
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from azure.core.credentials import AzureNamedKeyCredential
from azure.identity import DefaultAzureCredential

from mlops_assets.domain.errors import AbsentRoleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure.core.credentials import AccessToken, AccessTokenInfo, TokenCredential

    from mlops_assets.settings.azure import AzureBackend, Role

STORAGE_KEY = "MLOPS_AZURE_STORAGE_KEY"
# Every link of the chain reads variables of these names.
_ASKED = ("AZURE_", "IDENTITY_", "MSI_", "IMDS_")
_SPARE_SECONDS = 300


class KeptChain(DefaultAzureCredential):  # type: ignore[misc]  # its types are not read
    """Azure's chain, each token of which is kept until five minutes before it ends."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 as the chain has them
        super().__init__(**settings)
        self._kept: dict[object, Any] = {}
        self._asking = threading.RLock()

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:  # noqa: ANN401
        """A token for a scope."""
        found: AccessToken = self._keep(super().get_token, scopes, options)
        return found

    def get_token_info(self, *scopes: str, options: Any = None) -> AccessTokenInfo:  # noqa: ANN401
        """A token for a scope, as newer clients ask for it."""
        found: AccessTokenInfo = self._keep(super().get_token_info, scopes, {"options": options})
        return found

    def _keep(self, ask: Any, scopes: tuple[str, ...], options: dict[str, Any]) -> Any:  # noqa: ANN401
        name = (ask.__name__, scopes, repr(sorted(options.items())))
        with self._asking:
            found = self._kept.get(name)
            if found is None or found.expires_on - time.time() < _SPARE_SECONDS:
                # Claims are a service's answer to a token that it refused: they come once.
                found = self._kept[name] = ask(*scopes, **options)
        return found


class AbsentRole:
    """What a host has instead of the identity of a role that is not one of its own."""

    def __init__(self, roles: tuple[Role, ...], lacks: Role) -> None:
        self._line = (
            f"this needs the identity of {lacks}, and this host is {' and '.join(roles)}: run it "
            f"on a host that is {lacks}, as MLOPS_ROLE says there"
        )

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:  # noqa: ANN401
        """Refuse.

        Raises:
            AbsentRoleError: always.
        """
        raise AbsentRoleError(self._line)

    def get_token_info(self, *_scopes: str, options: Any = None) -> AccessTokenInfo:  # noqa: ANN401, ARG002
        """Refuse likewise, as newer clients ask."""
        raise AbsentRoleError(self._line)


def credential(backend: AzureBackend, role: Role) -> TokenCredential:
    """Return who a role is: its own managed identity where the settings name one.

    Elsewhere the chain asks what it finds: the environment, a workload identity, `az login`. A role
    that this host does not have says so where its token is asked for.
    """
    if role not in backend.roles:
        return AbsentRole(backend.roles, role)
    known = tuple(sorted((k, v) for k, v in os.environ.items() if k.startswith(_ASKED)))
    return _chain(backend.identities.get(role), known)


@lru_cache(maxsize=32)
def _chain(client: str | None, _environment: tuple[tuple[str, str], ...]) -> KeptChain:
    """Return the chain of a client id, one for a process as long as its environment stays."""
    if client is None:
        return KeptChain()
    return KeptChain(managed_identity_client_id=client, workload_identity_client_id=client)


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
