"""Evidence bundles as folders: ``P001/C001/v7/`` holds one model version's, or nothing.

``bundle.json`` names the SHA-256 of every other file but ``run.json``; files are checked against it
whenever they are read. Evidence of whole releases lies in ``releases/<release>/``.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from mlops_assets.adapters.tree import OddFileError
from mlops_assets.domain.errors import DataError, StaleError
from mlops_assets.domain.evidence import (
    BUNDLE_FILE,
    EVIDENCE_FORMAT,
    FILES,
    RUN_FILE,
    Evidence,
    bundle_bytes,
    digests_by_kind,
)
from mlops_assets.domain.identifiers import checked_model_version, checked_release, sha256

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.adapters.tree import Tree
    from mlops_assets.domain.identifiers import CircuitKey

_PAGE_FILE = "page.html"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}(\.[a-z]{1,8})?", re.ASCII)
_ADVICE = "restore it from a backup, or remove its folder and run `mlops train` again"


class TreeEvidenceStore:
    """The evidence of one workspace."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def put(
        self, circuit: CircuitKey, model_version: int, files: Mapping[str, bytes], run: bytes
    ) -> Evidence:
        """Store a bundle; the same files again change nothing, others are refused."""
        for name in files:
            if not _NAME.fullmatch(name) or name in {BUNDLE_FILE, RUN_FILE}:
                raise DataError(f"{name!r} is no name of a file of evidence")
        bundle = bundle_bytes(circuit, model_version, files)
        path = _path(circuit, model_version)
        content = {**files, BUNDLE_FILE: bundle, RUN_FILE: run}
        try:
            self._tree.write_folder_once(path, content, seal=BUNDLE_FILE)
        except StaleError as error:
            found = self.get(circuit, model_version)
            if found is None or self._tree.read(f"{path}/{BUNDLE_FILE}") != bundle:
                raise StaleError(
                    f"evidence of {circuit} version {model_version} is written once, and what is "
                    f"stored differs; {_ADVICE}"
                ) from error
        return Evidence(
            circuit=circuit,
            model_version=model_version,
            digests=digests_by_kind({name: sha256(data) for name, data in files.items()}),
        )

    def get(self, circuit: CircuitKey, model_version: int) -> Evidence | None:
        """The bundle, every file checked against its digest; None when there is none."""
        digests = self._digests(circuit, model_version)
        if digests is None:
            return None
        self._tree.together(
            lambda item: self._checked(circuit, model_version, *item), digests.items()
        )
        return Evidence(
            circuit=circuit, model_version=model_version, digests=digests_by_kind(digests)
        )

    def read(self, circuit: CircuitKey, model_version: int, kind: str) -> bytes:
        """One file's bytes by kind, or by file name, checked."""
        digests = self._digests(circuit, model_version) or {}
        name = FILES.get(kind, kind)
        if name not in digests:
            raise DataError(
                f"evidence of {circuit} version {model_version}: has no {name}; "
                "run `mlops train` to make it"
            )
        return self._checked(circuit, model_version, name, digests[name])

    def folder(self, circuit: CircuitKey, model_version: int) -> str:
        """Where it lies, relative to the home."""
        return self._tree.path(_path(circuit, model_version))

    def put_release(self, release: str, kind: str, data: bytes) -> str:
        """Store evidence of a whole release once; returns its SHA-256."""
        self._tree.write_once(_release_path(release, f"{kind}.json"), data)
        return sha256(data)

    def replace_release(self, release: str, kind: str, data: bytes) -> str:
        """Store such evidence in the place of whatever was there; returns its SHA-256."""
        self._tree.write_changed(_release_path(release, f"{kind}.json"), data)
        return sha256(data)

    def read_release(self, release: str, kind: str) -> bytes | None:
        """A release's evidence, if there is any."""
        return self._tree.read(_release_path(release, f"{kind}.json"))

    def publish_page(self, release: str, html: bytes) -> str:
        """Replace the page that shows a release to people; returns its path from the home."""
        path = _release_path(release, _PAGE_FILE)
        self._tree.write_changed(path, html)
        return self._tree.path(path)

    def page(self, release: str) -> str | None:
        """Where that page lies, from the home; None where there is none."""
        path = _release_path(release, _PAGE_FILE)
        return None if self._tree.state(path) is None else self._tree.path(path)

    def _digests(self, circuit: CircuitKey, model_version: int) -> dict[str, str] | None:
        """What ``bundle.json`` says, by file name."""
        data = self._tree.read(f"{_path(circuit, model_version)}/{BUNDLE_FILE}")
        if data is None:
            return None
        where = f"{self.folder(circuit, model_version)}/{BUNDLE_FILE}"
        try:
            document = json.loads(data)
            about = (document["format"], document["circuit"], document["model_version"])
            digests = dict(document["files"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(f"{where}: is damaged; {_ADVICE}") from error
        if about != (EVIDENCE_FORMAT, str(circuit), model_version):
            raise DataError(
                f"{where}: is format {about[0]} about {about[1]} version {about[2]}, not format "
                f"{EVIDENCE_FORMAT} about {circuit} version {model_version}; {_ADVICE}"
            )
        if not all(_NAME.fullmatch(name) for name in digests):
            raise DataError(f"{where}: names a file that is no evidence; {_ADVICE}")
        return digests

    def _checked(self, circuit: CircuitKey, model_version: int, name: str, digest: str) -> bytes:
        where = f"{self.folder(circuit, model_version)}/{name}"
        data = self._read_plain(_path(circuit, model_version), name, where)
        if sha256(data) != digest:
            raise DataError(f"{where}: is not what was stored as evidence; {_ADVICE}")
        return data

    def _read_plain(self, folder: str, name: str, where: str) -> bytes:
        """Read a file that is a file, not a link to one."""
        try:
            return self._tree.read_folder(folder, [name])[name]
        except FileNotFoundError as error:
            raise DataError(f"{where}: is missing; {_ADVICE}") from error
        except OddFileError as error:
            raise DataError(f"{where}: is no plain file of evidence; {_ADVICE}") from error
        except OSError as error:
            raise DataError(f"{where}: cannot be read: {error.strerror}; {_ADVICE}") from error


def _path(circuit: CircuitKey, model_version: int) -> str:
    return f"{circuit}/v{checked_model_version(model_version)}"


def _release_path(release: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise DataError(f"{name!r} is no name of a file of evidence")
    return f"releases/{checked_release(release)}/{name}"
