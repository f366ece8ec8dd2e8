"""What serves, beside what was decided: the ledger says which release each circuit is served by.

A live manifest is a file that whoever deploys may write. What it says counts where the ledger says
the same and the release's manifest, by the digest in the ledger, holds exactly that deployment.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

from mlops_assets.domain import lifecycle
from mlops_assets.domain.deployment import content_differences, deployment_of
from mlops_assets.domain.errors import MlopsError, RefusedError
from mlops_assets.domain.history import History, live_difference
from mlops_assets.domain.identifiers import IdentifierError, sha256
from mlops_assets.domain.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from mlops_assets.domain.deployment import Deployment
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.ports import Ledger

# As long as the rollback of a whole fleet may take, its plants still serve what they leave.
_ROLLBACK = timedelta(minutes=15)
_READS_AT_ONCE = 8
_MORE = "it is not forecast until both agree: see `mlops verify`"


def undecided(
    ledger: Ledger,
    live: Mapping[CircuitKey, Deployment],
    *,
    now: datetime,
    wanted: Collection[CircuitKey] | None = None,
    unreadable: Collection[str] = (),
) -> dict[CircuitKey, str]:
    """Return the circuits whose serving nobody decided, each with the reason.

    While a release is being deployed, what it puts live may serve; as long as a rollback may take,
    what it leaves. The log is read once, and the manifest of each release that serves once.

    Args:
        ledger: what was decided.
        live: what serves now.
        now: when it is asked.
        wanted: the circuits that are asked for, all of them without it.
        unreadable: plants whose live manifest cannot be read, so that nothing is known of them.
    """
    entries = ledger.entries()
    history, known = History(entries), lifecycle.fold(entries, None)
    begun = {
        circuit: view.release
        for view in known
        if view.begun is not None and view.begun.stage == "production"
        for circuit in view.circuits
    }
    digests = {view.release: view.digest for view in known}
    with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
        names = sorted({each.release for each in live.values()})
        read = pool.map(lambda name: _signed(ledger, name, digests.get(name)), names)
        signed = dict(zip(names, read, strict=True))
    found: dict[CircuitKey, str] = {}
    for circuit in sorted(live.keys() | history.live.keys()):
        if circuit.plant_id in unreadable or (wanted is not None and circuit not in wanted):
            continue
        serves = live.get(circuit)
        release = None if serves is None else serves.release
        step, deploying = history.steps.get(circuit), begun.get(circuit)
        going = step is not None and now - entries[step.seq].at < _ROLLBACK
        leaving = step is not None and going and release == step.from_
        expected = leaving or (deploying is not None and release in {deploying, None})
        difference = "" if expected else live_difference(circuit, serves, history, deploying)
        if difference:
            found[circuit] = f"{difference}; {_MORE}"
            continue
        if serves is None:
            continue
        if why := _difference(serves, signed[serves.release]):
            found[circuit] = f"{why}; {_MORE}"
    return found


def _signed(
    ledger: Ledger, release: str, digest: str | None
) -> Mapping[CircuitKey, Deployment] | str:
    """The deployments that a release's manifest holds, or why it cannot say."""
    try:
        data = ledger.get("releases", f"{release}.json")
        if data is None or sha256(data) != digest:
            raise RefusedError("E_MANIFEST", f"{release}: its manifest is gone or changed")
        # Only its canonical text is read, so the digest of the bytes is the manifest's.
        manifest = Manifest.from_bytes(data)
    except (MlopsError, IdentifierError) as error:
        return str(error)
    return {
        entry.circuit: deployment_of(entry, release=release, release_digest=digest)
        for entry in manifest.entries
        if entry.action == "deploy"
    }


def _difference(serves: Deployment, signed: Mapping[CircuitKey, Deployment] | str) -> str:
    if isinstance(signed, str):
        return signed
    if (decided := signed.get(serves.circuit)) is None:
        return f"{serves.release} is live, but does not deploy it"
    if decided == serves:
        return ""
    differences = ", ".join(content_differences(serves, decided))
    return f"what is live is not what {serves.release} was signed with: {differences}"
