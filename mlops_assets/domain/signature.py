"""Signatures as `ssh-keygen -Y` makes them, verified without I/O and stricter than OpenSSH does.

Format: PROTOCOL.sshsig of OpenSSH. Only ed25519 keys, only our namespace, SHA-256 or SHA-512, the
armor exactly as ssh-keygen writes it (70 columns, canonical base64, one final newline), and no
byte too much anywhere: so a signature has one text, and nothing passes here that OpenSSH refuses.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass

from mlops_assets.domain.errors import RefusedError

NAMESPACE = "release-approval.v1@mlops-assets"
MAXIMUM_ARMOR_BYTES = 2048

_BEGIN = b"-----BEGIN SSH SIGNATURE-----\n"
_END = b"-----END SSH SIGNATURE-----\n"
_COLUMNS = 70
_MAGIC = b"SSHSIG"
_VERSION = 1
_KEY_TYPE = b"ssh-ed25519"
_KEY_BYTES = 32
_SIGNATURE_BYTES = 64
_HASHES = (b"sha512", b"sha256")


@dataclass(frozen=True, slots=True)
class Signature:
    """A parsed signature: who claims to have signed is ``key``, 32 bytes of ed25519."""

    key: bytes
    hash_name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A new key: its private file as OpenSSH writes it, and its public line."""

    private_file: bytes
    public_line: str


def parse(armored: bytes) -> Signature:
    """Read an armored signature; every deviation is a RefusedError with its own code."""
    reader = _Reader(_unarmor(armored))
    if reader.take(len(_MAGIC)) != _MAGIC or reader.take(4) != struct.pack(">I", _VERSION):
        raise RefusedError("E_SIGNATURE_FORMAT", "the signature is not an SSH signature, version 1")
    key_reader = _Reader(reader.string())
    namespace, reserved, hash_name = reader.string(), reader.string(), reader.string()
    value_reader = _Reader(reader.string())
    reader.end()
    if key_reader.string() != _KEY_TYPE or value_reader.string() != _KEY_TYPE:
        raise RefusedError("E_KEY_TYPE", "the signature is not by an ed25519 key: use ssh-ed25519")
    key, value = key_reader.string(), value_reader.string()
    key_reader.end()
    value_reader.end()
    if len(key) != _KEY_BYTES or len(value) != _SIGNATURE_BYTES:
        raise RefusedError("E_SIGNATURE_FORMAT", "the signature's key or value has a wrong length")
    if namespace != NAMESPACE.encode():
        raise RefusedError(
            "E_NAMESPACE",
            f"the signature is for namespace {namespace.decode('ascii', 'backslashreplace')!r}: "
            f"sign with ssh-keygen -Y sign -n {NAMESPACE}",
        )
    if reserved:
        raise RefusedError("E_SIGNATURE_FORMAT", "the signature's reserved field is not empty")
    if hash_name not in _HASHES:
        raise RefusedError("E_HASH", "the signature's hash is neither sha512 nor sha256")
    return Signature(key, hash_name, value)


def verify(armored: bytes, message: bytes) -> bytes:
    """Return the key that signed exactly this message, or refuse."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    signature = parse(armored)
    try:
        Ed25519PublicKey.from_public_bytes(signature.key).verify(
            signature.value, _signed_bytes(signature.hash_name, message)
        )
    except InvalidSignature as error:
        raise RefusedError(
            "E_SIGNATURE", "the signature does not belong to this statement and key"
        ) from error
    return signature.key


def sign(private_file: bytes, message: bytes) -> bytes:
    """Sign as ``ssh-keygen -Y sign`` would, with the bytes of an OpenSSH private key file."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    by_hand = f"sign with ssh-keygen -Y sign -n {NAMESPACE} and use `mlops release submit`"
    try:
        private_key = load_ssh_private_key(private_file, password=None)
    except (ValueError, UnsupportedAlgorithm, TypeError) as error:
        raise RefusedError(
            "E_KEY_FILE", f"the key file is not an OpenSSH key without passphrase: {by_hand}"
        ) from error
    if not isinstance(private_key, Ed25519PrivateKey):
        raise RefusedError("E_KEY_TYPE", "the key file does not hold an ed25519 key")
    key = private_key.public_key().public_bytes_raw()
    value = private_key.sign(_signed_bytes(_HASHES[0], message))
    return _armor(
        _MAGIC
        + struct.pack(">I", _VERSION)
        + _string(_string(_KEY_TYPE) + _string(key))
        + _string(NAMESPACE.encode())
        + _string(b"")
        + _string(_HASHES[0])
        + _string(_string(_KEY_TYPE) + _string(value))
    )


def public_key_of(private_file: bytes) -> bytes:
    """Return the 32 bytes of the public key in a private key file."""
    return verify(sign(private_file, b""), b"")


def key_pair(seed: bytes, comment: str) -> KeyPair:
    """Return the key that 32 random bytes make."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    private_key = Ed25519PrivateKey.from_private_bytes(seed)
    private_file = private_key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = public_line(private_key.public_key().public_bytes_raw())
    return KeyPair(private_file, f"{public} {comment}")


def public_line(key: bytes) -> str:
    """Return ``ssh-ed25519 AAAA...``."""
    blob = _string(_KEY_TYPE) + _string(key)
    return f"{_KEY_TYPE.decode()} {base64.b64encode(blob).decode()}"


def read_public_line(text: str) -> bytes:
    """Return the 32 bytes of ``ssh-ed25519 AAAA...``; a comment after it is allowed."""
    words = text.split(maxsplit=2)
    if len(words) < 2 or words[0] != _KEY_TYPE.decode():  # noqa: PLR2004 type and key
        if "PRIVATE KEY" in text[:64]:
            raise RefusedError(
                "E_KEY_TYPE", "this is a private key: it stays with its owner; name the .pub file"
            )
        raise RefusedError(
            "E_KEY_TYPE",
            f"{text[:40]!r} is not ssh-ed25519 AAAA...: make one with ssh-keygen -t ed25519 and "
            "name its .pub file",
        )
    try:
        reader = _Reader(base64.b64decode(words[1].encode("ascii"), validate=True))
        key_type, key = reader.string(), reader.string()
        reader.end()
    except (ValueError, RefusedError) as error:
        raise RefusedError("E_KEY_TYPE", f"{text[:40]!r} does not hold a whole key") from error
    if key_type != _KEY_TYPE or len(key) != _KEY_BYTES or public_line(key).split()[1] != words[1]:
        raise RefusedError("E_KEY_TYPE", f"{text[:40]!r} does not hold an ed25519 key")
    return key


def fingerprint(key: bytes) -> str:
    """Return ``SHA256:...`` as ssh-keygen -l shows it."""
    digest = hashlib.sha256(_string(_KEY_TYPE) + _string(key)).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def _signed_bytes(hash_name: bytes, message: bytes) -> bytes:
    digest = hashlib.new(hash_name.decode(), message).digest()
    return (
        _MAGIC + _string(NAMESPACE.encode()) + _string(b"") + _string(hash_name) + _string(digest)
    )


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _armor(blob: bytes) -> bytes:
    text = base64.b64encode(blob)
    lines = (text[i : i + _COLUMNS] + b"\n" for i in range(0, len(text), _COLUMNS))
    return _BEGIN + b"".join(lines) + _END


def _unarmor(armored: bytes) -> bytes:
    if len(armored) > MAXIMUM_ARMOR_BYTES:
        raise RefusedError(
            "E_SIZE",
            f"the signature has {len(armored)} bytes; at most {MAXIMUM_ARMOR_BYTES} are read",
        )
    if not (armored.startswith(_BEGIN) and armored.endswith(_END)):
        raise RefusedError("E_ARMOR", "the file is not a signature that ssh-keygen -Y sign wrote")
    try:
        blob = base64.b64decode(
            armored[len(_BEGIN) : -len(_END)].replace(b"\n", b""), validate=True
        )
    except binascii.Error as error:
        raise RefusedError("E_ARMOR", "the signature's armor is not base64") from error
    if _armor(blob) != armored:
        raise RefusedError("E_ARMOR", "the signature's armor is not as ssh-keygen writes it")
    return blob


class _Reader:
    """Reads length-prefixed strings; more or fewer bytes than promised are refused."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise RefusedError("E_SIGNATURE_FORMAT", "the signature ends too early")
        part, self._at = self._data[self._at : end], end
        return part

    def string(self) -> bytes:
        return self.take(int(struct.unpack(">I", self.take(4))[0]))

    def end(self) -> None:
        if self._at != len(self._data):
            raise RefusedError("E_SIGNATURE_FORMAT", "the signature has bytes too many")
