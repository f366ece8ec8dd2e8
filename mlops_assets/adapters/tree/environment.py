"""Environment versions as files: ``<name>/<semver>.json``, each written once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.tree.sealed import seal, unseal
from mlops_assets.domain.circuit import Environment, Package
from mlops_assets.domain.errors import ModelError, RefusedError, StaleError
from mlops_assets.domain.identifiers import EnvironmentRef, IdentifierError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.adapters.tree import Tree

ENVIRONMENT_FORMAT = 1


class TreeEnvironmentRegistry:
    """One registry of environments: a workspace's, or the shared one in another tree."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def register(self, environment: Environment) -> Environment:
        """Fix the digest of a version; other content under it is refused."""
        existing = self.get(environment.ref)
        if existing is None:
            try:
                self._tree.write_once(_path(environment.ref), seal(_document(environment)))
            except StaleError:
                existing = self.get(environment.ref)
            else:
                return environment
        if existing is None or existing.digest != environment.digest:
            raise RefusedError(
                "E_ENVIRONMENT_CHANGED",
                f"environment {environment.ref}: is registered with other content; give the new "
                "content a new version in config/environments",
            )
        return existing

    def get(self, ref: EnvironmentRef) -> Environment | None:
        """One version, if registered."""
        data = self._tree.read(_path(ref))
        if data is None:
            return None
        where = f"environment {ref}"
        document = unseal(data, where=where, expected_format=ENVIRONMENT_FORMAT)
        try:
            environment = _environment(document)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{where}: is no environment; restore it from a backup") from error
        if environment.ref != ref:
            raise ModelError(f"{where}: holds {environment.ref}; restore it from a backup")
        return environment

    def list(self) -> Sequence[Environment]:
        """All versions, sorted."""
        refs = []
        for path in self._tree.names(depth=2):
            name, _, file = path.partition("/")
            try:
                refs.append(EnvironmentRef.parse(f"{name}:{file.removesuffix('.json')}"))
            except IdentifierError:
                continue
        found = self._tree.together(self.get, sorted(refs))
        return [environment for environment in found if environment is not None]


def _path(ref: EnvironmentRef) -> str:
    return f"{ref.name}/{ref.version}.json"


def _document(environment: Environment) -> dict[str, Any]:
    return {
        "format": ENVIRONMENT_FORMAT,
        "ref": str(environment.ref),
        "python": environment.python,
        "packages": [
            {"name": package.name, "version": package.version, "hashes": list(package.hashes)}
            for package in environment.packages
        ],
        "summary": environment.summary,
        "digest": environment.digest,
    }


def _environment(document: Mapping[str, Any]) -> Environment:
    return Environment(
        ref=EnvironmentRef.parse(document["ref"]),
        python=document["python"],
        packages=tuple(
            Package(name=item["name"], version=item["version"], hashes=tuple(item["hashes"]))
            for item in document["packages"]
        ),
        summary=document["summary"],
        digest=document["digest"],
    )
