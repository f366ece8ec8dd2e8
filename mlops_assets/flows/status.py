"""Status: per circuit what is live, what it last forecast, how well, and what waits for whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from mlops_assets.domain.circuit import Config
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.ports import Platform


def status(platform: Platform, config: Config, *, now: datetime) -> list[dict[str, Any]]:
    """Return one row a circuit, of the config and of what is live, sorted by circuit.

    ``quality`` is the WAPE of the newest scored day, ``held`` whether a model of it was rolled back
    from and may not return, ``waits_for`` what its open release needs next.
    """
    from mlops_assets.domain.lifecycle import holds
    from mlops_assets.flows.deployment import live_deployments
    from mlops_assets.flows.ledger import views

    live = live_deployments(platform.prod)
    waits = {
        circuit: (view.release, view.waits_for(config.policy))
        for view in views(platform, now)
        if view.open
        for circuit in view.circuits
    }
    held = holds(platform.ledger.entries())
    forecast = _newest(platform.lake.predictions.read(), "issued_for")
    quality = _newest(platform.lake.quality.read(), "wape")
    rows = []
    for key in sorted({*config.circuits, *live}):
        deployment = live.get(key)
        release, waiting = waits.get(key, ("", ""))
        rows.append(
            {
                "circuit": str(key),
                "model": deployment.model_version if deployment else None,
                "release": deployment.release if deployment else None,
                "last_forecast": forecast.get(key),
                "quality": quality.get(key),
                "held": bool(held.get(key)),
                "waits_for": f"{release}: {waiting}" if release else None,
                "reviewed": config.policy.four_eyes == "required",
            }
        )
    return rows


def _newest(rows: Any, column: str) -> dict[CircuitKey, Any]:  # noqa: ANN401 a polars frame
    """Return one column of each circuit's newest day."""
    from mlops_assets.domain.identifiers import CircuitKey

    if rows.is_empty():
        return {}
    newest = rows.sort("issued_for").unique(["plant_id", "circuit_id"], keep="last")
    return {
        CircuitKey(plant, circuit): value
        for plant, circuit, value in newest.select("plant_id", "circuit_id", column).iter_rows()
    }
