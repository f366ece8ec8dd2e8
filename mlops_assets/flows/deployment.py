"""Deployments: a release put on production, plant by plant, and the way back from it.

One swap a plant, so that readers see all-old or all-new per plant; every plant is locked, found
fresh and made ready before the first one changes. A run that was killed is completed by running it
again.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from mlops_assets.domain.deployment import changes_of
from mlops_assets.domain.errors import EngineError, MlopsError, ModelError, RefusedError
from mlops_assets.domain.identifiers import CircuitKey, EnvironmentRef

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from mlops_assets.domain.deployment import Deployment, LiveManifest
    from mlops_assets.domain.manifest import Entry, Manifest
    from mlops_assets.ports import Endpoints, ServingWorkspace, SharedRegistry

    # What a plant serves, and what each of its circuits is to be served by; None retires it.
    Change = tuple[LiveManifest, Mapping[CircuitKey, Deployment | None]]


_FILES_AT_ONCE = 8


def live_deployments(serving: ServingWorkspace) -> dict[CircuitKey, Deployment]:
    """Every live deployment of a workspace, by circuit."""
    live: dict[CircuitKey, Deployment] = {}
    for plant in serving.endpoints.plants():
        for deployment in serving.endpoints.live(plant).live.values():
            live[deployment.circuit] = deployment
    return dict(sorted(live.items()))


def deploy(
    prod: ServingWorkspace,
    registry: SharedRegistry,
    manifest: Manifest,
    circuits: Sequence[CircuitKey] | None = None,
    *,
    now: datetime | None = None,  # noqa: ARG001 every stage is called with it; nothing here is timed
) -> None:
    """Make a release live; what is live from it already stays as it is.

    Raises:
        StaleError: another release is live than the one an entry replaces; nothing was changed.
        ModelError: the registry does not hold what was signed; nothing was changed.
        EngineError: a plant cannot be made ready; every plant serves what it did.
    """
    plants = plants_of(manifest.entries, circuits)
    with locked_plants(prod.endpoints, plants):
        put_live(prod.endpoints, prepared(prod, registry, manifest, circuits))
    prod.endpoints.announce(list(plants))


def prepared(
    prod: ServingWorkspace,
    registry: SharedRegistry,
    manifest: Manifest,
    circuits: Sequence[CircuitKey] | None = None,
) -> list[Change]:
    """Make everything ready that a release makes live, which takes the time; nothing changes yet.

    The caller holds the plants until `put_live` is through. Raises as `deploy` does.
    """
    release, digest = manifest.release, manifest.digest
    changes: list[Change] = []
    for plant, part in plants_of(manifest.entries, circuits).items():
        live = prod.endpoints.live(plant)
        changes.append((live, changes_of(live, part, release=release, release_digest=digest)))
    news = [new for _, part in changes for new in part.values()]
    check_bytes(registry, (new for new in news if new))
    record(prod.endpoints, news)
    make_ready(prod.endpoints, news)
    return changes


def put_live(endpoints: Endpoints, changes: Iterable[Change]) -> None:
    """Change what was prepared, one swap a plant."""
    for live, part in changes:
        swap(endpoints, live, part)


def swap(
    endpoints: Endpoints, live: LiveManifest, changes: Mapping[CircuitKey, Deployment | None]
) -> None:
    """Change one plant in one step; the deployments must be recorded already."""
    if changes:
        endpoints.swap(live, live.with_changes(changes))


def record(endpoints: Endpoints, changes: Iterable[Deployment | None]) -> None:
    """Keep deployments for good before any of them can be live; they wait for the disk together."""
    with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
        wanted = [pool.submit(endpoints.record, new) for new in changes if new is not None]
        for done in wanted:
            done.result()


def make_ready(endpoints: Endpoints, changes: Iterable[Deployment | None]) -> None:
    """Make recorded deployments ready to serve, on all plants together.

    Raises:
        EngineError: a plant is not ready, each named with its reason; nothing that is live changed.
        RefusedError: they do not fit; nothing was changed.
    """
    if broken := unready(endpoints, changes):
        raise EngineError(
            "; ".join(f"{plant}: {why}" for plant, why in sorted(broken.items()))
            + "; every plant serves what it did: run the same command again"
        )


def unready(endpoints: Endpoints, changes: Iterable[Deployment | None]) -> Mapping[str, str]:
    """Make recorded deployments ready; returns the plants that are not, with the reasons."""
    wanted = [new for new in changes if new is not None]
    return endpoints.prepare(wanted) if wanted else {}


def check_bytes(
    registry: SharedRegistry,
    deployments: Iterable[Deployment],
    environments: set[tuple[str, str]] | None = None,
) -> None:
    """Read what deployments serve from the registry and check it against their digests.

    Each environment is looked up once; ``environments`` remembers them over several calls.

    Raises:
        ModelError: a model or an environment is not what was signed.
    """
    environments = set() if environments is None else environments
    for deployment in deployments:
        record = registry.models.get(deployment.circuit, deployment.model_version)
        if record.digest != deployment.model_digest:
            raise ModelError(
                f"{deployment.circuit}: model {record.version} in the registry has digest "
                f"{record.digest[:12]}, but {deployment.release} was signed with "
                f"{deployment.model_digest[:12]}; restore the registry"
            )
        registry.models.files(record)
        named = (deployment.environment, deployment.environment_digest)
        if named not in environments:
            _check_environment(registry, *named)
            environments.add(named)


def rollback_plan(
    prod: ServingWorkspace, registry: SharedRegistry, manifest: Manifest
) -> dict[str, Any]:
    """Where a rollback of this release would lead, tried without changing anything.

    ``circuits`` maps each circuit to its target release and model, or to no target and the reason;
    ``refused`` names those whose way back is broken. It holds no clock.
    """
    circuits: dict[str, Any] = {}
    refused: dict[str, str] = {}
    for entry in manifest.entries:
        key = str(entry.circuit)
        if entry.action == "retire" or entry.replaces is None:
            why = (
                "it is retired: release it anew to bring it back"
                if entry.action == "retire"
                else "this is its first deployment: it would stay live"
            )
            circuits[key] = {"target": None, "reason": f"none: would be refused, {why}"}
            continue
        target = prod.endpoints.recorded(entry.circuit, entry.replaces)
        try:
            if target is None:
                raise RefusedError("E_NO_RECORD", f"{entry.replaces} is not recorded on production")
            check_bytes(registry, [target])
        except MlopsError as error:
            refused[key] = str(error)
        circuits[key] = {
            "target": entry.replaces,
            "model_version": target.model_version if target else None,
            "model_digest": target.model_digest if target else None,
        }
    return {
        "format": 1,
        "release": manifest.release,
        "command": "mlops rollback --circuit KEY --as PRINCIPAL --reason TEXT",
        "circuits": circuits,
        "refused": refused,
    }


@contextmanager
def locked_plants(endpoints: Endpoints, plants: Collection[str]) -> Iterator[None]:
    """Hold several plants, always in one order, so that two holders never wait for each other."""
    with ExitStack() as stack:
        for plant in sorted(plants):
            stack.enter_context(endpoints.lock(plant))
        yield


def plants_of(
    entries: Iterable[Entry], circuits: Sequence[CircuitKey] | None = None
) -> dict[str, list[Entry]]:
    """The entries of each plant, of these circuits or of all."""
    wanted = None if circuits is None else set(circuits)
    parts: dict[str, list[Entry]] = {}
    for entry in entries:
        if wanted is None or entry.circuit in wanted:
            parts.setdefault(entry.circuit.plant_id, []).append(entry)
    return parts


def _check_environment(registry: SharedRegistry, name: str, digest: str) -> None:
    environment = registry.environments.get(EnvironmentRef.parse(name))
    if environment is None or environment.digest != digest:
        found = "not registered" if environment is None else environment.digest[:12]
        raise ModelError(
            f"environment {name} in the registry is {found}, but {digest[:12]} was signed; "
            "restore the registry"
        )
