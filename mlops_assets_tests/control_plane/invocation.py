"""What a batch endpoint with a model takes: one file or folder, and no words or numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_assets_tests.control_plane.assets import DATASTORE
from mlops_assets_tests.control_plane.wire import bad_request

if TYPE_CHECKING:
    from collections.abc import Collection


def checked_input(properties: dict[str, Any], datastores: Collection[str]) -> dict[str, Any]:
    """Return the one input of an invocation.

    Raises:
        RefusalError: 400, as the service says it of model deployments.
    """
    inputs = properties.get("inputData") or {}
    if len(inputs) != 1:
        raise bad_request(
            f"A model deployment takes exactly one data input; {len(inputs)} were given."
        )
    given: dict[str, Any] = next(iter(inputs.values()))
    kind = given.get("jobInputType")
    if kind in {"Literal", "literal"}:
        raise bad_request("Literal inputs are not supported in model deployments.")
    if kind in {"MLTable", "mltable"}:
        raise bad_request("Data assets of type table (MLTable) are not supported.")
    if kind not in {"UriFolder", "UriFile"}:
        raise bad_request(f"jobInputType '{kind}' is not supported in model deployments.")
    found = DATASTORE.fullmatch(str(given.get("uri")))
    if not found or found["name"] not in datastores:
        raise bad_request(f"'{given.get('uri')}' is no path on a datastore of this workspace.")
    for name, output in (properties.get("outputData") or {}).items():
        place = DATASTORE.fullmatch(str(output.get("uri")))
        if not place or place["name"] not in datastores:
            raise bad_request(f"Output '{name}' is on no Blob datastore of this workspace.")
    return given
