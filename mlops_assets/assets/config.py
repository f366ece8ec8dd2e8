"""What should exist, from git: the spec of each circuit, and the environments models need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.assets.events import Fact
from mlops_assets.assets.partitions import circuits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlops_assets.domain.circuit import Circuit, Config, Environment
    from mlops_assets.ports import CommitInfo, Platform

GROUP = "config"

CIRCUIT_CONFIG = dg.AssetSpec(
    "circuit_config",
    description="The spec of one circuit at one commit of the config repository. The data version "
    "is the spec digest: when it changes, the circuit is trained again.",
    group_name=GROUP,
    kinds={"git", "yaml"},
    owners=["team:ml-engineering"],
    partitions_def=circuits,
)
ENVIRONMENT = dg.AssetSpec(
    "environment",
    description="The newest registered environment version: Python and hashed packages.",
    group_name=GROUP,
    kinds={"git", "python"},
    owners=["team:ml-engineering"],
)


def circuit_config_fact(circuit: Circuit, origin: CommitInfo | None) -> Fact:
    """Tell a circuit's spec; ``origin`` is the newest commit that touched its file."""
    spec = circuit.spec
    return Fact(
        asset="circuit_config",
        partition=str(circuit.key),
        version=_version(circuit),
        metadata={
            "plant": circuit.key.plant_id,
            "plant_owners": circuit.owners,
            "file": circuit.file,
            "commit": origin.commit if origin else None,
            "author": origin.author if origin else None,
            "reviewed_by": (origin.reviewers or None) if origin else None,
            "pull_request": origin.pull_request if origin else None,
            "spec_digest": circuit.spec_digest,
            "cutoff_date": spec.cutoff_date,
            "forecaster": spec.forecaster,
            "hyperparameters": dict(spec.hyperparameters) or None,
            "environment": spec.environment,
            "horizon_hours": spec.horizon,
            "interval": spec.interval,
            "timezone": spec.timezone,
            "features": spec.features or None,
            "effort": spec.effort,
        },
    )


def _version(circuit: Circuit) -> str:
    return circuit.spec_digest


def environment_fact(environment: Environment) -> Fact:
    """Tell one registered environment version."""
    return Fact(
        asset="environment",
        partition=None,
        version=environment.digest,
        metadata={
            "environment": str(environment.ref),
            "digest": environment.digest,
            "python": environment.python,
            "packages": {package.name: package.version for package in environment.packages},
            "summary": environment.summary,
        },
    )


def config_facts(
    platform: Platform, config: Config, told: Mapping[str, str] | None = None
) -> Iterator[Fact]:
    """Tell every circuit's spec and the newest environment of the dev workspace.

    Left out are circuits that were ``told`` with this version, by partition: where a spec comes
    from is a look into git for each, which a sensor would take for all of them at every tick.
    """
    known = told or {}
    news = [each for each in config.circuits.values() if known.get(str(each.key)) != _version(each)]
    if news:
        origins = _origins(platform.config.log(None, since=None, until=config.commit))
        for circuit in news:
            origin = _origin(platform, circuit, config.commit, origins)
            yield circuit_config_fact(circuit, origin)
    if environments := platform.dev.environments.list():
        yield environment_fact(environments[-1])


def _origins(log: Sequence[CommitInfo]) -> Mapping[str, CommitInfo]:
    return {info.commit: info for info in log}


def _origin(
    platform: Platform, circuit: Circuit, commit: str, origins: Mapping[str, CommitInfo]
) -> CommitInfo | None:
    """Return the newest commit of a spec's file; one log is enough while there is one commit."""
    if len(origins) == 1:
        return next(iter(origins.values()))
    log = platform.config.log(circuit.file, since=None, until=commit)
    return log[0] if log else None
