"""Environments in Azure ML: an image and hashed packages, one version each.

An environment of ours names the packages that decide what a model computes. A node needs the rest
of what this program needs too, so those come from its lock, each held to its hashes as well; pip
takes hashes for all packages or for none. The dev workspace's environments are registered; the
shared registry's are copies of those, never made anew.

What a version is made of is written down when it is first made, since a later version of this
program brings another lock. Whoever releases has a record of their own, made from their own lock:
what runs in production is never what dev's record alone says.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from azure.ai.ml.entities import Environment as AzureEnvironment

from mlops_assets.adapters.azure.asset import registered
from mlops_assets.domain.errors import DataError, ForeignError
from mlops_assets.domain.identifiers import canonical_json, sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlops_assets.adapters.azure.client import Clients
    from mlops_assets.adapters.tree import Tree
    from mlops_assets.domain.circuit import Environment
    from mlops_assets.domain.identifiers import EnvironmentRef
    from mlops_assets.ports import EnvironmentRegistry

# Ubuntu with conda and nothing of Python: what our digest covers is installed into it.
IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"
_FORMAT = 1
_ADVICE = "find out who made it, and give the environment its next version in config/environments"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What the nodes of one version are made of: an image, and what conda installs into it."""

    image: str
    conda: dict[str, Any]

    @classmethod
    def of(cls, environment: Environment, lock: str) -> Recipe:
        """What this program makes of an environment."""
        return cls(
            IMAGE,
            {
                "name": environment.ref.name,
                "channels": ["conda-forge"],
                "dependencies": [
                    f"python={environment.python}",
                    "pip",
                    {"pip": list(packages(environment, lock))},
                ],
            },
        )

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Recipe:
        """Read one that was kept; DataError names ``where`` when it is none."""
        try:
            document = json.loads(data)
            if document["format"] == _FORMAT:
                return cls(str(document["image"]), dict(document["conda"]))
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"{where}: describes no nodes; restore it from a backup") from error
        raise DataError(f"{where}: has format {document['format']}, this version reads {_FORMAT}")

    def to_bytes(self) -> bytes:
        """As it is kept."""
        return canonical_json({"format": _FORMAT, "image": self.image, "conda": self.conda})

    def differs(self, found: Any) -> str:  # noqa: ANN401 an environment of the SDK
        """What of a version that is there is something else; nothing where all is ours."""
        if str(found.image or "").removesuffix(":latest") != self.image:
            return f"image {found.image}"
        return "" if found.conda_file == self.conda else "other packages"


@dataclass(frozen=True, slots=True)
class Recipes:
    """What versions are made of, as one identity wrote it down when it first made them."""

    tree: Tree
    lock: str

    def of(self, environment: Environment) -> Recipe:
        """What a version is made of; this program's own words where nobody wrote it down yet.

        Raises:
            ForeignError: it would not hold what the environment names.
        """
        name = f"{environment.ref.name}/{environment.ref.version}.json"
        ours = Recipe.of(environment, self.lock)
        if (data := self.tree.read(name)) is None:
            self.tree.write_once(name, ours.to_bytes())
            return ours
        kept = Recipe.from_bytes(data, self.tree.where(name))
        python, _, pip = kept.conda["dependencies"]
        if python != f"python={environment.python}" or not own(environment) <= set(pip["pip"]):
            raise ForeignError(
                f"{self.tree.where(name)}: is not made of {environment.ref}; {_ADVICE}"
            )
        return kept


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


def in_dev(clients: Clients, recipes: Recipes) -> Callable[[Environment], None]:
    """Return what registers an environment in the dev workspace.

    Args:
        clients: Azure ML, as the identity that trains.
        recipes: what versions are made of, as that identity keeps it.
    """

    def show(environment: Environment) -> None:
        name, version = environment.ref.name, str(environment.ref.version)
        operations = clients.workspace("dev").environments
        recipe = recipes.of(environment)
        registered(
            f"environment {environment.ref} in dev",
            _properties(environment, recipe),
            get=lambda: operations.get(name, version=version),
            make=lambda: operations.create_or_update(_asset(environment, recipe)),
            advice=_ADVICE,
            differs=recipe.differs,
        )

    return show


def in_registry(
    clients: Clients,
    dev: Callable[[Environment], None],
    recipes: Recipes,
    sleep: Callable[[float], None] = time.sleep,
) -> Callable[[Environment], None]:
    """Return what copies an environment of the dev workspace to the shared registry.

    ``clients`` are the releasing identity's, which keeps ``recipes`` of its own; ``dev`` makes sure
    that dev has the version. A copy is made of what this identity would make itself, or not at all.
    """

    def show(environment: Environment) -> None:
        name, version = environment.ref.name, str(environment.ref.version)
        dev(environment)
        recipe = recipes.of(environment)
        place, wanted = f"environment {environment.ref}", _properties(environment, recipe)

        def copy() -> None:
            registered(
                f"{place} in dev",
                wanted,
                get=lambda: clients.workspace("dev").environments.get(name, version=version),
                make=_nothing,
                advice=(
                    "or by another version of this program; give the environment its next version "
                    "in config/environments"
                ),
                differs=recipe.differs,
            )
            clients.share_environment(name, version)

        registered(
            f"{place} in the registry",
            wanted,
            get=lambda: clients.registry().environments.get(name, version=version),
            make=copy,
            advice=_ADVICE,
            differs=recipe.differs,
            sleep=sleep,
        )

    return show


def own(environment: Environment) -> frozenset[str]:
    """The requirements that an environment names itself, as pip reads them."""
    return frozenset(
        " ".join([f"{each.name}=={each.version}", *(f"--hash={digest}" for digest in each.hashes)])
        for each in environment.packages
    )


def packages(environment: Environment, lock: str) -> tuple[str, ...]:
    """Return every package of a node, one requirement each: the environment's before the lock's."""
    named = {_canonical(line): line for line in own(environment)}
    text = re.sub(r"\\\n\s*", "", lock)
    lines = [line.strip() for line in text.splitlines()]
    rest = {_canonical(line): line for line in lines if line and not line.startswith(("#", "-"))}
    return tuple(line for _, line in sorted((rest | named).items()))


def _canonical(requirement: str) -> str:
    """The name of a package as indexes compare it."""
    name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def _properties(environment: Environment, recipe: Recipe) -> dict[str, str]:
    """What makes a version this environment and no other; Azure never changes them."""
    return {
        "environment_digest": environment.digest,
        "recipe_digest": sha256(recipe.to_bytes()),
    }


def _asset(environment: Environment, recipe: Recipe) -> AzureEnvironment:
    ref = environment.ref
    retrains = ref.version.minor == ref.version.patch == 0
    return AzureEnvironment(
        name=ref.name,
        version=str(ref.version),
        image=recipe.image,
        conda_file=recipe.conda,
        description=environment.summary,
        tags={
            "python_version": environment.python,
            "packages": str(len(environment.packages)),
            "change_summary": environment.summary,
            "requires_retrain": str(retrains).lower(),
            "backward_compatible": str(not retrains).lower(),
        },
        properties=_properties(environment, recipe),
    )


def _nothing() -> None:
    """Dev's is there by now."""
