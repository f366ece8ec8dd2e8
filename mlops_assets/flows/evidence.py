"""Making evidence: everything that must exist about a model before a person can sign for it.

What is stored already is checked and kept. One circuit that cannot be proved gets its reason and
never stops the others.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from contextlib import closing, suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from mlops_assets.domain.errors import DataError, MlopsError
from mlops_assets.domain.evidence import (
    EVIDENCE_FORMAT,
    FILES,
    HTML_FILE,
    Evidence,
    document_bytes,
    lineage_document,
    metrics_document,
    proof_of,
    training_log,
)
from mlops_assets.domain.identifiers import sha256
from mlops_assets.domain.scoring_notebook import template
from mlops_assets.flows import review
from mlops_assets.flows.ledger import read_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from mlops_assets.domain.circuit import Circuit, Config
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.model import ModelRecord
    from mlops_assets.domain.training_data import TrainingData
    from mlops_assets.ports import NotebookRenderer, Platform, Progress

WORKERS = 2


def collect(
    platform: Platform,
    config: Config,
    circuit: Circuit,
    record: ModelRecord,
    renderer: NotebookRenderer,
    *,
    now: datetime,
) -> Evidence:
    """Return the complete evidence of one model version, made now where it was not stored.

    Raises:
        MlopsError: something it rests on is absent or not what was registered, or the scoring
            notebook failed.
    """
    stored = platform.dev.evidence.get(record.circuit, record.version)
    if stored is not None and not stored.missing():
        return stored
    began = platform.clock.now()
    proof = proof_of(record, platform.dev.models.proof(record))
    data = platform.dev.training_data.get(record.circuit, record.data_version)
    rendered = renderer.render(template(), _parameters(platform, config, circuit, record, data))
    if rendered.error is not None:
        raise DataError(f"{record.circuit} version {record.version}: {rendered.error}")
    notebook = {FILES["scoring_notebook"]: rendered.ipynb, HTML_FILE: rendered.html}
    files = {
        FILES["pull_request"]: document_bytes(_review(platform, record)),
        FILES["training_log"]: training_log(record, proof),
        FILES["metrics"]: document_bytes(metrics_document(record, proof)),
        FILES["lineage"]: document_bytes(_lineage(platform, record, data, notebook)),
        **notebook,
    }
    run = {
        "format": EVIDENCE_FORMAT,
        "collected_at": now.isoformat(),
        "host": socket.gethostname(),
        "seconds": (platform.clock.now() - began).total_seconds(),
    }
    return platform.dev.evidence.put(record.circuit, record.version, files, document_bytes(run))


def collect_all(
    platform: Platform,
    config: Config,
    records: Sequence[ModelRecord],
    *,
    now: datetime,
    progress: Progress | None = None,
    on_result: Callable[[CircuitKey, Evidence | str], None] | None = None,
    workers: int = WORKERS,
) -> Mapping[CircuitKey, Evidence | str]:
    """Return each circuit's evidence, or the sentence that says why there is none.

    ``on_result`` hears of each in this thread as soon as it is certain, in no particular order.
    """
    if progress is not None:
        progress.begin("evidence", len(records))
    queue = deque(records)
    done: SimpleQueue[tuple[CircuitKey, Evidence | str] | BaseException | None] = SimpleQueue()

    def work() -> None:
        try:
            with closing(platform.renderer()) as renderer, suppress(IndexError):
                while True:
                    record = queue.popleft()
                    done.put((record.circuit, _attempt(platform, config, record, renderer, now)))
        except BaseException as error:  # noqa: BLE001 raised again by the caller's thread
            done.put(error)
        finally:
            done.put(None)

    threads = [
        threading.Thread(target=work, name=f"evidence-{number}")
        for number in range(min(workers, len(records)))
    ]
    for thread in threads:
        thread.start()
    results: dict[CircuitKey, Evidence | str] = {}
    working = len(threads)
    try:
        while working:
            match done.get():
                case None:
                    working -= 1
                case BaseException() as error:
                    raise error
                case circuit, result:
                    results[circuit] = result
                    if progress is not None:
                        progress.advance(str(circuit))
                    if on_result is not None:
                        on_result(circuit, result)
    finally:
        queue.clear()
        for thread in threads:
            thread.join()
    return {record.circuit: results[record.circuit] for record in records}


def _attempt(
    platform: Platform,
    config: Config,
    record: ModelRecord,
    renderer: NotebookRenderer,
    now: datetime,
) -> Evidence | str:
    circuit = config.circuits.get(record.circuit)
    if circuit is None:
        return f"{record.circuit} is not in the config at {config.commit[:12]}"
    try:
        return collect(platform, config, circuit, record, renderer, now=now)
    except MlopsError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 one circuit never stops the others
        return f"{record.circuit}: evidence: {type(error).__name__}: {error}"


def _parameters(
    platform: Platform,
    config: Config,
    circuit: Circuit,
    record: ModelRecord,
    data: TrainingData,
) -> dict[str, Any]:
    """What the notebook must know to end in the same figures whenever it runs."""
    spec, gates = circuit.spec, config.policy.gates
    version = platform.lake.readings.version()
    newer = platform.lake.readings.read(
        start=data.last_timestamp,
        circuits=[record.circuit],
        version=version,
        columns=["timestamp"],
    )
    last: datetime = data.last_timestamp
    if not newer.is_empty():
        last = max(last, newer["timestamp"][-1])
    return {
        "CIRCUIT": str(record.circuit),
        "MODEL_VERSION": record.version,
        "MODEL_DIGEST": record.digest,
        "DATA_VERSION": str(record.data_version),
        "DATA_DIGEST": record.data_digest,
        "DELTA_VERSION": version,
        "END": (last + spec.step).isoformat(),
        "STEP_MINUTES": int(spec.step.total_seconds()) // 60,
        "HORIZON_STEPS": spec.horizon_steps,
        "FEATURES": list(spec.features),
        "UNIT": spec.unit,
        "MINIMUM": spec.limits.minimum,
        "MAXIMUM": spec.limits.maximum,
        "RANGE_TOLERANCE": gates.range_tolerance,
        "MINIMUM_SKILL": gates.minimum_skill,
    }


def _review(platform: Platform, record: ModelRecord) -> dict[str, Any]:
    since, until = released_commit(platform, record.circuit), record.config_commit
    return review.document(platform, record.circuit, since=since, until=until, head=until)


def released_commit(platform: Platform, circuit: CircuitKey) -> str | None:
    """The config commit of what is live now, None before the first deployment."""
    live = platform.prod.endpoints.live(circuit.plant_id).live.get(circuit.circuit_id)
    if live is None:
        return None
    manifest = read_manifest(platform.ledger, live.release, live.release_digest)
    return manifest.entry(circuit).config_commit


def _lineage(
    platform: Platform,
    record: ModelRecord,
    data: TrainingData,
    notebook: Mapping[str, bytes],
) -> dict[str, Any]:
    """Follow the chain from readings to model through storage, checking every digest."""
    where = f"model {record.circuit} version {record.version}"
    platform.dev.training_data.rows(data)
    platform.dev.models.files(record)
    environment = platform.dev.environments.get(record.environment)
    if environment is None:
        raise DataError(f"{where}: environment {record.environment} is not registered in dev")
    head = platform.config.head()
    if not platform.config.contains(record.config_commit, head):
        raise DataError(
            f"{where}: was made from commit {record.config_commit[:12]}, which is not in "
            f"{platform.config.ref}; train it from there"
        )
    digests = {name: sha256(content) for name, content in notebook.items()}
    return lineage_document(record, data, environment, digests)


def page(platform: Platform, config: Config, release: str, *, now: datetime | None = None) -> bytes:
    """Return a release's page for people, as it stands now, and keep it with its evidence."""
    from mlops_assets.flows.page import page as make

    return make(platform, config, release, now=now or platform.clock.now())
