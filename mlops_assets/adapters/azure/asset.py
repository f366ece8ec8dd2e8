"""Versions of assets in Azure ML: made once, met again, refused where they are another thing.

Our own stores hold the bytes and say what a version is; Azure ML names it for people, jobs and
deployments. What was registered is told by properties, which never change there. A process that was
killed between the two is made good by whoever needs the version next.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import AzureError, ResourceNotFoundError, ServiceResponseError

from mlops_assets.adapters.azure.client import explained
from mlops_assets.domain.errors import StaleError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# A copy shows some time after it was made: two minutes at most.
_PAUSES = (2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0)


def registered(
    what: str,
    properties: Mapping[str, str],
    *,
    get: Callable[[], Any],
    make: Callable[[], object],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Register a version that is not there yet; one that is there must be the same.

    Args:
        what: the version and its place, for people: `model sensor_model_P001_C001:7 in dev`.
        properties: what makes it this version and no other.
        get: asks for the version.
        make: registers it.
        sleep: waits for what was made to show.

    Raises:
        StaleError: another thing is registered under that version.
        EngineError, RefusedError: as `explained` says.
    """
    with explained(f"registering {what}"):
        found = _found(get)
        if found is None:
            try:
                make()
            except AzureError as error:
                # Somebody else may have come first, or only the answer was lost: what is there
                # counts.
                found = _found(get) or _awaited(error, get, sleep)
                if found is None:
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


def _awaited(error: AzureError, get: Callable[[], Any], sleep: Callable[[float], None]) -> Any:  # noqa: ANN401
    """Wait for what was made and does not show yet; None where nothing was, or it never shows."""
    if isinstance(error, ResourceNotFoundError | ServiceResponseError):
        for pause in _PAUSES:
            sleep(pause)
            if (found := _found(get)) is not None:
                return found
    return None
