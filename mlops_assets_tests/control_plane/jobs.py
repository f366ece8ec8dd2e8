"""Jobs: command jobs that train, and those that an invocation of a batch endpoint begins.

A job waits for a node of its cluster, which has so many, runs, and ends. A name is a job for ever:
submitted again as it is, nothing runs again; submitted otherwise, it is refused.
"""

from __future__ import annotations

import copy
import itertools
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlops_assets_tests.control_plane.assets import page
from mlops_assets_tests.control_plane.execution import Outcome, executed
from mlops_assets_tests.control_plane.wire import (
    Answer,
    RefusalError,
    Request,
    bad_request,
    not_found,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets_tests.control_plane.plane import ControlPlane

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")
_ARM = re.compile(
    r"/subscriptions/[^/]+/(?i:resourceGroups)/[^/]+/providers/[^/]+/workspaces/(?P<place>[^/]+)/"
    r"(?P<kind>[a-z]+)/(?P<name>[^/]+)/versions/(?P<version>[^/]+)"
)
_REGISTRY = re.compile(
    r"azureml://registries/(?P<place>[^/]+)/(?P<kind>[a-z]+)/(?P<name>[^/]+)"
    r"/versions/(?P<version>[^/]+)"
)
_FIXED = (
    "jobType",
    "command",
    "codeId",
    "environmentId",
    "computeId",
    "inputs",
    "outputs",
    "environmentVariables",
    "experimentName",
    "limits",
    "resources",
)
ENDED = frozenset({"Completed", "Failed", "Canceled"})


@dataclass
class Job:
    """One job and what it runs on. Times are the control plane's."""

    name: str
    workspace: str
    compute: str
    properties: dict[str, Any]
    order: int
    created: datetime
    endpoint: str = ""
    deployment: dict[str, Any] | None = None
    input: dict[str, Any] | None = None
    status: str = "NotStarted"
    outcome: Outcome | None = None
    stop: threading.Event = field(default_factory=threading.Event)


class Jobs:
    """All jobs of all workspaces.

    Attributes:
        execute: what runs a job; really its command as a process, unless a test gives another.
    """

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._all: dict[tuple[str, str], Job] = {}
        self._numbers = itertools.count(1)
        self._pools: dict[tuple[str, str], ThreadPoolExecutor] = {}
        self.execute: Callable[[ControlPlane, Job], Outcome] = executed
        root = plane.workspace_prefix + r"/jobs"
        one = root + r"/(?P<name>[^/]+)"
        reads = ("2024-01-01-preview", "2023-04-01-preview", "2025-01-01-preview")
        plane.route("GET", root, self.list, *reads)
        plane.route("GET", one, self.get, *reads)
        plane.route("PUT", one, self.put, "2025-01-01-preview")
        plane.route("POST", one + r"/cancel", self.cancel, "2023-04-01-preview")
        front = r"/mferp/managementfrontend" + plane.workspace_prefix
        of = front + r"/batchEndpoints/(?P<endpoint>[^/]+)(?:/deployments/(?P<deployment>[^/]+))?"
        plane.route("GET", of + r"/jobs", self.list_of, "2020-09-01-dataplanepreview")
        plane.route(
            "GET", r"/history/v1\.0" + plane.workspace_prefix + r"/runs/(?P<name>[^/]+)/details",
            self.details,
        )  # fmt: skip

    def asset(self, kind: str, asset_id: str, workspace: str) -> dict[str, Any]:
        """Return the version that an id names, in the workspace or in the registry.

        Raises:
            RefusalError: 404, or 400 where it is no id of such an asset.
        """
        plane = self._plane
        if found := _REGISTRY.fullmatch(asset_id):
            if found["kind"] == kind and found["place"] == plane.registry.name:
                return plane.registry.assets.find(kind, found["name"], found["version"])
        elif (found := _ARM.fullmatch(asset_id)) and found["kind"] == kind:
            if plane.resources.known(found["place"]) != workspace:
                raise bad_request(f"'{asset_id}' is in another workspace than '{workspace}'.")
            return plane.assets.of(workspace).find(kind, found["name"], found["version"])
        raise bad_request(f"'{asset_id}' is no id of {kind}.")

    def find(self, workspace: str, name: str) -> Job:
        try:
            return self._all[self._plane.resources.known(workspace), name]
        except KeyError:
            raise not_found(f"The job '{name}'") from None

    @property
    def jobs(self) -> list[Job]:
        """Every job in the order of submission."""
        return sorted(self._all.values(), key=lambda each: each.order)

    def get(self, request: Request, workspace: str, name: str) -> Answer:
        return Answer(200, self._shown(self.find(workspace, name)))

    def list(self, request: Request, workspace: str) -> Answer:
        place = self._plane.resources.known(workspace)
        return page(request, [self._shown(job) for job in self.jobs if job.workspace == place])

    def list_of(
        self, request: Request, workspace: str, endpoint: str, deployment: str | None
    ) -> Answer:
        """The jobs that invocations of an endpoint, or of one deployment of it, began."""
        self._plane.resources.known(workspace)
        found = [
            self._batch(job)
            for job in self.jobs
            if job.endpoint == endpoint.lower()
            and job.deployment is not None
            and deployment in {None, job.deployment["name"]}
        ]
        return page(request, found)

    def details(self, request: Request, workspace: str, name: str) -> Answer:
        """What `jobs.stream` reads."""
        job = self.find(workspace, name)
        return Answer(200, {"runId": name, "status": job.status, "logFiles": {}, "properties": {}})

    def put(self, request: Request, workspace: str, name: str) -> Answer:
        """Submit a command job."""
        place, wanted = self._plane.resources.known(workspace), request.json["properties"]
        if not _NAME.fullmatch(name):
            raise bad_request(f"'{name}' is no name of a job.")
        if old := self._all.get((place, name)):
            for field_name in _FIXED:
                if _meant(old.properties.get(field_name)) != _meant(wanted.get(field_name)):
                    raise RefusalError(
                        400,
                        "UserError",
                        "A job with this name already exists. If you are trying to create a new "
                        "job, use a different name. If you are trying to update an existing job, "
                        f"the existing job's {field_name} cannot be changed. Only description, "
                        "displayName, tags, and isArchived can be updated.",
                    )
            for field_name in ("description", "displayName", "tags", "isArchived"):
                if field_name in wanted:
                    old.properties[field_name] = wanted[field_name]
            return Answer(200, self._shown(old))
        if wanted.get("jobType") != "Command":
            raise bad_request(f"jobType '{wanted.get('jobType')}' is not served here.")
        if not str(wanted.get("command") or "").strip():
            raise bad_request("A command job needs a command.")
        self.asset("environments", str(wanted.get("environmentId")), place)
        if wanted.get("codeId"):
            self.asset("codes", str(wanted["codeId"]), place)
        for given in (wanted.get("inputs") or {}).values():
            if "/data/" in (uri := str(given.get("uri"))) and "/versions/" in uri:
                self.asset("data", uri, place)
        compute = self._plane.resources.compute_name(place, str(wanted.get("computeId")))
        asked = (wanted.get("identity") or {}).get("clientId")
        if asked not in {None, self._plane.identities.of_cluster(place)}:
            raise bad_request(f"Identity '{asked}' is not assigned to compute '{compute}'.")
        job = self._begin(Job(name, place, compute, dict(wanted), *self._next()))
        return Answer(201, self._shown(job))

    def score(
        self,
        workspace: str,
        endpoint: dict[str, Any],
        deployment: dict[str, Any],
        properties: dict[str, Any],
        given: dict[str, Any],
    ) -> Answer:
        """Begin the job of an invocation. A name that is taken is refused; none draws one."""
        order, created = self._next()
        name = properties.get("name") or f"batchjob-{self._plane.guid(f'job/{order}')}"
        if (workspace, name) in self._all:
            raise RefusalError(409, "Conflict", f"A job named '{name}' already exists.")
        compute = self._plane.resources.compute_name(workspace, deployment["properties"]["compute"])
        inner = properties.get("properties") or {}
        job = Job(
            name,
            workspace,
            compute,
            {
                "jobType": "Pipeline",
                "displayName": name,
                "experimentName": inner.get("experimentName") or endpoint["name"],
                "tags": {},
                "properties": dict(inner),
            },
            order,
            created,
            endpoint=endpoint["name"].lower(),
            deployment=copy.deepcopy(deployment),
            input=copy.deepcopy(given),
        )
        return Answer(201, self._batch(self._begin(job)))

    def cancel(self, request: Request, workspace: str, name: str) -> Answer:
        job = self.find(workspace, name)
        if job.status in ENDED:
            raise RefusalError(
                400,
                "UserError",
                f"The job '{name}' has ended as {job.status}; it cannot be canceled.",
            )
        job.status = "CancelRequested"
        job.stop.set()
        operations = self._plane.operations
        return Answer(
            202, None, operations.headers(operations.start(lambda: None, 0.0), location=True)
        )

    def close(self) -> None:
        """Stop what runs and wait for it."""
        for job in self._all.values():
            job.stop.set()
        for pool in self._pools.values():
            pool.shutdown(cancel_futures=True)

    def _next(self) -> tuple[int, datetime]:
        return next(self._numbers), self._plane.clock.now()

    def _begin(self, job: Job) -> Job:
        self._all[job.workspace, job.name] = job
        key = (job.workspace, job.compute)
        if key not in self._pools:
            nodes = self._plane.resources.nodes(*key)
            self._pools[key] = ThreadPoolExecutor(nodes, thread_name_prefix=job.compute)
        job.status = "Queued"
        self._pools[key].submit(self._run, job)
        return job

    def _run(self, job: Job) -> None:
        """Take a job through its states on one node."""
        plane = self._plane
        if plane.latency.job_start:
            plane.clock.sleep(plane.latency.job_start)
        if not job.stop.is_set():
            job.status = "Running"
            with plane.clock.busy():
                try:
                    job.outcome = self.execute(plane, job)
                except Exception as error:  # noqa: BLE001 - a job that breaks has failed, as there
                    job.outcome = Outcome(1, f"{type(error).__name__}: {error}")
        if job.stop.is_set():
            if plane.latency.cancel:
                plane.clock.sleep(plane.latency.cancel)
            job.status = "Canceled"
        else:
            job.status = "Completed" if job.outcome and job.outcome.code == 0 else "Failed"

    def _shown(self, job: Job) -> dict[str, Any]:
        created = job.created.isoformat()
        return {
            "id": self._plane.arm_id(job.workspace, f"/jobs/{job.name}"),
            "name": job.name,
            "type": "Microsoft.MachineLearningServices/workspaces/jobs",
            "properties": {
                "tags": {},
                "properties": {},
                "isArchived": False,
                **copy.deepcopy(job.properties),
                "status": job.status,
                "services": {
                    "Studio": {
                        "jobServiceType": "Studio",
                        "endpoint": f"https://ml.azure.com/runs/{job.name}",
                    }
                },
            },
            "systemData": {"createdAt": created, "createdByType": "Application"},
        }

    def _batch(self, job: Job) -> dict[str, Any]:
        """A job as invocations and lists of an endpoint say it."""
        return {
            "id": self._plane.arm_id(
                job.workspace, f"/batchEndpoints/{job.endpoint}/jobs/{job.name}"
            ),
            "name": job.name,
            "type": "Microsoft.MachineLearningServices/workspaces/batchEndpoints/jobs",
            "properties": {
                "status": job.status,
                "name": job.name,
                "properties": copy.deepcopy(job.properties["properties"]),
                "provisioningState": "Succeeded",
            },
        }


def _meant(value: Any) -> Any:
    """None, nothing and an empty mapping are one."""
    return value or None
