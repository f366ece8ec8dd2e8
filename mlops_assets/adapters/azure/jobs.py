"""Jobs of Azure ML: command jobs that fit, and the questions that any job is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure.ai.ml import Input, Output, command
from azure.ai.ml.constants import AssetTypes, InputOutputModes
from azure.ai.ml.entities import ManagedIdentityConfiguration
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from mlops_assets.adapters.azure.client import explained
from mlops_assets.adapters.azure.code import ARCHIVE
from mlops_assets.adapters.azure.names import training_data_name
from mlops_assets.domain.arithmetic import NODE
from mlops_assets.domain.training import experiment_name
from mlops_assets.ports.remote import RemoteState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.adapters.azure.client import Clients
    from mlops_assets.adapters.azure.code import CodeAsset
    from mlops_assets.domain.model import FitJob
    from mlops_assets.ports.remote import RemoteStatus
    from mlops_assets.settings.azure import Workspace

# Everything else that Azure ML says is a way of waiting.
_STATUS: Mapping[str, RemoteStatus] = {
    "Running": "running",
    "Finalizing": "running",
    "CancelRequested": "running",
    "NotResponding": "running",
    "Completed": "completed",
    "Failed": "failed",
    "Canceled": "cancelled",
}


class AzureJobs:
    """The jobs of one workspace, whatever began them."""

    def __init__(self, clients: Clients, workspace: Workspace) -> None:
        self._clients = clients
        self._workspace: Workspace = workspace

    def look(self, name: str) -> RemoteState | None:
        """How far a job is, None when there is none of that name."""
        with explained(f"asking after job {name} in workspace {self._workspace}"):
            try:
                job = self._clients.workspace(self._workspace).jobs.get(name)
            except ResourceNotFoundError:
                return None
        studio = (job.services or {}).get("Studio")
        page = str(getattr(studio, "endpoint", "") or "")
        # The SDK knows some states by name and leaves the others as they came.
        status = str(getattr(job.status, "value", job.status))
        return RemoteState(status=_STATUS.get(status, "waiting"), page=page)

    def cancel(self, name: str) -> None:
        """End a job; one that is over stays as it is."""
        with explained(f"cancelling job {name} in workspace {self._workspace}"):
            try:
                self._clients.workspace(self._workspace).jobs.begin_cancel(name)
            except HttpResponseError:
                state = self.look(name)
                if state is None or not state.over:
                    raise


class AzureFits(AzureJobs):
    """Fits as command jobs of the dev workspace, each in the experiment of its circuit.

    Args:
        clients: of the identity that trains.
        code: what jobs run.
    """

    def __init__(self, clients: Clients, code: CodeAsset) -> None:
        super().__init__(clients, "dev")
        self._code = code

    def submit(self, name: str, job: FitJob, *, order: str, outcome: str, seconds: float) -> None:
        """Order one fit; a name that was ordered before is left as it is."""
        backend, spec = self._clients.backend, job.spec
        identity = backend.identities.get("dev")
        key = job.circuit
        wanted = command(
            name=name,
            display_name=f"{key.circuit_id} {spec.cutoff_date}",
            experiment_name=experiment_name(key),
            command=(
                f"PYTHONPATH={ARCHIVE} python -m mlops_assets.engines.azureml.fit_job "
                "--order ${{inputs.order}} --outcome ${{outputs.outcome}}"
            ),
            code=self._code.id(),
            environment=str(spec.environment_ref),
            environment_variables=dict(NODE),
            compute=backend.compute.dev,
            instance_count=1,
            timeout=int(seconds),
            identity=ManagedIdentityConfiguration(client_id=identity) if identity else None,
            inputs=_inputs(job, order),
            outputs={
                # Mounted, so that what a job wrote is there however it ends.
                "outcome": Output(
                    type=AssetTypes.URI_FOLDER, path=outcome, mode=InputOutputModes.RW_MOUNT
                )
            },
            tags={
                "plant": key.plant_id,
                "circuit": key.circuit_id,
                "cutoff_date": spec.cutoff_date.isoformat(),
            },
        )
        with explained(f"submitting job {name} to workspace dev"):
            self._clients.workspace("dev").jobs.create_or_update(wanted)


def _inputs(job: FitJob, order: str) -> dict[str, Input]:
    """What a job reads, and beside it what it learns from, by which Azure ML draws its lineage."""
    inputs = {"order": Input(type=AssetTypes.URI_FILE, path=order, mode=InputOutputModes.DOWNLOAD)}
    if job.data is not None:
        # Named and not read: the order holds the same rows, as every other engine is given them.
        inputs["training_data"] = Input(
            type=AssetTypes.MLTABLE,
            path=f"azureml:{training_data_name(job.circuit)}:{job.data}",
            mode=InputOutputModes.DIRECT,
        )
    return inputs
