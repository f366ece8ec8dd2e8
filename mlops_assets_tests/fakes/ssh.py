"""Keys as people make them, and a real ssh-agent that holds them."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlops_assets.domain.signature import read_public_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORDS = "correct horse"


def generate(file: Path, kind: str = "ed25519", passphrase: str = WORDS) -> Path:
    """Make a key with `ssh-keygen`; returns its private file."""
    words = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "ann@example.com", "-f", file]
    subprocess.run(words, check=True)
    return file


def public_key(file: Path) -> bytes:
    """Return the public half of a key file."""
    return read_public_line(file.with_suffix(".pub").read_text())


def typed(folder: Path) -> dict[str, str]:
    """Return the environment in which somebody types the passphrase, where no terminal is."""
    answer = folder / "answer"
    answer.write_text(f"#!/bin/sh\necho {WORDS}\n")
    answer.chmod(0o700)
    return {"SSH_ASKPASS": str(answer), "SSH_ASKPASS_REQUIRE": "force"}


@contextmanager
def agent(socket: Path) -> Iterator[dict[str, str]]:
    """Run an ssh-agent without keys, and end it by its process id; yields its environment."""
    said = subprocess.run(
        ["ssh-agent", "-s", "-a", socket], check=True, capture_output=True, text=True
    ).stdout
    pid = int(said.split("SSH_AGENT_PID=")[1].split(";")[0])
    try:
        yield {"SSH_AUTH_SOCK": str(socket)}
    finally:
        os.kill(pid, signal.SIGTERM)


def add(file: Path, environment: dict[str, str]) -> None:
    """Put a key into an agent, its passphrase typed."""
    subprocess.run(["ssh-add", "-q", file], check=True, env={**os.environ, **environment})
