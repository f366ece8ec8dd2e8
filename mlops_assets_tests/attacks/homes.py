"""A home on a disk for attacks: git, ledger, models, evidence and endpoints are the real ones.

Only readings and their tables stay in memory, because no attack here goes through them.
"""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
from pathlib import Path

from mlops_assets.adapters.local.config import GitConfigRepository
from mlops_assets.adapters.local.deployment import LocalEndpoints
from mlops_assets.adapters.local.environment import LocalEnvironmentRegistry
from mlops_assets.adapters.local.evidence import LocalEvidenceStore
from mlops_assets.adapters.local.ledger import LocalLedger
from mlops_assets.adapters.local.model import LocalModelRegistry
from mlops_assets.domain.evidence import PLATFORM_EMAIL
from mlops_assets.ports import DevWorkspace, ServingWorkspace, SharedRegistry
from mlops_assets.settings import HomeLayout
from mlops_assets_tests.fakes.release import ReleaseHome
from mlops_assets_tests.fakes.training_data import FakeTrainingDataStore

WATCHED = "refs/heads/main"


class History(GitConfigRepository):
    """The config repository, and what anybody with git could do to it."""

    def add(self, files, *, author, committer=None, co_authors=(), reviewers=(), message="Change"):
        """Commit files on top of the watched ref, as any authors."""
        for name, data in files.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            self.git("add", name)
        trailers = [f"Co-authored-by: x <{each}>" for each in co_authors]
        trailers += [f"Reviewed-by: x <{each}>" for each in reviewers]
        text = message + "\n\n" + "\n".join(trailers)
        self.git("commit", "-q", "--allow-empty", "-m", text, author=author, committer=committer)
        return self.head()

    def git(self, *words, author=PLATFORM_EMAIL, committer=None):
        """Run git here; the index follows the watched ref, which the platform moves too."""
        names = {"GIT_AUTHOR": author, "GIT_COMMITTER": committer or author}
        people = {f"{role}_EMAIL": mail for role, mail in names.items()}
        people |= {f"{role}_NAME": "x" for role in names}
        done = subprocess.run(
            ["git", *words],
            cwd=self._folder,
            env={**people, "PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/"},
            capture_output=True,
            check=True,
        )
        return done.stdout.decode().strip()

    @property
    def infos(self):
        """As many as there are commits: the edits of a test are numbered by it."""
        return self.log(None, since=None, until=self.head())


class DiskHome(ReleaseHome):
    """`ReleaseHome` with every file that an attack could touch on the disk."""

    def __init__(self, root: Path, *circuits, **options):
        self.layout = HomeLayout(root)
        super().__init__(*circuits, **options)

    def _store(self, files):
        self.git = History.create(self.layout.config, WATCHED)
        self.git.commit(files, message="Begin", author=PLATFORM_EMAIL, branch=None)
        self.data = FakeTrainingDataStore()
        self._open()

    def _open(self):
        """Read everything anew from the disk, as a process does that starts now."""
        layout, root = self.layout, self.layout.root
        self.git = History(layout.config, WATCHED)
        self.ledger = LocalLedger(layout.ledger, self.git.anchor, self.git.anchored)
        self.dev = DevWorkspace(
            training_data=self.data,
            models=LocalModelRegistry(layout.dev_models, root),
            environments=LocalEnvironmentRegistry(layout.dev_environments),
            evidence=LocalEvidenceStore(layout.dev_evidence, root),
        )
        self.registry = SharedRegistry(
            models=LocalModelRegistry(layout.registry_models, root),
            environments=LocalEnvironmentRegistry(layout.registry_environments),
        )
        self.production = copy.copy(self.production)
        for workspace in ("test", "prod"):
            serving = ServingWorkspace(
                endpoints=LocalEndpoints(layout.endpoints(workspace)),
                predictions=getattr(self.production, workspace).predictions,
            )
            setattr(self.production, workspace, serving)

    def at(self, root: Path):
        """A copy of this home: a home can be moved."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.layout = HomeLayout(Path(shutil.copytree(self.layout.root, root, symlinks=True)))
        # What lies in memory is copied too: an attack must not begin where another one ended.
        other.data = copy.deepcopy(self.data)
        for name, value in self.__dict__.items():
            if isinstance(value, dict | list):
                setattr(other, name, copy.copy(value))
        other._open()
        return other

    def again(self):
        """The same home as another process sees it."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._open()
        return other

    def served(self):
        """What no attack may change: what is live, and what the shared registry holds."""
        live = {str(key): self.live(key) for key in self.circuits}
        folder = self.layout.registry_models
        kept = sorted(str(path.relative_to(folder)) for path in folder.glob("*/*/*/record.json"))
        return live, kept

    def model_file(self, circuit, name="model.json", *, where="dev", version=1) -> Path:
        """One file of a registered model."""
        root = self.layout.dev_models if where == "dev" else self.layout.registry_models
        return root / circuit.plant_id / circuit.circuit_id / str(version) / name
