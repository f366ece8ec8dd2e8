"""Ways to bend an armored signature: its text, its layout, the bytes inside, and its parts."""

from __future__ import annotations

import base64
import random
import struct
from typing import TYPE_CHECKING

from mlops_assets.domain.signature import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Callable

BEGIN, END = b"-----BEGIN SSH SIGNATURE-----", b"-----END SSH SIGNATURE-----"
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_SPACES = (b" ", b"\t", b"\r", b"\n", b"\r\n", b"\x0b", b"\x0c", b"\0", b"=", b"-", b"_", b"\xa0")
_PARTS = ("key", "namespace", "reserved", "hash", "value")


def string(data: bytes) -> bytes:
    """A length-prefixed string, as in PROTOCOL.sshsig."""
    return struct.pack(">I", len(data)) + data


def dearmored(signature: bytes) -> bytes:
    """The bytes inside."""
    return base64.b64decode(b"".join(signature.splitlines()[1:-1]))


def armored(blob: bytes, columns: int = 70) -> bytes:
    """The text of these bytes, 70 columns as ssh-keygen writes it, or others."""
    text = base64.b64encode(blob)
    lines = [text[at : at + columns] for at in range(0, len(text), columns)]
    return b"\n".join([BEGIN, *lines, END, b""])


def _parts(blob: bytes) -> dict[str, bytes]:
    found, at = {"magic": blob[:10]}, 10
    for name in _PARTS:
        (size,) = struct.unpack(">I", blob[at : at + 4])
        found[name] = blob[at + 4 : at + 4 + size]
        at += 4 + size
    return found


def _joined(parts: dict[str, bytes]) -> bytes:
    return parts["magic"] + b"".join(string(parts[name]) for name in _PARTS)


def flip_text(chance: random.Random, signature: bytes) -> bytes:
    """One bit of the text."""
    return _flipped(chance, signature)


def change_text(chance: random.Random, signature: bytes) -> bytes:
    """A few characters of the text, inserted, dropped, doubled or replaced."""
    text = bytearray(signature)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(text))
        match chance.randrange(4):
            case 0:
                text[at:at] = chance.choice(_SPACES)
            case 1:
                del text[at : at + chance.randint(1, 8)]
            case 2:
                text[at:at] = text[at : at + chance.randint(1, 40)]
            case _:
                text[at] = chance.choice(_ALPHABET)
    return bytes(text)


def lay_out_anew(chance: random.Random, signature: bytes) -> bytes:
    """The same bytes in another layout, which many readers take and this one does not."""
    blob = dearmored(signature)
    text = base64.b64encode(blob)
    at = chance.randrange(len(text))
    junk = bytes(chance.choices(range(256), k=chance.randint(1, 30)))
    spaced = text[:at] + chance.choice(_SPACES) + text[at:]
    ends = [b"\r\n", b"\n\n", b" \n", b"\n "]
    heads = [b"SSH SIGNATUR", b"PGP SIGNATURE", b"ssh signature", b"SSH  SIGNATURE"]
    return chance.choice(
        [
            armored(blob, chance.choice([*range(1, 70), *range(71, 400)])),
            signature.replace(b"\n", chance.choice(ends)),
            junk + signature,
            signature + junk,
            b"\n".join([BEGIN, spaced, END, b""]),
            signature.replace(b"SSH SIGNATURE", chance.choice(heads)),
            b"\n".join([BEGIN, text + b"=" * chance.randint(1, 4), END, b""]),
            signature * chance.randint(2, 3),
        ]
    )


def flip_blob(chance: random.Random, signature: bytes) -> bytes:
    """One bit of the bytes inside, armored as ssh-keygen would."""
    return armored(_flipped(chance, dearmored(signature)))


def cut_blob(chance: random.Random, signature: bytes) -> bytes:
    """Fewer or more bytes inside."""
    blob = dearmored(signature)
    if chance.random() < 0.5:
        return armored(blob[: chance.randrange(len(blob))])
    return armored(blob + bytes(chance.choices(range(256), k=chance.randint(1, 40))))


def bend_length(chance: random.Random, signature: bytes) -> bytes:
    """One of the lengths inside says something else."""
    blob = bytearray(dearmored(signature))
    places, at = [], 10
    for _ in _PARTS:
        places.append(at)
        at += 4 + struct.unpack(">I", blob[at : at + 4])[0]
    at = chance.choice(places)
    before = struct.unpack(">I", blob[at : at + 4])[0]
    sizes = {0, 1, abs(before - 1), before + 1, before + 4, 2**31 - 1, 2**31, 2**32 - 1} - {before}
    blob[at : at + 4] = struct.pack(">I", chance.choice(sorted(sizes)))
    return armored(bytes(blob))


def exchange_part(chance: random.Random, signature: bytes) -> bytes:
    """One part is another one: namespace, hash, type of key, version, reserved bytes."""
    parts = _parts(dearmored(signature))
    ours = NAMESPACE.encode()
    some = bytes(chance.choices(range(256), k=chance.randint(1, 64)))
    kind = string(b"ssh-ed25519")
    exchanges = {
        "magic": [b"SSHSIG" + struct.pack(">I", chance.choice([0, 2, 3, 2**32 - 1])), b"sshsig"],
        "namespace": [b"file", b"git", b"", ours + b"\0", ours[:-1], ours.upper(), ours + some],
        "reserved": [b"\0", some, ours],
        "hash": [b"sha1", b"md5", b"sha384", b"SHA512", b"sha512\0", b"sha256", b"", some],
        "key": [
            string(b"ssh-rsa") + parts["key"][15:],
            string(b"sk-ssh-ed25519@openssh.com") + parts["key"][15:],
            string(b"ssh-ed25519-cert-v01@openssh.com") + parts["key"][15:],
            kind + string(some),
            kind + string(bytes(32)),
            kind + string(b"\1" + bytes(31)),
            kind + string(b"\xec" + b"\xff" * 30 + b"\x7f"),
        ],
        "value": [
            string(b"rsa-sha2-512") + parts["value"][15:],
            kind + string(bytes(64)),
            kind + string(b"\1" + bytes(63)),
            kind + string(some),
            kind + string(_malleable(parts["value"][19:])),
        ],
    }
    name = chance.choice(list(exchanges))
    wanted = [value for value in exchanges[name] if value != parts[name]]
    return armored(_joined({**parts, name: chance.choice(wanted)}))


def _malleable(value: bytes) -> bytes:
    """The same signature with the group's order added to S, which a lax verifier takes."""
    order = 2**252 + 27742317777372353535851937790883648493
    scalar = int.from_bytes(value[32:], "little") + order
    return value[:32] + scalar.to_bytes(32, "little")


def _flipped(chance: random.Random, data: bytes) -> bytes:
    flipped = bytearray(data)
    bit = chance.randrange(len(flipped) * 8)
    flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)


BENDS: dict[str, Callable[[random.Random, bytes], bytes]] = {
    "signature text: bit": flip_text,
    "signature text: characters": change_text,
    "signature text: layout": lay_out_anew,
    "signature bytes: bit": flip_blob,
    "signature bytes: cut or longer": cut_blob,
    "signature bytes: lengths": bend_length,
    "signature bytes: parts": exchange_part,
}
