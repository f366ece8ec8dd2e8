"""What each identity may do, as role assignments say it: actions by scope."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_assets_tests.control_plane.plane import ControlPlane
    from mlops_assets_tests.control_plane.wire import Request

PROVIDER = "Microsoft.MachineLearningServices"
OWNER = "owner"
# What Microsoft lists for invoking a batch endpoint ("Configure RBAC for Batch Endpoints invoke"),
# but for what would register data or environments: `data/versions/write`,
# `datasets/registered/write` and `environments/write`. Inputs here are folders of a datastore.
INVOKING = tuple(
    f"{PROVIDER}/workspaces/{one}"
    for one in (
        "read",
        "batchEndpoints/read",
        "batchEndpoints/deployments/read",
        "batchEndpoints/deployments/jobs/write",
        "batchEndpoints/jobs/write",
        "datastores/read",
        "models/read",
        "environments/read",
        "experiments/read",
        "experiments/runs/read",
        "computes/read",
        "datasets/unregistered/write",
        "datastores/write",
        "datastores/listsecrets/action",
        "listStorageAccountKeys/action",
        "computes/listKeys/action",
        "metadata/artifacts/write",
        "experiments/runs/submit/action",
        "experiments/runs/write",
        "metrics/resource/write",
        "endpoints/pipelines/write",
        "environments/build/action",
        "environments/readSecrets/action",
    )
)
_VERBS = {"GET": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class Grant:
    """Actions of one scope: a workspace by its settings name, `registry`, or anything else's.

    ``but`` are those that its role leaves out.
    """

    scope: str
    actions: tuple[str, ...]
    but: tuple[str, ...] = ()


def _read_or_endpoint(action: str) -> bool:
    """Whether the wide grants of who serves hold an action already."""
    return action.endswith("/read") or "/batchEndpoints/" in action


def _serving(workspace: str) -> tuple[Grant, ...]:
    """What an identity needs to deploy and to predict, and nothing that trains or registers."""
    return (
        Grant(
            workspace,
            (
                f"{PROVIDER}/*/read",
                f"{PROVIDER}/workspaces/batchEndpoints/*",
                f"{PROVIDER}/workspaces/codes/versions/write",
                f"{PROVIDER}/workspaces/jobs/cancel/action",
                *(one for one in INVOKING if not _read_or_endpoint(one)),
            ),
        ),
        Grant("registry", (f"{PROVIDER}/*/read",)),
    )


RULES: dict[str, tuple[Grant, ...]] = {
    "etl": (Grant("synapse", ("*",)),),
    "dev": (
        # Azure's own role AzureML Data Scientist: makes everything in a workspace but clusters.
        Grant(
            "dev",
            tuple(
                f"{PROVIDER}/workspaces/*/{one}" for one in ("read", "action", "delete", "write")
            ),
            tuple(
                f"{PROVIDER}/workspaces/{one}"
                for one in ("delete", "write", "computes/*/write", "computes/*/delete")
            ),
        ),
        Grant("registry", (f"{PROVIDER}/*/read",)),
        Grant("devops", ("*",)),
    ),
    "release": (
        Grant("dev", (f"{PROVIDER}/*/read",)),
        # Azure's own role AzureML Registry User.
        Grant("registry", (f"{PROVIDER}/registries/read", f"{PROVIDER}/registries/assets/*")),
        Grant("devops", ("*",)),
    ),
    "test": _serving("test"),
    "prod": (*_serving("prod"), Grant("monitor", ("*",))),
    "review": (Grant("devops", ("*",)),),
}


def actions_of(request: Request, plane: ControlPlane) -> tuple[tuple[str, ...], str]:
    """Return every action that a request needs, and the scope it needs them in."""
    if endpoint := plane.endpoints.named_by(request):
        return INVOKING, _scope("workspaces", plane.endpoints.workspace_of(endpoint), plane)
    action, scope = _action_of(request, plane)
    return (action,), scope


def _action_of(request: Request, plane: ControlPlane) -> tuple[str, str]:
    path = re.sub(r"^/mferp/managementfrontend", "", request.path)
    if found := re.search(r"/providers/Microsoft\.MachineLearningServices/(.*)", path):
        parts = found[1].split("/")
        types, names = parts[0::2], parts[1::2]
        kinds = "/".join(types)
        if types[0] == "registries" and len(types) > 1:
            # What a registry holds is one kind to its roles; an import writes.
            verb = "read" if request.method == "GET" else "write"
            return f"{PROVIDER}/registries/assets/{verb}", "registry"
        if request.method == "POST":
            # POST .../jobs/NAME/cancel: the last word is what is done
            verb = f"{kinds}/action" if len(types) > len(names) else f"{kinds}/{names[-1]}/action"
        else:
            verb = f"{kinds}/{_VERBS[request.method]}"
        return f"{PROVIDER}/{verb}", _scope(types[0], names[0] if names else "", plane)
    if "/registrymanagement/" in path:
        return f"{PROVIDER}/registries/read", "registry"
    return f"{request.method} {path}", plane.scope_of(request)


def allowed(grants: Sequence[Grant], action: str, scope: str) -> bool:
    """Whether any grant of that scope names the action; case does not count.

    What became of an operation may be asked by whoever knows of it.
    """
    return scope == "any" or any(
        grant.scope == scope and _named(action, grant.actions) and not _named(action, grant.but)
        for grant in grants
    )


def _named(action: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern fits; a star between two slashes may stand for nothing."""
    return any(
        fnmatchcase(action.lower(), each.lower())
        for pattern in patterns
        for each in (pattern, pattern.replace("/*/", "/"))
    )


def _scope(kind: str, name: str, plane: ControlPlane) -> str:
    if kind == "registries":
        return "registry"
    if kind == "locations":
        return "any"
    known = {real: key for key, real in plane.backend.workspaces.items()}
    return known.get(name, name)
