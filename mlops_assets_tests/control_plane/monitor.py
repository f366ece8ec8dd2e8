"""Azure Monitor: data collection rules that take rows, and Application Insights."""

from __future__ import annotations

import json
import re
import zlib
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlops_assets_tests.control_plane.wire import Answer, RefusalError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets_tests.control_plane.plane import ControlPlane
    from mlops_assets_tests.control_plane.wire import Request

AUDIENCE = "https://monitor.azure.com"
MAXIMUM_BYTES = 2**20
_KINDS = {
    "string": str,
    "long": int,
    "real": (int, float),
    "boolean": bool,
    "datetime": str,
}


class MonitorService:
    """One rule and its stream; ``rows`` are what it took, in order, ``points`` the metrics.

    Args:
        plane: gets the routes.
        rule: the rule's immutable id.
        columns: the stream's columns and their types.
        key: the instrumentation key of Application Insights.
    """

    def __init__(
        self, plane: ControlPlane, rule: str, columns: Mapping[str, str], key: str
    ) -> None:
        self.rows: list[dict[str, Any]] = []
        self.points: list[dict[str, Any]] = []
        self._rule, self._columns, self._key = rule, columns, key
        path = r"/dataCollectionRules/(?P<rule>[^/]+)/streams/(?P<stream>[^/]+)"
        plane.route("POST", path, self.take_rows, "2023-01-01")
        plane.route("POST", r"/+v2\.1/track", self.take_points)
        place = r"/(?:dataCollectionRules/|v2\.1/track)"
        plane.scopes.append((place, "monitor"))
        plane.identities.audiences.insert(0, (rf".*{place}.*", frozenset({AUDIENCE})))

    def newest(self) -> dict[tuple[str, str], dict[str, Any]]:
        """The row that counts of each circuit and day: the one that arrived last."""
        return {(f"{row['Plant']}/{row['Circuit']}", row["IssuedFor"]): row for row in self.rows}

    def take_rows(self, request: Request, rule: str, stream: str) -> Answer:
        if rule != self._rule:
            raise RefusalError(404, "NotFound", f"Data collection rule {rule} not found.")
        if stream != "Custom-CircuitMetrics_CL":
            raise RefusalError(400, "InvalidStream", f"Stream {stream} was not configured.")
        data = request.body
        if len(data) > MAXIMUM_BYTES:
            raise RefusalError(413, "ContentLengthLimitExceeded", "The body is larger than 1 MB.")
        if request.headers.get("content-encoding") == "gzip":
            data = zlib.decompress(data, 16 + zlib.MAX_WBITS)
        rows = json.loads(data)
        if not isinstance(rows, list):
            raise RefusalError(400, "InvalidRequest", "The body is no array of records.")
        for row in rows:
            self._check(row)
        self.rows += rows
        return Answer(204)

    def take_points(self, request: Request) -> Answer:
        items = request.json
        for item in items:
            assert item["iKey"] == self._key
            data = item["data"]
            assert data["baseType"] == "MetricData"
            (metric,) = data["baseData"]["metrics"]
            about = data["baseData"].get("properties") or {}
            self.points.append({"name": metric["name"], "value": metric["value"], **about})
        return Answer(200, {"itemsReceived": len(items), "itemsAccepted": len(items), "errors": []})

    def _check(self, row: Mapping[str, Any]) -> None:
        if odd := sorted(set(row) - set(self._columns)):
            raise RefusalError(400, "InvalidRecord", f"Columns that are not declared: {odd}.")
        for name, kind in self._columns.items():
            value = row.get(name)
            if value is None:
                continue
            right = isinstance(value, _KINDS[kind])
            if kind in {"long", "real"}:
                right = right and not isinstance(value, bool)
            if kind == "datetime" and right:
                right = bool(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value))
                datetime.fromisoformat(value)
            if not right:
                raise RefusalError(400, "InvalidRecord", f"{name} is {value!r}, not {kind}.")
