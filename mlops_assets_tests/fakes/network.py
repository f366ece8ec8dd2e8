"""A network that fails when it is told to, below the real SDKs: requests are really sent."""

from __future__ import annotations

from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from azure.core.pipeline.transport import RequestsTransport


class Killed(BaseException):
    """The process is gone: nothing that catches errors may go on."""


class FaultyTransport(RequestsTransport):
    """Counts requests from 0; ``at`` the chosen one it does what ``fault`` says.

    ``lost_request``: it never arrives. ``lost_answer``: it arrives, and nobody hears of it.
    ``killed_before`` and ``killed_after`` it: the process is gone, and every later one too. Only
    requests whose method is one of ``methods`` count.
    """

    def __init__(self, fault=None, at=0, *, methods=("PUT", "DELETE")):
        super().__init__()
        self.fault, self.at, self.methods = fault, at, methods
        self.count = 0
        self.dead = False
        self.sent = []

    def send(self, request, **settings):
        if self.dead:
            raise Killed
        if request.method not in self.methods:
            return self._sent(request, settings)
        here, self.count = self.count == self.at, self.count + 1
        if here and self.fault == "killed_before":
            self.dead = True
            raise Killed
        if here and self.fault == "lost_request":
            raise ServiceRequestError("nothing was sent")
        answer = self._sent(request, settings)
        if here and self.fault == "killed_after":
            self.dead = True
            raise Killed
        if here and self.fault == "lost_answer":
            raise ServiceResponseError("no answer came")
        return answer

    def _sent(self, request, settings):
        self.sent.append(request.method)
        return super().send(request, **settings)
