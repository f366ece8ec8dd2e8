"""Signing with a person's key: in this process where its file is open, else by `ssh-keygen`.

`ssh-keygen -Y sign` knows what we need not: a key in ssh-agent, a passphrase that is asked for on
the terminal, Windows' own OpenSSH. It never prints or hands over the private half.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.key_file import KeyFile
from mlops_assets.domain.signature import NAMESPACE, read_public_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlops_assets.ports import Signer

# The lines of RFC 4716 that hold no key: its frame and its headers.
_FRAME = ("-", "Comment:", "Subject:", "x-")


@dataclass(frozen=True, slots=True)
class SshKeygen:
    """A key that only ssh-keygen can use; ``path`` is its private file or its `.pub`."""

    path: Path

    @property
    def public_key(self) -> bytes:
        """The public half, which a private file names without its passphrase."""
        exported = self._run(["-e", "-m", "RFC4716"]).decode("ascii", "replace")
        lines = [line for line in exported.splitlines() if not line.startswith(_FRAME)]
        return read_public_line(f"ssh-ed25519 {''.join(lines)}")

    def sign(self, message: bytes) -> bytes:
        """Sign with the agent's key or the file; a passphrase is asked for on the terminal."""
        armored = self._run(["-Y", "sign", "-n", NAMESPACE], message)
        # Windows' OpenSSH writes its own line ends.
        return armored.replace(b"\r\n", b"\n")

    def _run(self, words: Sequence[str], message: bytes = b"") -> bytes:
        try:
            done = subprocess.run(
                ["ssh-keygen", *words, "-f", str(self.path)],
                input=message,
                capture_output=True,
                check=False,
            )
        except FileNotFoundError as error:
            raise RefusedError(
                "E_KEY_FILE",
                f"{self.path} needs ssh-keygen, which is not installed: on Debian "
                "`apt-get install openssh-client`, on Windows the optional feature OpenSSH Client",
            ) from error
        if done.returncode != 0:
            lines = (
                line.strip(" @\r") for line in done.stderr.decode(errors="replace").split("\n")
            )
            said = "; ".join(line for line in lines if line)[:300]
            raise RefusedError(
                "E_KEY_FILE",
                f"{self.path}: ssh-keygen cannot use this key: {said}; name an ed25519 key, or "
                "the .pub of one that `ssh-add -l` lists",
            )
        return done.stdout


def signer(path: Path) -> Signer:
    """Return who signs with a key file: this process where it can, else ssh-keygen.

    Raises:
        RefusedError: it is a key of another kind than ed25519.
    """
    key = KeyFile(path.read_bytes())
    try:
        _ = key.public_key
    except RefusedError as error:
        if error.code != "E_KEY_FILE":
            raise
        return SshKeygen(path)
    return key
