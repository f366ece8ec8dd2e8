"""What people of a demo home do outside of Dagster: they commit, review and sign."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from mlops_assets.flows import approval
from mlops_assets.flows.plan import config_at
from mlops_assets.resources import open_platform
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

ENGINEER = "engineer@demo.example"
MANAGER = "manager@demo.example"


def commit(config: Path, message: str) -> None:
    """Commit everything as the manager, reviewed by the engineer."""
    git = ["git", "-C", str(config), "-c", "user.name=M", "-c", f"user.email={MANAGER}"]
    subprocess.run([*git, "add", "-A"], check=True)
    review = f"Reviewed-by: Engineer <{ENGINEER}>"
    subprocess.run([*git, "commit", "-q", "-m", f"{message}\n\n{review}"], check=True)


def approve(home: Path, release: str, stage: str, person: str = ENGINEER) -> None:
    """Sign a stage with a person's key; it must count."""
    platform = open_platform(Settings.find(home, None, {}, home))
    key = (home / "demo_keys" / person).read_bytes()
    done = approval.approve(
        platform, config_at(platform), release, stage, key, now=platform.clock.now()
    )
    assert done.accepted, done.reason
