"""Lineage, recomputed from storage: readings, training data, model, evidence, release entry.

Nothing here trusts a digest that somebody wrote down: rows are read at the pinned version of the
readings table and digested again, model bytes are hashed, and `lineage.json` is written anew and
compared. Event logs are not asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.domain.errors import MlopsError
from mlops_assets.domain.evidence import FILES, HTML_FILE, document_bytes, lineage_document
from mlops_assets.domain.gates import Verdict, judge_lineage
from mlops_assets.domain.identifiers import DataVersion, digest_of_files, sha256

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import polars as pl

    from mlops_assets.domain.circuit import Environment
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.manifest import Entry
    from mlops_assets.domain.model import ModelRecord
    from mlops_assets.domain.training_data import TrainingData
    from mlops_assets.ports import Platform, ReadingsTable

# The links of the chain, in order.
READINGS, DATA, ENVIRONMENT, EVIDENCE, RELEASE = (
    "readings -> training data",
    "training data -> model",
    "environment -> model",
    "model -> evidence",
    "model -> release",
)


def confirm(platform: Platform, entries: Iterable[Entry]) -> dict[CircuitKey, Verdict]:
    """Follow the chain of every circuit that is deployed; the first broken link is its refusal."""
    deployed = [entry for entry in entries if entry.action == "deploy"]
    pinned: dict[CircuitKey, TrainingData] = {}
    broken: dict[CircuitKey, tuple[str, str]] = {}
    for entry in deployed:
        try:
            pinned[entry.circuit] = platform.dev.training_data.get(
                entry.circuit, DataVersion.parse(entry.data_version)
            )
        except MlopsError as error:
            broken[entry.circuit] = (READINGS, str(error))
    slices = _Slices(platform.lake.readings, list(pinned.values()))
    verdicts = {}
    for entry in deployed:
        key = entry.circuit
        problem = broken.get(key) or _first_broken(platform, entry, pinned[key], slices)
        verdicts[key] = judge_lineage(problem)
    return verdicts


class _Slices:
    """The rows that training data were cut from, each version of the table read once."""

    def __init__(self, table: ReadingsTable, pinned: Sequence[TrainingData]) -> None:
        self._table = table
        self._pinned = pinned
        self._frames: dict[tuple[int, tuple[str, ...]], Mapping[tuple[str, str], pl.DataFrame]] = {}

    def of(self, data: TrainingData) -> pl.DataFrame:
        """The rows of one circuit as the table held them at its pinned version."""
        import polars as pl

        name = (data.delta_version, data.columns)
        if name not in self._frames:
            together = [each for each in self._pinned if (each.delta_version, each.columns) == name]
            rows = self._table.read(
                end=max(each.end for each in together),
                circuits=[each.circuit for each in together],
                version=data.delta_version,
                columns=list(data.columns),
            )
            parts = rows.partition_by("plant_id", "circuit_id", as_dict=True)
            self._frames[name] = {(str(key[0]), str(key[1])): part for key, part in parts.items()}
        found = self._frames[name].get((data.circuit.plant_id, data.circuit.circuit_id))
        if found is None:
            found = pl.DataFrame(schema=dict.fromkeys(data.columns, pl.Null))
        return found.filter(pl.col("timestamp") < data.end)


def _first_broken(
    platform: Platform, entry: Entry, data: TrainingData, slices: _Slices
) -> tuple[str, str] | None:
    """Return the name of the first link that does not hold, and why; None when all do."""
    link = READINGS
    try:
        if problem := _readings(platform, data, slices):
            return link, problem
        link = DATA
        record = platform.dev.models.get(entry.circuit, entry.model_version)
        found = digest_of_files(dict(platform.dev.models.files(record)))
        if problem := _data(record, data, found):
            return link, problem
        link = ENVIRONMENT
        environment = platform.dev.environments.get(record.environment)
        if environment is None or environment.digest != record.environment_digest:
            return link, f"{record.environment} is not the one that the model was made in"
        link = EVIDENCE
        if problem := _evidence(platform, record, data, environment):
            return link, problem
    except MlopsError as error:
        return link, str(error)
    problem = _release(entry, record, data, found)
    return (RELEASE, problem) if problem else None


def _readings(platform: Platform, data: TrainingData, slices: _Slices) -> str | None:
    from mlops_assets.domain.training_data import content_digest

    rows = slices.of(data)
    found = content_digest(rows) if len(rows) else "nothing"
    stored = content_digest(platform.dev.training_data.rows(data))
    for where, digest in (
        (f"version {data.delta_version} of the readings holds", found),
        ("the training data hold", stored),
    ):
        if digest != data.content_digest:
            pinned = f"{data.content_digest[:12]} is pinned as training data {data.version}"
            return f"{where} {digest[:12]}, {pinned}"
    return None


def _data(record: ModelRecord, data: TrainingData, found: str) -> str | None:
    if record.data_digest != data.content_digest or record.data_version != data.version:
        return (
            f"version {record.version} learned from {record.data_version} "
            f"({record.data_digest[:12]}), not from {data.version} ({data.content_digest[:12]})"
        )
    if found != record.digest:
        return f"the bytes of version {record.version} are {found[:12]}, not {record.digest[:12]}"
    return None


def _evidence(
    platform: Platform, record: ModelRecord, data: TrainingData, environment: Environment
) -> str | None:
    """Write `lineage.json` again from what was just read, and compare it with the stored one."""
    store = platform.dev.evidence
    notebook = {
        name: sha256(store.read(record.circuit, record.version, name))
        for name in (FILES["scoring_notebook"], HTML_FILE)
    }
    again = document_bytes(lineage_document(record, data, environment, notebook))
    if again != store.read(record.circuit, record.version, "lineage"):
        return f"{FILES['lineage']} of version {record.version} does not say what storage holds"
    return None


def _release(entry: Entry, record: ModelRecord, data: TrainingData, found: str) -> str | None:
    pins = (
        ("model_digest", entry.model_digest, found),
        ("data_digest", entry.data_digest, data.content_digest),
        ("delta_version", entry.delta_version, data.delta_version),
        ("spec_digest", entry.spec_digest, record.spec_digest),
    )
    for name, pinned, stored in pins:
        if pinned != stored:
            return f"the release pins {name} {str(pinned)[:12]}, storage holds {str(stored)[:12]}"
    return None
