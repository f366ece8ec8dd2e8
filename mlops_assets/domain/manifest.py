"""The manifest: the immutable set of models that travels together, as canonical text.

Format: canonical JSON (`identifiers.canonical_json`) of `Manifest.document()`; its SHA-256 is the
release's digest, ``r-`` and the first 12 digits its id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlops_assets.domain.identifiers import CircuitKey, canonical_json, sha256

if TYPE_CHECKING:
    from collections.abc import Mapping

MANIFEST_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How the model is to be served: what people signed, so production needs no config.

    Decimals are text (`identifiers.decimal_text`), because canonical JSON holds no floats.
    """

    cutoff_date: str
    horizon: int
    interval: str
    timezone: str
    maximum_gap_hours: int
    minimum: str | None
    maximum: str | None
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One circuit of a release.

    ``action`` deploy needs all fields; retire has only the circuit, ``config_commit`` and
    ``replaces``. ``replaces`` is the release whose deployment was live when this one was made.
    The fallback ladder is ``previous_model_*`` and ``seasonal_naive_hours``.
    """

    circuit: CircuitKey
    action: Literal["deploy", "retire"]
    config_commit: str
    replaces: str | None
    model_version: int = 0
    model_digest: str = ""
    forecaster: str = ""
    data_version: str = ""
    data_digest: str = ""
    delta_version: int = 0
    environment: str = ""
    environment_digest: str = ""
    spec_digest: str = ""
    evidence: Mapping[str, str] | None = None
    previous_model_version: int | None = None
    previous_model_digest: str | None = None
    seasonal_naive_hours: int = 24
    serving: Serving | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A release's content: entries sorted by circuit, each circuit at most once."""

    entries: tuple[Entry, ...]
    attempt: int
    four_eyes: Literal["required", "off"]

    def document(self) -> dict[str, Any]:
        """Return the JSON document that is signed."""
        raise NotImplementedError

    def to_bytes(self) -> bytes:
        """Return the canonical text."""
        return canonical_json(self.document())

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical text."""
        return sha256(self.to_bytes())

    @property
    def release(self) -> str:
        """The release id."""
        return f"r-{self.digest[:12]}"

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Read a manifest; refuse anything that is not exactly its canonical text."""
        raise NotImplementedError
