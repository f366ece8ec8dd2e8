"""One handler that answers as Azure does: it remembers, and it refuses what the service refuses.

Behind it stand the parts, each of which adds its routes: workspaces and computes, assets, the
registry, batch endpoints, jobs, tokens. `transport.py` puts it behind the SDK without a socket,
`server.py` behind HTTPS in a process of its own.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from uuid import NAMESPACE_URL, uuid5

from mlops_assets_tests.control_plane.assets import WorkspaceAssets
from mlops_assets_tests.control_plane.clock import RealClock
from mlops_assets_tests.control_plane.endpoints import Endpoints
from mlops_assets_tests.control_plane.faults import Faults
from mlops_assets_tests.control_plane.identity import Identities
from mlops_assets_tests.control_plane.jobs import Jobs
from mlops_assets_tests.control_plane.latency import Latency
from mlops_assets_tests.control_plane.operations import Operations
from mlops_assets_tests.control_plane.registry import Registry
from mlops_assets_tests.control_plane.resources import Resources
from mlops_assets_tests.control_plane.storage import Storage
from mlops_assets_tests.control_plane.wire import Answer, LostError, RefusalError, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets.settings.azure import AzureBackend
    from mlops_assets_tests.control_plane.clock import VirtualClock

PUBLIC = "https://management.azure.com"


class Handler(Protocol):
    """What a route does; named groups of its pattern come as keywords."""

    def __call__(self, request: Request, /, **groups: str) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Route:
    """One call that is known. ``versions`` empty: the call takes no api-version."""

    method: str
    pattern: re.Pattern[str]
    handler: Handler
    versions: frozenset[str] = frozenset()
    public: bool = False


@dataclass(slots=True)
class Call:
    """One request that arrived, with what was said."""

    request: Request
    status: int = 0
    role: str = ""


@dataclass
class ControlPlane:
    """The services of one subscription.

    Args:
        backend: whose names exist; what `infra/` makes is there from the start.
        address: where the resource manager answers, without a slash at the end.
        clock: `VirtualClock` for service-like latencies without waiting.
        polls: how many questions about a long-running operation hear that it is in progress.
        node_environment: what every process of a job finds in its environment, such as the key of
            the storage account.
    """

    backend: AzureBackend
    address: str = PUBLIC
    clock: RealClock | VirtualClock = field(default_factory=RealClock)
    polls: int = 1
    latency: Latency = field(default_factory=Latency)
    node_environment: dict[str, str] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    scopes: list[tuple[str, str]] = field(default_factory=list)
    _routes: list[Route] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self.faults = Faults(self.clock)
        self.storage = Storage(self)
        self.operations = Operations(self)
        self.identities = Identities(self)
        self.resources = Resources(self)
        self.assets = WorkspaceAssets(self)
        self.registry = Registry(self)
        self.endpoints = Endpoints(self)
        self.jobs = Jobs(self)

    @property
    def public(self) -> bool:
        """Whether the services keep Azure's own host names, as behind an injected transport."""
        return self.address == PUBLIC

    @property
    def workspace_prefix(self) -> str:
        """A pattern of everything in a workspace of the resource group."""
        return self._group + r"/workspaces/(?P<workspace>[^/]+)"

    @property
    def registry_prefix(self) -> str:
        """A pattern of everything in the registry."""
        return r"/mferp/managementfrontend" + self._group + r"/registries/(?P<registry>[^/]+)"

    @property
    def _group(self) -> str:
        return (
            f"/subscriptions/{re.escape(self.backend.subscription)}/(?i:resourceGroups)/"
            f"{re.escape(self.backend.resource_group)}/providers/"
            r"Microsoft\.MachineLearningServices"
        )

    def arm_id(self, workspace: str, rest: str = "") -> str:
        """The resource id of something in a workspace."""
        return (
            f"/subscriptions/{self.backend.subscription}/resourceGroups/"
            f"{self.backend.resource_group}/providers/Microsoft.MachineLearningServices/"
            f"workspaces/{workspace}{rest}"
        )

    def guid(self, name: str) -> str:
        """An id that the service would draw, the same in every run."""
        return str(uuid5(NAMESPACE_URL, f"{self.backend.subscription}/{name}"))

    def route(
        self,
        method: str,
        pattern: str,
        handler: Callable[..., Answer],
        *versions: str,
        public: bool = False,
    ) -> None:
        """Add a call. ``pattern`` is matched to the whole path, or to ``host/path`` after ``//``.

        ``public`` calls need no token. The newest route that fits is taken.
        """
        self._routes.insert(
            0, Route(method, re.compile(pattern), handler, frozenset(versions), public)
        )

    def handle(self, request: Request) -> Answer:
        """Answer one request.

        Raises:
            LostError: the connection broke, as ordered of `faults`.
        """
        call = Call(request)
        with self.lock:
            self.calls.append(call)
        try:
            self.faults.before(request)
            answer = self._answer(request, call)
            self.faults.after(request, answer)
        except RefusalError as refusal:
            answer = refusal.answer
        except LostError:
            call.status = -1
            raise
        call.status = answer.status
        answer.headers.setdefault("x-ms-request-id", self.guid(f"request/{len(self.calls)}"))
        return answer

    def model_files(self, model: dict[str, Any]) -> dict[str, bytes]:
        """The bytes of a registered model, a copy of the registry's own where it is that one."""
        uri = model["properties"]["modelUri"]
        if found := self.registry.files.get(uri):
            return found
        return self.storage.read(uri)

    def scope_of(self, request: Request) -> str:
        """The scope of a call to none of the parts above, as `scopes` says it of its address."""
        place = f"//{request.host}{request.path}"
        return next((scope for pattern, scope in self.scopes if re.search(pattern, place)), "other")

    def close(self) -> None:
        """Stop the jobs that run."""
        self.jobs.close()

    def _answer(self, request: Request, call: Call) -> Answer:
        route, groups = self._find(request)
        self._check_version(request, route)
        if not route.public:
            call.role = self.identities.check(request)
        self.latency.wait(self.clock, request)
        with self.lock:
            self.operations.settle()
            return route.handler(request, **groups)

    def _find(self, request: Request) -> tuple[Route, dict[str, str]]:
        known = False
        for route in self._routes:
            by_host = route.pattern.pattern.startswith("//")
            text = f"//{request.host}{request.path}" if by_host else request.path
            if found := route.pattern.fullmatch(text):
                if route.method == request.method:
                    return route, found.groupdict()
                known = True
        if known:
            raise RefusalError(405, "MethodNotAllowed", f"{request.method} is not allowed here.")
        raise RefusalError(
            404, "InvalidResourceType", f"No resource provider serves {request.host}{request.path}."
        )

    def _check_version(self, request: Request, route: Route) -> None:
        if not route.versions:
            return
        if not request.api_version:
            raise RefusalError(
                400, "MissingApiVersionParameter", "The api-version query parameter is required."
            )
        if request.api_version not in route.versions:
            raise RefusalError(
                400,
                "NoRegisteredProviderFound",
                f"No registered resource provider found for API version '{request.api_version}'; "
                f"supported: {', '.join(sorted(route.versions))}.",
            )
