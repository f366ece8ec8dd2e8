"""Models: fitted, proved on a backtest, registered in the dev workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.assets.events import Fact, check_specs, picture
from mlops_assets.assets.partitions import circuits, each, every
from mlops_assets.domain.plot import sparkline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.domain.model import ModelRecord

SPEC = dg.AssetSpec(
    "model",
    description="A fitted model of one circuit, an integer version in the dev registry, with its "
    "metrics on rolling origins beside those of the seasonal-naive floor.",
    group_name="train",
    kinds={"statsforecast", "numpy"},
    owners=["team:ml-engineering"],
    deps=[each("training_data"), each("circuit_config"), every("environment")],
    partitions_def=circuits,
    skippable=True,
)
CHECKS = {
    "skill": "Is it at least as good as repeating the day before?",
    "champion": "Is it not significantly worse than the model that is live?",
    "coverage": "Did its 95 % interval hold the actuals often enough?",
}
CHECK_SPECS = check_specs("model", CHECKS, circuits, warns=["coverage"])
_METRICS = ("mae", "rmse", "mase", "wape", "r2", "coverage_80", "coverage_95")


def model_fact(record: ModelRecord, proof: Mapping[str, Any], folder: str) -> Fact:
    """Tell one registered version; ``proof`` is the document that was stored beside it."""
    metrics, floor = proof.get("metrics") or {}, proof.get("floor") or {}
    incumbent = proof.get("incumbent") or {}
    return Fact(
        asset="model",
        partition=str(record.circuit),
        version=record.digest,
        metadata={
            "plant": record.circuit.plant_id,
            "model_version": record.version,
            "forecaster": proof.get("forecaster"),
            **{name: metrics.get(name) for name in _METRICS},
            "floor_wape": floor.get("wape"),
            "incumbent_wape": incumbent.get("wape"),
            "skill": _skill(metrics.get("wape"), floor.get("wape")),
            "backtest": picture(_plot(proof, f"{record.circuit} version {record.version}")),
            "digest": record.digest,
            "spec_digest": record.spec_digest,
            "data_version": str(record.data_version),
            "data_digest": record.data_digest,
            "delta_version": _number(record.tags.get("delta_version")),
            "environment": str(record.environment),
            "environment_digest": record.environment_digest,
            "config_commit": record.config_commit,
            "author": record.tags.get("author") or None,
            "pull_request": record.tags.get("pull_request") or None,
            "path": folder,
        },
    )


def _skill(wape: float | None, floor: float | None) -> float | None:
    return None if wape is None or not floor else 1 - wape / floor


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def _plot(proof: Mapping[str, Any], title: str) -> str:
    """Draw the newest origin of the backtest, forecast over actuals."""
    backtest = proof.get("backtest") or {}
    forecast, actual = backtest.get("forecast"), backtest.get("actual")
    if not forecast or not actual:
        return ""
    return sparkline(forecast[-1], actual=actual[-1], title=f"{title}: newest backtest origin")
