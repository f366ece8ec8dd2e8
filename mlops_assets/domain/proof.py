"""The proof of a model: how well it and its rivals did, as one JSON document that repeats.

It is stored beside the model and judged by the gates: figures of the model, the seasonal-naive
floor and the incumbent on the same origins, the candidates, the backtest itself, what the training
began from and what it hands on, and the training log. It holds no clock, host or duration; a figure
that does not exist is null.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from mlops_assets.domain.errors import ModelError
from mlops_assets.domain.evaluation import Metrics
from mlops_assets.domain.warm_start import learned_document, warm_start_document

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.domain.evaluation import Backtest, Comparison
    from mlops_assets.domain.model import FitResult

PROOF_FORMAT = 1


def proof_document(result: FitResult, comparison: Comparison) -> dict[str, Any]:
    """Return the document; an incumbent that no origin could score is none."""
    incumbent = result.incumbent if result.incumbent and result.incumbent.points else None
    document = {
        "format": PROOF_FORMAT,
        "forecaster": result.forecaster,
        "algorithm_version": result.algorithm_version,
        "metrics": asdict(result.metrics),
        "floor": asdict(result.floor),
        "incumbent": asdict(incumbent) if incumbent else None,
        "comparison": _comparison(comparison) if incumbent else None,
        "candidates": [
            {"forecaster": each.forecaster, "mae": each.mae, "wape": each.wape}
            for each in result.candidates
        ],
        "backtest": _backtest(result.backtest),
        "warm_start": warm_start_document(result.warm_start),
        "learned": learned_document(result.learned),
        "log": list(result.log),
    }
    plain: dict[str, Any] = _plain(document)
    return plain


def write_proof(document: Mapping[str, Any]) -> bytes:
    """Return the document's one text."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def read_proof(data: bytes, *, where: str) -> dict[str, Any]:
    """Read a document back; ModelError when it is none."""
    try:
        document = json.loads(data)
        if document["format"] != PROOF_FORMAT:
            raise ModelError(
                f"{where}: proof has format {document['format']!r}, this mlops reads format "
                f"{PROOF_FORMAT}; train it again"
            )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{where}: has no readable proof; train it again") from error
    return dict(document)


def metrics_of(document: Mapping[str, Any], whose: str) -> Metrics | None:
    """Return the figures of ``metrics``, ``floor`` or ``incumbent``; null figures become NaN."""
    figures = document.get(whose)
    if figures is None:
        return None
    values: dict[str, Any] = {each.name: figures.get(each.name) for each in fields(Metrics)}
    known: dict[str, Any] = {
        name: math.nan if value is None else value for name, value in values.items()
    }
    return Metrics(**known)


def _comparison(comparison: Comparison) -> dict[str, Any]:
    """Return the paired comparison; the gate judges its bound as a share of the incumbent's MAE."""
    share = comparison.incumbent_mae
    return {**asdict(comparison), "lower_bound": comparison.lower / share if share > 0 else None}


def _backtest(backtest: Backtest) -> dict[str, Any]:
    incumbent = backtest.incumbent
    return {
        "origins": [origin.isoformat() for origin in backtest.origins],
        "actual": backtest.actual.tolist(),
        "forecast": backtest.forecast.tolist(),
        "floor": backtest.floor.tolist(),
        "incumbent": None if incumbent is None else incumbent.tolist(),
    }


def _plain(value: Any) -> Any:  # noqa: ANN401 any JSON value
    """Return JSON without what it has no word for: NaN and infinities become null."""
    match value:
        case float():
            return float(value) if math.isfinite(value) else None
        case dict():
            return {name: _plain(item) for name, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case bool() | None | str():
            return value
        case _:
            return int(value)
