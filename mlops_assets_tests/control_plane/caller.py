"""Asks the control plane as anybody could who holds a token: no SDK that is polite for us."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_assets_tests.control_plane.wire import Request

if TYPE_CHECKING:
    from mlops_assets_tests.control_plane.plane import ControlPlane
    from mlops_assets_tests.control_plane.wire import Answer

_MACHINE_LEARNING = "https://ml.azure.com"


@dataclass(frozen=True)
class Caller:
    """One role at one control plane."""

    plane: ControlPlane
    role: str = "owner"
    headers: dict[str, str] = field(default_factory=dict)

    def __call__(
        self, method: str, path: str, body: Any = None, *, version: str = "", **headers: str
    ) -> Answer:
        """Ask; a path without a host is one of the resource manager's."""
        url = path if path.startswith("https://") else f"{self.plane.address}{path}"
        if version:
            url += f"{'&' if '?' in url else '?'}api-version={version}"
        scoring = ".inference." in url or "/inference/" in url
        audience = _MACHINE_LEARNING if scoring else self.plane.address
        token = self.plane.identities.token(self.role, audience).token
        given = {"authorization": f"Bearer {token}", **self.headers, **headers}
        return self.plane.handle(
            Request(
                method,
                url,
                {name.replace("_", "-"): value for name, value in given.items()},
                b"" if body is None else json.dumps(body).encode(),
            )
        )

    def until_done(self, answer: Answer) -> str:
        """Ask after an operation until it has ended; returns how."""
        url = answer.headers.get("Azure-AsyncOperation") or answer.headers["Location"]
        for _ in range(99):
            said = self("GET", url)
            if said.status >= 400:
                return "Failed"
            if said.status == 200 and (said.body is None or said.body["status"] != "InProgress"):
                return "Succeeded" if said.body is None else str(said.body["status"])
        raise AssertionError(f"{url} does not end")


def problem(answer: Answer) -> tuple[int, str, str]:
    """Status, code and message of a refusal."""
    error = answer.body["error"]
    return answer.status, error["code"], error["message"]
