"""What a job of one slice needs of a lake whose parts lie at addresses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from mlops_assets.domain.errors import UsageError

if TYPE_CHECKING:
    from mlops_assets.engines.spark.session import SparkSessions
    from mlops_assets.ports import LakeEngine, LandingZone, ReadingsTable, RowLog


@dataclass(frozen=True, slots=True)
class SliceLake:
    """The parts of a lake that one slice needs."""

    landing: LandingZone
    readings: ReadingsTable
    quarantine: RowLog
    engine: LakeEngine


def open_slice_lake(raw: str, readings: str, quarantine: str, sessions: SparkSessions) -> SliceLake:
    """Return what a job on Spark needs of a lake whose parts lie at these URIs.

    Raises:
        UsageError: a URI is of no backend that this installation has.
    """
    from mlops_assets.adapters.local.landing import LocalLandingZone
    from mlops_assets.adapters.local.readings import LocalReadingsTable, LocalRowLog
    from mlops_assets.engines.spark.lake import SparkLakeEngine
    from mlops_assets.engines.spark.readings import SparkReadingsTable

    table = LocalReadingsTable(_local_path(readings))
    return SliceLake(
        landing=LocalLandingZone(_local_path(raw)),
        readings=SparkReadingsTable(table, readings, sessions),
        quarantine=LocalRowLog(_local_path(quarantine), "quarantine"),
        engine=SparkLakeEngine(sessions),
    )


def _local_path(uri: str) -> Path:
    parts = urlsplit(uri)
    if parts.scheme != "file" or parts.netloc:
        raise UsageError(f"{uri}: is no file:///PATH, which is all that a local lake has")
    return Path(unquote(parts.path))
