"""What a node does with a job: its command, or a deployment's scoring script, as a process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops_assets_tests.control_plane.jobs import Job
    from mlops_assets_tests.control_plane.plane import ControlPlane


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job's process ended, and what it wrote."""

    code: int
    log: str


def executed(plane: ControlPlane, job: Job) -> Outcome:
    """Run a job."""
    raise NotImplementedError
