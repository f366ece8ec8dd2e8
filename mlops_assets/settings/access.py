"""Which identity may do what with which container; `infra/access.json` gives exactly this.

Only the ETL writes readings. Production reads lake and registry and writes its own deployments and
forecasts: it can change nothing that a model learned from. Whoever decides appends to the ledger,
and anchors its head where nobody can remove it. A pull request's pipeline runs what anybody may
have written: `review` reads what it compares with, and writes nothing.

A host need not have every role. What belongs to one that it lacks is reached as another of its own
that may, and refused in one line where none may: the service would only say 403.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from mlops_assets.domain.errors import AbsentRoleError
from mlops_assets.settings.azure import ROLES, AzureBackend, Container, Role

Right = Literal["read", "write"]

ACCESS: Mapping[Role, Mapping[Container, Right]] = {
    "etl": {
        "raw": "write",
        "lake": "write",
        "dev": "read",  # until when each circuit is trained: rows before it are restatements
        "ledger": "read",
        "anchors": "read",
    },
    "dev": {
        "raw": "read",
        "lake": "read",
        "forecasts": "read",
        "dev": "write",
        "registry": "read",
        "prod": "read",
        "ledger": "write",
        "anchors": "write",
    },
    "release": {
        "raw": "read",
        "lake": "read",
        "forecasts": "read",
        "dev": "write",
        "registry": "write",
        "test": "read",
        "prod": "read",
        "ledger": "write",
        "anchors": "write",
    },
    "test": {
        "lake": "read",
        "registry": "read",
        "test": "write",
        "ledger": "read",
        "anchors": "read",
    },
    "prod": {
        "lake": "read",
        "forecasts": "write",
        "registry": "read",
        "prod": "write",
        "ledger": "write",
        "anchors": "write",
    },
    "review": {
        "raw": "read",
        "lake": "read",
        "forecasts": "read",
        "dev": "read",
        "registry": "read",
        "prod": "read",
        "ledger": "read",
        "anchors": "read",
    },
}


def acting(
    backend: AzureBackend, own: Role, container: Container
) -> tuple[Role, Callable[[Right, str], None]]:
    """Return as which role this host reaches a container, and what refuses all that it may not.

    It is the role that the container's port belongs to where the host has it, else the first of the
    host's that may write there, else the first that may read.
    """
    writers = [role for role in backend.roles if _gives(role, container, "write")]
    readers = [role for role in backend.roles if _gives(role, container, "read")]
    role = own if own in backend.roles else next(iter([*writers, *readers]), own)

    def check(right: Right, where: str) -> None:
        if role not in backend.roles or not _gives(role, container, right):
            raise absent(backend, right, container, where)

    return role, check


def may(backend: AzureBackend, container: Container, right: Right) -> bool:
    """Whether any role of this host may read a container, or write it."""
    return any(_gives(role, container, right) for role in backend.roles)


def absent(
    backend: AzureBackend, right: Right, container: Container, where: str
) -> AbsentRoleError:
    """Return the line that says which role is needed, where none of this host's will do."""
    able = [role for role in ROLES if _gives(role, container, right)]
    verb = "read" if right == "read" else "written"
    return AbsentRoleError(
        f"{where}: cannot be {verb} by this host, which is {' and '.join(backend.roles)}: run it "
        f"on a host that is {' or '.join(able)}, as MLOPS_ROLE says there"
    )


def _gives(role: Role, container: Container, right: Right) -> bool:
    return ACCESS[role].get(container) in {right, "write"}
