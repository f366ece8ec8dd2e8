"""Blobs whose writer dies at a chosen request, as the next process finds them."""

from __future__ import annotations

from contextlib import suppress

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobLeaseClient

from mlops_assets.adapters.azure.tree import BlobTree
from mlops_assets_tests.fakes.network import FaultyTransport, Killed


class Place:
    """One prefix, seen by a writer whose process dies, and by whoever comes after it."""

    def __init__(self, server):
        self.shared, self.blobs = server.shared, server.blobs()
        self.tree = BlobTree(self.blobs, "home")

    def dying(self, fault, at):
        """The tree of a process that is killed at its request number ``at`` that changes blobs."""
        self.network = FaultyTransport(fault, at)
        blobs = self.shared.blobs("dev", self.blobs.path(), transport=self.network)
        return BlobTree(blobs, "home")

    def outlived(self, *locks):
        """Let leases of the dead end, as they do by themselves."""
        for name in locks:
            with suppress(ResourceNotFoundError, ResourceExistsError):
                BlobLeaseClient(self.blobs._client(name)).break_lease(lease_break_period=0)


def killed(work, place):
    """Whether the process died; False when it ended first."""
    try:
        work()
    except Killed:
        return True
    return place.network.dead
