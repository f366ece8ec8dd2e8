"""Work that is ordered from other machines and collected later, by names that we choose.

A name says what is asked for, so that whoever orders it again meets what was ordered before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from mlops_assets.domain.deployment import Deployment
    from mlops_assets.domain.model import FitJob

RemoteStatus = Literal["waiting", "running", "completed", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteState:
    """How far a piece of remote work is; ``page`` is where people look at it."""

    status: RemoteStatus
    page: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status not in {"waiting", "running"}


class Exchange(Protocol):
    """Where orders and outcomes of remote work lie, as bytes by name."""

    def put(self, name: str, data: bytes) -> None:
        """Write once; the same bytes again change nothing. StaleError for other bytes."""

    def get(self, name: str) -> bytes | None:
        """The bytes, None when there are none."""

    def remove(self, name: str) -> None:
        """Take something away, if it is there."""

    def names(self, folder: str) -> Sequence[str]:
        """Everything below a folder, sorted, by whole names."""

    def uri(self, name: str) -> str:
        """Where a file or folder lies, as remote work is told of it."""

    def lock(self, name: str) -> AbstractContextManager[object]:
        """Hold a name against everybody else, in this process and others."""


class RemoteWork(Protocol):
    """What runs elsewhere, by name."""

    def look(self, name: str) -> RemoteState | None:
        """How far it is, None when nothing was ever ordered under this name."""

    def cancel(self, name: str) -> None:
        """End it; what is over already stays as it is."""


class RemoteFits(RemoteWork, Protocol):
    """Fits on other machines."""

    def submit(self, name: str, job: FitJob, *, order: str, outcome: str, seconds: float) -> None:
        """Order one fit; a name that was ordered before is left as it is.

        Args:
            name: its name, for good.
            job: what is fitted, for people: the order itself lies in the exchange.
            order: URI of the file that says what to do.
            outcome: URI of the folder that gets what came of it.
            seconds: how long it may run, waiting for a machine left out.
        """


class RemoteSlices(RemoteWork, Protocol):
    """Slices of the ETL on a cluster."""

    def submit(self, name: str, *, order: str, outcome: str) -> str:
        """Order one slice; a name that was ordered before is left as it is.

        Args:
            name: its name, for good.
            order: URI of the file that says what to do.
            outcome: URI of the file that gets what came of it.

        Returns:
            The name that it got.
        """

    def log(self, name: str) -> str:
        """What the cluster said of it, for people; empty where it says nothing any more."""


class RemoteScoring(RemoteWork, Protocol):
    """Deployments on other machines that apply models."""

    def place(self, deployment: Deployment) -> str:
        """What serves a deployment; one invocation does all that is served by the same.

        RefusedError when nothing does.
        """

    def invoke(self, name: str, place: str, *, request: str) -> str:
        """Order one scoring of the request file in the folder with this URI.

        A name that was ordered before is left as it is; returns the name that it got.
        """
