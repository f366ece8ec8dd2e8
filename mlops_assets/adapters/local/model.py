"""Model versions as folders: ``<root>/P001/C001/7/`` holds one model, complete or not at all.

Beside `MODEL_FILES` lie ``record.json`` (the `ModelRecord` and the proof's digest), ``proof.json``
(how the model was chosen) and ``run.json`` (the tags of that one run: clock and duration). Bytes
are read once, without following links, and checked before anybody parses them.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.local.files import locked, write_folder_once
from mlops_assets.adapters.local.sealed import seal, unseal
from mlops_assets.domain.errors import ModelError, StaleError
from mlops_assets.domain.identifiers import (
    CircuitKey,
    DataVersion,
    EnvironmentRef,
    IdentifierError,
    checked_model_version,
    digest_of_files,
    sha256,
)
from mlops_assets.domain.model import MODEL_FILES, MODEL_FORMAT, RUN_TAGS, ModelRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

_RECORD, _PROOF, _RUN = "record.json", "proof.json", "run.json"
_VERSION = re.compile(r"[1-9]\d{0,8}")
_MAXIMUM_BYTES = 64 * 1024 * 1024
_ADVICE = "restore the folder from a backup, or remove it and train again"


@dataclass(frozen=True, slots=True)
class LocalModelRegistry:
    """One registry of models: a workspace's, or the shared one under another root."""

    root: Path
    home: Path

    def register(
        self, record: ModelRecord, files: Mapping[str, bytes], proof: bytes = b""
    ) -> ModelRecord:
        """Store under ``record.version``; the same model again returns what is there."""
        name = f"{record.circuit} version {checked_model_version(record.version)}"
        _check_files(name, files, record.digest)
        content = {**files, **_record_files(record, proof)}
        with self._locked(record.circuit):
            if record.version in self._numbers(record.circuit):
                existing = self.get(record.circuit, record.version)
                self.files(existing)
                if _identity(existing) != _identity(record):
                    raise StaleError(
                        f"model {name} is registered with digest {existing.digest[:12]}, not "
                        f"{record.digest[:12]}; register the next version"
                    )
                return existing
            write_folder_once(self._path(record.circuit, record.version), content)
        return record

    def next_version(self, circuit: CircuitKey) -> int:
        """One more than the highest integer version."""
        return max(self._numbers(circuit), default=0) + 1

    def get(self, circuit: CircuitKey, version: int) -> ModelRecord:
        """One version; ModelError when there is none."""
        return self._read_record(circuit, checked_model_version(version))[0]

    def versions(self, circuit: CircuitKey) -> Sequence[ModelRecord]:
        """All versions, lowest first (10 after 9)."""
        return [self.get(circuit, version) for version in self._numbers(circuit)]

    def circuits(self) -> Sequence[CircuitKey]:
        """Every circuit that has a version, sorted."""
        keys = [
            key
            for plant in _folders(self.root)
            for circuit in _folders(self.root / plant)
            if (key := _key(plant, circuit)) is not None
        ]
        return sorted(key for key in keys if self._numbers(key))

    def files(self, record: ModelRecord) -> Mapping[str, bytes]:
        """The bytes, read once and checked against ``record.digest``."""
        found = self._read(record.circuit, record.version, MODEL_FILES)
        if digest_of_files(found) != record.digest:
            raise ModelError(
                f"model {record.circuit} version {record.version}: its files are not those that "
                f"were registered as {record.digest[:12]}; {_ADVICE}"
            )
        return found

    def proof(self, record: ModelRecord) -> bytes:
        """What was registered as proof, checked; empty when there was none."""
        _, digest = self._read_record(record.circuit, record.version)
        if digest is None:
            return b""
        data = self._read(record.circuit, record.version, (_PROOF,))[_PROOF]
        if sha256(data) != digest:
            raise ModelError(
                f"model {record.circuit} version {record.version}: {_PROOF} is not what was "
                f"registered; {_ADVICE}"
            )
        return data

    def folder(self, record: ModelRecord) -> str:
        """Where it lies, for people and for notebooks, relative to the home."""
        return self._path(record.circuit, record.version).relative_to(self.home).as_posix()

    def _locked(self, circuit: CircuitKey) -> Any:  # noqa: ANN401 a context manager
        return locked(self._circuit_path(circuit) / ".lock")

    def _circuit_path(self, circuit: CircuitKey) -> Path:
        return self.root / circuit.plant_id / circuit.circuit_id

    def _path(self, circuit: CircuitKey, version: int) -> Path:
        return self._circuit_path(circuit) / str(version)

    def _numbers(self, circuit: CircuitKey) -> list[int]:
        names = _folders(self._circuit_path(circuit))
        return sorted(int(name) for name in names if _VERSION.fullmatch(name))

    def _read_record(self, circuit: CircuitKey, version: int) -> tuple[ModelRecord, str | None]:
        where = f"model {circuit} version {version}"
        found = self._read(circuit, version, (_RECORD, _RUN))
        document, run = (
            unseal(found[name], where=f"{where}: {name}", expected_format=MODEL_FORMAT)
            for name in (_RECORD, _RUN)
        )
        try:
            record = _record(document, run)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(f"{where}: {_RECORD} is no record of a model; {_ADVICE}") from error
        if (record.circuit, record.version) != (circuit, version):
            raise ModelError(f"{where}: holds {record.circuit} version {record.version}; {_ADVICE}")
        proof: str | None = document["proof_sha256"]
        return record, proof

    def _read(self, circuit: CircuitKey, version: int, names: Iterable[str]) -> dict[str, bytes]:
        """Read files of one version; links, other files and missing ones are refused."""
        where = f"model {circuit} version {version}"
        try:
            return _read_folder(
                self.root, (circuit.plant_id, circuit.circuit_id, str(version)), names
            )
        except FileNotFoundError as error:
            if version in self._numbers(circuit):
                raise ModelError(f"{where}: {error.filename} is missing; {_ADVICE}") from error
            known = ", ".join(str(number) for number in self._numbers(circuit)) or "none"
            raise ModelError(f"{where}: there is no such version (registered: {known})") from error
        except _UnexpectedFileError as error:
            raise ModelError(f"{where}: {error}; {_ADVICE}") from error
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.ENOTDIR}:
                raise ModelError(f"{where}: a link stands where it should be; {_ADVICE}") from error
            raise ModelError(
                f"{where}: cannot be read: {error.strerror}; check the folder's permissions"
            ) from error


class _UnexpectedFileError(Exception):
    """Something lies in a model's folder that is not part of a model."""


def _record_files(record: ModelRecord, proof: bytes) -> dict[str, bytes]:
    run = {name: record.tags[name] for name in RUN_TAGS if name in record.tags}
    document = {
        "format": MODEL_FORMAT,
        **_identity(record),
        "tags": {name: text for name, text in record.tags.items() if name not in RUN_TAGS},
        "proof_sha256": sha256(proof) if proof else None,
    }
    files = {_RECORD: seal(document), _RUN: seal({"format": MODEL_FORMAT, "tags": run})}
    return {**files, _PROOF: proof} if proof else files


def _identity(record: ModelRecord) -> dict[str, Any]:
    """What makes two records the same model: everything but tags, which only describe it."""
    return {
        "circuit": str(record.circuit),
        "version": record.version,
        "digest": record.digest,
        "spec_digest": record.spec_digest,
        "data_version": str(record.data_version),
        "data_digest": record.data_digest,
        "environment": str(record.environment),
        "environment_digest": record.environment_digest,
        "config_commit": record.config_commit,
    }


def _record(document: Mapping[str, Any], run: Mapping[str, Any]) -> ModelRecord:
    return ModelRecord(
        circuit=CircuitKey.parse(document["circuit"]),
        version=checked_model_version(document["version"]),
        digest=document["digest"],
        spec_digest=document["spec_digest"],
        data_version=DataVersion.parse(document["data_version"]),
        data_digest=document["data_digest"],
        environment=EnvironmentRef.parse(document["environment"]),
        environment_digest=document["environment_digest"],
        config_commit=document["config_commit"],
        tags={**document["tags"], **run["tags"]},
    )


def _check_files(name: str, files: Mapping[str, bytes], digest: str) -> None:
    if set(files) != set(MODEL_FILES):
        raise ModelError(
            f"model {name}: has files {', '.join(sorted(files)) or 'none'}; a model is exactly "
            f"{', '.join(MODEL_FILES)}"
        )
    actual = digest_of_files(dict(files))
    if actual != digest:
        raise ModelError(
            f"model {name}: its record says digest {digest[:12]}, its files have {actual[:12]}"
        )


def _folders(path: Path) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


def _key(plant: str, circuit: str) -> CircuitKey | None:
    try:
        return CircuitKey(plant, circuit)
    except IdentifierError:
        return None


def _read_folder(root: Path, parts: Sequence[str], names: Iterable[str]) -> dict[str, bytes]:
    """Read files of a folder through descriptors, so that no link is followed below ``root``."""
    flags = os.O_RDONLY | os.O_CLOEXEC
    descriptor = os.open(root, flags | os.O_DIRECTORY)
    try:
        for part in parts:
            inner = os.open(part, flags | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        found = os.listdir(descriptor)  # noqa: PTH208 the descriptor's, not what a path leads to
        extra = set(found) - {*MODEL_FILES, _RECORD, _PROOF, _RUN}
        if extra:
            raise _UnexpectedFileError(f"{', '.join(sorted(extra))} is no file of a model")
        return {name: _read_file(descriptor, name) for name in names}
    finally:
        os.close(descriptor)


def _read_file(folder: int, name: str) -> bytes:
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    with os.fdopen(os.open(name, flags, dir_fd=folder), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise _UnexpectedFileError(f"{name} is not a plain file")
        if status.st_size > _MAXIMUM_BYTES:
            raise _UnexpectedFileError(f"{name} has {status.st_size} bytes")
        return file.read(_MAXIMUM_BYTES + 1)
