"""Who asks, and whether that role may: bearer tokens of managed identities, and 403.

Tokens come from `/msi/token`, as a virtual machine or an App Service hands them out, so the real
`DefaultAzureCredential` gets them; or from `credential` where no socket is wanted.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops_assets_tests.control_plane.roles import OWNER, RULES, actions_of, allowed
from mlops_assets_tests.control_plane.wire import Answer, RefusalError, Request

if TYPE_CHECKING:
    from mlops_assets_tests.control_plane.plane import ControlPlane

LIFETIME = 3600
MACHINE_LEARNING = "https://ml.azure.com"


class Token(NamedTuple):
    """What azure-core calls an access token."""

    token: str
    expires_on: int


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential of one role that needs no socket."""

    identities: Identities
    role: str

    def get_token(self, *scopes: str, **_options: Any) -> Token:
        audience = scopes[0].removesuffix("/.default")
        return self.identities.token(self.role, audience)

    def close(self) -> None:
        """Nothing is open."""


class Identities:
    """The managed identities of the settings, one a role, and an owner for tests."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._key = secrets.token_bytes(32)
        self.secret = secrets.token_hex(16)
        self.lifetime = LIFETIME
        self.rules = dict(RULES)
        self._clients = {
            role: plane.backend.identities.get(role) or plane.guid(f"identity/{role}")  # type: ignore[call-overload]
            for role in (*RULES, OWNER)
        }
        # Whom a token is for, by where it is shown; the first that fits counts.
        self.audiences: list[tuple[str, frozenset[str]]] = [
            (r".*\.inference\.ml\.azure\.com/.*|[^/]*/inference/.*", frozenset({MACHINE_LEARNING})),
            (r".*/batchEndpoints/[^/]+/(?:deployments/[^/]+/)?jobs", frozenset({MACHINE_LEARNING})),
            (
                r".*",
                frozenset({"https://management.azure.com", plane.address}),
            ),
        ]
        plane.route("GET", r"/msi/token", self.serve, "2019-08-01", public=True)

    @property
    def roles(self) -> tuple[str, ...]:
        """Every role, the owner's too."""
        return tuple(self._clients)

    def client_id(self, role: str) -> str:
        return self._clients[role]

    def of_cluster(self, workspace: str) -> str:
        """The identity that infra gives the cluster of a workspace: that of its role."""
        roles = {name: role for role, name in self._plane.backend.workspaces.items()}
        return self.client_id(roles[workspace])

    def credential(self, role: str = OWNER) -> Credential:
        """A credential that says to be the identity of ``role``."""
        return Credential(self, role)

    def environment(self, role: str) -> dict[str, str]:
        """What a process needs for `DefaultAzureCredential` to be the identity of ``role``."""
        return {
            "IDENTITY_ENDPOINT": f"{self._plane.address}/msi/token",
            "IDENTITY_HEADER": self.secret,
            "AZURE_CLIENT_ID": self.client_id(role),
        }

    def token(self, role: str, audience: str) -> Token:
        expires = int(time.time()) + self.lifetime
        claims = {
            "aud": audience,
            "appid": self.client_id(role),
            "oid": self._plane.guid(f"principal/{role}"),
            "tid": self._plane.guid("tenant"),
            "exp": expires,
        }
        head, body = _encoded({"alg": "HS256", "typ": "JWT"}), _encoded(claims)
        return Token(f"{head}.{body}.{self._signed(f'{head}.{body}')}", expires)

    def serve(self, request: Request) -> Answer:
        """Answer as the endpoint of managed identities does."""
        if request.headers.get("x-identity-header") != self.secret:
            raise RefusalError(
                401, "Unauthorized", "X-IDENTITY-HEADER is not the one of this machine."
            )
        query = request.query
        wanted = query.get("client_id") or self.client_id(OWNER)
        role = next((role for role, client in self._clients.items() if client == wanted), None)
        if role is None:
            raise RefusalError(400, "invalid_request", f"No managed identity {wanted} is assigned.")
        token = self.token(role, query.get("resource", "").removesuffix("/"))
        return Answer(
            200,
            {
                "access_token": token.token,
                "expires_on": str(token.expires_on),
                "resource": query.get("resource", ""),
                "token_type": "Bearer",
                "client_id": wanted,
            },
        )

    def check(self, request: Request) -> str:
        """Return the role that asks.

        Raises:
            RefusalError: 401 without a token that we gave, for here, and not too old; 403 where the
                role may not.
        """
        claims = self._claims(request)
        client = claims["appid"]
        role = next(role for role, known in self._clients.items() if known == client)
        actions, scope = actions_of(request, self._plane)
        for action in () if role == OWNER else actions:
            if allowed(self.rules[role], action, scope):
                continue
            raise RefusalError(
                403,
                "AuthorizationFailed",
                f"The client '{client}' with object id '{claims['oid']}' does not have "
                f"authorization to perform action '{action}' over scope '{scope}' or the scope is "
                "invalid. If access was recently granted, please refresh your credentials.",
            )
        return role

    def _claims(self, request: Request) -> dict[str, Any]:
        text = request.headers.get("authorization", "")
        if not text.startswith("Bearer "):
            raise _unauthenticated("AuthenticationFailed", "The 'Authorization' header is missing.")
        try:
            head, body, signature = text.removeprefix("Bearer ").split(".")
            claims = json.loads(base64.urlsafe_b64decode(body + "=="))
        except ValueError:
            raise _unauthenticated(
                "InvalidAuthenticationToken", "The access token is invalid."
            ) from None
        if not hmac.compare_digest(signature, self._signed(f"{head}.{body}")):
            raise _unauthenticated(
                "InvalidAuthenticationToken", "The signature of the access token is not ours."
            )
        if claims["exp"] <= time.time():
            raise _unauthenticated("ExpiredAuthenticationToken", "The access token has expired.")
        place = f"{request.host}{request.path}"
        right = next(good for place_of, good in self.audiences if re.fullmatch(place_of, place))
        if claims["aud"].rstrip("/") not in right:
            raise _unauthenticated(
                "InvalidAuthenticationTokenAudience",
                f"The access token is for {claims['aud']}; here it has to be for "
                f"{' or '.join(sorted(right))}.",
            )
        return dict(claims)

    def _signed(self, text: str) -> str:
        return _text(hmac.digest(self._key, text.encode(), hashlib.sha256))


def _unauthenticated(code: str, message: str) -> RefusalError:
    return RefusalError(401, code, message)


def _encoded(document: dict[str, Any]) -> str:
    return _text(json.dumps(document).encode())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
