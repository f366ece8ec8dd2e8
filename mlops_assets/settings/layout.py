"""The names inside a home.

Every path inside a home is named here and nowhere else, relative to it, so that a home can be
moved and restored.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mlops_assets.domain.errors import HomeError

HOME_FORMAT = 1

HomeKind = Literal["init", "demo"]


@dataclass(frozen=True, slots=True)
class HomeLayout:
    """The folders and files of a local home."""

    root: Path

    @property
    def home_file(self) -> Path:
        """Format and kind of the home; written last, so its presence means a whole home."""
        return self.root / "home.json"

    @property
    def intent_file(self) -> Path:
        """What an `init` that has not ended yet is making; renamed to `home_file` at its end."""
        return self.root / "init.json"

    @property
    def config(self) -> Path:
        """The config repository that `init` or `demo` made."""
        return self.root / "config"

    @property
    def lake(self) -> Path:
        """Everything about readings and predictions."""
        return self.root / "lake"

    @property
    def raw(self) -> Path:
        """The landing zone: files as plants send them."""
        return self.lake / "raw"

    @property
    def ingested(self) -> Path:
        """Which raw files are in the readings table."""
        return self.lake / "ingested"

    @property
    def readings(self) -> Path:
        """The readings table."""
        return self.lake / "readings"

    @property
    def quarantine(self) -> Path:
        """The table of rows that were refused."""
        return self.lake / "quarantine"

    @property
    def restatements(self) -> Path:
        """The table of rows that changed after a model learned from them."""
        return self.lake / "restatements"

    @property
    def predictions(self) -> Path:
        """The predictions table."""
        return self.lake / "predictions"

    @property
    def quality(self) -> Path:
        """The quality table."""
        return self.lake / "quality"

    @property
    def hindcasts(self) -> Path:
        """The table of what the deployment before the live one would have scored."""
        return self.lake / "hindcasts"

    @property
    def workspaces(self) -> Path:
        """The three workspaces."""
        return self.root / "workspaces"

    @property
    def dev(self) -> Path:
        """The workspace where models are trained."""
        return self.workspaces / "dev"

    @property
    def dev_data(self) -> Path:
        """Training-data assets."""
        return self.dev / "data"

    @property
    def dev_models(self) -> Path:
        """Models as trained."""
        return self.dev / "models"

    @property
    def dev_environments(self) -> Path:
        """Environments as registered in dev."""
        return self.dev / "environments"

    @property
    def dev_evidence(self) -> Path:
        """Evidence bundles."""
        return self.dev / "evidence"

    def serving(self, workspace: Literal["test", "prod"]) -> Path:
        """Return the folder of a workspace that serves."""
        return self.workspaces / workspace

    def endpoints(self, workspace: Literal["test", "prod"]) -> Path:
        """Return the endpoints of a workspace."""
        return self.serving(workspace) / "endpoints"

    def prediction_files(self, workspace: Literal["test", "prod"]) -> Path:
        """Return the per-circuit prediction files of a workspace."""
        return self.serving(workspace) / "predictions"

    @property
    def drills(self) -> Path:
        """What the rollback drills found."""
        return self.serving("prod") / "drills"

    @property
    def registry_models(self) -> Path:
        """Models of the shared registry."""
        return self.root / "registry" / "models"

    @property
    def registry_environments(self) -> Path:
        """Environments of the shared registry."""
        return self.root / "registry" / "environments"

    @property
    def interpreters(self) -> Path:
        """Virtual environments, one for each environment version that is applied here."""
        return self.root / "environments"

    @property
    def plant_models(self) -> Path:
        """Copies of the models that each plant serves, made again where they are missing."""
        return self.interpreters / "models"

    @property
    def ledger(self) -> Path:
        """Decisions: the log and its write-once files."""
        return self.root / "ledger"

    @property
    def dagster(self) -> Path:
        """DAGSTER_HOME: a view that may be deleted."""
        return self.root / "dagster"

    @property
    def locks(self) -> Path:
        """Lock files; they hold nothing."""
        return self.root / "locks"

    @property
    def alerts(self) -> Path:
        """Which alerts were raised and sent."""
        return self.root / "alerts"

    @property
    def alerts_file(self) -> Path:
        """Every alert, a line each, for people and tools."""
        return self.root / "alerts.jsonl"

    @property
    def demo_keys(self) -> Path:
        """Private keys of the demo's throw-away people."""
        return self.root / "demo_keys"

    def folders(self) -> tuple[Path, ...]:
        """Return the folders that every home has from its first moment."""
        return (
            self.raw,
            self.ingested,
            self.dev_data,
            self.dev_models,
            self.dev_environments,
            self.dev_evidence,
            self.endpoints("test"),
            self.prediction_files("test"),
            self.endpoints("prod"),
            self.prediction_files("prod"),
            self.registry_models,
            self.registry_environments,
            self.ledger,
            self.dagster,
            self.locks,
        )

    def kind(self) -> HomeKind:
        """Return how the home was made; HomeError in one line when it cannot be used."""
        document = self._description()
        home_format, kind = self.home_format(), document.get("kind")
        if home_format < HOME_FORMAT:
            raise HomeError(
                f"{self.root}: home format {home_format} is older than {HOME_FORMAT}, which this "
                "mlops reads: run `mlops migrate`"
            )
        if home_format > HOME_FORMAT:
            raise HomeError(
                f"{self.root}: home format {home_format} is newer than {HOME_FORMAT}, which this "
                "mlops reads: install the mlops that made it"
            )
        if kind == "init":
            return "init"
        if kind == "demo":
            return "demo"
        raise HomeError(f"{self.home_file}: kind is {kind!r}, neither init nor demo")

    def begun(self) -> bool:
        """Whether somebody made a home here, or began to."""
        return self.home_file.exists() or self.intent_file.exists()

    def home_format(self) -> int:
        """Return the home's format, which may be another than ours."""
        home_format = self._description().get("format")
        if type(home_format) is not int:
            raise HomeError(f"{self.home_file}: format is {home_format!r}, not a whole number")
        return home_format

    def _description(self) -> dict[str, Any]:
        if not self.home_file.exists():
            raise HomeError(self._absence())
        try:
            document = json.loads(self.home_file.read_bytes())
        except (OSError, ValueError) as error:
            raise HomeError(
                f"{self.home_file}: not the description of a home; restore it from a backup"
            ) from error
        if not isinstance(document, dict):
            raise HomeError(f"{self.home_file}: not the description of a home")
        return document

    def _absence(self) -> str:
        if self.intent_file.exists():
            return f"{self.root}: `mlops init` was interrupted here: run the same command again"
        if (self.root / "settings.yml").is_file():
            return f"{self.root} is not a home yet: `mlops init` makes it, as docs/azure.md shows"
        return (
            f"{self.root} is not a home: make one with `mlops demo` or `mlops init --readings FILE`"
        )
