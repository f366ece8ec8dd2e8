"""What a job of one slice needs of a lake whose parts lie at addresses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

from mlops_assets.domain.errors import DataError, UsageError

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


class SliceFile(Protocol):
    """A file that a job is told of by its address."""

    def read(self) -> bytes:
        """The bytes; DataError when there is none."""

    def write(self, data: bytes) -> None:
        """Replace it, or make it."""


def open_slice_lake(
    raw: str, readings: str, quarantine: str, sessions: SparkSessions | None, *, blob: str = ""
) -> SliceLake:
    """Return what a job needs of a lake whose parts lie at these addresses.

    Without sessions of Spark the job does its slice in its own memory. ``blob`` is where an
    emulator of a storage account answers.

    Raises:
        UsageError: an address is of no backend that this installation has.
    """
    landing, table, log = _parts(raw, readings, quarantine, blob)
    if sessions is None:
        from mlops_assets.engines.polars import PolarsEngine

        return SliceLake(landing, table, log, PolarsEngine())
    from mlops_assets.engines.spark.lake import SparkLakeEngine
    from mlops_assets.engines.spark.readings import SparkReadingsTable

    return SliceLake(
        landing,
        SparkReadingsTable(table, readings, sessions),
        log,
        SparkLakeEngine(sessions),
    )


def open_slice_file(address: str, blob: str = "") -> SliceFile:
    """Return a file of a job: in a container, or on the disk under an address or a path."""
    if _is_in_a_container(address):
        from mlops_assets.adapters.azure.slice_lake import place_of

        return place_of(address, blob)
    return _DiskFile(_local_path(address) if "://" in address else Path(address))


@dataclass(frozen=True, slots=True)
class _DiskFile:
    """A file of this machine; the one who ordered the job makes its folder."""

    path: Path

    def read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise DataError(f"{self.path}: no order of a slice: {error.strerror}") from error

    def write(self, data: bytes) -> None:
        try:
            self.path.write_bytes(data)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be written: {error.strerror}") from error


def _parts(
    raw: str, readings: str, quarantine: str, blob: str
) -> tuple[LandingZone, ReadingsTable, RowLog]:
    if all(_is_in_a_container(each) for each in (raw, readings, quarantine)):
        from mlops_assets.adapters.azure.slice_lake import SentFiles, place_of

        table = place_of(readings, blob)
        return (
            SentFiles(place_of(raw, blob), table.sibling("ingested")),
            table.readings(),
            place_of(quarantine, blob).quarantine(),
        )
    from mlops_assets.adapters.local.landing import LocalLandingZone
    from mlops_assets.adapters.local.readings import LocalReadingsTable, LocalRowLog

    return (
        LocalLandingZone(_local_path(raw)),
        LocalReadingsTable(_local_path(readings)),
        LocalRowLog(_local_path(quarantine), "quarantine"),
    )


def _is_in_a_container(address: str) -> bool:
    return address.startswith("abfss://")


def _local_path(uri: str) -> Path:
    parts = urlsplit(uri)
    if parts.scheme != "file" or parts.netloc:
        raise UsageError(
            f"{uri}: is neither file:///PATH nor abfss://CONTAINER@ACCOUNT.dfs.SUFFIX/PATH, or not "
            "all parts of the lake are"
        )
    return Path(unquote(parts.path))
