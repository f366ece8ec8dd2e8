"""Environments are registered in dev before anything is trained in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.domain.errors import MlopsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlops_assets.domain.circuit import Config, Environment
    from mlops_assets.domain.identifiers import EnvironmentRef
    from mlops_assets.ports import EnvironmentRegistry


def register(
    registry: EnvironmentRegistry, config: Config, refs: Iterable[EnvironmentRef]
) -> dict[EnvironmentRef, Environment | str]:
    """Fix the digests of these versions; one that is refused says why and stops no other."""
    found: dict[EnvironmentRef, Environment | str] = {}
    for ref in sorted(set(refs)):
        environment = config.environments.get(ref)
        if environment is None:
            found[ref] = f"environment {ref}: config/environments has no such version; add its file"
            continue
        try:
            found[ref] = registry.register(environment)
        except MlopsError as error:
            found[ref] = str(error)
    return found
