"""People sign with the key they have: its file, a passphrase, a real ssh-agent."""

from __future__ import annotations

import os
import subprocess

import pytest

from mlops_assets.adapters.local.signature import SshKeygen, signer
from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.key_file import KeyFile
from mlops_assets.domain.signature import verify
from mlops_assets_tests.fakes import ssh
from mlops_assets_tests.fakes.ssh import WORDS, public_key

MESSAGE = b'{"decision":"approve"}'


def generate(folder, kind="ed25519", passphrase=WORDS):
    return ssh.generate(folder / f"id_{kind}", kind, passphrase)


@pytest.fixture
def types_the_passphrase(tmp_path, monkeypatch):
    for name, value in ssh.typed(tmp_path).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def no_agent(monkeypatch):
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "never")


def test_an_open_key_file_signs_in_this_process(tmp_path):
    file = generate(tmp_path, passphrase="")
    key = signer(file)
    assert isinstance(key, KeyFile)
    assert key.public_key == public_key(file)
    assert verify(key.sign(MESSAGE), MESSAGE) == public_key(file)


@pytest.mark.parametrize("named", ["the private file", "the public file alone"])
def test_a_key_in_an_agent_signs(tmp_path, monkeypatch, named):
    file = generate(tmp_path)
    expected = public_key(file)
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "never")
    with ssh.agent(tmp_path / "agent") as environment:
        ssh.add(file, {**environment, **ssh.typed(tmp_path)})
        monkeypatch.setenv("SSH_AUTH_SOCK", environment["SSH_AUTH_SOCK"])
        if named == "the public file alone":
            file.unlink()
            file = file.with_suffix(".pub")
        key = signer(file)
        assert key.public_key == expected
        assert verify(key.sign(MESSAGE), MESSAGE) == expected


@pytest.mark.usefixtures("no_agent", "types_the_passphrase")
def test_a_passphrase_is_asked_for(tmp_path):
    file = generate(tmp_path)
    key = signer(file)
    assert key.public_key == public_key(file)
    assert verify(key.sign(MESSAGE), MESSAGE) == public_key(file)


@pytest.mark.usefixtures("no_agent")
def test_a_key_that_is_in_no_agent_is_refused_with_the_way_out(tmp_path):
    file = generate(tmp_path)
    file.unlink()
    key = signer(file.with_suffix(".pub"))
    with pytest.raises(
        RefusedError, match=r"id_ed25519.pub: ssh-keygen cannot.*`ssh-add -l`"
    ) as no:
        key.sign(MESSAGE)
    assert no.value.code == "E_KEY_FILE"
    assert "\n" not in str(no.value)


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "E_KEY_FILE"), (b"no key\n", "E_KEY_FILE"), (b"\0" * 500, "E_KEY_FILE")],
)
@pytest.mark.usefixtures("no_agent")
def test_a_file_that_is_no_key_is_refused_in_one_line(tmp_path, content, code):
    file = tmp_path / "key"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(RefusedError) as no:
        _ = signer(file).public_key
    assert no.value.code == code
    assert str(file) in str(no.value)
    assert "\n" not in str(no.value)


@pytest.mark.parametrize("passphrase", ["", WORDS])
@pytest.mark.usefixtures("no_agent")
def test_a_key_of_another_kind_is_refused(tmp_path, passphrase):
    file = generate(tmp_path, "ecdsa", passphrase)
    with pytest.raises(RefusedError) as no:
        _ = signer(file).public_key
    assert no.value.code == "E_KEY_TYPE"


def test_where_no_ssh_keygen_is_the_refusal_says_what_to_install(tmp_path, monkeypatch):
    file = generate(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RefusedError, match=r"openssh-client.*on Windows"):
        signer(file).sign(MESSAGE)


def test_line_ends_as_windows_writes_them_are_no_other_signature(tmp_path, monkeypatch):
    file = generate(tmp_path, passphrase="")
    found = tmp_path / "bin"
    found.mkdir()
    real = subprocess.run(
        ["which", "ssh-keygen"], check=True, capture_output=True, text=True
    ).stdout.strip()
    windows = found / "ssh-keygen"
    windows.write_text(f"#!/bin/sh\n{real} \"$@\" | sed 's/$/\\r/'\n")
    windows.chmod(0o700)
    monkeypatch.setenv("PATH", f"{found}:{os.environ['PATH']}")
    key = SshKeygen(file)
    assert key.public_key == public_key(file)
    assert verify(key.sign(MESSAGE), MESSAGE) == public_key(file)
