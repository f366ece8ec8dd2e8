"""A private key without passphrase, as the file that its owner names holds it."""

from __future__ import annotations

from dataclasses import dataclass

from mlops_assets.domain.signature import public_key_of, sign


@dataclass(frozen=True, slots=True)
class KeyFile:
    """Signs in this process; ``data`` are the bytes of the file, in OpenSSH's form."""

    data: bytes

    @property
    def public_key(self) -> bytes:
        """The public half that the file holds; RefusedError when it holds none for us."""
        return public_key_of(self.data)

    def sign(self, message: bytes) -> bytes:
        """Sign as `ssh-keygen -Y sign` would."""
        return sign(self.data, message)
