"""Renewal: what is live goes on with the code of this version of the platform.

A deployment of Azure keeps the code that it was made with, so an upgrade reaches none that is
there. Nothing that people signed changes by it: each is made anew beside the one that serves, and
takes its place when it is ready.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.flows.deployment import locked_plants, make_ready

if TYPE_CHECKING:
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.ports import ServingWorkspace


def renew(serving: ServingWorkspace) -> tuple[CircuitKey, ...]:
    """Make what other code serves anew, plant by plant; returns the circuits that had it.

    Raises:
        EngineError: some cannot be made ready, each plant named with its reason; all serve on.
    """
    endpoints = serving.endpoints
    plants = sorted({each.circuit.plant_id for each in endpoints.outdated()})
    with locked_plants(endpoints, plants):
        # Others may have deployed while their locks were waited for.
        stale = [each for each in endpoints.outdated() if each.circuit.plant_id in plants]
        make_ready(endpoints, stale)
    if stale:
        endpoints.announce(plants)
    return tuple(sorted(each.circuit for each in stale))
