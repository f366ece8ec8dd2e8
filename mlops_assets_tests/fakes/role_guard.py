"""Refuses blobs by role and container as Azure would, before an account that knows one key alone.

It stands between the account and everybody: clients, the table library's Rust, jobs on clusters.
"""

from __future__ import annotations

from contextlib import contextmanager

from mlops_assets.settings.access import ACCESS
from mlops_assets.settings.azure import CONTAINERS, ROLES
from mlops_assets_tests.fakes.blob_proxy import proxied

FORBIDDEN = 403
_READS = {"GET", "HEAD"}


class RoleGuard:
    """Lets through what any of its ``roles`` may; ``refused`` tells what none might."""

    def __init__(self):
        self.roles = ROLES
        self.refused = []

    def __call__(self, method, path):
        container = path.partition("?")[0].split("/")[2]
        if container not in CONTAINERS:
            return None  # A workspace's own store, which is its cluster's.
        enough = {"read", "write"} if method in _READS else {"write"}
        if any(ACCESS[role].get(container) in enough for role in self.roles):
            return None
        self.refused.append((self.roles, method, path))
        return FORBIDDEN

    @contextmanager
    def only(self, roles):
        """Until it ends, let through what these roles may."""
        self.roles = roles
        try:
            yield self
        finally:
            self.roles = ROLES


@contextmanager
def guarded(account):
    """Start a guard before an account; returns it, and the address that it stands at."""
    guard = RoleGuard()
    with proxied(account) as proxy:
        proxy.before = guard
        yield guard, proxy.url
