"""Permissions: what Azure itself says that each identity of this host may do.

It is asked under that identity. Too little and too much are both told, by action and place.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal, Protocol

from mlops_assets.domain.errors import EngineError
from mlops_assets.settings.access import ACCESS
from mlops_assets.settings.azure import CONTAINERS, WORKSPACES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from mlops_assets.settings.azure import AzureBackend, Container, Role, Workspace

_PERMISSIONS = "2022-04-01"
_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
_READ, _WRITE = f"{_BLOBS}/read", f"{_BLOBS}/write"
_ML = "Microsoft.MachineLearningServices"
# What a role that serves must never be let to do anywhere.
_TRAINING = tuple(
    f"{_ML}/workspaces/{kind}/write" for kind in ("jobs", "models/versions", "data/versions")
)
_SERVES = tuple(
    f"{_ML}/workspaces/{one}"
    for one in (
        "batchEndpoints/write",
        "batchEndpoints/deployments/write",
        "batchEndpoints/jobs/write",
        "codes/versions/write",
        "jobs/cancel/action",
    )
)
# What each role does: actions by workspace, or in the registry.
WORK: Mapping[Role, Mapping[Workspace | Literal["registry"], tuple[str, ...]]] = {
    "dev": {
        "dev": (
            *_TRAINING,
            f"{_ML}/workspaces/environments/versions/write",
            f"{_ML}/workspaces/codes/versions/write",
        ),
        "registry": (f"{_ML}/registries/assets/read",),
    },
    "release": {
        "dev": (f"{_ML}/workspaces/models/versions/read",),
        "registry": (f"{_ML}/registries/assets/read", f"{_ML}/registries/assets/write"),
    },
    "test": {"test": _SERVES, "registry": (f"{_ML}/registries/assets/read",)},
    "prod": {"prod": _SERVES, "registry": (f"{_ML}/registries/assets/read",)},
}
_ADVICE = "deploy infra/access.json again"
NOT_HERE = "not asked: no role of this host needs it"
_SHARED = "not asked: roles share an identity; name one each in the settings to keep them apart"


class Get(Protocol):
    """Asks Azure as a role; ``what`` is what people are told it was."""

    def __call__(self, role: Role, url: str, what: str) -> Mapping[str, Any]:
        """The document that answers."""


class Permissions:
    """The questions about what the roles of a host may do."""

    def __init__(self, backend: AzureBackend, get: Get) -> None:
        self._backend = backend
        self._roles = backend.roles
        self._get = get

    def access(self) -> str:
        """Whether each role has of each container what it should, and no more."""
        if self._alone:
            return _SHARED
        problems = [
            problem
            for role in self._roles
            for container in CONTAINERS
            for problem in self._container(role, container)
        ]
        if problems:
            raise EngineError(f"{'; '.join(problems)}: {_ADVICE}")
        return "each role may do with each container what infra/access.json gives it"

    def _container(self, role: Role, container: Container) -> Iterator[str]:
        wanted = ACCESS[role].get(container)
        place = (
            f"Microsoft.Storage/storageAccounts/{self._backend.storage_account}"
            f"/blobServices/default/containers/{container}"
        )
        given = self._given(role, place, "dataActions", (_READ, _WRITE))
        for action, verb, needed in (
            (_READ, "read", wanted is not None),
            (_WRITE, "write", wanted == "write"),
        ):
            if needed and action not in given:
                yield f"{role} may not {verb} {container}"
            elif action in given and not needed:
                yield f"{role} may {verb} {container}, and should not"

    def serving(self) -> str:
        """Whether the roles that serve can neither train nor register anything."""
        if self._alone:
            return _SHARED
        problems = []
        serving = [role for role in self._roles if role in ("test", "prod")]
        for role in serving:
            for workspace in WORKSPACES:
                place = f"{_ML}/workspaces/{self._backend.workspaces[workspace]}"
                problems += [
                    f"{role} may {action.removeprefix(f'{_ML}/')} in {workspace}"
                    for action in sorted(self._given(role, place, "actions", _TRAINING))
                ]
        if problems:
            raise EngineError(f"{'; '.join(problems)}: take it away; {_ADVICE}")
        if not serving:
            return NOT_HERE
        return f"{' and '.join(serving)} can neither train nor register anything"

    def work(self) -> str:
        """Whether each role may do in workspaces and registry what its own work takes."""
        if self._alone:
            return _SHARED
        names: dict[str, str] = dict(self._backend.workspaces.items())
        names["registry"] = self._backend.registry
        working = [role for role in self._roles if role in WORK]
        problems = [
            f"{role} may not {action.removeprefix(f'{_ML}/')} in {names[where]}"
            for role in working
            for where, actions in WORK[role].items()
            for action in self._lacking(role, where, names[where], actions)
        ]
        if problems:
            raise EngineError(f"{'; '.join(problems)}: {_ADVICE}")
        return f"{', '.join(working)} may do their own work" if working else NOT_HERE

    def _lacking(self, role: Role, where: str, name: str, actions: Sequence[str]) -> list[str]:
        kind = "registries" if where == "registry" else "workspaces"
        given = self._given(role, f"{_ML}/{kind}/{name}", "actions", actions)
        return [action for action in actions if action not in given]

    @property
    def _alone(self) -> bool:
        """Whether roles of this host share an identity, which then may what any of them may."""
        return len({self._backend.identities.get(role) for role in self._roles}) < len(self._roles)

    def _given(self, role: Role, place: str, kind: str, asked: Sequence[str]) -> Collection[str]:
        """Which of these actions a role has at a place, of all that was assigned to it."""
        group = (
            f"/subscriptions/{self._backend.subscription}"
            f"/resourceGroups/{self._backend.resource_group}"
        )
        path = f"{group}/providers/{place}/providers/Microsoft.Authorization/permissions"
        url = f"{self._backend.cloud.resource_manager.rstrip('/')}{path}?api-version={_PERMISSIONS}"
        answer = self._get(role, url, f"what {role} may do")
        negative = f"not{kind[0].upper()}{kind[1:]}"
        return {
            action
            for action in asked
            for each in answer.get("value", ())
            if _covers(each.get(kind) or (), action)
            and not _covers(each.get(negative) or (), action)
        }


def _covers(patterns: Sequence[str], action: str) -> bool:
    return any(fnmatchcase(action.lower(), each.lower()) for each in patterns)
