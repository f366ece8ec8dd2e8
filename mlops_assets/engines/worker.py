"""What runs inside a worker process: read a job, take a slot, fit, answer, again.

Started as ``python -m mlops_assets.engines.worker`` with the descriptor of its end of a pipe, the
process it works for, its memory limit and the slots. Jobs and answers go through that pipe only;
nothing is written to a disk. It ends when the pipe does, or when the process that it works for is
gone.
"""

from __future__ import annotations

import importlib
import os
import resource
import signal
import sys
import threading
import time
import traceback
import warnings
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.domain.errors import MlopsError

if TYPE_CHECKING:
    from mlops_assets.domain.model import FitResult
    from mlops_assets.ports import TrainingSlots

EXIT_OUT_OF_MEMORY = 77
_LOOK_FOR_PARENT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker is told before its first job."""

    fit_function: str
    slots: TrainingSlots
    parent: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Started:
    """The worker holds a slot and fits; its time counts from here."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of the job: a result, or the sentence that says why there is none."""

    outcome: FitResult | str


def work(connection: Connection[Any, Any]) -> None:
    """Answer jobs until the other end closes."""
    assignment: Assignment = connection.recv()
    resource.setrlimit(resource.RLIMIT_DATA, (assignment.memory_bytes, assignment.memory_bytes))
    threading.Thread(target=_end_with, args=(assignment.parent,), daemon=True).start()
    _warm_up(assignment.fit_function)
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        connection.send(Answer(_fit_in_a_slot(assignment, job, connection)))


def _fit_in_a_slot(
    assignment: Assignment, job: object, connection: Connection[Any, Any]
) -> FitResult | str:
    with ExitStack() as stack:
        try:
            stack.enter_context(assignment.slots.take())
        except Exception as error:  # noqa: BLE001 whoever waits for the answer is told why
            return f"could not take a training slot: {_sentence(error)}; train it again"
        connection.send(Started())
        return _fit(assignment.fit_function, job)


def _warm_up(fit_function: str) -> None:
    """Load the libraries before a slot is held; what cannot be loaded is said by the first fit."""
    with suppress(Exception):
        module = importlib.import_module(fit_function.partition(":")[0])
        getattr(module, "warm_up", lambda: None)()


def _fit(name: str, job: object) -> FitResult | str:
    try:
        module, _, function = name.partition(":")
        result: FitResult = getattr(importlib.import_module(module), function)(job)
    except MemoryError:
        # What is left of this process is not to be trusted with another circuit.
        os._exit(EXIT_OUT_OF_MEMORY)
    except MlopsError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 one circuit's failure must not stop the others
        return _sentence(error)
    return result


def _sentence(error: Exception) -> str:
    """Return an unforeseen failure as one line that names the place."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "mlops_assets" in frame.filename] or frames
    place = f" ({Path(ours[-1].filename).name}:{ours[-1].lineno})" if ours else ""
    text = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {text[:300]}{place}"


def _end_with(parent: int) -> None:
    """End this process soon after the one it works for, even in the middle of a fit."""
    while os.getppid() == parent:
        time.sleep(_LOOK_FOR_PARENT_SECONDS)
    os._exit(1)


def main() -> None:
    """Work on the pipe whose descriptor is the first argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, and ends us
    warnings.simplefilter("ignore")  # a library's doubts are no news to whoever waits for a model
    with Connection(int(sys.argv[1])) as connection:
        work(connection)


if __name__ == "__main__":
    # Messages are pickled by the module's real name, which `__main__` is not.
    importlib.import_module("mlops_assets.engines.worker").main()
