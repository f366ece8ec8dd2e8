"""The manifest: the immutable set of models that travels together, as canonical text.

Format: canonical JSON (`identifiers.canonical_json`) of `Manifest.document()`; its SHA-256 is the
release's digest, ``r-`` and the first 12 digits its id. Reading refuses whatever writing would not
have produced, so a release has one text and one meaning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from mlops_assets.domain.canonical import expect_fields, read_canonical
from mlops_assets.domain.evidence import REGISTRY_KINDS
from mlops_assets.domain.identifiers import (
    CircuitKey,
    DataVersion,
    EnvironmentRef,
    IdentifierError,
    canonical_json,
    checked_commit,
    checked_model_version,
    checked_release,
    digest_of,
    sha256,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

MANIFEST_FORMAT = 1
# Some 10,000 circuits.
MAXIMUM_BYTES = 16 * 2**20

_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_RETIRE_FIELDS = {"circuit", "action", "config_commit", "replaces"}


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
    The fallback ladder is ``previous_model_*`` and ``seasonal_naive_hours``. ``restated`` is there
    only where the model learned from readings that changed since: the digest of these changes
    (`restatement.Restatement`), which people acknowledge by signing.
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
    restated: str | None = None

    def document(self) -> dict[str, Any]:
        """Return this circuit's part of the manifest."""
        document: dict[str, Any] = {
            "circuit": str(self.circuit),
            "action": self.action,
            "config_commit": self.config_commit,
            "replaces": self.replaces,
        }
        if self.action == "retire":
            return document
        for field in fields(self):
            if field.name not in _RETIRE_FIELDS:
                document[field.name] = getattr(self, field.name)
        if self.restated is None:
            del document["restated"]
        document["evidence"] = dict(self.evidence or {})
        document["serving"] = _serving_document(self.serving) if self.serving else None
        return document

    @property
    def digest(self) -> str:
        """SHA-256 of this circuit's part, as a signed statement names it."""
        return digest_of(self.document())


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A release's content: entries sorted by circuit, each circuit at most once."""

    entries: tuple[Entry, ...]
    attempt: int
    four_eyes: Literal["required", "off"]

    def document(self) -> dict[str, Any]:
        """Return the JSON document that is signed."""
        return {
            "format": MANIFEST_FORMAT,
            "attempt": self.attempt,
            "four_eyes": self.four_eyes,
            "entries": [entry.document() for entry in self.entries],
        }

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

    @property
    def circuits(self) -> tuple[CircuitKey, ...]:
        """The circuits it carries, sorted."""
        return tuple(entry.circuit for entry in self.entries)

    def entry(self, circuit: CircuitKey) -> Entry:
        """One circuit's entry; IdentifierError when this release does not carry it."""
        for entry in self.entries:
            if entry.circuit == circuit:
                return entry
        raise IdentifierError(f"{self.release} does not carry {circuit}")

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Read a manifest; refuse anything that is not exactly its canonical text."""
        document = expect_fields(
            read_canonical(data, what="the manifest", limit=MAXIMUM_BYTES),
            {"format", "attempt", "four_eyes", "entries"},
            what="the manifest",
        )
        if type(document["format"]) is not int or document["format"] != MANIFEST_FORMAT:
            raise IdentifierError(
                f"the manifest has format {document['format']!r}; this version reads "
                f"format {MANIFEST_FORMAT}"
            )
        attempt = _positive(document["attempt"], "the manifest's attempt")
        if document["four_eyes"] not in ("required", "off"):
            raise IdentifierError("the manifest's four_eyes is neither required nor off")
        entries = document["entries"]
        if not isinstance(entries, list) or not entries:
            raise IdentifierError("the manifest has no entries; an empty release releases nothing")
        manifest = cls(
            entries=tuple(_read_entry(entry) for entry in entries),
            attempt=attempt,
            four_eyes=document["four_eyes"],
        )
        for before, after in pairwise(manifest.circuits):
            if not before < after:
                raise IdentifierError(f"the manifest's entries are not sorted at {after}")
        return manifest


def _serving_document(serving: Serving) -> dict[str, Any]:
    document = {field.name: getattr(serving, field.name) for field in fields(serving)}
    return document | {"features": list(serving.features)}


def _read_entry(value: object) -> Entry:
    action = value.get("action") if isinstance(value, dict) else None
    if action not in ("deploy", "retire"):
        raise IdentifierError("a manifest entry's action is neither deploy nor retire")
    names = {field.name for field in fields(Entry)} if action == "deploy" else _RETIRE_FIELDS
    if isinstance(value, dict) and "restated" not in value:
        names = names - {"restated"}
    entry = expect_fields(value, names, what="a manifest entry")
    circuit = CircuitKey.parse(_text(entry["circuit"], "a manifest entry's circuit"))
    what = f"the manifest's entry for {circuit}"
    entry["circuit"] = circuit
    checked_commit(_text(entry["config_commit"], f"{what}: config_commit"))
    if entry["replaces"] is not None:
        checked_release(_text(entry["replaces"], f"{what}: replaces"))
    if action == "retire":
        if entry["replaces"] is None:
            raise IdentifierError(f"{what} retires a circuit that replaces nothing")
        return Entry(**entry)
    _check_model(entry, what)
    _check_evidence(entry["evidence"], what)
    if "restated" in entry:
        _digest(entry["restated"], f"{what}: restated")
    entry["serving"] = _read_serving(entry["serving"], what)
    return Entry(**entry)


def _check_model(entry: dict[str, Any], what: str) -> None:
    checked_model_version(entry["model_version"])
    _text(entry["forecaster"], f"{what}: forecaster")
    DataVersion.parse(_text(entry["data_version"], f"{what}: data_version"))
    EnvironmentRef.parse(_text(entry["environment"], f"{what}: environment"))
    for name in ("model_digest", "data_digest", "environment_digest", "spec_digest"):
        _digest(entry[name], f"{what}: {name}")
    _whole(entry["delta_version"], f"{what}: delta_version")
    _positive(entry["seasonal_naive_hours"], f"{what}: seasonal_naive_hours")
    previous = (entry["previous_model_version"], entry["previous_model_digest"])
    if previous != (None, None):
        checked_model_version(previous[0])
        _digest(previous[1], f"{what}: previous_model_digest")


def _check_evidence(evidence: object, what: str) -> None:
    if not isinstance(evidence, dict) or not evidence.keys() <= set(REGISTRY_KINDS):
        raise IdentifierError(f"{what}: evidence is not an object of {', '.join(REGISTRY_KINDS)}")
    for kind, digest in evidence.items():
        _digest(digest, f"{what}: evidence.{kind}")


def _read_serving(value: object, what: str) -> Serving:
    names = {field.name for field in fields(Serving)}
    serving = expect_fields(value, names, what=f"{what}: serving")
    for name in ("cutoff_date", "interval", "timezone"):
        _text(serving[name], f"{what}: serving.{name}")
    for name in ("minimum", "maximum"):
        if serving[name] is not None:
            _text(serving[name], f"{what}: serving.{name}")
    for name in ("horizon", "maximum_gap_hours"):
        _whole(serving[name], f"{what}: serving.{name}")
    features = serving["features"]
    if not isinstance(features, list):
        raise IdentifierError(f"{what}: serving.features is not a list")
    names_of_features = tuple(_text(item, f"{what}: serving.features") for item in features)
    return Serving(**(serving | {"features": names_of_features}))


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise IdentifierError(f"{what} is not text")
    return value


def _digest(value: object, what: str) -> str:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise IdentifierError(f"{what} is not a SHA-256: 64 lower-case hexadecimal digits")
    return value


def _whole(value: object, what: str) -> int:
    if type(value) is not int or value < 0:
        raise IdentifierError(f"{what} is not a whole number from 0")
    return value


def _positive(value: object, what: str) -> int:
    if type(value) is not int or value < 1:
        raise IdentifierError(f"{what} is not a whole number from 1")
    return value
