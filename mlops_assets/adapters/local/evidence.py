"""Evidence bundles as folders: ``<root>/P001/C001/v7/`` holds one model version's, or nothing.

``bundle.json`` names the SHA-256 of every other file but ``run.json``; files are checked against it
whenever they are read. Evidence of whole releases lies in ``<root>/releases/<release>/``.
"""

from __future__ import annotations

import json
import os
import re
import stat
from typing import TYPE_CHECKING

from mlops_assets.adapters.local.files import (
    read_bytes,
    write_atomic,
    write_folder_once,
    write_once,
)
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
    from pathlib import Path

    from mlops_assets.domain.identifiers import CircuitKey

_PAGE_FILE = "page.html"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}(\.[a-z]{1,8})?", re.ASCII)
_MAXIMUM_BYTES = 64 * 1024 * 1024
_ADVICE = "restore it from a backup, or remove its folder and run `mlops train` again"


class LocalEvidenceStore:
    """The evidence of one workspace."""

    def __init__(self, root: Path, home: Path) -> None:
        self._root = root
        self._home = home

    def put(
        self, circuit: CircuitKey, model_version: int, files: Mapping[str, bytes], run: bytes
    ) -> Evidence:
        """Store a bundle; the same files again change nothing, others are refused."""
        for name in files:
            if not _NAME.fullmatch(name) or name in {BUNDLE_FILE, RUN_FILE}:
                raise DataError(f"{name!r} is no name of a file of evidence")
        bundle = bundle_bytes(circuit, model_version, files)
        path = self._path(circuit, model_version)
        try:
            write_folder_once(path, {**files, BUNDLE_FILE: bundle, RUN_FILE: run})
        except StaleError as error:
            if self.get(circuit, model_version) is None or read_bytes(path / BUNDLE_FILE) != bundle:
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
        for name, digest in digests.items():
            self._checked(circuit, model_version, name, digest)
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
        return self._path(circuit, model_version).relative_to(self._home).as_posix()

    def put_release(self, release: str, kind: str, data: bytes) -> str:
        """Store evidence of a whole release once; returns its SHA-256."""
        write_once(self._release_path(release, f"{kind}.json"), data)
        return sha256(data)

    def read_release(self, release: str, kind: str) -> bytes | None:
        """A release's evidence, if there is any."""
        return read_bytes(self._release_path(release, f"{kind}.json"))

    def publish_page(self, release: str, html: bytes) -> str:
        """Replace the page that shows a release to people; returns its path from the home."""
        path = self._release_path(release, _PAGE_FILE)
        if read_bytes(path) != html:
            write_atomic(path, html)
        return path.relative_to(self._home).as_posix()

    def page(self, release: str) -> str | None:
        """Where that page lies, from the home; None where there is none."""
        path = self._release_path(release, _PAGE_FILE)
        return path.relative_to(self._home).as_posix() if path.is_file() else None

    def _path(self, circuit: CircuitKey, model_version: int) -> Path:
        version = checked_model_version(model_version)
        return self._root / circuit.plant_id / circuit.circuit_id / f"v{version}"

    def _release_path(self, release: str, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise DataError(f"{name!r} is no name of a file of evidence")
        return self._root / "releases" / checked_release(release) / name

    def _digests(self, circuit: CircuitKey, model_version: int) -> dict[str, str] | None:
        """What ``bundle.json`` says, by file name."""
        data = read_bytes(self._path(circuit, model_version) / BUNDLE_FILE)
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
        data = _read_plain(self._path(circuit, model_version) / name, where)
        if sha256(data) != digest:
            raise DataError(f"{where}: is not what was stored as evidence; {_ADVICE}")
        return data


def _read_plain(path: Path, where: str) -> bytes:
    """Read a file that is a file, not a link to one."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise DataError(f"{where}: is missing; {_ADVICE}") from error
    except OSError as error:
        raise DataError(f"{where}: cannot be read: {error.strerror}; {_ADVICE}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAXIMUM_BYTES:
            raise DataError(f"{where}: is no plain file of evidence; {_ADVICE}")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)
