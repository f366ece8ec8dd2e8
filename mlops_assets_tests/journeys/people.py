"""What people of a demo home do outside of Dagster: they commit, review and sign."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from mlops_assets.flows import approval, release
from mlops_assets.flows.plan import config_at
from mlops_assets.resources import open_platform
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.release import Stage
    from mlops_assets.ports import Platform

ENGINEER = "engineer@demo.example"
MANAGER = "manager@demo.example"


def commit(config: Path, message: str, author: str = MANAGER) -> None:
    """Commit everything, reviewed by the engineer."""
    git = ["git", "-C", str(config), "-c", "user.name=M", "-c", f"user.email={author}"]
    subprocess.run([*git, "add", "-A"], check=True)
    review = f"Reviewed-by: Engineer <{ENGINEER}>"
    subprocess.run([*git, "commit", "-q", "-m", f"{message}\n\n{review}"], check=True)


def opened(home: Path) -> Platform:
    """A platform of its own on a home, as every process has one."""
    return open_platform(Settings.find(home, None, {}, home))


def approve(home: Path, made: str, stage: Stage, person: str = ENGINEER) -> None:
    """Sign a stage with a person's key; it must count."""
    platform = opened(home)
    key = (home / "demo_keys" / person).read_bytes()
    done = approval.approve(
        platform, config_at(platform), made, stage, key, now=platform.clock.now()
    )
    assert done.accepted, done.reason


def created(home: Path, *circuits: CircuitKey) -> str:
    """Cut a release."""
    platform = opened(home)
    made, _ = release.create(platform, config_at(platform), circuits, now=platform.clock.now())
    assert made is not None
    return made


def promoted(home: Path, made: str, *stages: Stage) -> None:
    """Take a release through stages, signed where people sign."""
    for stage in stages:
        if stage != "test":
            approve(home, made, stage)
        platform = opened(home)
        release.promote(platform, config_at(platform), made, stage, now=platform.clock.now())


def retired_and_back(home: Path, *circuits: CircuitKey) -> None:
    """Take circuits of a demo out of service by a release, and ask for them again in config.

    Their models are trained, so that releases of them can be cut at once.
    """
    config = home / "config"
    files = {key: config / "plants" / f"{key}.yml" for key in circuits}
    master = config / "plants_circuits.yml"
    whole, kept = master.read_text(), {key: path.read_bytes() for key, path in files.items()}
    less = whole
    for key, path in files.items():
        less = less.replace(f"{key.circuit_id}, ", "")
        path.unlink()
    master.write_text(less)
    commit(config, "Retire circuits")
    promoted(home, created(home, *circuits), "registry", "test", "production")
    master.write_text(whole)
    for key, path in files.items():
        path.write_bytes(kept[key])
    commit(config, "Bring them back")
