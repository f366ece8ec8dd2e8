"""Files appear whole or not at all."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from mlops_assets.adapters.local.files import (
    locked,
    read_bytes,
    read_folder,
    sweep_temporary,
    write_atomic,
    write_folder_once,
    write_once,
)
from mlops_assets.domain.errors import DataError, StaleError


def test_an_atomic_write_replaces_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "a" / "b.json"
    write_atomic(target, b"1")
    write_atomic(target, b"2")
    assert target.read_bytes() == b"2"
    assert [path.name for path in target.parent.iterdir()] == ["b.json"]


def test_a_secret_file_can_be_made_for_its_owner_alone(tmp_path):
    write_atomic(tmp_path / "key", b"1", mode=0o600)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_a_file_written_once_takes_the_same_bytes_and_no_others(tmp_path):
    target = tmp_path / "a.json"
    assert write_once(target, b"1") is True
    assert write_once(target, b"1") is False
    with pytest.raises(StaleError, match=r"a\.json: is written once"):
        write_once(target, b"2")
    assert target.read_bytes() == b"1"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_written_once_takes_the_same_files_and_no_others(tmp_path):
    files = {"a": b"1", "sub/b": b"2"}
    assert write_folder_once(tmp_path / "f", files) is True
    assert write_folder_once(tmp_path / "f", files) is False
    assert read_folder(tmp_path / "f") == files
    with pytest.raises(StaleError, match="is written once"):
        write_folder_once(tmp_path / "f", {"a": b"1"})
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_file_that_is_not_there_reads_as_none_and_a_folder_is_explained(tmp_path):
    assert read_bytes(tmp_path / "x") is None
    assert read_bytes(tmp_path / "x" / "y") is None
    assert read_folder(tmp_path / "x") == {}
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_bytes(tmp_path)


def test_a_full_disk_is_one_line_and_leaves_the_old_state(tmp_path):
    target = tmp_path / "a"
    write_atomic(target, b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        for write in (write_atomic, lambda path, data: write_once(path.with_name("b"), data)):
            with pytest.raises(DataError, match=r"cannot be written: File too large; check"):
                write(target, b"x" * 2000)
        with pytest.raises(DataError, match="cannot be written"):
            write_folder_once(tmp_path / "f", {"a": b"x" * 2000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert read_folder(tmp_path) == {"a": b"old"}


def test_a_lock_is_held_against_others_and_free_afterwards(tmp_path):
    lock = tmp_path / "locks" / "l"
    with (
        locked(lock),
        pytest.raises(StaleError, match="somebody else holds it"),
        locked(lock, wait=False),
    ):
        raise AssertionError("two hold it")
    with locked(lock, wait=False):
        pass


def test_a_lock_ends_with_the_process_that_held_it(tmp_path):
    lock = tmp_path / "l"
    script = (
        "import os, sys; from pathlib import Path\n"
        "from mlops_assets.adapters.local.files import locked\n"
        "with locked(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(lock)], check=False)
    assert done.returncode == -9
    with locked(lock, wait=False):
        pass


def test_the_sweep_takes_old_temporary_names_and_nothing_else(tmp_path):
    now = datetime.now(UTC)
    old = (now - timedelta(days=2)).timestamp()
    names = [".a.json.12-3.tmp", ".b.tmp", "c.12-3.tmp", ".new.1-1.tmp"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
        if "new" not in name:
            os.utime(tmp_path / name, (old, old))
    folder = tmp_path / "sub" / ".f.1-2.tmp"
    (folder / "inner").mkdir(parents=True)
    os.utime(folder, (old, old))
    assert sweep_temporary(tmp_path, now, timedelta(days=1)) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".b.tmp",
        ".new.1-1.tmp",
        "c.12-3.tmp",
        "sub",
    ]
    assert not folder.exists()
