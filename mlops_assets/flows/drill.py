"""The rollback drill: every live circuit's way back is walked up to the last step, and timed.

It reads what a rollback reads (the ledger's chain, the endpoints, every target's model bytes and
environment against their digests) and changes nothing.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from mlops_assets.domain.drill import Drill
from mlops_assets.domain.errors import DataError
from mlops_assets.flows.forecast import readable_deployments
from mlops_assets.flows.rollback import rehearse

if TYPE_CHECKING:
    from datetime import datetime

    from mlops_assets.ports import DrillFiles, Platform


def drill(platform: Platform, files: DrillFiles, *, now: datetime) -> tuple[Drill, str]:
    """Try the way back of every live circuit and keep what was found; returns it and its file."""
    started = time.perf_counter()
    live, unreadable = readable_deployments(platform.prod, None)
    report = rehearse(platform, list(live))
    first = {circuit for circuit, deployment in live.items() if deployment.replaces is None}
    broken = {str(key): why for key, why in report.refused.items() if key not in first}
    found = Drill(
        at=now,
        seconds=time.perf_counter() - started,
        targets=report.to,
        first=tuple(sorted(first)),
        broken={**unreadable, **broken},
    )
    text = json.dumps(found.document(), indent=1, sort_keys=True) + "\n"
    return found, files.write(found.name, text.encode())


def newest(files: DrillFiles) -> tuple[dict[str, Any], str]:
    """Return the newest drill that is kept, and its file; DataError where there is none."""
    names = files.names()
    if not names:
        raise DataError("no drill is kept yet: `mlops drill` runs one")
    name = names[-1]
    try:
        document = json.loads(files.read(name))
        known = {"at", "ok", "seconds", "circuits", "first_deployments", "broken"} <= set(document)
    except (ValueError, TypeError) as error:
        raise DataError(f"{name}: is not a drill; `mlops drill` runs another") from error
    if not known:
        raise DataError(f"{name}: is not a drill; `mlops drill` runs another")
    return document, files.path(name)
