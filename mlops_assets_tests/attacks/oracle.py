"""Bent signatures put before `ssh-keygen -Y verify` too: nothing counts here that it refuses.

Beside the bends stand signatures that are good in another form (SHA-256, a second key, another
statement), so that agreement is seen in both directions.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import struct
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.signature import NAMESPACE, read_public_line, verify
from mlops_assets_tests.attacks.armor import BENDS, armored, string
from mlops_assets_tests.attacks.scene import accepted, requests, signed
from mlops_assets_tests.fakes.release import ENGINEER, MANAGER, keys_of

if TYPE_CHECKING:
    from pathlib import Path

SEED = 20260602


@dataclass(slots=True)
class Verdicts:
    """How often each said yes, by kind of signature; ``wrong`` is accepted here and not there."""

    counts: dict[str, Counter[tuple[bool, bool]]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def table(self) -> str:
        head = f"{'signature':36} {'tried':>6} {'both yes':>8} {'both no':>8}"
        lines = [f"{head} {'only ssh-keygen':>15} {'only here':>9}"]
        for kind, said in self.counts.items():
            lines.append(
                f"{kind:36} {sum(said.values()):6} {said[True, True]:8} {said[False, False]:8} "
                f"{said[False, True]:15} {said[True, False]:9}"
            )
        return "\n".join(lines)


def with_sha256(data: bytes, person: str) -> bytes:
    """Signed as ``ssh-keygen -Y sign -O hashalg=sha256`` does."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    pair = keys_of(person)
    key = read_public_line(pair.public_line)
    private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"{person}0".encode()).digest())
    namespace = NAMESPACE.encode()
    body = string(namespace) + string(b"") + string(b"sha256")
    value = private.sign(b"SSHSIG" + body + string(hashlib.sha256(data).digest()))
    kind = string(b"ssh-ed25519")
    blob = b"SSHSIG" + struct.pack(">I", 1) + string(kind + string(key)) + body
    return armored(blob + string(kind + string(value)))


class SshKeygen:
    """The real program, with a trust root of the two people who sign here."""

    def __init__(self, folder: Path) -> None:
        found = shutil.which("ssh-keygen")
        if found is None:
            raise FileNotFoundError("ssh-keygen is not installed: apt-get install openssh-client")
        self._program = found
        self._folder = folder
        lines = [
            f'{person} namespaces="{NAMESPACE}" {keys_of(person).public_line}'
            for person in (ENGINEER, MANAGER)
        ]
        (folder / "signers").write_text("\n".join(lines) + "\n")

    def accepts(self, data: bytes, signature: bytes, person: str) -> bool:
        (self._folder / "signature").write_bytes(signature)
        done = subprocess.run(
            [self._program, "-Y", "verify", "-f", "signers", "-I", person, "-n", NAMESPACE,
             "-s", "signature"],
            cwd=self._folder, input=data, capture_output=True, check=False,
        )  # fmt: skip
        return done.returncode == 0


def _accepts(data: bytes, signature: bytes, person: str) -> bool:
    try:
        return verify(signature, data) == read_public_line(keys_of(person).public_line)
    except RefusedError:
        return False


def compared(count: int, folder: Path, seed: int = SEED) -> Verdicts:
    """Put ``count`` signatures before both; one in twenty is a good one."""
    found, keygen = Verdicts(), SshKeygen(folder)
    papers = [accepted(asked) for asked in requests(3)]
    chance = random.Random(seed)
    kinds = list(BENDS)
    for number in range(count):
        good = chance.choice(papers)
        person = ENGINEER if good.asked.request.stage == "registry" else MANAGER
        data, signature, kind = good.data, good.armored, kinds[number % len(kinds)]
        match number % 40:
            case 0:
                kind = "good: as ssh-keygen signs"
            case 20:
                kind, signature = "good: SHA-256", with_sha256(data, person)
            case 10:
                kind = "good, of another person"
                signature = signed(data, MANAGER if person == ENGINEER else ENGINEER)
            case 30:
                kind, data = "good, of another statement", data + b" "
            case _:
                while (bent := BENDS[kind](chance, signature)) == signature:
                    continue
                signature = bent
        said = (_accepts(data, signature, person), keygen.accepts(data, signature, person))
        found.counts.setdefault(kind, Counter())[said] += 1
        if said == (True, False):
            found.wrong.append(f"number {number}: {kind}: {signature!r}")
    return found
