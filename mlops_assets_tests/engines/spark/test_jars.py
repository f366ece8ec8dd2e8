"""Jars come from a lock, and a session starts with no other."""

from __future__ import annotations

import hashlib
import re
import stat

import pytest

from mlops_assets.domain.errors import EngineError
from mlops_assets.engines.spark import jars


@pytest.fixture
def lock(tmp_path, monkeypatch):
    """A lock of one jar whose bytes are b"jar"."""
    digest = hashlib.sha256(b"jar").hexdigest()
    path = tmp_path / "jars.lock"
    path.write_text(f"# one\norg.example:some-jar:1.0 sha256:{digest}\n")
    monkeypatch.setattr(jars, "LOCK", path)


def maven(folder, program):
    """A Maven that does what a line of shell says."""
    path = folder / "mvn"
    find = 'for a in "$@"; do case $a in -DoutputDirectory=*) out=${a#*=};; esac; done'
    path.write_text(f"#!/bin/sh\n{find}\n{program}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_the_lock_pins_delta_for_the_spark_that_is_pinned_and_holds_no_address():
    text = jars.LOCK.read_text()
    named = {jar.artifact: jar for jar in jars.locked()}
    assert named["delta-spark_4.2_2.13"].version == named["delta-storage"].version == "4.4.0"
    assert "://" not in text
    assert all(re.fullmatch(r"[0-9a-f]{64}", jar.sha256) for jar in jars.locked())


def test_a_jar_that_is_absent_or_another_is_refused_with_the_command(lock, tmp_path):
    with pytest.raises(EngineError, match=r"some-jar-1.0.jar: .* is not there: run `make spark`"):
        jars.installed(tmp_path)
    (tmp_path / "some-jar-1.0.jar").write_bytes(b"other")
    with pytest.raises(EngineError, match=r"is not the jar that jars\.lock names"):
        jars.installed(tmp_path)
    (tmp_path / "some-jar-1.0.jar").write_bytes(b"jar")
    assert jars.installed(tmp_path) == (tmp_path / "some-jar-1.0.jar",)


def test_what_maven_brings_replaces_what_was_there(lock, tmp_path):
    folder = tmp_path / "jars"
    folder.mkdir()
    (folder / "some-jar-0.9.jar").write_bytes(b"old")
    program = maven(tmp_path, 'mkdir -p "$out" && printf jar > "$out/some-jar-1.0.jar"')
    jars.install(folder, program)
    assert [path.name for path in folder.iterdir()] == ["some-jar-1.0.jar"]


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ('mkdir -p "$out" && printf evil > "$out/some-jar-1.0.jar"', "is not the jar"),
        ("echo '[ERROR] no route to anywhere'; exit 1", "no route to anywhere"),
    ],
)
def test_what_maven_cannot_or_must_not_bring_leaves_nothing(lock, tmp_path, program, said):
    with pytest.raises(EngineError, match=said):
        jars.install(tmp_path / "jars", maven(tmp_path, program))
    assert not (tmp_path / "jars").exists()


def test_without_maven_the_line_says_what_to_install(lock, tmp_path):
    with pytest.raises(EngineError, match="install Maven"):
        jars.install(tmp_path / "jars", str(tmp_path / "no-mvn"))
