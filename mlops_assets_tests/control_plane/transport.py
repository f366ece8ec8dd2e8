"""The control plane behind the SDK without a socket: real addresses, real bytes, real retries."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import requests
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

from mlops_assets_tests.control_plane.wire import LostError, Request

if TYPE_CHECKING:
    from mlops_assets_tests.control_plane.plane import ControlPlane


class _InMemory(BaseAdapter):
    """Hands what requests would send to the handler."""

    def __init__(self, plane: ControlPlane) -> None:
        super().__init__()
        self._plane = plane

    def send(self, request: requests.PreparedRequest, **_options: Any) -> requests.Response:
        body = request.body or b""
        try:
            answer = self._plane.handle(
                Request(
                    str(request.method),
                    str(request.url),
                    {name.lower(): str(value) for name, value in request.headers.items()},
                    body.encode() if isinstance(body, str) else bytes(body),
                )
            )
        except LostError as lost:
            if lost.sent:
                raise requests.ReadTimeout(str(lost), request=request) from None
            raise requests.ConnectionError(str(lost), request=request) from None
        response = requests.Response()
        response.status_code = answer.status
        response.headers.update({"Content-Type": "application/json", **answer.headers})
        response.raw = HTTPResponse(
            io.BytesIO(answer.content),
            headers=response.headers,
            status=answer.status,
            preload_content=False,
        )
        response.request, response.url = request, str(request.url)
        return response

    def close(self) -> None:
        """Nothing is open."""


class PlaneTransport(RequestsTransport):
    """A transport whose waits, of retries and of polling, are the control plane's time."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        session = requests.Session()
        session.mount("https://", _InMemory(plane))
        super().__init__(session=session, session_owner=False)

    def sleep(self, duration: float) -> None:
        self._plane.clock.sleep(duration)
