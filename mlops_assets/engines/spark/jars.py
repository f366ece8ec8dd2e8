"""The jars that teach Spark Delta: which they are, where they lie, and that they are these.

``jars.lock`` names each by its Maven coordinates and SHA-256. ``python -m
mlops_assets.engines.spark.jars`` (`make spark`) has Maven copy them beside this interpreter; no
session fetches anything, and none starts with a jar that is not in the lock.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.domain.errors import EngineError, MlopsError

LOCK = Path(__file__).with_name("jars.lock")
FOLDER = Path(sys.prefix) / "share" / "mlops-assets" / "spark-jars"
INSTALL = "make spark"


@dataclass(frozen=True, slots=True)
class Jar:
    """One jar by its Maven coordinates."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def name(self) -> str:
        """The file's name, as Maven gives it."""
        return f"{self.artifact}-{self.version}.jar"


def locked(text: str | None = None) -> tuple[Jar, ...]:
    """Return the jars of the lock, or of a text in its form.

    >>> locked("io.delta:delta-storage:4.4.0 sha256:ab")[0].name
    'delta-storage-4.4.0.jar'
    """
    lines = (LOCK.read_text() if text is None else text).splitlines()
    jars = []
    for line in lines:
        if line and not line.startswith("#"):
            coordinates, _, digest = line.partition(" sha256:")
            group, artifact, version = coordinates.split(":")
            jars.append(Jar(group, artifact, version, digest))
    return tuple(jars)


def installed(folder: Path = FOLDER) -> tuple[Path, ...]:
    """Return the jars, each checked against the lock.

    Raises:
        EngineError: one is absent or holds other bytes.
    """
    paths = []
    for jar in locked():
        path = folder / jar.name
        if not path.is_file():
            raise EngineError(f"{path}: Spark needs this jar and it is not there: run `{INSTALL}`")
        if _digest(path) != jar.sha256:
            raise EngineError(
                f"{path}: is not the jar that jars.lock names: delete it and run `{INSTALL}`"
            )
        paths.append(path)
    return tuple(paths)


def install(folder: Path = FOLDER, maven: str = "mvn") -> None:
    """Have Maven copy the jars, check them, and put them in place together.

    Raises:
        EngineError: there is no Maven, it fails, or it brings other bytes; nothing is installed.
    """
    program = shutil.which(maven)
    if program is None:
        raise EngineError(f"{maven}: no such program; install Maven (Debian: maven) and repeat")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".spark-jars-") as place:
        project, fresh = Path(place, "pom.xml"), Path(place, "jars")
        project.write_text(_project(locked()))
        done = subprocess.run(
            [
                *(program, "-q", "-B", "-f", str(project), "dependency:copy-dependencies"),
                *("-DexcludeTransitive=true", f"-DoutputDirectory={fresh}"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = next((line for line in done.stdout.splitlines() if "ERROR" in line), "no reason")
            raise EngineError(f"{maven}: could not fetch the jars: {said}; repeat it online")
        installed(fresh)
        if folder.exists():
            folder.rename(Path(place, "old"))
        fresh.rename(folder)


def _project(jars: tuple[Jar, ...]) -> str:
    """Return a Maven project that depends on exactly these."""
    wanted = "".join(
        f"<dependency><groupId>{jar.group}</groupId><artifactId>{jar.artifact}</artifactId>"
        f"<version>{jar.version}</version></dependency>\n"
        for jar in jars
    )
    return (
        "<project><modelVersion>4.0.0</modelVersion><groupId>mlops-assets</groupId>"
        "<artifactId>spark-jars</artifactId><version>1</version><packaging>pom</packaging>\n"
        f"<dependencies>\n{wanted}</dependencies></project>\n"
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> int:
    """Install the jars unless they are there; 1 with one line when that fails."""
    try:
        try:
            installed()
        except EngineError:
            install()
    except MlopsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
