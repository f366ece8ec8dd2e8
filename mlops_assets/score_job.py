"""What a batch endpoint runs: the daily batch's work, on the circuits that a request names.

Azure ML imports this through `score.py`, calls `init` once and `run` with the files of its input.
A request names the version of the table, which is read here and pruned, so nobody copies readings.
Where the table, the registry and the answers are, this process was told when it was deployed, and
no request says otherwise.
A circuit's deployment brings its live model in ``AZUREML_MODEL_DIR``, taken by the digest that was
signed; only lower rungs of the ladder come from the registry. A plant's deployment, which says so
in ``MLOPS_SERVES``, brings none, and all come from there. The answer is written whole, whatever
became of the circuits; then one that failed fails the job too, so that Azure's own page is as red
as ours.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import DataError, ModelError
from mlops_assets.domain.identifiers import digest_of_files
from mlops_assets.domain.model import MODEL_FILES
from mlops_assets.engines.azureml.request import (
    REQUEST,
    ScoreRequest,
    answer_bytes,
    check_asked,
    read_answer,
    read_asked,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mlops_assets.domain.forecast import Issued
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.model import ModelRecord
    from mlops_assets.ports import Exchange, ReadingsTable, RegisteredModels

MODEL_DIR = "AZUREML_MODEL_DIR"
# As `adapters.azure.serving` tells a deployment: one circuit, or a plant.
SERVES = "MLOPS_SERVES"
_MAXIMUM_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Opened:
    """What scoring needs besides its models: the table, the registry, and where answers go."""

    readings: ReadingsTable
    registry: RegisteredModels
    exchange: Exchange


class DeployedModels:
    """The models of one deployment: folders anywhere below the one that Azure ML brought."""

    def __init__(self, folder: Path) -> None:
        self._found = dict(_models(folder))

    def listed(self, plant_id: str) -> frozenset[str]:  # noqa: ARG002 it has one
        """The digests of all."""
        return frozenset(self._found)

    def read(self, plant_id: str) -> Mapping[str, Mapping[str, bytes]]:  # noqa: ARG002 likewise
        """The files of models by digest."""
        return self._found

    def write(self, plant_id: str, models: Mapping[str, Mapping[str, bytes]]) -> None:  # noqa: ARG002
        """Refuse: what is deployed was signed.

        Raises:
            ModelError: always.
        """
        raise ModelError(f"{plant_id}: the models of a deployment are not changed by scoring")


class LowerRungs:
    """The registry, for every model but those that the deployment itself has to bring."""

    def __init__(self, registry: RegisteredModels, brought: Mapping[CircuitKey, int]) -> None:
        self._registry = registry
        self._brought = brought

    def get(self, circuit: CircuitKey, version: int) -> ModelRecord:
        """One version.

        Raises:
            ModelError: it is the live one, which was to come with the deployment.
        """
        if self._brought.get(circuit) == version:
            raise ModelError(
                f"version {version} is not what the deployment of {circuit} brings; deploy its "
                "release again"
            )
        return self._registry.get(circuit, version)

    def files(self, record: ModelRecord) -> Mapping[str, bytes]:
        """The bytes, checked."""
        return self._registry.files(record)


def scored(request: ScoreRequest, models: DeployedModels | None, opened: Opened) -> list[Issued]:
    """Return what becomes of each circuit of a request, in their order.

    ``models`` are those that the deployment brings, None where it brings none.
    """
    from mlops_assets.flows.issue import Issuing

    live = {circuit: each.model_version for circuit, each in request.live.items()}
    issuing = Issuing(
        live=request.live,
        day=request.day,
        readings=opened.readings,
        delta_version=request.delta_version,
        models=LowerRungs(opened.registry, {} if models is None else live),
        kept=models,
    )
    return sorted(issuing(list(request.live)), key=lambda issued: issued.circuit)


def answered(
    data: bytes,
    where: str,
    models: DeployedModels | None,
    opened: Callable[[], Opened],
    environ: Mapping[str, str],
) -> str:
    """Answer one request file; returns one line for the log.

    Raises:
        DataError: it is none of its job's, or a circuit has no forecast; the answer says so too,
            then.
    """
    answer, asked = read_asked(data, where)
    check_asked(answer, asked, environ, where)
    request = ScoreRequest.from_bytes(asked, where)
    place = opened()
    found = place.exchange.get(answer)
    if found is None:
        issued = scored(request, models, place)
        place.exchange.put(answer, answer_bytes(asked, issued))
    else:
        # Azure ML runs a script again that failed, or whose node was taken away.
        issued = read_answer(found, asked, where)
    failed = [f"{each.circuit}: {each.failed}" for each in issued if each.issue is None]
    if failed:
        raise DataError("; ".join(failed))
    return f"{request.day}: {len(issued)} circuits"


def open_place() -> Opened:
    """Return where this process reads and writes, as the identity of its workspace reaches it."""
    from mlops_assets.adapters.azure.blobs import open_blobs
    from mlops_assets.adapters.azure.exchange import open_exchange
    from mlops_assets.adapters.azure.place import told
    from mlops_assets.adapters.azure.readings import open_readings
    from mlops_assets.adapters.azure.tree import BlobTree
    from mlops_assets.adapters.tree.model import TreeModelRegistry

    backend, workspace = told(os.environ)
    models = open_blobs(backend, workspace, "registry", "models", environ=os.environ)
    return Opened(
        readings=open_readings(backend, workspace, environ=os.environ),
        registry=TreeModelRegistry(BlobTree(models, "registry/models")),
        exchange=open_exchange(backend, workspace, workspace, environ=os.environ),
    )


@dataclass(slots=True)
class _Brought:
    """What one process of Azure ML keeps between its calls."""

    ready: bool = False
    models: DeployedModels | None = None


_BROUGHT = _Brought()


def init() -> None:
    """Read the models that Azure ML brought, where the deployment brings any.

    Raises:
        ModelError: it should have, and did not.
    """
    if os.environ.get(SERVES) != "plant":
        folder = os.environ.get(MODEL_DIR, "")
        models = DeployedModels(Path(folder)) if folder else None
        if models is None or not models.read(""):
            raise ModelError(f"{MODEL_DIR}={folder!r}: holds no model; deploy the release again")
        _BROUGHT.models = models
    _BROUGHT.ready = True


def run(mini_batch: Sequence[str]) -> list[str]:
    """Answer every request of a mini batch: one line each, and an exception for what failed."""
    if not _BROUGHT.ready:
        raise ModelError("nothing was brought: `init` comes before `run`")
    odd = [name for name in mini_batch if Path(name).name != REQUEST]
    if odd:
        raise DataError(f"{odd[0]}: is no request; give the folder of one {REQUEST}")
    return [
        answered(Path(name).read_bytes(), name, _BROUGHT.models, open_place, os.environ)
        for name in mini_batch
    ]


def _models(folder: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Every model below a folder by its digest; files beside a model's own are no part of it."""
    for first in sorted(folder.rglob(MODEL_FILES[0])):
        paths = [first.with_name(name) for name in MODEL_FILES]
        if all(path.is_file() and path.stat().st_size <= _MAXIMUM_BYTES for path in paths):
            files = {path.name: path.read_bytes() for path in paths}
            yield digest_of_files(files), files
