"""A small config in memory, and what is wrong with a changed one."""

from __future__ import annotations

import pytest

from mlops_assets.catalog import load
from mlops_assets.domain.errors import ConfigError
from mlops_assets.forecasters.catalogue import ALGORITHMS

HASH = f"sha256:{'a' * 64}"
FILES = {
    "plants_circuits.yml": (
        "format: 1\nplants:\n  P001:\n    name: Works\n    owners: [team:works]\n"
        "    circuits: [C001, C002]\n"
    ),
    "plants/P001/C001.yml": "format: 1\ncutoff_date: 2026-06-23\n",
    "plants/P001/C002.yml": (
        "format: 1\ncutoff_date: 2026-06-23\nforecaster: mstl_arima\n"
        "hyperparameters:\n  window_days: 60\n  log: true\n"
    ),
    "environments/forecasting/1.0.0.yml": (
        'format: 1\nsummary: What models need\npython: "3.11"\npackages:\n'
        f"  numpy:\n    version: 2.0.0\n    hashes: [{HASH}]\n"
    ),
    "release_policy.yml": (
        "format: 1\nregistry:\n  roles: [ml_engineer]\n"
        "production:\n  roles: [ml_engineer, engineering_manager]\n"
    ),
    "trust/roles.yml": "format: 1\npeople: {}\n",
}
SPEC = "plants/P001/C001.yml"


def loaded(**changed):
    """The config with some files replaced, or removed by None; SPEC is called ``spec``."""
    files = {**FILES, **{NAMES.get(name, name): text for name, text in changed.items()}}
    given = {name: text for name, text in files.items() if text is not None}
    data = {name: text.encode() if isinstance(text, str) else text for name, text in given.items()}
    return load(data, commit="c" * 40, algorithms=ALGORITHMS)


def problems(**changed):
    """Every problem of the changed config, as people read them."""
    with pytest.raises(ConfigError) as caught:
        loaded(**changed)
    return [str(problem) for problem in caught.value.problems]


def spec(*lines):
    """A spec with these lines after its first two."""
    return "\n".join(["format: 1", "cutoff_date: 2026-06-23", *lines]) + "\n"


NAMES = {
    "spec": SPEC,
    "master": "plants_circuits.yml",
    "policy": "release_policy.yml",
    "environment": "environments/forecasting/1.0.0.yml",
}
