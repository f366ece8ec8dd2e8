"""An environment registry in memory, and an environment to put there."""

from __future__ import annotations

from mlops_assets.domain.circuit import Environment, Package
from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.identifiers import EnvironmentRef, sha256


def environment(ref: str = "forecasting:1.0.0", *, numpy: str = "2.0.0") -> Environment:
    return Environment(
        ref=EnvironmentRef.parse(ref),
        python="3.11",
        packages=(Package(name="numpy", version=numpy, hashes=(sha256(numpy.encode()),)),),
        summary="numbers",
        digest=sha256(f"{ref} {numpy}".encode()),
    )


class FakeEnvironmentRegistry:
    def __init__(self) -> None:
        self.known: dict[EnvironmentRef, Environment] = {}

    def register(self, environment: Environment) -> Environment:
        existing = self.known.setdefault(environment.ref, environment)
        if existing.digest != environment.digest:
            raise RefusedError(
                "E_ENVIRONMENT_CHANGED",
                f"environment {environment.ref}: is registered with other content; give the new "
                "content a new version in config/environments",
            )
        return existing

    def get(self, ref: EnvironmentRef) -> Environment | None:
        return self.known.get(ref)

    def list(self):
        return [self.known[ref] for ref in sorted(self.known)]
