"""Interpreters of environments: HOME/environments/NAME/VERSION, or this one where it is the same.

Nothing is installed here, because that needs a package index: where there is no interpreter, the
refusal says the one command that makes it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import MlopsError, RefusedError
from mlops_assets.domain.rollout import read_answer, request_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.domain.circuit import Environment
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.rollout import Applied, ApplyJob

_MODULE = "mlops_assets.engines.apply_models"
_LONGEST_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class LocalInterpreters:
    """``root`` holds one virtual environment a version."""

    root: Path

    def apply(
        self, environment: Environment, jobs: Sequence[ApplyJob]
    ) -> Mapping[CircuitKey, Applied]:
        """Apply models in an environment; RefusedError says how to make one that is not there."""
        interpreter = self._interpreter(environment)
        with tempfile.TemporaryDirectory(prefix="apply-models-") as folder:
            request, answer = Path(folder, "request.json"), Path(folder, "answer.json")
            request.write_bytes(request_bytes(jobs))
            done = subprocess.run(
                [interpreter, "-m", _MODULE, request, answer],
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_LONGEST_SECONDS,
                check=False,
            )
            if done.returncode != 0 or not answer.is_file():
                said = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
                raise MlopsError(f"environment {environment.ref}: applying models failed: {said}")
            return read_answer(answer.read_bytes(), where=f"environment {environment.ref}")

    def _interpreter(self, environment: Environment) -> Path:
        folder = self.root / environment.ref.name / str(environment.ref.version)
        own = folder / "bin" / "python"
        if own.is_file():
            return own
        differing = _differing(environment)
        if not differing:
            return Path(sys.executable)
        pins = " ".join(f"{each.name}=={each.version}" for each in environment.packages)
        raise RefusedError(
            "E_INTERPRETER",
            f"environment {environment.ref} is not installed here ({differing[0]}): "
            f"`python{environment.python} -m venv {folder} && {own} -m pip install {pins}`",
        )


def _differing(environment: Environment) -> list[str]:
    """Say in what this interpreter differs from an environment."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = [f"this is Python {here}"] if here != environment.python else []
    for package in environment.packages:
        try:
            installed = version(package.name)
        except PackageNotFoundError:
            installed = "absent"
        if installed != package.version:
            found.append(f"{package.name} is {installed} here")
    return found
