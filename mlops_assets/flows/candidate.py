"""Candidates: what each circuit should run, as the entry of a release that proposes it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mlops_assets.domain import lifecycle
from mlops_assets.domain.approval import PLATFORM, WINDOW_HOURS
from mlops_assets.domain.canonical import moment_text
from mlops_assets.domain.errors import MlopsError, RefusedError, StaleError
from mlops_assets.domain.evidence import REGISTRY_KINDS
from mlops_assets.domain.identifiers import CircuitKey, decimal_text
from mlops_assets.domain.ledger import check_clock
from mlops_assets.domain.manifest import Entry, Manifest, Serving
from mlops_assets.domain.restatement import EVIDENCE, evidence_bytes
from mlops_assets.flows.approval import expire
from mlops_assets.flows.ledger import four_eyes, manifest_of, trust_at
from mlops_assets.flows.restatement import under_entries
from mlops_assets.flows.signed import read_signed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from mlops_assets.domain.circuit import Circuit, Config, Spec
    from mlops_assets.domain.deployment import Deployment
    from mlops_assets.domain.model import ModelRecord
    from mlops_assets.domain.release import ReleaseView, Signed
    from mlops_assets.ports import Platform

_NO_SEASON = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Everything a release is cut from, read once under the ledger's lock."""

    platform: Platform
    config: Config
    now: datetime
    views: tuple[ReleaseView, ...]
    manifests: Mapping[str, Manifest]
    held: Mapping[CircuitKey, frozenset[str]]
    live: Mapping[CircuitKey, Deployment]
    effective: Callable[[Circuit], Circuit]
    acknowledge: bool = False

    @classmethod
    def at(
        cls,
        platform: Platform,
        config: Config,
        now: datetime,
        *,
        unhold: Sequence[CircuitKey] = (),
        actor: str = PLATFORM,
        acknowledge: bool = False,
    ) -> Bench:
        """Read the bench; the caller holds the ledger.

        With ``acknowledge`` entries carry the digest of what changed under their models.
        """
        from mlops_assets.flows.deployment import live_deployments
        from mlops_assets.flows.model import effective, first_readings

        expire(platform, now=now)
        moment = check_clock(platform.ledger.entries(), now)
        held_now = lifecycle.holds(platform.ledger.entries())
        if freed := sorted(str(circuit) for circuit in set(unhold) & set(held_now)):
            platform.ledger.append("unheld", actor, {"circuits": freed}, moment)
        entries = platform.ledger.entries()
        known = lifecycle.fold(entries, moment)
        firsts = first_readings(platform)
        return cls(
            platform=platform,
            config=config,
            now=moment,
            views=known,
            manifests={view.release: manifest_of(platform.ledger, view) for view in known},
            held=lifecycle.holds(entries),
            live=live_deployments(platform.prod),
            effective=lambda circuit: effective(circuit, firsts),
            acknowledge=acknowledge,
        )

    def entries(self, keys: set[CircuitKey]) -> tuple[list[Entry], dict[CircuitKey, str]]:
        """The entries of circuits that are not live as wanted, sorted, and why others have none."""
        made: list[Entry] = []
        refused: dict[CircuitKey, str] = {}
        for key in sorted(keys):
            try:
                entry = self._entry(key)
            except MlopsError as error:
                refused[key] = str(error)
            else:
                made += [entry] if entry else []
        if self.acknowledge:
            found = under_entries(self.platform, made)
            made = [
                replace(entry, restated=found[entry.circuit].digest)
                if entry.circuit in found
                else entry
                for entry in made
            ]
        return made, refused

    def _entry(self, key: CircuitKey) -> Entry | None:
        live = self.live.get(key)
        replaces = live.release if live else None
        if key not in self.config.circuits:
            if live is None:
                raise RefusedError("E_CIRCUIT", f"{key} is neither in config nor live")
            return Entry(
                circuit=key, action="retire", config_commit=self.config.commit, replaces=replaces
            )
        circuit = self.effective(self.config.circuits[key])
        entry = self._deploy(circuit, self._wanted(circuit), live)
        if live is not None and _same(entry, live):
            return None
        return entry

    def _wanted(self, circuit: Circuit) -> ModelRecord:
        from mlops_assets.flows.model import wanted

        key = circuit.key
        record = wanted(self.platform.dev.models, circuit)
        if record is None:
            raise RefusedError(
                "E_NO_MODEL", f"{key} has no model for its spec: `mlops train --circuit {key}`"
            )
        if record.digest in self.held.get(key, frozenset()):
            raise RefusedError(
                "E_HELD",
                f"{key} was rolled back from version {record.version}, which is held: change its "
                f"spec, or `mlops release create --circuit {key} --unhold {key}`",
            )
        return record

    def _deploy(self, circuit: Circuit, record: ModelRecord, live: Deployment | None) -> Entry:
        platform, key = self.platform, circuit.key
        bundle = platform.dev.evidence.get(key, record.version)
        missing = bundle.missing() if bundle else REGISTRY_KINDS
        if bundle is None or missing:
            raise RefusedError(
                "E_EVIDENCE",
                f"{key} model {record.version} lacks evidence ({', '.join(missing)}): "
                f"`mlops train --circuit {key}`",
            )
        wanted = self.config.environments.get(circuit.spec.environment_ref)
        if wanted is None:
            raise RefusedError("E_ENVIRONMENT", f"{key}: {circuit.spec.environment} is not known")
        environment = platform.dev.environments.register(wanted)
        data = platform.dev.training_data.get(key, record.data_version)
        if data.content_digest != record.data_digest:
            raise RefusedError(
                "E_DATA", f"{key}: training data {record.data_version} is not what it learned from"
            )
        version, digest = _previous(record, live)
        return Entry(
            circuit=key,
            action="deploy",
            config_commit=self.config.commit,
            replaces=live.release if live else None,
            model_version=record.version,
            model_digest=record.digest,
            forecaster=record.tags.get("forecaster", circuit.spec.forecaster),
            data_version=str(record.data_version),
            data_digest=record.data_digest,
            delta_version=data.delta_version,
            environment=str(environment.ref),
            environment_digest=environment.digest,
            spec_digest=record.spec_digest,
            evidence={kind: bundle.digests[kind] for kind in REGISTRY_KINDS},
            previous_model_version=version,
            previous_model_digest=digest,
            seasonal_naive_hours=_season(platform, record),
            serving=_serving(circuit.spec),
        )

    def waits(self, entry: Entry) -> bool:
        """Whether an open release proposes the same for this circuit, on what is live now."""
        for view in self.views:
            if view.open and entry.circuit in view.circuits:
                other = self.manifests[view.release].entry(entry.circuit)
                if _target(other) == _target(entry) and entry.restated in {None, other.restated}:
                    return True
        return False

    def proposed(self, entry: Entry) -> bool:
        """Whether any earlier release carried this circuit under its spec digest."""
        return any(
            self.manifests[view.release].entry(entry.circuit).spec_digest == entry.spec_digest
            for view in self.views
            if entry.circuit in view.circuits
        )

    def cut(
        self, entries: Sequence[Entry], actor: str
    ) -> tuple[str | None, tuple[CircuitKey, ...]]:
        """Write the manifest and record the release; nothing for no entries."""
        if not entries:
            return None, ()
        known = {view.release: view for view in self.views}
        eyes = four_eyes(self.platform.ledger.entries(), self.config.policy)
        attempt = 1
        while True:
            manifest = Manifest(entries=tuple(entries), attempt=attempt, four_eyes=eyes)
            before = known.get(manifest.release)
            if before is None:
                break
            if before.open:
                return before.release, before.circuits
            attempt += 1
        data: dict[str, Any] = {
            "release": manifest.release,
            "digest": manifest.digest,
            "circuits": [str(circuit) for circuit in manifest.circuits],
            "config_commit": self.config.commit,
            "attempt": attempt,
        }
        if copied := self._copied_approval(manifest):
            data["copied_approval"] = copied
        ledger = self.platform.ledger
        self._keep_acknowledged(manifest)
        ledger.put("releases", f"{manifest.release}.json", manifest.to_bytes())
        ledger.append("released", actor, data, self.now)
        return manifest.release, manifest.circuits

    def _keep_acknowledged(self, manifest: Manifest) -> None:
        """Keep in full what a release acknowledges, so that people can read what they sign."""
        acknowledged = [entry for entry in manifest.entries if entry.restated is not None]
        if not acknowledged:
            return
        found = under_entries(self.platform, acknowledged)
        for entry in acknowledged:
            if entry.circuit not in found or found[entry.circuit].digest != entry.restated:
                raise StaleError(
                    f"{entry.circuit}: its readings changed while the release was cut; run it again"
                )
        data = evidence_bytes(manifest.release, list(found.values()))
        self.platform.dev.evidence.put_release(manifest.release, EVIDENCE, data)

    def _copied_approval(self, manifest: Manifest) -> dict[str, Any] | None:
        """The registry approval of a release that failed in test, for the same entries without it.

        Only while that approval is younger than a day and its signatures still count.
        """
        wanted = {entry.digest for entry in manifest.entries}
        for view in reversed(self.views):
            failed = self.manifests[view.release]
            same = wanted <= {entry.digest for entry in failed.entries}
            if view.state == "failed" and same and failed.four_eyes == manifest.four_eyes:
                copied = self._approval_of(view)
                if copied is not None:
                    return copied
        return None

    def _approval_of(self, view: ReleaseView) -> dict[str, Any] | None:
        if any(done.stage == "production" for done in view.consumed):
            return None
        if view.copied_approval is not None:
            source = lifecycle.find(self.views, view.copied_approval["release"])
            return self._approval_of(source)
        done = next(done for done in view.consumed if done.stage == "registry")
        signed = [each for each in view.signed if each.statement in done.statements]
        approved_at = min((each.at for each in signed), default=None)
        if approved_at is None or not _younger_than_a_day(approved_at, self.now):
            return None
        if not self._still_count(signed):
            return None
        return {
            "release": view.release,
            "nonce": done.nonce,
            "statements": list(done.statements),
            "approved_at": moment_text(approved_at),
        }

    def _still_count(self, signed: Sequence[Signed]) -> bool:
        trust = trust_at(self.platform.config)
        try:
            for each in signed:
                read_signed(self.platform, each, trust, self.now)
        except RefusedError:
            return False
        return True


def _younger_than_a_day(then: datetime, now: datetime) -> bool:
    return (now - then).total_seconds() < WINDOW_HOURS * 3600


def _same(entry: Entry, live: Deployment) -> bool:
    return (entry.model_digest, entry.environment, entry.environment_digest) == (
        live.model_digest,
        live.environment,
        live.environment_digest,
    )


def _target(entry: Entry) -> tuple[str | None, ...]:
    return (
        entry.action,
        entry.model_digest,
        entry.environment,
        entry.environment_digest,
        entry.replaces,
    )


def _previous(record: ModelRecord, live: Deployment | None) -> tuple[int | None, str | None]:
    """The model that takes over when this one fails: the live one, or what stands behind it."""
    if live is None:
        return None, None
    if live.model_digest == record.digest:
        return live.previous_model_version, live.previous_model_digest
    return live.model_version, live.model_digest


def _season(platform: Platform, record: ModelRecord) -> int:
    """The season of the floor in the proof, a day where it names none."""
    try:
        floor = json.loads(platform.dev.models.proof(record))["floor"]
        return int(floor.get("season_hours") or _NO_SEASON)
    except (ValueError, KeyError, TypeError, AttributeError):
        return _NO_SEASON


def _serving(spec: Spec) -> Serving:
    limits = spec.limits
    return Serving(
        cutoff_date=spec.cutoff_date.isoformat(),
        horizon=spec.horizon,
        interval=spec.interval,
        timezone=spec.timezone,
        maximum_gap_hours=limits.maximum_gap_hours,
        minimum=None if limits.minimum is None else decimal_text(limits.minimum),
        maximum=None if limits.maximum is None else decimal_text(limits.maximum),
        features=tuple(spec.features),
    )
