"""Every port of one home."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets.ports.clock import Clock
    from mlops_assets.ports.decision import ConfigRepository, Ledger
    from mlops_assets.ports.engine import (
        FittingEngine,
        Interpreters,
        NotebookRenderer,
        TrainingSlots,
    )
    from mlops_assets.ports.lake import Lake
    from mlops_assets.ports.workspace import DevWorkspace, ServingWorkspace, SharedRegistry


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Every port of one home. Flows take the parts they need, serving flows never ``dev``.

    ``aside`` fits on this machine's cores what is kept nowhere, where a home lies elsewhere.
    """

    kind: Literal["init", "demo"]
    clock: Clock
    config: ConfigRepository
    ledger: Ledger
    lake: Lake
    dev: DevWorkspace
    registry: SharedRegistry
    test: ServingWorkspace
    prod: ServingWorkspace
    slots: TrainingSlots
    engine: Callable[[int], FittingEngine]
    renderer: Callable[[], NotebookRenderer]
    interpreters: Interpreters | None = None
    aside: Callable[[int], FittingEngine] | None = None
