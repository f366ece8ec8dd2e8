"""Plain git, deaf to its surroundings: what it does follows from its arguments alone.

No system or user configuration, no hooks, no signing, no prompts, no replaced or grafted history,
and no variable of the caller's environment but PATH.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import HomeError, StaleError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.quotePath=false",
    "core.autocrlf=false",
    "core.fsync=all",
    "commit.gpgSign=false",
    "log.showSignature=false",
    "log.mailmap=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "safe.directory=*",
    "advice.detachedHead=false",
)
_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "true",
    "GIT_EDITOR": "true",
    "GIT_PAGER": "cat",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_GRAFT_FILE": "/dev/null",
    "LC_ALL": "C",
    "TZ": "UTC",
}
# A lock that is older was left by a process that died: git holds one for milliseconds.
_STALE_LOCK_SECONDS = 3.0
_LOCK_TRIES = 100


class GitError(HomeError):
    """Git said no; its first line is part of the sentence."""


class Git:
    """Runs git in one repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(
        self,
        *arguments: str,
        data: bytes = b"",
        extra: Mapping[str, str] | None = None,
        fails: Sequence[int] = (),
    ) -> bytes:
        """Return what git prints; GitError in one line when it fails.

        Exit codes in ``fails`` are answers too: they give what was printed.
        """
        done = self._call(arguments, data, extra)
        if done.returncode and done.returncode not in fails:
            raise GitError(f"{self.folder}: git {arguments[0]} failed: {_first_line(done.stderr)}")
        return done.stdout

    def succeeds(self, *arguments: str) -> bool:
        """Whether git ends with 0."""
        return self._call(arguments, b"", None).returncode == 0

    def line(self, *arguments: str) -> str:
        """Return the one line that git prints."""
        return self.run(*arguments).decode("utf-8", "replace").strip()

    def locked(self, *arguments: str, data: bytes = b"") -> bytes:
        """Run a command that takes one of git's own locks, waiting for it.

        A lock that a killed process left is taken away once it is clear that nobody works.
        """
        for _ in range(_LOCK_TRIES):
            done = self._call(arguments, data, None)
            message = done.stderr.decode("utf-8", "replace")
            if done.returncode == 0:
                return done.stdout
            if ".lock'" not in message:
                first = _first_line(done.stderr)
                raise StaleError(f"{self.folder}: git {arguments[0]} failed: {first}")
            self._take_away(message)
            time.sleep(0.05)
        raise StaleError(f"{self.folder}: another git works here; repeat when it has ended")

    def _take_away(self, message: str) -> None:
        from pathlib import Path

        named = message.split("'")
        path = next((Path(part) for part in named if part.endswith(".lock")), None)
        if path is None:
            return
        path = self.folder / path
        try:
            if time.time() - path.stat().st_mtime > _STALE_LOCK_SECONDS:
                path.unlink()
        except FileNotFoundError:
            return

    def _call(
        self, arguments: Sequence[str], data: bytes, extra: Mapping[str, str] | None
    ) -> subprocess.CompletedProcess[bytes]:
        program = shutil.which("git")
        if program is None:
            raise HomeError("git is not installed: install it, config lives in a git repository")
        settings = [part for setting in _SETTINGS for part in ("-c", setting)]
        environment = {**_ENVIRONMENT, "PATH": os.environ.get("PATH", os.defpath), **(extra or {})}
        return subprocess.run(
            [program, *settings, *arguments],
            input=data,
            capture_output=True,
            cwd=self.folder,
            env=environment,
            check=False,
        )


def _first_line(message: bytes) -> str:
    return next(iter(message.decode("utf-8", "replace").strip().splitlines()), "no reason given")
