"""Batch endpoints and their deployments as Azure ML holds them: asked, made, updated, removed.

An update takes minutes and may end without us: our process was killed, an answer was lost, or it
took longer than any update does and was waited for no more. So what an update did is never taken
from its answer alone; the deployment itself is asked, once it is no longer being changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from azure.ai.ml.constants import BatchDeploymentOutputAction
from azure.ai.ml.entities import (
    BatchEndpoint,
    BatchRetrySettings,
    CodeConfiguration,
    ModelBatchDeployment,
    ModelBatchDeploymentSettings,
)
from azure.core.exceptions import ResourceNotFoundError

from mlops_assets.adapters.azure.client import explained
from mlops_assets.adapters.azure.code import SCORING_SCRIPT
from mlops_assets.domain.errors import EngineError, MlopsError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from azure.core.polling import LROPoller

    from mlops_assets.adapters.azure.client import Clients
    from mlops_assets.settings.azure import Workspace

# An update takes 30 to 120 seconds; one that takes longer than this has broken.
PATIENCE_SECONDS = 900.0
# A circuit is a few thousand rows and a millisecond's work; reading its table takes the time.
SCORING_SECONDS = 1800
_DONE, _MOVING = "succeeded", frozenset({"creating", "updating", "deleting"})


class UnendedError(EngineError):
    """What Azure was told to do takes longer than it ever does; it may still end."""


@dataclass(frozen=True, slots=True)
class Served:
    """One deployment as Azure ML shows it."""

    name: str
    state: str
    tags: Mapping[str, str]
    model: str
    environment: str
    code: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def moving(self) -> bool:
        """Whether it is being changed now."""
        return self.state in _MOVING

    @property
    def ready(self) -> bool:
        """Whether it serves what it shows."""
        return self.state == _DONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a deployment shall be."""

    name: str
    tags: Mapping[str, str]
    model: str
    environment: str
    variables: Mapping[str, str]


class BatchEndpoints:
    """The endpoints of one serving workspace, under one identity.

    Args:
        clients: who asks.
        workspace: test or prod.
        code: the id of the scoring script's code asset there.
        sleep: waits between two questions.
        patience: seconds that one update is waited for.
    """

    def __init__(
        self,
        clients: Clients,
        workspace: Workspace,
        code: Callable[[], str],
        sleep: Callable[[float], None],
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._clients = clients
        self._workspace: Workspace = workspace
        self._code = code
        self._sleep = sleep
        self._patience = patience

    def tags(self, endpoint: str) -> Mapping[str, str] | None:
        """What an endpoint is tagged with, None when there is no such endpoint."""
        found = self._endpoint(endpoint)
        return None if found is None else dict(found.tags or {})

    def deployments(self, endpoint: str) -> dict[str, Served]:
        """The deployments of an endpoint by name, as they are now; none where it is not there."""
        with explained(f"listing {self._where(endpoint)}"):
            try:
                found = list(self._client.batch_deployments.list(endpoint))
            except ResourceNotFoundError:
                return {}
        return {each.name: _served(each) for each in found}

    def settled(self, endpoint: str, names: Collection[str] | None = None) -> dict[str, Served]:
        """The deployments of an endpoint once none is being changed, or none of those named.

        Raises:
            EngineError: one takes longer than any update does.
        """
        waited = 0.0
        while True:
            found = self.deployments(endpoint)
            moving = sorted(
                name
                for name, each in found.items()
                if each.moving and (names is None or name in names)
            )
            if not moving:
                return found
            if waited >= self._patience:
                raise self._stuck(f"{self._where(endpoint)}/{moving[0]}", self._patience)
            waited += self._pause()

    def open(
        self, endpoint: str, tags: Mapping[str, str], names: Collection[str]
    ) -> dict[str, Served]:
        """Make an endpoint where there is none; returns its deployments.

        None of those named is being changed; another one may be, and is waited for by nobody.
        """
        waited, made = 0.0, False
        while True:
            found = self._endpoint(endpoint)
            state = "absent" if found is None else _word(found.provisioning_state)
            if state == _DONE:
                return self.settled(endpoint, names)
            if state not in _MOVING and not made:
                self.tag(endpoint, tags)
                made = True
            elif state not in _MOVING or waited >= self._patience:
                raise EngineError(
                    f"{self._where(endpoint)}: is {state}; look at it in Azure ML studio"
                )
            else:
                waited += self._pause()

    def tag(self, endpoint: str, tags: Mapping[str, str]) -> None:
        """Make an endpoint, or say other tags of it."""
        wanted = BatchEndpoint(
            name=endpoint,
            auth_mode="aad_token",
            location=self._clients.backend.location,
            description=f"Forecasts of plant {tags['plant']}",
            tags=dict(tags),
        )
        where = self._where(endpoint)
        with explained(f"updating {where}"):
            self._end(self._client.batch_endpoints.begin_create_or_update(wanted), where)

    def put(self, endpoint: str, wish: Wish, patience: float | None = None) -> None:
        """Make or update one deployment, and wait until it serves what is wished.

        Args:
            endpoint: whose deployment it is.
            wish: what it shall be.
            patience: seconds to wait at most, where that is less than usual.

        Raises:
            EngineError, RefusedError, StaleError: it does not; what it serves then is unknown.
        """
        where = f"{self._where(endpoint)}/{wish.name}"
        try:
            with explained(f"updating {where}"):
                poller = self._client.batch_deployments.begin_create_or_update(
                    self._entity(endpoint, wish), skip_script_validation=True
                )
                self._end(poller, where, patience)
        except UnendedError:
            raise
        except MlopsError:
            # The update may go on without us, or the SDK met its own: what was done counts.
            found = self.settled(endpoint, [wish.name]).get(wish.name)
            if found is None or not found.ready or not wish.tags.items() <= found.tags.items():
                raise

    def remove(self, endpoint: str, name: str) -> None:
        """Remove a deployment."""
        where = f"{self._where(endpoint)}/{name}"
        with explained(f"removing {where}"):
            self._end(self._client.batch_deployments.begin_delete(name, endpoint), where)

    def close(self, endpoint: str) -> None:
        """Remove an endpoint and whatever is on it."""
        where = self._where(endpoint)
        with explained(f"removing {where}"):
            self._end(self._client.batch_endpoints.begin_delete(endpoint), where)

    def _end(self, poller: LROPoller[Any], where: str, patience: float | None = None) -> None:
        """Wait until an operation of Azure has ended, and raise what it ended with.

        The poller asks in a thread of its own, which ends with the operation or the process.
        """
        seconds = self._patience if patience is None else min(patience, self._patience)
        poller.wait(seconds)
        if not poller.done():
            raise self._stuck(where, seconds)

    @staticmethod
    def _stuck(where: str, seconds: float) -> UnendedError:
        return UnendedError(
            f"{where}: is being changed for more than {seconds / 60:g} minutes; look at it in "
            "Azure ML studio, then run the same command again"
        )

    @property
    def _client(self) -> Any:  # noqa: ANN401 the SDK's client
        return self._clients.workspace(self._workspace)

    def _endpoint(self, endpoint: str) -> Any:  # noqa: ANN401 an entity of the SDK
        with explained(f"asking for {self._where(endpoint)}"):
            try:
                return self._client.batch_endpoints.get(endpoint)
            except ResourceNotFoundError:
                return None

    def _pause(self) -> float:
        seconds = self._clients.polling_interval
        self._sleep(seconds)
        return seconds

    def _where(self, endpoint: str) -> str:
        return f"endpoint {self._clients.backend.workspaces[self._workspace]}/{endpoint}"

    def _entity(self, endpoint: str, wish: Wish) -> ModelBatchDeployment:
        cluster = getattr(self._clients.backend.compute, self._workspace)
        return ModelBatchDeployment(
            name=wish.name,
            endpoint_name=endpoint,
            model=wish.model,
            environment=wish.environment,
            code_configuration=CodeConfiguration(code=self._code(), scoring_script=SCORING_SCRIPT),
            compute=cluster,
            tags=dict(wish.tags),
            settings=ModelBatchDeploymentSettings(
                mini_batch_size=1,
                instance_count=1,
                max_concurrency_per_instance=1,
                output_action=BatchDeploymentOutputAction.SUMMARY_ONLY,
                # Not one file may fail: Azure's own default lets all of them.
                error_threshold=0,
                retry_settings=BatchRetrySettings(max_retries=1, timeout=SCORING_SECONDS),
                logging_level="info",
                environment_variables=dict(wish.variables),
            ),
        )


def _word(state: Any) -> str:  # noqa: ANN401 a text or one of the SDK's enumerations
    return str(getattr(state, "value", state)).lower()


def _served(found: Any) -> Served:  # noqa: ANN401 an entity of the SDK
    return Served(
        name=str(found.name),
        state=_word(found.provisioning_state),
        tags=dict(found.tags or {}),
        model=str(found.model),
        environment=str(found.environment),
        code=str(getattr(found.code_configuration, "code", None) or ""),
        variables=dict(found.environment_variables or {}),
    )
