"""Versions of assets in Azure ML: made once, met again, refused where they are another thing.

Our own stores hold the bytes and say what a version is; Azure ML names it for people, jobs and
deployments. What was registered is told by properties, which never change there, and by what it
points to; a version that lacks one of them was made by somebody else, whatever it is called. A
process that was killed between the two is made good by whoever needs the version next.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import AzureError, ResourceNotFoundError, ServiceResponseError

from mlops_assets.adapters.azure.client import explained
from mlops_assets.domain.errors import EngineError, ForeignError, StaleError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# A copy shows some time after it was made: two minutes at most.
_PAUSES = (2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0)
_DATASTORE = re.compile(
    r"azureml://(?:(?i:subscriptions)/[^/]+/(?i:resourcegroups)/[^/]+/(?:providers/[^/]+/)?"
    r"(?i:workspaces)/(?P<workspace>[^/]+)/)?datastores/(?P<place>.+)"
)


def registered(
    what: str,
    properties: Mapping[str, str],
    *,
    get: Callable[[], Any],
    make: Callable[[], object],
    advice: str,
    differs: Callable[[Any], str] = lambda _: "",
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Register a version that is not there yet; one that is there must be the same.

    Args:
        what: the version and its place, for people: `model sensor_model_P001_C001:7 in dev`.
        properties: what makes it this version and no other; each has to be there.
        get: asks for the version.
        make: registers it.
        advice: what helps where another thing has its name; versions are archived, never removed.
        differs: says what of a version that is there is not as we make it, nothing where all is.
        sleep: waits for what was made to show.

    Raises:
        ForeignError: another thing is registered under that version.
        RefusedError: E_FORBIDDEN, E_QUOTA, as `explained` says.
        EngineError: as `explained` says, also where Azure speaks of a conflict and shows none.
    """
    try:
        found = _registered(what, get, make, sleep)
    except StaleError as error:
        raise EngineError(f"{error}; run it again") from error
    if found is None:
        return
    there = found.properties or {}
    odd = next((name for name, wanted in properties.items() if there.get(name) != wanted), None)
    if odd is None:
        why = differs(found)
    elif odd in there:
        why = f"{odd} {str(there[odd])[:12]}, not {properties[odd][:12]}"
    else:
        why = f"no {odd}"
    if why:
        raise ForeignError(f"{what}: is registered with {why}: it was not made here; {advice}")


def same_place(found: object, wanted: str, workspace: str) -> bool:
    """Whether Azure shows the place of a datastore that it was told, in its own words."""
    shown, told = _DATASTORE.fullmatch(str(found or "")), _DATASTORE.fullmatch(wanted)
    if shown is None or told is None:
        return False
    if (shown["workspace"] or workspace).casefold() != workspace.casefold():
        return False
    return shown["place"].rstrip("/") == told["place"].rstrip("/")


def _registered(
    what: str, get: Callable[[], Any], make: Callable[[], object], sleep: Callable[[float], None]
) -> Any:  # noqa: ANN401 an entity of the SDK
    """Return the version that was there, None where it was made now."""
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
    return found


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
