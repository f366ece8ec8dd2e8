"""Status: per circuit what is live, what it last forecast, how well, and what waits for whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from mlops_assets.domain.circuit import Config
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.ports import Platform


# What a release waits for is its circuits' own column.
_WAITS = frozenset({"approval_requested", "approval_reminder"})


def status(
    platform: Platform,
    config: Config,
    *,
    now: datetime,
    found: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """Return one row a circuit, of the config and of what is live, sorted by circuit.

    ``quality`` is the WAPE of the newest scored day, ``held`` whether a model of it was rolled back
    from and may not return, ``waits_for`` what its open release needs next, ``incidents`` the
    subjects of those in ``found`` that are its plant's or everybody's.
    """
    from mlops_assets.domain.lifecycle import holds
    from mlops_assets.flows.deployment import live_deployments
    from mlops_assets.flows.ledger import four_eyes, views

    live = live_deployments(platform.prod)
    waits = {
        circuit: (view.release, view.waits_for(config.policy))
        for view in views(platform, now)
        if view.open
        for circuit in view.circuits
    }
    entries = platform.ledger.entries()
    held, reviewed = holds(entries), four_eyes(entries, config.policy) == "required"
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
                "reviewed": reviewed,
                "incidents": [
                    one["subject"]
                    for one in found
                    if not one["plants"] or key.plant_id in one["plants"]
                ],
            }
        )
    return rows


def incidents(platform: Platform, config: Config, *, now: datetime) -> list[dict[str, Any]]:
    """Return what is wrong now, the worst first; what waits for people is told by `status`."""
    from mlops_assets.domain.alert import SEVERITIES
    from mlops_assets.flows.alert import open_incidents
    from mlops_assets.flows.readings import data_now

    data = data_now(platform.kind, platform.lake, now)
    found = open_incidents(platform, config, now=now, data_now=data)
    alerts = [alert for alert in found.alerts if alert.kind not in _WAITS]
    rows = [
        {
            "severity": alert.severity,
            "kind": alert.kind,
            "plants": list(alert.plants),
            "subject": alert.subject,
            "command": alert.command,
        }
        for alert in sorted(alerts, key=lambda one: -SEVERITIES.index(one.severity))
    ]
    unknown = [
        {"severity": "warning", "kind": "unknown", "plants": [], "subject": why, "command": ""}
        for why in found.problems
    ]
    return [*rows, *unknown]


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
