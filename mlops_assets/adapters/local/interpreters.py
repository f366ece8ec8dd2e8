"""Interpreters of environments: HOME/environments/NAME/VERSION, or this one where it is the same.

An interpreter counts only where it says itself that it has exactly the environment's packages.
Nothing is installed here, because that needs a package index: the refusal says the one command that
makes the environment, each file held to the hashes of its config.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from mlops_assets.adapters.local.files import write_atomic
from mlops_assets.domain.errors import MlopsError, RefusedError
from mlops_assets.domain.rollout import read_answer, request_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.domain.circuit import Environment
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.rollout import Applied, ApplyJob

_MODULE = "mlops_assets.engines.apply_models"
_LONGEST_SECONDS = 3600
_LONGEST_ANSWER_SECONDS = 60
_HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
# What an interpreter is asked: its Python, and the version of each package that it would import.
_ASK = """
import json, sys
from importlib.metadata import PackageNotFoundError, version
def there(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None
print(json.dumps(["%d.%d" % sys.version_info[:2], *map(there, sys.argv[1:])]))
"""


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

    def differing(self, environment: Environment) -> Sequence[str]:
        """In what this interpreter differs from an environment; empty: in nothing."""
        return _differing(environment, Path(sys.executable))

    def _interpreter(self, environment: Environment) -> Path:
        own = self._folder(environment) / "bin" / "python"
        interpreter = own if own.is_file() else Path(sys.executable)
        differing = _differing(environment, interpreter)
        if not differing:
            return interpreter
        place = own.parent.parent if interpreter == own else "this interpreter"
        raise RefusedError(
            "E_INTERPRETER",
            f"environment {environment.ref} is not installed here ({place}: {differing[0]}): "
            f"`{self._command(environment)}`",
        )

    def _folder(self, environment: Environment) -> Path:
        return self.root / environment.ref.name / str(environment.ref.version)

    def _command(self, environment: Environment) -> str:
        """Return what makes the environment; the hashes that it asks for lie beside it in a file.

        What the environment does not name comes from here, where the Python is the same.
        """
        folder = self._folder(environment)
        pinned = folder.with_name(f"{folder.name}.requirements.txt")
        pinned.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(pinned, _requirements(environment))
        same = environment.python == _HERE
        python = Path(sys.executable) if same else Path(f"python{environment.python}")
        steps = [f"{quote(str(python))} -m venv --clear {quote(str(folder))}"]
        if same:
            site = folder / "lib" / f"python{environment.python}" / "site-packages"
            rest = site / "rest.pth"
            steps.append(f"echo {quote(sysconfig.get_path('purelib'))} > {quote(str(rest))}")
        pip = f"{quote(str(folder / 'bin' / 'python'))} -m pip install"
        steps.append(f"{pip} --no-deps --require-hashes -r {quote(str(pinned))}")
        return " && ".join(steps)


def _requirements(environment: Environment) -> bytes:
    """Return the environment's packages as pip reads them, each with its allowed hashes."""
    lines = (
        " ".join([f"{one.name}=={one.version}", *(f"--hash={each}" for each in one.hashes)])
        for one in environment.packages
    )
    return "".join(f"{line}\n" for line in lines).encode()


def _differing(environment: Environment, interpreter: Path) -> list[str]:
    """Say in what an interpreter differs from an environment, as it says itself."""
    names = [package.name for package in environment.packages]
    done = subprocess.run(
        [interpreter, "-c", _ASK, *names],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_LONGEST_ANSWER_SECONDS,
        check=False,
    )
    try:
        python, *installed = json.loads(done.stdout)
    except ValueError:
        said = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        return [f"does not answer: {said}"]
    found = [f"this is Python {python}"] if python != environment.python else []
    found += [
        f"{package.name} is {there or 'absent'}"
        for package, there in zip(environment.packages, installed, strict=True)
        if there != package.version
    ]
    return found
