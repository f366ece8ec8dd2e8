"""Versions of assets in Azure ML: made once, met again, refused where they are another thing.

Our own stores hold the bytes and say what a version is; Azure ML names it for people, jobs and
deployments. What was registered is told by properties, which never change there. A process that was
killed between the two is made good by whoever needs the version next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from mlops_assets.adapters.azure.client import explained
from mlops_assets.domain.errors import StaleError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_CONFLICT = 409


def registered(
    what: str,
    properties: Mapping[str, str],
    *,
    get: Callable[[], Any],
    make: Callable[[], object],
) -> None:
    """Register a version that is not there yet; one that is there must be the same.

    Args:
        what: the version and its place, for people: `model sensor_model_P001_C001:7 in dev`.
        properties: what makes it this version and no other.
        get: asks for the version.
        make: registers it.

    Raises:
        StaleError: another thing is registered under that version.
        EngineError, RefusedError: as `explained` says.
    """
    with explained(f"registering {what}"):
        found = _found(get)
        if found is None:
            try:
                make()
            except HttpResponseError as error:
                # Somebody who registers the same version at the same time may have come first.
                if error.status_code != _CONFLICT or (found := _found(get)) is None:
                    raise
            else:
                return
    there = found.properties or {}
    for name, wanted in properties.items():
        if there.get(name, wanted) != wanted:
            raise StaleError(
                f"{what}: is registered with {name} {there[name][:12]}, not {wanted[:12]}: it was "
                "not made here; delete that version in Azure ML and run this again"
            )


def _found(get: Callable[[], Any]) -> Any:  # noqa: ANN401 an entity of the SDK
    try:
        return get()
    except ResourceNotFoundError:
        return None
