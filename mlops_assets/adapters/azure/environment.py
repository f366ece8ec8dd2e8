"""Environments in Azure ML: an image and hashed packages, one version each.

An environment of ours names the packages that decide what a model computes. A node needs the rest
of what this program needs too, so those come from its lock, each held to its hashes as well; pip
takes hashes for all packages or for none. The dev workspace's environments are registered; the
shared registry's are copies of those, never made anew.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from azure.ai.ml.entities import Environment as AzureEnvironment

from mlops_assets.adapters.azure.asset import registered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlops_assets.adapters.azure.client import Clients
    from mlops_assets.domain.circuit import Environment
    from mlops_assets.domain.identifiers import EnvironmentRef
    from mlops_assets.ports import EnvironmentRegistry

# Ubuntu with conda and nothing of Python: what our digest covers is installed into it.
IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"


@dataclass(frozen=True, slots=True)
class AzureEnvironmentRegistry:
    """The environments of one place.

    Args:
        stored: what is registered; it fixes the digest of a version.
        show: registers a stored version in Azure ML, where it is not yet.
    """

    stored: EnvironmentRegistry
    show: Callable[[Environment], None]

    def register(self, environment: Environment) -> Environment:
        """Fix the digest of a version; other content under it is refused."""
        found = self.stored.register(environment)
        self.show(found)
        return found

    def get(self, ref: EnvironmentRef) -> Environment | None:
        """One version, if registered."""
        return self.stored.get(ref)

    def list(self) -> Sequence[Environment]:
        """All versions, sorted."""
        return self.stored.list()


def in_dev(clients: Clients, lock: str) -> Callable[[Environment], None]:
    """Return what registers an environment in the dev workspace.

    Args:
        clients: Azure ML, as the identity that trains.
        lock: what this program needs, as pip reads it: one version a package, with hashes.
    """

    def show(environment: Environment) -> None:
        name, version = environment.ref.name, str(environment.ref.version)
        operations = clients.workspace("dev").environments
        registered(
            f"environment {environment.ref} in dev",
            {"environment_digest": environment.digest},
            get=lambda: operations.get(name, version=version),
            make=lambda: operations.create_or_update(_asset(environment, lock)),
        )

    return show


def in_registry(
    clients: Clients,
    dev: Callable[[Environment], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Callable[[Environment], None]:
    """Return what copies an environment of the dev workspace to the shared registry.

    ``clients`` are the releasing identity's; ``dev`` makes sure that dev has it.
    """

    def show(environment: Environment) -> None:
        name, version = environment.ref.name, str(environment.ref.version)
        dev(environment)
        registered(
            f"environment {environment.ref} in the registry",
            {"environment_digest": environment.digest},
            get=lambda: clients.registry().environments.get(name, version=version),
            make=lambda: clients.share_environment(name, version),
            sleep=sleep,
        )

    return show


def packages(environment: Environment, lock: str) -> tuple[str, ...]:
    """Return every package of a node, one requirement each: the environment's before the lock's."""
    own = {
        _canonical(each.name): " ".join(
            [f"{each.name}=={each.version}", *(f"--hash={digest}" for digest in each.hashes)]
        )
        for each in environment.packages
    }
    text = re.sub(r"\\\n\s*", "", lock)
    lines = [line.strip() for line in text.splitlines()]
    rest = {_canonical(line): line for line in lines if line and not line.startswith(("#", "-"))}
    return tuple(line for _, line in sorted((rest | own).items()))


def _canonical(requirement: str) -> str:
    """The name of a package as indexes compare it."""
    name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def _asset(environment: Environment, lock: str) -> AzureEnvironment:
    ref = environment.ref
    retrains = ref.version.minor == ref.version.patch == 0
    return AzureEnvironment(
        name=ref.name,
        version=str(ref.version),
        image=IMAGE,
        conda_file={
            "name": ref.name,
            "channels": ["conda-forge"],
            "dependencies": [
                f"python={environment.python}",
                "pip",
                {"pip": list(packages(environment, lock))},
            ],
        },
        description=environment.summary,
        tags={
            "python_version": environment.python,
            "packages": str(len(environment.packages)),
            "change_summary": environment.summary,
            "requires_retrain": str(retrains).lower(),
            "backward_compatible": str(not retrains).lower(),
        },
        properties={"environment_digest": environment.digest},
    )
