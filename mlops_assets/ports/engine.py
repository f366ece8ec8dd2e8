"""Where heavy work runs: fits, other environments, notebooks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from mlops_assets.domain.circuit import Environment
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.model import FitJob, FitResult
    from mlops_assets.domain.rollout import Applied, ApplyJob


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
