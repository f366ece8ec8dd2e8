"""This package as a code asset of Azure ML, so that jobs run what ordered them.

A code asset is two blobs: the package as one archive, and the script by which a deployment finds
it. The archive is the same for the same sources, its digest is the asset's name, and jobs put it on
their path: what their environment holds of us, if anything, does not count. What lies there already
is read and compared before anything is told to run it.
"""

from __future__ import annotations

import io
import threading
import zipfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from azure.ai.ml.entities._assets._artifacts.code import Code

import mlops_assets
from mlops_assets.adapters.azure.client import explained
from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.identifiers import digest_of_files

if TYPE_CHECKING:
    from mlops_assets.adapters.azure.blobs import Blobs
    from mlops_assets.adapters.azure.client import Clients
    from mlops_assets.settings.azure import Workspace

ARCHIVE = "mlops_assets.zip"
SCORING_SCRIPT = "score.py"
_SCRIPT = f'''"""What Azure ML imports to score: `init` and `run` of the package beside it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "{ARCHIVE}"))

from mlops_assets.score_job import init, run  # noqa: E402

__all__ = ["init", "run"]
'''
# Archives have no time of their own; this is the earliest that the format can say.
_EPOCH = (1980, 1, 1, 0, 0, 0)


@cache
def code_files() -> dict[str, bytes]:
    """Return the files of the asset; the same bytes for the same sources."""
    package = Path(mlops_assets.__file__).resolve().parent
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(package.rglob("*.py")):
            info = zipfile.ZipInfo(f"{package.name}/{path.relative_to(package).as_posix()}", _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, path.read_bytes())
    return {ARCHIVE: target.getvalue(), SCORING_SCRIPT: _SCRIPT.encode()}


def code_digest() -> str:
    """Return what tells the code of this version from any other; the name of its asset ends so."""
    return digest_of_files(code_files())[:16]


def asset_name(digest: str) -> str:
    """The name of a code asset."""
    return f"mlops-assets-{digest}"


class CodeAsset:
    """The asset in one workspace, made when it is first wanted.

    Args:
        clients: of whoever orders jobs or deploys there.
        workspace: where it is registered.
        blobs: where its files lie, in a container that the workspace's jobs may read.
    """

    def __init__(self, clients: Clients, workspace: Workspace, blobs: Blobs) -> None:
        self._clients = clients
        self._workspace: Workspace = workspace
        self._blobs = blobs
        self._lock = threading.Lock()
        self._id = ""

    def id(self) -> str:
        """Its resource id; the first call writes its files and registers it."""
        with self._lock:
            self._id = self._id or self._registered()
            return self._id

    def _registered(self) -> str:
        files, digest = code_files(), code_digest()
        for name, data in sorted(files.items()):
            path = f"{digest}/{name}"
            if not self._blobs.put_if_absent(path, data) and self._blobs.get(path) != data:
                raise _strange(self._blobs.where(path), "is not the code of this version")
        # A file beside them would be on the path of every job, before what it is called like.
        for blob in self._blobs.list(f"{digest}/"):
            if blob.name.removeprefix(f"{digest}/") not in files:
                raise _strange(self._blobs.where(blob.name), "is no part of the code")
        blobs, address = self._blobs, self._clients.backend.blob_url
        code = Code(
            name=asset_name(digest),
            version="1",
            path=f"{address}/{blobs.container}/{blobs.path(digest)}",
        )
        with explained(f"registering code {code.name} in workspace {self._workspace}"):
            operations = self._clients.workspace(self._workspace)._code  # noqa: SLF001 - has no other
            return str(operations.create_or_update(code).id)


def _strange(where: str, why: str) -> RefusedError:
    return RefusedError(
        "E_CODE", f"{where}: {why}, and jobs would run it; find out who wrote it, then remove it"
    )
