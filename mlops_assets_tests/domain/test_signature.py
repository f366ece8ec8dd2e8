"""Signatures hold exactly where ssh-keygen's do, and nothing bent passes."""

from __future__ import annotations

import base64
import random
import shutil
import struct
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain import signature as sshsig
from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.signature import NAMESPACE, fingerprint, key_pair, sign, verify

PAIR = key_pair(bytes(range(32)), "engineer@co.example")
OTHER = key_pair(bytes(32), "other@co.example")
MESSAGE = b'{"a":1}'
SIGNED = sign(PAIR.private_file, MESSAGE)
BLOB = base64.b64decode(b"".join(SIGNED.splitlines()[1:-1]))


def string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def armored(blob: bytes) -> bytes:
    text = base64.b64encode(blob)
    lines = [text[i : i + 70] for i in range(0, len(text), 70)]
    head, tail = b"-----BEGIN SSH SIGNATURE-----", b"-----END SSH SIGNATURE-----"
    return b"\n".join([head, *lines, tail, b""])


def built(**changes: bytes) -> bytes:
    """A signature of `MESSAGE` in which parts are exchanged before it is armored."""
    key = sshsig.read_public_line(PAIR.public_line)
    value = sshsig.parse(SIGNED).value
    part = {
        "magic": b"SSHSIG" + struct.pack(">I", 1),
        "key": string(b"ssh-ed25519") + string(key),
        "namespace": NAMESPACE.encode(),
        "reserved": b"",
        "hash": b"sha512",
        "value": string(b"ssh-ed25519") + string(value),
        "rest": b"",
    } | changes
    names = ("key", "namespace", "reserved", "hash", "value")
    return armored(part["magic"] + b"".join(string(part[name]) for name in names) + part["rest"])


def test_what_is_signed_verifies_and_names_the_key():
    assert built() == SIGNED
    assert verify(SIGNED, MESSAGE) == sshsig.read_public_line(PAIR.public_line)
    assert sshsig.public_key_of(PAIR.private_file) == verify(SIGNED, MESSAGE)


KEY = sshsig.read_public_line(PAIR.public_line)
ATTACKS = {
    "another magic": (built(magic=b"SSHSIC" + struct.pack(">I", 1)), "E_SIGNATURE_FORMAT"),
    "version 2": (built(magic=b"SSHSIG" + struct.pack(">I", 2)), "E_SIGNATURE_FORMAT"),
    "namespace of files": (built(namespace=b"file"), "E_NAMESPACE"),
    "namespace of commits": (built(namespace=b"git"), "E_NAMESPACE"),
    "namespace in capitals": (built(namespace=NAMESPACE.upper().encode()), "E_NAMESPACE"),
    "namespace with more": (built(namespace=NAMESPACE.encode() + b"x"), "E_NAMESPACE"),
    "namespace with NUL": (built(namespace=NAMESPACE.encode() + b"\0"), "E_NAMESPACE"),
    "no namespace": (built(namespace=b""), "E_NAMESPACE"),
    "reserved": (built(reserved=b"x"), "E_SIGNATURE_FORMAT"),
    "md5": (built(hash=b"md5"), "E_HASH"),
    "sha1": (built(hash=b"sha1"), "E_HASH"),
    "sha384": (built(hash=b"sha384"), "E_HASH"),
    "the other hash": (built(hash=b"sha256"), "E_SIGNATURE"),
    "rsa key": (built(key=string(b"ssh-rsa") + string(KEY)), "E_KEY_TYPE"),
    "rsa signature": (built(value=string(b"rsa-sha2-512") + string(b"s" * 64)), "E_KEY_TYPE"),
    "short key": (built(key=string(b"ssh-ed25519") + string(KEY[:-1])), "E_SIGNATURE_FORMAT"),
    "long key": (built(key=string(b"ssh-ed25519") + string(KEY) + b"x"), "E_SIGNATURE_FORMAT"),
    "short value": (built(value=string(b"ssh-ed25519") + string(b"s" * 63)), "E_SIGNATURE_FORMAT"),
    "a zero value": (built(value=string(b"ssh-ed25519") + string(bytes(64))), "E_SIGNATURE"),
    "another key": (
        built(
            key=string(b"ssh-ed25519") + string(sshsig.read_public_line(OTHER.public_line)),
        ),
        "E_SIGNATURE",
    ),
    "bytes after": (built(rest=b"x"), "E_SIGNATURE_FORMAT"),
    "cut off": (armored(BLOB[:-1]), "E_SIGNATURE_FORMAT"),
    "length of 4 GiB": (armored(BLOB[:10] + b"\xff\xff\xff\xff" + BLOB[14:]), "E_SIGNATURE_FORMAT"),
    "empty blob": (armored(b""), "E_SIGNATURE_FORMAT"),
    "empty file": (b"", "E_ARMOR"),
    "no armor": (BLOB, "E_ARMOR"),
    "text before": (b"x\n" + SIGNED, "E_ARMOR"),
    "text after": (SIGNED + b"\n", "E_ARMOR"),
    "no newline at the end": (SIGNED[:-1], "E_ARMOR"),
    "Windows newlines": (SIGNED.replace(b"\n", b"\r\n"), "E_ARMOR"),
    "other columns": (SIGNED.replace(b"\nU1NI", b"\nU1\nNI"), "E_ARMOR"),
    "spaces inside": (SIGNED.replace(b"\nU1NI", b"\nU1 NI"), "E_ARMOR"),
    "alphabet of URLs": (SIGNED.replace(b"\nU1NI", b"\nU_-I"), "E_ARMOR"),
    "too long": (SIGNED + b"x" * 3000, "E_SIZE"),
    "a PEM key": (PAIR.private_file, "E_ARMOR"),
}


@pytest.mark.parametrize(("attack", "code"), ATTACKS.values(), ids=ATTACKS)
def test_a_bent_signature_is_refused_with_its_code(attack, code):
    with pytest.raises(RefusedError) as caught:
        verify(attack, MESSAGE)
    assert caught.value.code == code


def test_base64_that_ends_in_stray_bits_is_refused():
    blob = b"ab"
    text = armored(blob)
    assert b"YWI=" in text
    with pytest.raises(RefusedError) as caught:
        verify(text.replace(b"YWI=", b"YWJ="), MESSAGE)
    assert caught.value.code == "E_ARMOR"


@given(st.integers(0, len(SIGNED) * 8 - 1))
def test_every_flipped_bit_of_a_signature_is_refused(bit):
    flipped = bytearray(SIGNED)
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(RefusedError):
        verify(bytes(flipped), MESSAGE)


@given(st.binary(max_size=40))
def test_a_signature_belongs_to_its_message_alone(message):
    signed = sign(PAIR.private_file, message)
    assert verify(signed, message)
    with pytest.raises(RefusedError, match="does not belong"):
        verify(signed, message + b" ")


def test_key_files_that_cannot_sign_say_what_to_do():
    for data in (b"", b"no key", PAIR.public_line.encode()):
        with pytest.raises(RefusedError, match="ssh-keygen -Y sign") as caught:
            sign(data, MESSAGE)
        assert caught.value.code == "E_KEY_FILE"


def test_other_kinds_of_keys_are_refused():
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    data = generate_private_key(SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()
    )
    with pytest.raises(RefusedError) as caught:
        sign(data, MESSAGE)
    assert (caught.value.code, caught.value.reason) == (
        "E_KEY_TYPE",
        "the key file does not hold an ed25519 key",
    )


PUBLIC = PAIR.public_line
LINES = {
    "nothing": "",
    "a type alone": "ssh-ed25519",
    "another type": PUBLIC.replace("ssh-ed25519", "ssh-rsa"),
    "no base64": "ssh-ed25519 ????",
    "not ASCII": "ssh-ed25519 é",
    "cut off": " ".join(PUBLIC.split()[:1]) + " " + PUBLIC.split()[1][:40],
    "bytes after": "ssh-ed25519 "
    + base64.b64encode(base64.b64decode(PUBLIC.split()[1]) + b"x").decode(),
    "another type inside": "ssh-ed25519 "
    + base64.b64encode(string(b"ssh-rsa") + string(KEY)).decode(),
    "a short key inside": "ssh-ed25519 "
    + base64.b64encode(string(b"ssh-ed25519") + string(KEY[:31])).decode(),
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_line_that_is_no_key_is_refused(line):
    with pytest.raises(RefusedError) as caught:
        sshsig.read_public_line(line)
    assert caught.value.code == "E_KEY_TYPE"


@pytest.fixture
def ssh_keygen(tmp_path):
    """Run ssh-keygen beside a key and a message; skipped where OpenSSH is not installed."""
    program = shutil.which("ssh-keygen")
    if program is None:
        pytest.skip("ssh-keygen is not installed")
    key = tmp_path / "key"
    key.write_bytes(PAIR.private_file)
    key.chmod(0o600)
    (tmp_path / "message").write_bytes(MESSAGE)
    (tmp_path / "signers").write_text(
        f'engineer@co.example namespaces="{NAMESPACE}" {" ".join(PUBLIC.split()[:2])}\n'
    )

    def run(*arguments, message=None):
        return subprocess.run(
            [program, *arguments], cwd=tmp_path, input=message, capture_output=True, check=False
        )

    def accepts(signature, message=MESSAGE):
        (tmp_path / "signature").write_bytes(signature)
        done = run(
            "-Y", "verify", "-f", "signers", "-I", "engineer@co.example", "-n", NAMESPACE,
            "-s", "signature", message=message,
        )  # fmt: skip
        return done.returncode == 0

    run.accepts = accepts
    run.folder = tmp_path
    return run


def test_ssh_keygen_accepts_what_we_sign(ssh_keygen):
    assert ssh_keygen.accepts(SIGNED)
    assert not ssh_keygen.accepts(SIGNED, MESSAGE + b" ")


def test_we_accept_what_ssh_keygen_signs(ssh_keygen):
    done = ssh_keygen("-Y", "sign", "-f", "key", "-n", NAMESPACE, "message")
    assert done.returncode == 0, done.stderr
    signed = (ssh_keygen.folder / "message.sig").read_bytes()
    assert verify(signed, MESSAGE) == KEY
    assert signed == SIGNED


def test_ssh_keygen_names_the_same_fingerprint(ssh_keygen):
    (ssh_keygen.folder / "key.pub").write_text(PUBLIC)
    done = ssh_keygen("-l", "-f", "key.pub")
    assert fingerprint(KEY).encode() in done.stdout


def test_nothing_passes_here_that_ssh_keygen_refuses(ssh_keygen):
    chance = random.Random(7)
    mutants = [attack for attack, _ in ATTACKS.values()]
    for _ in range(40):
        mutant = bytearray(SIGNED)
        mutant[chance.randrange(len(mutant))] = chance.randrange(256)
        mutants.append(bytes(mutant))
    for mutant in mutants:
        try:
            ours = bool(verify(mutant, MESSAGE))
        except RefusedError:
            ours = False
        assert not ours or ssh_keygen.accepts(mutant)


def test_a_private_key_in_the_place_of_a_public_one_stays_where_it_is():
    with pytest.raises(RefusedError) as caught:
        sshsig.read_public_line(PAIR.private_file.decode())
    assert (caught.value.code, caught.value.reason) == (
        "E_KEY_TYPE",
        "this is a private key: it stays with its owner; name the .pub file",
    )


def test_a_comment_of_several_words_may_follow_a_key():
    assert sshsig.read_public_line(f"{PUBLIC} of the old laptop") == KEY


def test_base64_with_strange_letters_is_no_key():
    with pytest.raises(RefusedError, match="does not hold a whole key"):
        sshsig.read_public_line(PUBLIC.replace("AAAA", "AA!AA", 1))


def test_a_signature_is_read_up_to_its_greatest_size():
    for size, code in ((2048, "E_ARMOR"), (2049, "E_SIZE")):
        with pytest.raises(RefusedError) as caught:
            verify(b"x" * size, MESSAGE)
        assert caught.value.code == code


@pytest.mark.parametrize("part", [SIGNED[:-10], SIGNED[10:]])
def test_half_an_armor_is_no_signature_of_ssh_keygen(part):
    with pytest.raises(RefusedError, match="is not a signature that ssh-keygen -Y sign wrote"):
        verify(part, MESSAGE)


def test_a_key_that_cannot_sign_is_refused_in_a_whole_sentence():
    with pytest.raises(RefusedError) as caught:
        sign(b"", MESSAGE)
    assert caught.value.reason == (
        "the key file is not an OpenSSH key without passphrase: sign with ssh-keygen -Y sign -n "
        f"{NAMESPACE} and use `mlops release submit`"
    )


def test_a_key_pair_names_its_owner():
    assert PUBLIC.split() == ["ssh-ed25519", PUBLIC.split()[1], "engineer@co.example"]
    assert PAIR.private_file.startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----")
