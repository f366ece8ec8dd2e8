"""Doctor: what would go wrong, said before anything is changed."""

from __future__ import annotations

import os
import platform as machine
import shutil
from collections import Counter
from typing import TYPE_CHECKING, assert_never

from mlops_assets.domain.alert import some
from mlops_assets.domain.errors import MlopsError
from mlops_assets.domain.gates import Verdict
from mlops_assets.settings import LocalBackend
from mlops_assets.settings.azure import AzureBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from mlops_assets.ports import Platform
    from mlops_assets.settings import Settings
    from mlops_assets.settings.azure import Role

# One slice, its table rewrite and Dagster's database need about this much.
_FREE_BYTES = 1 << 30


def examine(settings: Settings, platform: Platform, *, now: datetime) -> tuple[Verdict, ...]:
    """Ask every question, also after one that fails."""
    from mlops_assets.flows import historian
    from mlops_assets.flows.audit import verify
    from mlops_assets.flows.plan import config_at

    def config() -> str:
        found = config_at(platform)
        return f"{len(found.circuits)} circuits at commit {found.commit[:12]}"

    def ledger() -> str:
        document = verify(platform, now=now)
        if not document["ok"]:
            raise MlopsError("; ".join(str(line) for line in document["problems"]))
        said = f"{document['entries']} entries, chain, anchors and signatures hold"
        return f"{said}; {document['not_asked']}" if "not_asked" in document else said

    def space() -> str:
        free = shutil.disk_usage(settings.home).free
        if free < _FREE_BYTES:
            raise MlopsError(
                f"{free >> 20} MiB free at {settings.home}, {_FREE_BYTES >> 20} needed"
            )
        return f"{free >> 20} MiB free"

    def tools() -> str:
        missing = [name for name in ("git",) if shutil.which(name) is None]
        if missing:
            raise MlopsError(f"not installed: {', '.join(missing)}")
        return f"git, Python {machine.python_version()}"

    def readings() -> str:
        newest = platform.lake.readings.newest() if platform.lake.readings.exists() else None
        if newest is None:
            raise MlopsError("no readings yet: put raw files into lake/raw and `mlops ingest`")
        return f"newest reading {newest.isoformat()}"

    def tables() -> str:
        versions, problems = list[str](), list[str]()
        for name, table in platform.lake.upkeep.items():
            try:
                if (version := table.version()) is not None:
                    versions.append(f"{name} {version}")
            except MlopsError as error:
                problems.append(str(error))
        if problems:
            raise MlopsError("; ".join(problems))
        none = "no table yet" if platform.lake.upkeep else "not asked: no role here writes a table"
        return f"newest commits are whole: {', '.join(versions) or none}"

    def deployments() -> str:
        if stale := platform.prod.endpoints.outdated():
            named = some([str(each.circuit) for each in stale])
            raise MlopsError(f"{named}: served by another version's code; run `mlops renew`")
        return "what is live runs this version's code"

    questions = {
        "tools": tools,
        "space": space,
        "config": config,
        "ledger": ledger,
        "tables": tables,
        "readings": readings,
        "deployments": deployments,
    }
    verdicts = tuple(_ask(name, question) for name, question in questions.items())
    try:
        wanted = config_at(platform)
    except MlopsError:
        return verdicts  # said already
    if not _plays(settings, "etl"):
        return verdicts
    return verdicts + historian.examine(platform.lake.historian(), wanted)


def _plays(settings: Settings, role: Role) -> bool:
    """Whether this host has a role; on this machine alone it has every one."""
    return settings.backend.kind == "local" or role in settings.backend.roles


def examine_backend(
    settings: Settings, environ: Mapping[str, str] = os.environ
) -> tuple[Verdict, ...]:
    """Ask what the backend itself would refuse later; it may be that no home can be opened yet."""
    match settings.backend:
        case LocalBackend():
            return ()
        case AzureBackend() as backend:
            from mlops_assets.domain.quota import judge_quota

            circuits = _circuits_by_plant(settings)
            try:
                from mlops_assets.adapters.azure.deployment import SHARES
                from mlops_assets.adapters.azure.examination import Examination
            except ModuleNotFoundError as error:
                reason = f"{error.name} is not installed: `make azure`"
                return (Verdict("azure: versions", passed=False, reason=reason),)
            found = Examination(backend, environ).ask(circuits)
            return (
                *found,
                judge_quota(circuits, backend.quota, SHARES["prod"], serves=backend.serves),
            )
        case other:
            assert_never(other)


def _circuits_by_plant(settings: Settings) -> Mapping[str, int]:
    """Count what config wants at the watched ref; nothing where it cannot be read."""
    from mlops_assets.catalog import load
    from mlops_assets.forecasters.catalogue import ALGORITHMS
    from mlops_assets.resources import config_repository

    try:
        repository = config_repository(settings)
        commit = repository.head()
        wanted = load(repository.files(commit), commit=commit, algorithms=ALGORITHMS)
    except MlopsError:
        return {}  # the question `config` says why
    return Counter(key.plant_id for key in wanted.circuits)


def _ask(name: str, question: Callable[[], str]) -> Verdict:
    try:
        return Verdict(name, passed=True, reason=question())
    except (MlopsError, OSError) as error:
        return Verdict(name, passed=False, reason=str(error))
