"""Evidence: what must exist and verify before a person can sign.

A bundle is one folder of files, each digested; the same model, data and config give the same bytes.
What a run adds (clock, host, duration) goes to `RUN_FILE`, which no digest covers.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from mlops_assets.domain.errors import DataError, ModelError
from mlops_assets.domain.identifiers import sha256
from mlops_assets.domain.proof import metrics_of, read_proof

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlops_assets.domain.circuit import Environment
    from mlops_assets.domain.evaluation import Metrics
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.model import ModelRecord
    from mlops_assets.domain.training_data import TrainingData

EVIDENCE_FORMAT = 1
# The address of whoever commits for `init` and `demo`; no person has it.
PLATFORM_EMAIL = "platform@mlops-assets.local"

# For the registry request; each is one digested file of the circuit's evidence bundle.
REGISTRY_KINDS = ("pull_request", "scoring_notebook", "training_log", "metrics", "lineage")
# For the production request; each is one digested file of the release.
PRODUCTION_KINDS = ("test_validation", "rollback_plan")

# The file of each kind. The notebook's HTML is a rendering of it, named in the lineage.
FILES: Mapping[str, str] = {
    "pull_request": "pull_request.json",
    "scoring_notebook": "scoring_notebook.ipynb",
    "training_log": "training_log.jsonl",
    "metrics": "metrics.json",
    "lineage": "lineage.json",
}
HTML_FILE = "scoring_notebook.html"
BUNDLE_FILE = "bundle.json"
RUN_FILE = "run.json"

Kind = Literal[
    "pull_request",
    "scoring_notebook",
    "training_log",
    "metrics",
    "lineage",
    "test_validation",
    "rollback_plan",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The bundle of one model version: ``digests`` maps kind to the SHA-256 of its file."""

    circuit: CircuitKey
    model_version: int
    digests: Mapping[str, str]

    def missing(self) -> tuple[str, ...]:
        """Kinds that the registry request needs and this bundle lacks."""
        return tuple(kind for kind in REGISTRY_KINDS if kind not in self.digests)


Row = tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """How a model was chosen, as the registry keeps it beside the model.

    Rows of the backtest are origins, columns steps; None where no actual exists.
    """

    forecaster: str
    metrics: Metrics
    floor: Metrics
    incumbent: Metrics | None
    candidates: Sequence[Mapping[str, Any]]
    origins: Sequence[datetime]
    actual: Sequence[Row]
    forecast: Sequence[Row]
    floor_forecast: Sequence[Row]
    incumbent_forecast: Sequence[Row] | None
    log: Sequence[Any]

    @property
    def skill(self) -> float:
        """What share of the floor's WAPE the model saves; 0 where the floor makes no error.

        NaN where no day could be scored.
        """
        wape, floor = self.metrics.wape, self.floor.wape
        if not (math.isfinite(wape) and math.isfinite(floor)):
            return math.nan
        if floor > 0:
            return 1 - wape / floor
        return 0.0 if wape <= floor else -math.inf


def proof_of(record: ModelRecord, data: bytes) -> Proof:
    """Read the proof that was registered with a model; ModelError when it is none."""
    where = f"model {record.circuit} version {record.version}"
    document = read_proof(data, where=where)
    try:
        backtest = document["backtest"]
        rows = backtest["incumbent"]
        return Proof(
            forecaster=str(document["forecaster"]),
            metrics=_required(document, "metrics"),
            floor=_required(document, "floor"),
            incumbent=metrics_of(document, "incumbent"),
            candidates=list(document["candidates"]),
            origins=[datetime.fromisoformat(text) for text in backtest["origins"]],
            actual=_rows(backtest["actual"]),
            forecast=_rows(backtest["forecast"]),
            floor_forecast=_rows(backtest["floor"]),
            incumbent_forecast=None if rows is None else _rows(rows),
            log=list(document["log"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{where}: has no readable proof; train it again") from error


def _required(document: Mapping[str, Any], whose: str) -> Metrics:
    metrics = metrics_of(document, whose)
    if metrics is None:
        raise KeyError(whose)
    return metrics


def _rows(rows: Iterable[Iterable[float | None]]) -> list[Row]:
    return [tuple(_known(value) for value in row) for row in rows]


def _known(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def document_bytes(document: Mapping[str, Any]) -> bytes:
    """Return the one text of an evidence document, for people and for its digest.

    Numbers are written as the shortest decimals that read back the same, NaN as null.
    """
    text = json.dumps(_plain(document), indent=1, sort_keys=True, allow_nan=False)
    return text.encode() + b"\n"


def _plain(value: Any) -> Any:  # noqa: ANN401 any JSON value
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value


def metrics_document(record: ModelRecord, proof: Proof) -> dict[str, Any]:
    """Return `metrics.json`: the model, the floor and the incumbent on the same origins."""
    return {
        "format": EVIDENCE_FORMAT,
        "circuit": str(record.circuit),
        "model_version": record.version,
        "model_digest": record.digest,
        "forecaster": proof.forecaster,
        "origins": len(proof.origins),
        "skill": proof.skill,
        "model": metrics_row(proof.metrics),
        "floor": metrics_row(proof.floor),
        "incumbent": None if proof.incumbent is None else metrics_row(proof.incumbent),
        "candidates": [dict(candidate) for candidate in proof.candidates],
    }


def metrics_row(metrics: Metrics) -> dict[str, float | int]:
    """Return metrics by name, in the order in which people read them."""
    return {
        "mae": metrics.mae,
        "rmse": metrics.rmse,
        "mase": metrics.mase,
        "wape": metrics.wape,
        "r2": metrics.r2,
        "coverage_80": metrics.coverage_80,
        "coverage_95": metrics.coverage_95,
        "points": metrics.points,
    }


def training_log(record: ModelRecord, proof: Proof) -> bytes:
    """Return `training_log.jsonl`: one JSON object a line, the model first."""
    lines: list[dict[str, Any]] = [
        {
            "circuit": str(record.circuit),
            "model_version": record.version,
            "model_digest": record.digest,
        }
    ]
    lines += [dict(item) if isinstance(item, dict) else {"log": str(item)} for item in proof.log]
    return b"".join(
        json.dumps(_plain(line), sort_keys=True, allow_nan=False).encode() + b"\n" for line in lines
    )


def lineage_document(
    record: ModelRecord,
    data: TrainingData,
    environment: Environment,
    notebook: Mapping[str, str],
) -> dict[str, Any]:
    """Return `lineage.json` from what was read and checked in storage just now.

    Raises:
        DataError: two links of the chain do not fit.
    """
    where = f"model {record.circuit} version {record.version}"
    for what, claimed, found in (
        ("training data", record.data_digest, data.content_digest),
        ("environment", record.environment_digest, environment.digest),
    ):
        if claimed != found:
            raise DataError(
                f"{where}: was made with {what} {claimed[:12]}, but {found[:12]} is registered; "
                "train it again"
            )
    return {
        "format": EVIDENCE_FORMAT,
        "circuit": str(record.circuit),
        "readings": {"delta_version": data.delta_version},
        "training_data": {
            "version": str(data.version),
            "content_digest": data.content_digest,
            "rows": data.rows,
            "cutoff_date": data.cutoff_date.isoformat(),
            "timezone": data.timezone,
            "first_timestamp": data.first_timestamp.isoformat(),
            "last_timestamp": data.last_timestamp.isoformat(),
        },
        "model": {
            "version": record.version,
            "digest": record.digest,
            "spec_digest": record.spec_digest,
        },
        "environment": {"version": str(environment.ref), "digest": environment.digest},
        "config": {"commit": record.config_commit},
        "notebook": dict(notebook),
    }


def bundle_bytes(circuit: CircuitKey, model_version: int, files: Mapping[str, bytes]) -> bytes:
    """Return `bundle.json`, which names every digested file of a bundle."""
    return document_bytes(
        {
            "format": EVIDENCE_FORMAT,
            "circuit": str(circuit),
            "model_version": model_version,
            "files": {name: sha256(data) for name, data in files.items()},
        }
    )


def digests_by_kind(files: Mapping[str, str]) -> dict[str, str]:
    """Return the SHA-256 by kind from the SHA-256 by file name."""
    return {kind: files[name] for kind, name in FILES.items() if name in files}


def on_one_axis(
    rows: Sequence[Row], origins: Sequence[datetime], step: timedelta
) -> list[float | None]:
    """Lay backtest rows on one time axis from the first origin; a later origin wins an overlap."""
    values: list[float | None] = []
    for origin, row in zip(origins, rows, strict=True):
        at = (origin - origins[0]) // step
        values += [None] * (at + len(row) - len(values))
        values[at : at + len(row)] = row
    return values
