"""Names, versions and digests: what a thing is called everywhere.

Version forms: models are integers, environments semantic versions, data assets dates
(``2025-12-09``, then ``2025-12-09.r1`` when the content for that date differs), configs commits.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import date
from typing import Any

from mlops_assets.domain.errors import MlopsError

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_SEMVER = re.compile(r"(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})")
_DATA_VERSION = re.compile(r"(\d{4}-\d{2}-\d{2})(?:\.r([1-9]\d{0,5}))?")
_ENVIRONMENT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_RELEASE = re.compile(r"r-[0-9a-f]{12}")
_MAX_INTEGER = 2**53


class IdentifierError(MlopsError, ValueError):
    """A name or version that is not in its form."""


@dataclass(frozen=True, slots=True, order=True)
class CircuitKey:
    """Plant and circuit, written ``P001/C003``: also the Dagster partition key."""

    plant_id: str
    circuit_id: str

    def __post_init__(self) -> None:
        for name in (self.plant_id, self.circuit_id):
            if not _ID.fullmatch(name):
                raise IdentifierError(
                    f"{name!r} is not an id: use 1 to 32 letters, digits, - or _, "
                    "starting with a letter or digit"
                )

    @classmethod
    def parse(cls, text: str) -> CircuitKey:
        """Read ``P001/C003``.

        >>> CircuitKey.parse("P001/C003").circuit_id
        'C003'
        """
        plant, slash, circuit = text.partition("/")
        if not slash:
            raise IdentifierError(f"{text!r} is not a circuit: write PLANT/CIRCUIT")
        return cls(plant, circuit)

    def __str__(self) -> str:
        return f"{self.plant_id}/{self.circuit_id}"


@dataclass(frozen=True, slots=True, order=True)
class SemVer:
    """Version of an environment: MAJOR retrains, MINOR and PATCH do not."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> SemVer:
        """Read ``1.5.0``; anything else, ``v1.5.0`` included, is refused."""
        match = _SEMVER.fullmatch(text)
        if match is None:
            raise IdentifierError(f"{text!r} is not MAJOR.MINOR.PATCH, such as 1.5.0")
        return cls(*(int(part) for part in match.groups()))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True, slots=True, order=True)
class EnvironmentRef:
    """One environment version, written ``forecasting:1.0.0``."""

    name: str
    version: SemVer

    @classmethod
    def parse(cls, text: str) -> EnvironmentRef:
        """Read ``NAME:MAJOR.MINOR.PATCH``."""
        name, colon, version = text.partition(":")
        if not colon or not _ENVIRONMENT_NAME.fullmatch(name):
            raise IdentifierError(
                f"{text!r} is not NAME:MAJOR.MINOR.PATCH, such as forecasting:1.0.0"
            )
        return cls(name, SemVer.parse(version))

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"


@dataclass(frozen=True, slots=True, order=True)
class DataVersion:
    """Version of a training-data asset: its cutoff date, then revisions of that date."""

    cutoff_date: date
    revision: int = 0

    @classmethod
    def parse(cls, text: str) -> DataVersion:
        """Read ``2025-12-09`` or ``2025-12-09.r1``."""
        match = _DATA_VERSION.fullmatch(text)
        if match is None:
            raise IdentifierError(f"{text!r} is not YYYY-MM-DD or YYYY-MM-DD.rN")
        try:
            cutoff = date.fromisoformat(match[1])
        except ValueError as error:
            raise IdentifierError(f"{text!r}: {match[1]} is not a date") from error
        return cls(cutoff, int(match[2] or 0))

    def __str__(self) -> str:
        suffix = f".r{self.revision}" if self.revision else ""
        return f"{self.cutoff_date.isoformat()}{suffix}"


def checked_commit(text: str) -> str:
    """Return a full git commit id, or refuse anything shorter or other."""
    if not _COMMIT.fullmatch(text):
        raise IdentifierError(f"{text!r} is not a full git commit id")
    return text


def checked_model_version(version: object) -> int:
    """Return a model version, an integer from 1; ``"1.0.0"``, ``"v1"`` and ``True`` are refused."""
    if type(version) is not int or version < 1:
        raise IdentifierError(f"{version!r} is not a model version: an integer from 1")
    return version


def checked_release(text: str) -> str:
    """Return a release id, ``r-`` and 12 hexadecimal digits, or refuse."""
    if not _RELEASE.fullmatch(text):
        raise IdentifierError(f"{text!r} is not a release id: r- and 12 hexadecimal digits")
    return text


def canonical_json(value: Any) -> bytes:  # noqa: ANN401 any JSON value
    """Return the one canonical text of a JSON value, as ASCII bytes.

    Keys sorted, separators ``,`` and ``:``, non-ASCII escaped. Floats and integers of 2**53 and
    above are refused, because readers disagree about them: write decimals as text.
    """
    _refuse_inexact(value)
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    ).encode("ascii")


def _refuse_inexact(value: Any) -> None:  # noqa: ANN401 any JSON value
    match value:
        case bool() | None | str():
            return
        case int():
            if abs(value) >= _MAX_INTEGER:
                raise IdentifierError(f"{value} is too large for canonical JSON: write it as text")
        case list() | tuple():
            for item in value:
                # Most of every document is text: a call for each would be most of the time.
                if type(item) is not str:
                    _refuse_inexact(item)
        case dict():
            for key, item in value.items():
                if not isinstance(key, str):
                    raise IdentifierError(f"{key!r} is not a text key")
                if type(item) is not str:
                    _refuse_inexact(item)
        case _:
            raise IdentifierError(
                f"{type(value).__name__} has no canonical JSON: write it as text or integer"
            )


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def digest_of(value: Any) -> str:  # noqa: ANN401 any JSON value
    """Return the SHA-256 of a value's canonical JSON."""
    return sha256(canonical_json(value))


def digest_of_files(files: dict[str, bytes]) -> str:
    """Return one digest for a set of files: that of the canonical ``{name: sha256}``."""
    return digest_of({name: sha256(data) for name, data in files.items()})


def decimal_text(number: float) -> str:
    """Return the shortest text that reads back as the same float, for canonical JSON."""
    return repr(float(number))
