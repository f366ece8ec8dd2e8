"""A request and its answer as the control plane sees them, whatever carried them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. Header names are small letters."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def host(self) -> str:
        return (urlsplit(self.url).hostname or "").lower()

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.url).path)

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))

    @property
    def api_version(self) -> str:
        return self.query.get("api-version", "")

    @property
    def json(self) -> Any:
        """What the body says; refused as the service refuses what is no JSON."""
        try:
            return json.loads(self.body or b"null")
        except ValueError:
            raise RefusalError(
                400, "InvalidRequestContent", "The request content is no JSON."
            ) from None


@dataclass(slots=True)
class Answer:
    """What the service says. ``body`` None is an empty one."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else json.dumps(self.body).encode()


class RefusalError(Exception):
    """A request that the service refuses, in Azure Resource Manager's shape."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        self.answer = Answer(
            status,
            {"error": {"code": code, "message": message}},
            {name.replace("_", "-"): value for name, value in headers.items()},
        )
        super().__init__(f"{status} {code}: {message}")


class LostError(Exception):
    """The connection broke: nothing came back, whether or not the work was done.

    ``sent`` is whether the request had reached the service.
    """

    def __init__(self, *, sent: bool) -> None:
        self.sent = sent
        super().__init__("the connection broke")


def not_found(what: str) -> RefusalError:
    return RefusalError(404, "NotFound", f"{what} not found.")


def bad_request(message: str) -> RefusalError:
    return RefusalError(400, "BadRequest", message)
