"""What a command job runs: read the order, fit in a worker process, write the outcome.

``python -m mlops_assets.engines.azureml.fit_job --order FILE --outcome FOLDER``; Azure ML brings
the one and takes the other away. The worker is that of `engines/processes.py`, so a fit has the
same limits, the same sentences and the same digits as on any other machine. The outcome names the
order that it answers; ``log.txt`` beside it is for people, with clock and machine.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import DataError, MlopsError
from mlops_assets.domain.identifiers import sha256
from mlops_assets.engines.processes import ProcessEngine
from mlops_assets.engines.wire import decode_document, encode_document

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from mlops_assets.domain.model import FitJob, FitResult

OUTCOME, LOG = "outcome", "log.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOrder:
    """One fit with its limits; its bytes are what its name is made of."""

    job: FitJob
    fit_function: str
    timeout_seconds: float
    memory_bytes: int

    def to_bytes(self) -> bytes:
        """Return the order as the job reads it."""
        return encode_document(
            {
                "job": self.job,
                "fit_function": self.fit_function,
                "timeout_seconds": self.timeout_seconds,
                "memory_bytes": self.memory_bytes,
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> FitOrder:
        """Read an order; DataError names ``where`` when it is none."""
        document = decode_document(data, where, "the order of a fit")
        return cls(**document)


@dataclass(frozen=True, slots=True)
class NoSlots:
    """On a machine that has one fit to do, nobody waits for a slot."""

    def take(self) -> AbstractContextManager[int]:
        """Hold nothing."""
        return nullcontext(0)


def fitted(order: FitOrder) -> FitResult | str:
    """Return what becomes of the one fit of an order, in a worker process of its own."""
    engine = ProcessEngine(
        1,
        NoSlots(),
        fit_function=order.fit_function,
        timeout_seconds=order.timeout_seconds,
        memory_bytes=order.memory_bytes,
    )
    ((_, outcome),) = engine.fit([order.job])
    return outcome


def outcome_bytes(order: bytes, outcome: FitResult | str) -> bytes:
    """Return an outcome as it travels, with the digest of the order that it answers."""
    return encode_document({"order": sha256(order), "outcome": outcome})


def read_outcome(data: bytes, order: bytes, where: str) -> object:
    """Return what `outcome_bytes` holds, unchecked but for the order that it answers.

    Raises:
        DataError: it is something else, or answers another order.
    """
    document = decode_document(data, where, "the outcome of a fit")
    if document.get("order") != sha256(order):
        raise DataError(f"{where}: answers another order; remove it and train again")
    return document.get("outcome")


def run(order_file: Path, outcome: Path, track: Callable[[FitJob, FitResult], object]) -> str:
    """Do one order and leave what came of it; returns one line for the log."""
    data = _read(order_file)
    order = FitOrder.from_bytes(data, str(order_file))
    found = fitted(order)
    if isinstance(found, str):
        lines = [found]
    else:
        lines = [*found.log, f"seconds {found.seconds:.1f}"]
        try:
            track(order.job, found)
        except Exception as error:  # noqa: BLE001 figures for people are not worth a fit
            lines.append(f"MLflow has not taken it: {type(error).__name__}: {error}")
    outcome.mkdir(parents=True, exist_ok=True)
    text = "\n".join([f"{datetime.now(UTC).isoformat()} {platform.node()}", *lines, ""])
    (outcome / LOG).write_text(text, encoding="utf-8")
    # Last, and its bytes prove that they are whole: a folder without it holds no outcome.
    (outcome / OUTCOME).write_bytes(outcome_bytes(data, found))
    return f"{order.job.circuit}: {lines[-1]}"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: no order of a fit: {error.strerror}") from error


def main(words: Sequence[str] | None = None) -> int:
    """Do the order that the arguments name; 1 with one line where it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m mlops_assets.engines.azureml.fit_job")
    for name in ("order", "outcome"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    given = parser.parse_args(words)
    from mlops_assets.engines.azureml.tracking import tracked

    try:
        line = run(given.order, given.outcome, lambda job, result: tracked(job, result, os.environ))
    except (MlopsError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{line}\n")
    return 0


if __name__ == "__main__":
    # What the worker is told is pickled by the module's real name, which `__main__` is not.
    sys.exit(importlib.import_module("mlops_assets.engines.azureml.fit_job").main())
