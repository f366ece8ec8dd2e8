"""Doctor: what would go wrong, said before anything is changed."""

from __future__ import annotations

import platform as machine
import shutil
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import MlopsError
from mlops_assets.domain.gates import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from mlops_assets.ports import Platform
    from mlops_assets.settings import Settings

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
        return f"{document['entries']} entries, chain, anchors and signatures hold"

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
        return f"newest commits are whole: {', '.join(versions) or 'no table yet'}"

    questions = {
        "tools": tools,
        "space": space,
        "config": config,
        "ledger": ledger,
        "tables": tables,
        "readings": readings,
    }
    verdicts = tuple(_ask(name, question) for name, question in questions.items())
    try:
        wanted = config_at(platform)
    except MlopsError:
        return verdicts  # said already
    return verdicts + historian.examine(platform.lake.historian(), wanted)


def _ask(name: str, question: Callable[[], str]) -> Verdict:
    try:
        return Verdict(name, passed=True, reason=question())
    except (MlopsError, OSError) as error:
        return Verdict(name, passed=False, reason=str(error))
