"""The files of every model that a plant serves, side by side in one file: one read a plant.

It repeats what the registry holds and may be removed at any time. Files are found by a model's
digest and checked against it whenever they are read, so whoever can write here can make a batch
slower and nothing else.

A file is one line of JSON, which says where each model's files lie behind it, and their bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.adapters.local.files import read_bytes, write_atomic
from mlops_assets.domain.identifiers import digest_of_files
from mlops_assets.domain.model import MODEL_FILES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class LocalPlantModels:
    """One folder with a file a plant."""

    folder: Path

    def listed(self, plant_id: str) -> frozenset[str]:
        """Return the digests that the first line names; what lies behind it is not read."""
        try:
            with self._path(plant_id).open("rb") as file:
                return frozenset(_head(file.readline()))
        except (OSError, ValueError, AttributeError, KeyError, TypeError):
            return frozenset()

    def read(self, plant_id: str) -> Mapping[str, Mapping[str, bytes]]:
        """Return the files of models by digest, each checked; none where none is kept."""
        data = read_bytes(self._path(plant_id)) or b""
        end = data.find(b"\n")
        try:
            found, at = {}, end + 1
            for digest, sizes in _head(data[:end]).items():
                files = {}
                for name, size in zip(MODEL_FILES, sizes, strict=True):
                    files[name] = data[at : at + size]
                    at += size
                if digest_of_files(files) == digest:
                    found[digest] = files
        except (ValueError, AttributeError, KeyError, TypeError):
            # Not worth a word: the registry holds them, and the next batch writes this anew.
            return {}
        return found

    def write(self, plant_id: str, models: Mapping[str, Mapping[str, bytes]]) -> None:
        """Keep exactly these models of a plant from now on."""
        lengths = {
            digest: [len(files[name]) for name in MODEL_FILES] for digest, files in models.items()
        }
        head = json.dumps({"format": _FORMAT, "models": lengths}).encode()
        bodies = [files[name] for files in models.values() for name in MODEL_FILES]
        write_atomic(self._path(plant_id), b"".join([head, b"\n", *bodies]))

    def _path(self, plant_id: str) -> Path:
        return self.folder / f"{plant_id}.models"


def _head(line: bytes) -> dict[str, list[int]]:
    """Return how long each model's files are; one of many errors where the line says no such thing.

    Raises:
        ValueError, AttributeError, KeyError, TypeError: it is not ours.
    """
    document = json.loads(line)
    return dict(document["models"]) if document["format"] == _FORMAT else {}
