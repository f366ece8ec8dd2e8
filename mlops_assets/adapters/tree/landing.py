"""What a raw file is, wherever raw files are sent to: its name, its bytes, what is remembered."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import DataError
from mlops_assets.domain.readings import RawFile

if TYPE_CHECKING:
    from collections.abc import Collection

# So few and small files are rather read again by the next listing than written down by this one.
FEW = 16
SMALL = 1 << 22


def is_visible(path: str) -> bool:
    """Whether writers do not use this name while they write."""
    return not any(part[:1] in {".", "_"} for part in path.split("/"))


def described(path: str, data: bytes) -> RawFile:
    """A raw file by its path and the SHA-256 of its bytes."""
    return RawFile(path, len(data), hashlib.sha256(data).hexdigest())


def found(path: str, data: bytes | None) -> bytes:
    """The bytes of a raw file; DataError when it is gone."""
    if data is None:
        raise DataError(f"{path}: is no longer in the landing zone; put it back")
    return data


def unchanged(file: RawFile, data: bytes) -> bytes:
    """The bytes of a raw file; DataError when they are no longer those that were listed."""
    if described(file.path, data) != file:
        raise DataError(f"{file.path}: changed while it was read; run ingest again")
    return data


def leads_out(path: str) -> DataError:
    """What is said of a name that is none inside the landing zone."""
    return DataError(f"{path}: leads out of the landing zone; use a relative name inside it")


def worth_remembering(read: Collection[RawFile], known: int) -> bool:
    """Whether what a listing read is more than the next one should read again."""
    size = sum(file.size for file in read)
    return len(read) > max(FEW, known // 50) or size > SMALL
