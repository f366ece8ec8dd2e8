"""Tracing one prediction back to its proof: every link is read from storage and checked there.

A link that does not hold is named in ``problems`` and the chain goes on, so that one call shows all
that is wrong. Nothing here reads Dagster.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_assets.domain import lifecycle
from mlops_assets.domain.canonical import moment_text
from mlops_assets.domain.deployment import deployment_of
from mlops_assets.domain.errors import DataError, MlopsError
from mlops_assets.domain.identifiers import DataVersion, EnvironmentRef
from mlops_assets.domain.signature import fingerprint
from mlops_assets.flows.gates import missing_evidence
from mlops_assets.flows.ledger import manifest_of, trust_at
from mlops_assets.flows.restatement import compared
from mlops_assets.flows.review import shown
from mlops_assets.flows.signed import read_signed

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from mlops_assets.domain.circuit import Config
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.manifest import Entry, Manifest
    from mlops_assets.domain.readings import RawFile
    from mlops_assets.domain.release import ReleaseView
    from mlops_assets.domain.training_data import TrainingData
    from mlops_assets.ports import Platform

# Raw files beyond this many are named, but not read again.
_READ_AGAIN = 20


def trace(platform: Platform, config: Config, circuit: CircuitKey, day: date) -> dict[str, Any]:
    """Return the chain from one circuit's forecast for one day to raw files and pull request.

    Raises:
        DataError: there is no such forecast.
        RefusedError: the ledger's chain is broken or it knows no such release.
    """
    found = _prediction(platform, circuit, day)
    entries = platform.ledger.entries()
    view = lifecycle.find(lifecycle.fold(entries, None), found["release"])
    manifest = manifest_of(platform.ledger, view)
    follow = _Trace(platform, config, circuit, view, manifest, manifest.entry(circuit))
    chain: dict[str, Any] = {"circuit": str(circuit), "date": day.isoformat(), "prediction": found}
    for name, link in (
        ("deployment", lambda: follow.deployment(found)),
        ("signatures", follow.signatures),
        ("evidence", follow.evidence),
        ("model", follow.model),
        ("environment", follow.environment),
        ("training_data", follow.training_data),
        ("readings", follow.readings),
        ("config", follow.commit),
    ):
        chain[name] = follow.link(name, link)
    chain["verified"] = not follow.problems
    chain["problems"] = follow.problems
    return chain


def _prediction(platform: Platform, circuit: CircuitKey, day: date) -> dict[str, Any]:
    rows = platform.lake.predictions.read(issued_for=day, circuits=[circuit])
    if rows.is_empty():
        raise DataError(
            f"{circuit}: there is no forecast for {day.isoformat()}; run `mlops predict "
            f"--date {day.isoformat()} --circuit {circuit}`"
        )
    first, last = rows.row(0, named=True), rows.row(-1, named=True)
    return {
        "rows": rows.height,
        "first_timestamp": first["timestamp"].isoformat(),
        "last_timestamp": last["timestamp"].isoformat(),
        "first_value": first["value"],
        "model_version": first["model_version"],
        "release": first["release"],
        "readings_delta_version": first["data_version"],
        "issued_at": first["issued_at"].isoformat(),
        "hindcast": first["hindcast"],
        "fallback": first["fallback"],
        "fallback_reason": first["fallback_reason"],
    }


@dataclass(slots=True)
class _Trace:
    """The links of one circuit in one release; each returns what people read of it."""

    platform: Platform
    config: Config
    circuit: CircuitKey
    view: ReleaseView
    manifest: Manifest
    entry: Entry
    problems: list[str] = field(default_factory=list)
    _data: TrainingData | None = None

    def link(self, name: str, made: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """One link; what breaks while it is followed is one of its problems."""
        before = len(self.problems)
        content: dict[str, Any] = {}
        try:
            content = made()
        except MlopsError as error:
            self.problems.append(f"{name}: {error}")
        return {**content, "verified": len(self.problems) == before}

    def expect(self, holds: bool, sentence: str) -> None:  # noqa: FBT001 reads as a sentence
        """Name what does not hold."""
        if not holds:
            self.problems.append(sentence)

    def deployment(self, prediction: dict[str, Any]) -> dict[str, Any]:
        release = self.view.release
        recorded = self.platform.prod.endpoints.recorded(self.circuit, release)
        signed = deployment_of(self.entry, release=release, release_digest=self.manifest.digest)
        self.expect(recorded == signed, f"deployment: {release} is not recorded as it was signed")
        versions = {
            "none": self.entry.model_version,
            "previous_model": self.entry.previous_model_version,
            "seasonal_naive": 0,
        }
        expected = versions[prediction["fallback"]]
        self.expect(
            prediction["model_version"] == expected,
            f"deployment: the forecast names model {prediction['model_version']}, "
            f"{release} serves {expected} with fallback {prediction['fallback']}",
        )
        self.expect(
            self.circuit in self.view.deployed, f"deployment: the ledger has none by {release}"
        )
        return {
            "release": release,
            "manifest_digest": self.manifest.digest,
            "state": self.view.state,
            "attempt": self.manifest.attempt,
            "reviewed": self.manifest.four_eyes == "required",
            "replaces": self.entry.replaces,
            "model_version": self.entry.model_version,
        }

    def signatures(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        stages = {consumed.stage for consumed in self.view.consumed}
        if "registry" not in stages and self.view.copied_approval:
            found["registry"] = {"copied_from": dict(self.view.copied_approval)}
            stages.add("registry")
        for stage in ("registry", "production"):
            self.expect(stage in stages, f"signatures: nobody opened {stage}")
        for consumed in self.view.consumed:
            for recorded in self.view.signed:
                if recorded.statement not in consumed.statements:
                    continue
                trust = trust_at(self.platform.config, recorded.trust_commit)
                signed = read_signed(self.platform, recorded, trust, recorded.at)
                self.expect(
                    signed.release == self.view.release,
                    f"signatures: {recorded.principal} signed {signed.release}",
                )
                found.setdefault(consumed.stage, {})[recorded.principal] = {
                    "decision": recorded.decision,
                    "at": moment_text(recorded.at),
                    "statement": recorded.statement,
                    "key": fingerprint(signed.key),
                    "trust_commit": recorded.trust_commit,
                }
        return found

    def evidence(self) -> dict[str, Any]:
        missing = missing_evidence(self.platform, self.entry)
        self.expect(not missing, f"evidence: {'; '.join(missing)}")
        folder = self.platform.dev.evidence.folder(self.circuit, self.entry.model_version)
        return {"folder": folder, **(self.entry.evidence or {})}

    def model(self) -> dict[str, Any]:
        models = self.platform.registry.models
        record = models.get(self.circuit, self.entry.model_version)
        models.files(record)
        self.expect(
            record.digest == self.entry.model_digest,
            f"model: version {record.version} has digest {record.digest[:12]}, the release pins "
            f"{self.entry.model_digest[:12]}",
        )
        return {
            "version": record.version,
            "digest": record.digest,
            "forecaster": self.entry.forecaster,
            "spec_digest": record.spec_digest,
            "folder": models.folder(record),
        }

    def environment(self) -> dict[str, Any]:
        ref = EnvironmentRef.parse(self.entry.environment)
        found = self.platform.registry.environments.get(ref)
        digest = found.digest if found else None
        self.expect(
            digest == self.entry.environment_digest,
            f"environment: {ref} is not registered with the digest that the release pins",
        )
        return {"version": str(ref), "digest": digest}

    def training_data(self) -> dict[str, Any]:
        store = self.platform.dev.training_data
        data = store.get(self.circuit, DataVersion.parse(self.entry.data_version))
        store.rows(data)
        self._data = data
        self.expect(
            (data.content_digest, data.delta_version)
            == (self.entry.data_digest, self.entry.delta_version),
            f"training_data: {data.version} is not what the release pins",
        )
        changed = compared(self.platform.lake, store, [data]).get((self.circuit, data.version))
        return {
            "restated": None if changed is None else changed.says,
            "acknowledged": self.entry.restated,
            "version": str(data.version),
            "content_digest": data.content_digest,
            "rows": data.rows,
            "cutoff_date": data.cutoff_date.isoformat(),
            "first_timestamp": data.first_timestamp.isoformat(),
            "last_timestamp": data.last_timestamp.isoformat(),
            "path": data.path,
        }

    def readings(self) -> dict[str, Any]:
        data = self._data
        if data is None:
            raise DataError("cannot be followed without the training data")
        rows = self.platform.lake.readings.read(
            start=data.first_timestamp,
            circuits=[self.circuit],
            columns=["timestamp", "source"],
        )
        sources = sorted(rows.filter(rows["timestamp"] <= data.last_timestamp)["source"].unique())
        known: dict[str, list[RawFile]] = {}
        for raw in self.platform.lake.journal.confirmed():
            known.setdefault(raw.path, []).append(raw)
        for source in sources[:_READ_AGAIN]:
            self.expect(
                source not in known or any(self._is_there(raw) for raw in known[source]),
                f"readings: {source} in the landing zone is not the file that was ingested",
            )
        files = {name: [raw.sha256 for raw in known.get(name, ())] for name in sources}
        return {"delta_version": data.delta_version, "raw_files": files}

    def _is_there(self, raw: RawFile) -> bool:
        try:
            self.platform.lake.landing.read(raw)
        except DataError:
            return False
        return True

    def commit(self) -> dict[str, Any]:
        repository, commit = self.platform.config, self.entry.config_commit
        self.expect(
            repository.contains(commit, repository.head()),
            f"config: {commit[:12]} is not in {repository.ref}",
        )
        review = shown(self.platform, self.view.release, self.entry)
        changes = review["changes"]
        newest = changes[0] if changes else {}
        return {
            "commit": commit,
            "file": review["file"],
            "author": newest.get("author"),
            "reviewers": newest.get("reviewers", []),
            "pull_request": newest.get("pull_request"),
            "review": review["reason"],
        }
