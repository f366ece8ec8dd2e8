"""Model versions as folders: ``P001/C001/7/`` holds one model, complete or not at all.

Beside `MODEL_FILES` lie ``record.json`` (the `ModelRecord` and the proof's digest), ``proof.json``
(how the model was chosen) and ``run.json`` (the tags of that one run: clock and duration). Bytes
are read once, without following links, and checked before anybody parses them.
"""

from __future__ import annotations

import errno
import re
from functools import partial
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.tree import OddFileError, StrangersError
from mlops_assets.adapters.tree.sealed import seal, unseal
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
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mlops_assets.adapters.tree import Tree

_RECORD, _PROOF, _RUN = "record.json", "proof.json", "run.json"
_NAMES = (*MODEL_FILES, _RECORD, _PROOF, _RUN)
_VERSION = re.compile(r"[1-9]\d{0,8}")
_ADVICE = "restore the folder from a backup, or remove it and train again"


class TreeModelRegistry:
    """One registry of models: a workspace's, or the shared one in another tree."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

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
            folder = _path(record.circuit, record.version)
            self._tree.write_folder_once(folder, content, seal=_RECORD)
        return record

    def publish(self, records: Sequence[ModelRecord]) -> Iterator[CircuitKey]:
        """Nothing else names them."""
        return iter([record.circuit for record in records])

    def next_version(self, circuit: CircuitKey) -> int:
        """One more than the highest integer version."""
        return max(self._numbers(circuit), default=0) + 1

    def get(self, circuit: CircuitKey, version: int) -> ModelRecord:
        """One version; ModelError when there is none."""
        return self._read_record(circuit, checked_model_version(version))[0]

    def versions(self, circuit: CircuitKey) -> Sequence[ModelRecord]:
        """All versions, lowest first (10 after 9)."""
        return self._tree.together(partial(self.get, circuit), self._numbers(circuit))

    def circuits(self) -> Sequence[CircuitKey]:
        """Every circuit that has a version, sorted."""
        found = self._tree.folders(depth=3, seal=_RECORD)
        names = {name.rpartition("/")[0] for name in found if _is_version(name)}
        return sorted(key for name in names if (key := _key(name)) is not None)

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
        return self._tree.path(_path(record.circuit, record.version))

    def _locked(self, circuit: CircuitKey) -> Any:  # noqa: ANN401 a context manager
        return self._tree.locked(f"{circuit}/.lock")

    def _numbers(self, circuit: CircuitKey) -> list[int]:
        names = self._tree.folders(str(circuit), seal=_RECORD)
        return sorted(int(name) for name in names if _is_version(name))

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
            return self._tree.read_folder(_path(circuit, version), names, only=_NAMES)
        except FileNotFoundError as error:
            if version in self._numbers(circuit):
                raise ModelError(f"{where}: {error.filename} is missing; {_ADVICE}") from error
            known = ", ".join(str(number) for number in self._numbers(circuit)) or "none"
            raise ModelError(f"{where}: there is no such version (registered: {known})") from error
        except StrangersError as error:
            raise ModelError(f"{where}: {error} is no file of a model; {_ADVICE}") from error
        except OddFileError as error:
            raise ModelError(f"{where}: {error}; {_ADVICE}") from error
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.ENOTDIR}:
                raise ModelError(f"{where}: a link stands where it should be; {_ADVICE}") from error
            raise ModelError(
                f"{where}: cannot be read: {error.strerror}; check the folder's permissions"
            ) from error


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


def _path(circuit: CircuitKey, version: int) -> str:
    return f"{circuit}/{version}"


def _is_version(name: str) -> bool:
    return _VERSION.fullmatch(name.rpartition("/")[2]) is not None


def _key(name: str) -> CircuitKey | None:
    try:
        return CircuitKey.parse(name)
    except IdentifierError:
        return None
