"""Where we run: which home, which config, which backend, and where heavy work runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlops_assets.domain.errors import UsageError
from mlops_assets.settings.layout import HOME_FORMAT, HomeKind, HomeLayout

if TYPE_CHECKING:
    from mlops_assets.settings.azure import AzureBackend

__all__ = [
    "HOME_FORMAT",
    "WATCHED_REF",
    "HomeKind",
    "HomeLayout",
    "LocalBackend",
    "LocalEngine",
    "Settings",
    "SparkEngine",
]

WATCHED_REF = "refs/heads/main"


@dataclass(frozen=True, slots=True)
class LocalBackend:
    """Files and Delta tables on this machine."""

    kind: Literal["local"] = "local"


@dataclass(frozen=True, slots=True)
class LocalEngine:
    """The ETL and the daily batch in this process, fits in a few worker processes."""

    kind: Literal["local"] = "local"


@dataclass(frozen=True, slots=True)
class SparkEngine:
    """ETL, fits and the daily batch on Spark.

    ``master`` is Spark's: ``local[2]`` for this machine, ``spark://HOST:PORT`` for a standalone
    cluster, whose executors must see the home under the same path.
    """

    master: str = "local[*]"
    kind: Literal["spark"] = "spark"


@dataclass(frozen=True, slots=True)
class Settings:
    """Which home, which config folder, which backend, and where heavy work runs."""

    home: Path
    config: Path
    backend: LocalBackend | AzureBackend = field(default_factory=LocalBackend)
    engine: LocalEngine | SparkEngine = field(default_factory=LocalEngine)

    @property
    def layout(self) -> HomeLayout:
        """Names inside the home."""
        return HomeLayout(self.home)

    @classmethod
    def find(
        cls, home: Path | None, config: Path | None, environ: Mapping[str, str], cwd: Path
    ) -> Settings:
        """Resolve what was given, else ``$MLOPS_HOME``, else ``.mlops``; config likewise.

        Config is ``HOME/config`` where that exists, else ``config`` beside us. ``$MLOPS_ENGINE`` is
        ``local`` or ``spark``, the latter on ``$MLOPS_SPARK_MASTER``. The backend is this machine,
        or Azure where ``$MLOPS_SETTINGS`` or ``HOME/settings.yml`` says so, there as the roles
        that ``$MLOPS_ROLE`` names, with commas between them, else as every one.

        Raises:
            UsageError: there is no such engine, or the settings cannot be used.
        """
        given = home or (Path(environ["MLOPS_HOME"]) if environ.get("MLOPS_HOME") else None)
        root = cwd / (given or Path(".mlops")).expanduser()
        inside = HomeLayout(root).config
        if config is not None:
            folder = cwd / config.expanduser()
        else:
            folder = inside if inside.is_dir() else cwd / "config"
        return cls(
            home=root, config=folder, backend=_backend(root, environ), engine=_engine(environ)
        )


def settings_file(home: Path, environ: Mapping[str, str]) -> Path | None:
    """Return the settings file that counts here, None where we run on this machine alone."""
    if named := environ.get("MLOPS_SETTINGS"):
        return Path(named).expanduser()
    inside = home / "settings.yml"
    return inside if inside.is_file() else None


def _backend(home: Path, environ: Mapping[str, str]) -> LocalBackend | AzureBackend:
    path = settings_file(home, environ)
    if path is None:
        return LocalBackend()
    from mlops_assets.settings.azure import read_azure

    try:
        backend = read_azure(path.read_bytes(), str(path))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    roles = environ.get("MLOPS_ROLE")
    return backend.as_roles(roles) if roles else backend


def _engine(environ: Mapping[str, str]) -> LocalEngine | SparkEngine:
    match environ.get("MLOPS_ENGINE", "local"):
        case "local" | "":
            return LocalEngine()
        case "spark":
            return SparkEngine(environ.get("MLOPS_SPARK_MASTER") or SparkEngine().master)
        case other:
            raise UsageError(f"MLOPS_ENGINE is {other!r}: it is local (the default) or spark")
