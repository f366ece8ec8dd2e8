"""A Synapse Spark pool: batch jobs over Livy, which take their time and are really done."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_assets_tests.control_plane.wire import Answer, bad_request, not_found

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from mlops_assets.settings.azure import Synapse
    from mlops_assets_tests.control_plane.plane import ControlPlane
    from mlops_assets_tests.control_plane.wire import Request

AUDIENCE = "https://dev.azuresynapse.net"
WAITING_SECONDS, STARTING_SECONDS = 60, 150
# As documented, "by default it is 20 and that is the maximum"; ``total`` counts what was fetched.
_PAGE = 20
_REQUIRED = {"name", "file"}
_KNOWN = _REQUIRED | {
    *("args", "artifactId", "archives", "className", "conf", "driverCores", "driverMemory"),
    *("executorCores", "executorMemory", "files", "jars", "numExecutors", "pyFiles", "tags"),
}


@dataclass
class Batch:
    """One job. ``state`` is what Livy calls it once it is over, empty before."""

    number: int
    body: dict[str, Any]
    since: datetime
    state: str = ""
    log: list[str] = field(default_factory=list)


class LivyService:
    """One pool.

    Args:
        plane: gets the routes.
        settings: workspace and pool.
        run: does a job by its body, and returns its exit code and what it printed.
    """

    def __init__(
        self,
        plane: ControlPlane,
        settings: Synapse,
        run: Callable[[dict[str, Any]], tuple[int, str]],
    ) -> None:
        self.batches: list[Batch] = []
        # The number of the oldest batch that is still known.
        self.first = 0
        self.run = run
        self._plane, self._settings = plane, settings
        base = r"/livyApi/versions/(?P<api>[^/]+)/sparkPools/(?P<pool>[^/]+)/batches"
        plane.route("POST", base, self.create)
        plane.route("GET", base, self.list)
        plane.route("GET", base + r"/(?P<number>\d+)", self.get)
        plane.route("DELETE", base + r"/(?P<number>\d+)", self.delete)
        plane.scopes.append(("/livyApi/", "synapse"))
        plane.identities.audiences.insert(0, (r".*/livyApi/.*", frozenset({AUDIENCE})))

    def create(self, request: Request, api: str, pool: str) -> Answer:
        self._check(api, pool)
        body = request.json
        if not isinstance(body, dict) or _REQUIRED - body.keys() or body.keys() - _KNOWN:
            raise bad_request("The batch request is not one: name and file, and no other words.")
        if not re.fullmatch(r"abfss://[^@]+@[^/]+/.+\.py", body["file"]):
            raise bad_request(f"{body['file']} is no Python file of a storage account.")
        cores = {body.get("driverCores"), body.get("executorCores")}
        if cores != {self._settings.node_cores} or int(body.get("numExecutors", 0)) < 1:
            raise bad_request("A job takes whole nodes of the pool and at least one executor.")
        batch = Batch(self.first + len(self.batches), body, self._plane.clock.now())
        self.batches.append(batch)
        return Answer(200, self._told(batch))

    def list(self, request: Request, api: str, pool: str) -> Answer:
        self._check(api, pool)
        first, size = int(request.query.get("from", 0)), int(request.query.get("size", _PAGE))
        page = self.batches[first : first + min(size, _PAGE)]
        sessions = [self._told(each) for each in page]
        return Answer(200, {"from": first, "total": len(page), "sessions": sessions})

    def get(self, _request: Request, api: str, pool: str, number: str) -> Answer:
        self._check(api, pool)
        return Answer(200, self._told(self._batch(number)))

    def delete(self, _request: Request, api: str, pool: str, number: str) -> Answer:
        self._check(api, pool)
        batch = self._batch(number)
        batch.state = batch.state or "killed"
        return Answer(200)

    def _check(self, api: str, pool: str) -> None:
        if api != "2019-11-01-preview" or pool != self._settings.pool:
            raise not_found(f"Spark pool {pool} of version {api}")

    def _batch(self, number: str) -> Batch:
        for batch in self.batches:
            if batch.number == int(number):
                return batch
        raise not_found(f"Batch {number}")

    def forget(self) -> None:
        """Know no job any more, as a pool does some weeks later."""
        self.first += len(self.batches)
        self.batches.clear()

    def _told(self, batch: Batch) -> dict[str, Any]:
        state = self._state(batch)
        return {
            "id": batch.number,
            "name": batch.body["name"],
            "workspaceName": self._settings.workspace,
            "sparkPoolName": self._settings.pool,
            "jobType": "SparkBatch",
            "result": {"success": "Succeeded", "dead": "Failed"}.get(state, "Uncertain"),
            "errorInfo": [],
            "appId": f"application_{batch.number}" if batch.log else None,
            "appInfo": {"driverLogUrl": f"https://driver/{batch.number}", "sparkUiUrl": ""},
            "state": state,
            "log": batch.log,
        }

    def _state(self, batch: Batch) -> str:
        """The job's state; it is done when somebody asks after its time has come."""
        if batch.state:
            return batch.state
        passed = (self._plane.clock.now() - batch.since).total_seconds()
        if passed < WAITING_SECONDS:
            return "not_started"
        if passed < STARTING_SECONDS:
            return "starting"
        code, printed = self.run(batch.body)
        if code < 0:
            return "running"
        batch.log = printed.splitlines()
        batch.state = "dead" if code else "success"
        return batch.state
