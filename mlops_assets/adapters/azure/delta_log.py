"""The commits of one Delta table as blobs: a put is whole or not there, so none can be torn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.delta.log import CommitLog

if TYPE_CHECKING:
    from mlops_assets.adapters.azure.blobs import Blobs


class BlobLog(CommitLog):
    """The folder ``_delta_log`` of the table whose files are ``blobs``."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        # A commit never changes, and each look at one is a request.
        self._known: dict[int, dict[str, Any]] = {}
        self._etags: dict[int, str] = {}

    def read(self, version: int) -> bytes:
        """The bytes of a commit."""
        data = self._blobs.get(_commit(version))
        if data is None:
            raise FileNotFoundError(self._blobs.where(_commit(version)))
        return data

    def state(self, version: int) -> object | None:
        """The commit's ETag; None when it is gone, or no longer the newest."""
        found = self._blobs.find(_commit(version))
        if found is None or self._blobs.find(_commit(version + 1)) is not None:
            return None
        if self._etags.setdefault(version, found.etag) != found.etag:
            # Another table was put in the place of the one that was known.
            self._known.clear()
            self._etags = {version: found.etag}
        return found.etag

    def check(self, version: int | None = None) -> None:
        """Nothing: what is there is whole."""

    def advice_on_checkpoint(self) -> str:
        """None, for the same reason."""
        return ""

    def metadata(self, version: int) -> dict[str, Any]:
        """What a commit says of itself, asked for once."""
        if version not in self._known:
            self._known[version] = super().metadata(version)
        return self._known[version]


def _commit(version: int) -> str:
    return f"_delta_log/{version:020}.json"
