"""Deployments: what a plant's endpoint serves, and the way back.

A live manifest and a deployment are canonical JSON that carries the SHA-256 of its own content, so
that a flipped bit is refused before anything is served by it. The history of a circuit is the chain
of ``replaces``, from the live deployment back; it has no cycle, because a release's id covers
what it replaces.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

from mlops_assets.domain.errors import DataError, MlopsError, RefusedError, StaleError
from mlops_assets.domain.identifiers import CircuitKey, canonical_json, checked_release, digest_of
from mlops_assets.domain.manifest import Serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mlops_assets.domain.manifest import Entry

LIVE_FORMAT = 1

_Stored = TypeVar("_Stored")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One circuit as deployed by one release: written once, never changed.

    ``replaces`` is the release whose deployment this one replaced when it was promoted.
    """

    circuit: CircuitKey
    release: str
    release_digest: str
    model_version: int
    model_digest: str
    environment: str
    environment_digest: str
    previous_model_version: int | None
    previous_model_digest: str | None
    seasonal_naive_hours: int
    data_version: str
    serving: Serving
    replaces: str | None

    def document(self) -> dict[str, Any]:
        """Return the JSON document that is stored."""
        return {
            **asdict(self),
            "circuit": str(self.circuit),
            "serving": {**asdict(self.serving), "features": list(self.serving.features)},
        }

    def to_bytes(self) -> bytes:
        """Return the canonical text with its digest."""
        return _sealed(self.document())

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Deployment:
        """Read a stored deployment; DataError names ``where`` when it is not one."""
        return _read(data, where, "a deployment", _deployment)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveManifest:
    """What one plant serves now: one small file, replaced as a whole by compare-and-swap.

    ``generation`` rises by one with every change; ``live`` maps circuit id to its deployment.
    """

    plant_id: str
    generation: int
    live: Mapping[str, Deployment]

    def of(self, circuit: CircuitKey) -> Deployment | None:
        """The live deployment of a circuit of this plant."""
        return self.live.get(circuit.circuit_id)

    def with_changes(self, changes: Mapping[CircuitKey, Deployment | None]) -> LiveManifest:
        """The next generation: circuits deployed, or taken away where the change is None."""
        live = dict(self.live)
        for circuit, deployment in changes.items():
            if deployment is None:
                live.pop(circuit.circuit_id, None)
            else:
                live[circuit.circuit_id] = deployment
        return LiveManifest(
            plant_id=self.plant_id, generation=self.generation + 1, live=dict(sorted(live.items()))
        )

    def to_bytes(self) -> bytes:
        """Return the canonical text with its digest."""
        live = {name: deployment.document() for name, deployment in self.live.items()}
        return _sealed({"plant_id": self.plant_id, "generation": self.generation, "live": live})

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> LiveManifest:
        """Read a live manifest; DataError names ``where`` when it is not one."""
        return _read(data, where, "a live manifest", _live_manifest)


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackReport:
    """What one rollback did, by circuit. ``seconds`` leaves out the interpreter's start."""

    circuits: tuple[CircuitKey, ...] = ()
    from_: Mapping[CircuitKey, str] = field(default_factory=dict)
    to: Mapping[CircuitKey, str] = field(default_factory=dict)
    refused: Mapping[CircuitKey, str] = field(default_factory=dict)
    seconds: float = 0.0


def deployment_of(entry: Entry, *, release: str, release_digest: str) -> Deployment:
    """The deployment that a release's entry asks for."""
    if entry.serving is None or entry.action != "deploy":
        raise DataError(f"{release}: {entry.circuit} is retired by it and has no deployment")
    return Deployment(
        circuit=entry.circuit,
        release=release,
        release_digest=release_digest,
        model_version=entry.model_version,
        model_digest=entry.model_digest,
        environment=entry.environment,
        environment_digest=entry.environment_digest,
        previous_model_version=entry.previous_model_version,
        previous_model_digest=entry.previous_model_digest,
        seasonal_naive_hours=entry.seasonal_naive_hours,
        data_version=entry.data_version,
        serving=entry.serving,
        replaces=entry.replaces,
    )


def content_differences(found: Deployment, signed: Deployment) -> tuple[str, ...]:
    """Where a deployment differs from the signed one, by field, with both values."""
    mine, theirs = _flat(found.document()), _flat(signed.document())
    return tuple(
        f"{name} is {mine[name]!r} and not {value!r}"
        for name, value in theirs.items()
        if mine[name] != value
    )


def _flat(document: Mapping[str, Any]) -> dict[str, Any]:
    serving = {f"serving.{name}": value for name, value in document["serving"].items()}
    return {name: value for name, value in document.items() if name != "serving"} | serving


def changes_of(
    live: LiveManifest, entries: Iterable[Entry], *, release: str, release_digest: str
) -> dict[CircuitKey, Deployment | None]:
    """What a release still has to change at one plant; nothing where it is done already.

    Raises:
        StaleError: a circuit is live from another release than the one its entry replaces.
    """
    changes: dict[CircuitKey, Deployment | None] = {}
    for entry in entries:
        now = live.of(entry.circuit)
        serves = None if now is None else now.release
        if entry.action == "retire" and serves is None:
            continue
        if entry.action == "deploy" and serves == release:
            continue
        if serves != entry.replaces:
            raise StaleError(
                f"{entry.circuit}: {serves or 'nothing'} is live, but {release} was made to "
                f"replace {entry.replaces or 'nothing'}; create a new release"
            )
        changes[entry.circuit] = (
            deployment_of(entry, release=release, release_digest=release_digest)
            if entry.action == "deploy"
            else None
        )
    return changes


def history(
    live: Deployment, recorded: Callable[[CircuitKey, str], Deployment | None]
) -> Iterator[Deployment]:
    """The deployments before the live one, newest first.

    Raises:
        RefusedError: E_NO_RECORD when one that was replaced is no longer recorded.
    """
    step = live
    while step.replaces is not None:
        before = recorded(step.circuit, step.replaces)
        if before is None:
            raise RefusedError(
                "E_NO_RECORD",
                f"{step.circuit}: the deployment by {step.replaces} is not recorded on the "
                "endpoint; restore its file, or release that model anew",
            )
        yield before
        step = before


def rollback_target(
    live: Deployment | None,
    recorded: Callable[[CircuitKey, str], Deployment | None],
    *,
    to: str | None = None,
) -> Deployment:
    """The deployment a rollback returns to: one step back, or the earlier one named by ``to``.

    Raises:
        RefusedError: there is none.
    """
    if live is None:
        raise RefusedError("E_NOT_LIVE", "nothing is live, so there is nothing to roll back")
    if to is None:
        for before in history(live, recorded):
            return before
        raise RefusedError(
            "E_NO_PREVIOUS",
            f"{live.release} is its first deployment, so there is none to return to; "
            "it stays live: create a release instead",
        )
    checked_release(to)
    if to == live.release:
        raise RefusedError("E_ALREADY_LIVE", f"{to} is live already")
    for before in history(live, recorded):
        if before.release == to:
            return before
    raise RefusedError(
        "E_NOT_EARLIER",
        f"{to} is not an earlier deployment of it (live is {live.release}); "
        "anything else is a new release",
    )


def _sealed(content: dict[str, Any]) -> bytes:
    return canonical_json({"format": LIVE_FORMAT, "sha256": digest_of(content), "content": content})


def _read(
    data: bytes, where: str, what: str, build: Callable[[dict[str, Any]], _Stored]
) -> _Stored:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _unusable(where, what, "is not JSON") from error
    if not isinstance(document, dict) or set(document) != {"format", "sha256", "content"}:
        raise _unusable(where, what, "has not the fields format, sha256 and content")
    if document["format"] != LIVE_FORMAT:
        raise _unusable(where, what, f"has format {document['format']!r}, not {LIVE_FORMAT}")
    try:
        content = document["content"]
        if _sealed(content) != data:
            raise _unusable(where, what, "does not match its own digest")
        return build(content)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise _unusable(where, what, f"cannot be understood ({error})") from error


def _unusable(where: str, what: str, why: str) -> MlopsError:
    return DataError(f"{where}: {why}, so it is not {what}; restore it from a copy of the home")


_TEXT_OR_NONE = (str, type(None))
_DEPLOYMENT_TYPES: Mapping[str, tuple[type, ...]] = {
    "model_version": (int,),
    "previous_model_version": (int, type(None)),
    "previous_model_digest": _TEXT_OR_NONE,
    "seasonal_naive_hours": (int,),
    "serving": (dict,),
    "replaces": _TEXT_OR_NONE,
    "horizon": (int,),
    "maximum_gap_hours": (int,),
    "minimum": _TEXT_OR_NONE,
    "maximum": _TEXT_OR_NONE,
    "features": (list,),
}


def _checked(document: dict[str, Any], of: type) -> dict[str, Any]:
    """The document, when it has exactly the fields of a dataclass, each of its type."""
    names = {item.name for item in fields(of)}
    if set(document) != names:
        odd = ", ".join(sorted(names ^ set(document)))
        raise ValueError(f"{of.__name__} differs in its fields: {odd}")
    for name, value in document.items():
        if type(value) not in _DEPLOYMENT_TYPES.get(name, (str,)):
            raise ValueError(f"{name} is {value!r}")
    return document


def _deployment(content: dict[str, Any]) -> Deployment:
    document = dict(_checked(content, Deployment))
    serving = dict(_checked(document.pop("serving"), Serving))
    serving["features"] = tuple(str(name) for name in serving["features"])
    circuit = CircuitKey.parse(document.pop("circuit"))
    checked_release(document["release"])
    return Deployment(circuit=circuit, serving=Serving(**serving), **document)


def _live_manifest(content: dict[str, Any]) -> LiveManifest:
    if set(content) != {"plant_id", "generation", "live"}:
        raise ValueError("a live manifest has plant_id, generation and live")
    plant_id, generation = content["plant_id"], content["generation"]
    if type(plant_id) is not str or type(generation) is not int or generation < 0:
        raise ValueError("plant_id or generation is of the wrong type")
    live = {name: _deployment(document) for name, document in content["live"].items()}
    for name, deployment in live.items():
        if deployment.circuit != CircuitKey(plant_id, name):
            raise ValueError(f"{deployment.circuit} is filed under {plant_id}/{name}")
    return LiveManifest(plant_id=plant_id, generation=generation, live=live)
