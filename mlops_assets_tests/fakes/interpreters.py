"""Environments in memory, and real ones made without a network."""

from __future__ import annotations

import subprocess
import sys
import sysconfig

from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.rollout import COLUMNS, Applied
from mlops_assets_tests.fakes.forecast import load as load_fake

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


class FakeInterpreters:
    """Applies models here; ``shift`` adds to what one environment forecasts for a circuit."""

    def __init__(self, load=load_fake):
        self.load = load
        self.shift = {}
        self.errors = {}
        self.asked = []
        self.missing = False
        self.absent = set()
        self.packages = {}

    def apply(self, environment, jobs):
        if environment.ref in self.absent:
            raise RefusedError("E_INTERPRETER", f"{environment.ref} is not installed: `make it`")
        self.asked.append(str(environment.ref))
        if self.missing:
            return {}
        return {job.circuit: self._one(str(environment.ref), job) for job in jobs}

    def differing(self, environment):
        return self.packages.get(environment.ref, ())

    def _one(self, name, job):
        if (name, job.circuit) in self.errors:
            return Applied(error=self.errors[name, job.circuit])
        try:
            model = self.load(job.files)
        except Exception as error:  # noqa: BLE001 as the port's contract has it
            return Applied(error=f"{type(error).__name__}: {error}")
        values = model.apply(job.series, job.steps)
        add = self.shift.get((name, job.circuit), 0.0)
        columns = {each: tuple((getattr(values, each) + add).tolist()) for each in COLUMNS}
        return Applied(columns, golden=True)


def make_venv(folder, *, startup="", **versions):
    """Make a real virtual environment that claims other versions of packages than are here.

    What it lacks comes from this interpreter; ``startup`` runs whenever it starts.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = folder / "lib" / f"python{PYTHON}" / "site-packages"
    (site / "rest.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (site / "sitecustomize.py").write_text(startup)
    for name, version in versions.items():
        claimed = site / f"{name}-{version}.dist-info"
        claimed.mkdir()
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (claimed / "METADATA").write_text(text)
    return folder / "bin" / "python"
