"""The plan: what config wants, against what is registered and live. It changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

from mlops_assets.catalog import load
from mlops_assets.domain.errors import HomeError, MlopsError, RefusedError
from mlops_assets.domain.lifecycle import holds
from mlops_assets.domain.model import COLD_START_DAYS
from mlops_assets.forecasters.catalogue import ALGORITHMS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from mlops_assets.domain.circuit import Circuit, Config, Spec
    from mlops_assets.domain.deployment import Deployment
    from mlops_assets.domain.identifiers import CircuitKey, DataVersion
    from mlops_assets.domain.manifest import Manifest
    from mlops_assets.domain.model import ModelRecord
    from mlops_assets.domain.release import LedgerEntry, ReleaseView
    from mlops_assets.flows.restatement import Stale
    from mlops_assets.ports import ConfigRepository, Platform

Action = Literal["train", "redeploy", "retire", "none"]


@dataclass(frozen=True, slots=True)
class PlanLine:
    """What is to be done for one circuit, and why.

    ``by_hand`` is a circuit that `train` cuts no release of: it is retired, or an earlier release
    carried what it should run and ended without it.
    """

    circuit: CircuitKey
    action: Action
    reason: str
    by_hand: bool = False


def left_over(lines: Sequence[PlanLine]) -> str | None:
    """Say with which one command the circuits are released that nothing releases by itself."""
    named = " ".join(f"--circuit {line.circuit}" for line in lines if line.by_hand)
    if not named:
        return None
    return f"no release is cut of these by itself: `mlops release create {named}`"


def config_at(platform: Platform, *, ref: str | None = None, working_tree: bool = False) -> Config:
    """Return the config at the watched ref, at another ref, or as the work tree has it now.

    Raises:
        RefusedError: the repository is not the home's, or its watched ref was rewound.
        ConfigError: with every problem of every file.
    """
    repository = platform.config
    head = repository.head()
    check_history(repository, platform.ledger.entries(), head)
    commit = head if ref is None else repository.head(ref)
    if commit != head and not repository.contains(repository.root_commit(), commit):
        raise RefusedError(
            "E_CONFIG_ROOT", f"{ref}: does not descend from the root of this home's config"
        )
    files = repository.working_files() if working_tree else repository.files(commit)
    return load(files, commit=commit, algorithms=ALGORITHMS)


def check_history(repository: ConfigRepository, entries: Sequence[LedgerEntry], head: str) -> None:
    """Refuse a config repository that is not the one this home began with, or was rewound."""
    if not entries or entries[0].event != "initialised":
        raise HomeError("the ledger has no entry 0: run the `mlops init` that made this home again")
    began = entries[0].data
    if repository.root_commit() != began["root_commit"]:
        raise RefusedError(
            "E_CONFIG_ROOT",
            f"the config repository begins with {repository.root_commit()[:12]}, this home's with "
            f"{began['root_commit'][:12]}: give --config the repository that the home was made for",
        )
    if repository.ref != began["ref"]:
        raise RefusedError(
            "E_CONFIG_REF", f"this home watches {began['ref']}, not {repository.ref}"
        )
    for what, name in (
        ("a release was made of", "config_commit"),
        ("people signed", "trust_commit"),
    ):
        used = next((each.data[name] for each in reversed(entries) if name in each.data), None)
        if used is not None and not repository.contains(used, head):
            raise RefusedError(
                "E_CONFIG_REWOUND",
                f"{repository.ref} was rewound: {what} commit {used[:12]}, which is no ancestor of "
                f"{head[:12]}; bring it back with git merge",
            )


def plan(platform: Platform, config: Config, *, now: datetime) -> list[PlanLine]:
    """Return one line a circuit of config, and of what is live, sorted."""
    from mlops_assets.flows.cold_start import ended_cold_starts
    from mlops_assets.flows.deployment import live_deployments
    from mlops_assets.flows.ledger import manifest_of, views
    from mlops_assets.flows.model import first_readings
    from mlops_assets.flows.readings import data_now
    from mlops_assets.flows.restatement import stale_data

    known = views(platform, now)
    present = data_now(platform.kind, platform.lake, now)
    desk = _Desk(
        platform=platform,
        config=config,
        data_now=present,
        firsts=first_readings(platform),
        live=live_deployments(platform.prod),
        held=holds(platform.ledger.entries()),
        views=known,
        manifests={view.release: manifest_of(platform.ledger, view) for view in known},
        stale=stale_data(platform),
        warm=ended_cold_starts(platform.lake, config, data_now=present),
        former={},
    )
    return [desk.line(key) for key in sorted({*config.circuits, *desk.live})]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Desk:
    """Everything that the lines of one plan are made from."""

    platform: Platform
    config: Config
    data_now: datetime
    firsts: Mapping[CircuitKey, datetime]
    live: Mapping[CircuitKey, Deployment]
    held: Mapping[CircuitKey, frozenset[str]]
    views: Sequence[ReleaseView]
    manifests: Mapping[str, Manifest]
    stale: Stale
    warm: Mapping[CircuitKey, str]
    former: dict[str, Config | None]

    def line(self, key: CircuitKey) -> PlanLine:
        action, reason = self._judge(key)
        if key in self.warm:
            reason += f"; it has enough readings now: `{self.warm[key]}`"
        by_hand = action == "retire" or (action == "redeploy" and self._goes_on(key))
        return PlanLine(key, action, reason, by_hand)

    def _judge(self, key: CircuitKey) -> tuple[Action, str]:
        from mlops_assets.domain.training_data import data_end
        from mlops_assets.flows.model import effective, wanted

        if key not in self.config.circuits:
            if waits := self._open_release(key, ""):
                return "none", f"waits in {waits}"
            return "retire", "taken out of config"
        circuit = effective(self.config.circuits[key], self.firsts)
        record = wanted(self.platform.dev.models, circuit)
        if record is not None:
            action, reason = self._registered(circuit, record)
            return action, reason + self._restated(circuit, record.data_version)
        first, end = self.firsts.get(key), data_end(circuit.spec.cutoff_date, circuit.spec.timezone)
        if first is None or first >= end:
            until = "" if first is None else f" up to its cutoff date {circuit.spec.cutoff_date}"
            return "none", f"no reading{until}"
        if end > self.data_now:
            day, zone = circuit.spec.cutoff_date, circuit.spec.timezone
            return "none", f"{circuit.file}: cutoff_date: {day} is not over in {zone}"
        return "train", self._why(circuit)

    def _registered(self, circuit: Circuit, record: ModelRecord) -> tuple[Action, str]:
        """Judge a circuit whose wanted model is there."""
        key, name = circuit.key, f"version {record.version}"
        if record.digest in self.held.get(key, frozenset()):
            return "none", (
                f"held: {name} was rolled back from; change its spec, or "
                f"`mlops release create --circuit {key} --unhold {key}`"
            )
        live = self.live.get(key)
        environment = self.config.environments[circuit.spec.environment_ref]
        if live is not None and live.model_digest == record.digest:
            if live.environment_digest == environment.digest:
                return "none", f"{name} is live"
            reason = f"environment changed: {live.environment} to {environment.ref}"
        elif live is not None:
            reason = f"{name} is registered, version {live.model_version} is live"
        else:
            reason = f"{name} is registered, nothing is live"
        if waits := self._open_release(key, record.digest):
            return "none", f"waits in {waits}"
        if ended := self._ended_release(key, record.spec_digest):
            reason = (
                f"{reason}; {ended.release}, which carried it, is {ended.state}: "
                f"`mlops release create --circuit {key}`"
            )
        return "redeploy", reason

    def _restated(self, circuit: Circuit, learned: DataVersion) -> str:
        """Say what changed under a model since it learned, and how it learns that."""
        from mlops_assets.flows.restatement import refresh_command

        found = self.stale.get((circuit.key, learned))
        if found is None:
            return ""
        command = refresh_command([circuit.key], [circuit.spec], self.data_now)
        return f"; restated: {found.says}: `{command}`"

    def _open_release(self, key: CircuitKey, model_digest: str) -> str | None:
        """Return the open release that proposes this model, or with no digest the retirement."""
        for view in reversed(self.views):
            if view.open and key in view.circuits:
                entry = self.manifests[view.release].entry(key)
                if entry.model_digest == model_digest:
                    return view.release
        return None

    def _goes_on(self, key: CircuitKey) -> bool:
        """Whether the release that carried its spec ended without a word against the circuit."""
        from mlops_assets.flows.model import effective

        circuit = effective(self.config.circuits[key], self.firsts)
        ended = self._ended_release(key, circuit.spec_digest)
        return ended is not None and ended.state != "rejected" and str(key) not in ended.failed

    def _ended_release(self, key: CircuitKey, spec_digest: str) -> ReleaseView | None:
        """Return the newest release that carried this spec and ended: `train` cuts no other."""
        for view in reversed(self.views):
            if view.open or key not in view.circuits:
                continue
            if self.manifests[view.release].entry(key).spec_digest == spec_digest:
                return view
        return None

    def _why(self, circuit: Circuit) -> str:
        """Say what makes a circuit need a model that is not there."""
        versions = self.platform.dev.models.versions(circuit.key)
        if not versions:
            few = circuit.spec != self.config.circuits[circuit.key].spec
            too_few = f", under {COLD_START_DAYS} days of readings: {circuit.spec.forecaster}"
            return f"new circuit{too_few if few else ''}"
        former = self._config_of(versions[-1].config_commit)
        before = former.circuits.get(circuit.key) if former else None
        if before is None:
            return "spec changed"
        wanted = self.config.circuits[circuit.key].spec
        names = _differing(before.spec, wanted)
        if "environment" in names:
            old, new = before.spec.environment_ref, wanted.environment_ref
            if (old.name, old.version.major) != (new.name, new.version.major):
                names[names.index("environment")] = f"environment MAJOR, {old} to {new}"
        if names:
            return f"spec changed: {', '.join(names)}"
        if circuit.spec != self.config.circuits[circuit.key].spec:
            return f"under {COLD_START_DAYS} days of readings: {circuit.spec.forecaster}"
        if versions[-1].tags.get("forecaster") == "cold_start":
            return f"{COLD_START_DAYS} days of readings are there: {circuit.spec.forecaster}"
        return f"{circuit.spec.forecaster} has a new algorithm version"

    def _config_of(self, commit: str) -> Config | None:
        """Return the config that a model was trained by, None where it cannot be read any more."""
        if commit not in self.former:
            try:
                files = self.platform.config.files(commit)
                self.former[commit] = load(files, commit=commit, algorithms=ALGORITHMS)
            except MlopsError:
                self.former[commit] = None
        return self.former[commit]


def _differing(before: Spec, after: Spec) -> list[str]:
    pairs = (
        (each.name, getattr(before, each.name), getattr(after, each.name))
        for each in fields(before)
    )
    return [name for name, old, new in pairs if old != new]
