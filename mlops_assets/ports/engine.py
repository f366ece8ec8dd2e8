"""Where heavy work runs: fits, other environments, notebooks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import date

    import polars as pl

    from mlops_assets.domain.circuit import Environment
    from mlops_assets.domain.deployment import Deployment
    from mlops_assets.domain.forecast import Issued
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.model import FitJob, FitResult
    from mlops_assets.domain.readings import RawFile
    from mlops_assets.domain.rollout import Applied, ApplyJob
    from mlops_assets.domain.slice import FileFact, Part, SliceOrder
    from mlops_assets.domain.stamps import DateOrder
    from mlops_assets.ports.lake import MergeResult, ReadingsTable


class SliceRules(Protocol):
    """What an engine does to the files and rows of one slice; picklable, and it writes nothing."""

    @property
    def features(self) -> Sequence[str]:
        """The feature columns that rows may have, in order."""

    def read(self, file: RawFile, assumed: DateOrder = "month") -> tuple[FileFact, pl.DataFrame]:
        """Read one file into rows in their order."""

    def days_first(self, facts: Iterable[FileFact]) -> frozenset[str]:
        """Return the files that are to be read again with the day first."""

    def settle(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, Part]:
        """Judge all rows of some circuits in the order of files and rows."""

    def order(self, files: Sequence[RawFile]) -> SliceOrder:
        """What another machine must know to do these files by the same rules."""


class Arrived(Protocol):
    """A slice's rows, wherever the engine holds them."""

    @property
    def facts(self) -> Sequence[FileFact]:
        """What each file turned out to be."""

    @property
    def part(self) -> Part:
        """What becomes of the rows, all circuits together."""

    def merge(self, table: ReadingsTable, *, slice_id: str) -> MergeResult:
        """Put what enters into the table in one commit (`ReadingsTable.merge`)."""


class TransformEngine(Protocol):
    """Where the ETL runs. Every engine gives the same rows, whatever the others ingested before."""

    def arrive(
        self, rules: SliceRules, files: Sequence[RawFile], heard: Callable[[FileFact], None]
    ) -> AbstractContextManager[Arrived]:
        """Read the files and settle their rows; ``heard`` is told of each file once."""


class BatchWork(Protocol):
    """One day's batch: done where it is called, or said so that others can do it elsewhere.

    It is picklable and writes nothing.
    """

    @property
    def live(self) -> Mapping[CircuitKey, Deployment]:
        """What each circuit serves."""

    @property
    def day(self) -> date:
        """The date that is forecast."""

    @property
    def delta_version(self) -> int:
        """The version of the readings."""

    def __call__(self, circuits: Sequence[CircuitKey]) -> Iterable[Issued]:
        """Forecast some circuits here."""


class BatchEngine(Protocol):
    """Where the daily batch applies models. Every engine gives the same digits."""

    def issue(self, work: BatchWork, circuits: Sequence[CircuitKey]) -> Iterable[Issued]:
        """Do the work on all circuits, in groups."""


class LakeEngine(TransformEngine, BatchEngine, Protocol):
    """Where heavy work over the lake runs."""


class FittingEngine(Protocol):
    """Where fits run. One failure never stops another."""

    @property
    def workers(self) -> int:
        """How many fits run at once here, never more than the machine has cores."""

    def fit(self, jobs: Sequence[FitJob]) -> Iterable[tuple[CircuitKey, FitResult | str]]:
        """Yield each circuit's result, or the sentence that says why it failed, as they finish."""


class Interpreters(Protocol):
    """Environments as they run: an interpreter with exactly an environment's packages."""

    def apply(
        self, environment: Environment, jobs: Sequence[ApplyJob]
    ) -> Mapping[CircuitKey, Applied]:
        """Apply models there, without fitting; what one model does stops no other.

        RefusedError when there is no such interpreter; it says how to make one.
        """

    def differing(self, environment: Environment) -> Sequence[str]:
        """In what the interpreter that runs this differs from an environment; empty: in nothing."""


class TrainingSlots(Protocol):
    """The limit on circuits in training, over every process of the home."""

    def take(self) -> AbstractContextManager[int]:
        """Wait for a slot and hold it."""


@dataclass(frozen=True, slots=True)
class RenderedNotebook:
    """An executed notebook. ``error`` is the first failing cell's message, if any."""

    ipynb: bytes
    html: bytes
    error: str | None


class NotebookRenderer(Protocol):
    """Executes a notebook in a warm kernel and renders it."""

    def render(self, notebook: bytes, parameters: Mapping[str, Any]) -> RenderedNotebook:
        """Run every cell in a clean namespace; the bytes repeat for the same input."""

    def close(self) -> None:
        """Stop the kernel."""
