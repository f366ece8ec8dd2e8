"""A listing reads each raw file once, and again whenever it might have changed."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest

from mlops_assets.adapters.local.journal import LocalIngestJournal
from mlops_assets.adapters.local.landing import TRUSTED, LocalLandingZone
from mlops_assets.domain.readings import RawFile

SECOND = 1_000_000_000
DAY = 86_400 * SECOND


class Clock:
    """A clock well after every file was written."""

    def __init__(self):
        self.offset = 10 * SECOND

    def __call__(self):
        import time

        return time.time_ns() + self.offset


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def zone(tmp_path, clock):
    (tmp_path / "raw").mkdir()
    zone = LocalLandingZone(tmp_path / "raw", seen=tmp_path / "seen.json", clock=clock)
    for number in range(20):
        zone.put(f"p/{number}.csv", b"%d" % number)
    return zone


@pytest.fixture
def reads(monkeypatch):
    """Names of the files that a listing reads."""
    names = []
    genuine = LocalLandingZone._bytes
    monkeypatch.setattr(
        LocalLandingZone, "_bytes", lambda self, path: (names.append(path), genuine(self, path))[1]
    )
    return names


def test_a_file_that_was_listed_is_not_read_again(zone, reads):
    first = zone.files()
    assert len(reads) == 20
    reads.clear()
    assert zone.files() == first
    zone.put("p/new.csv", b"x")
    assert len(zone.files()) == 21
    assert reads == ["p/new.csv"]


def test_a_few_new_files_are_rather_read_again_than_remembered_each_time(zone, reads, tmp_path):
    zone.files()
    before = (tmp_path / "seen.json").read_bytes()
    for number in range(16):
        zone.put(f"q/{number}.csv", b"x")
    zone.files()
    assert (tmp_path / "seen.json").read_bytes() == before
    zone.put("q/16.csv", b"x")
    zone.files()
    reads.clear()
    zone.files()
    assert reads == []
    zone.put("q/large.csv", bytes(5_000_000))
    zone.files()
    reads.clear()
    zone.files()
    assert reads == []


def test_a_file_changed_in_place_is_noticed_even_with_its_size_and_time_as_they_were(
    zone, reads, tmp_path
):
    first = zone.files()
    file = tmp_path / "raw" / "p" / "3.csv"
    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    with file.open("r+b") as opened:
        opened.write(b"9")
    os.utime(file, ns=times)
    reads.clear()
    again = zone.files()
    assert reads == ["p/3.csv"]
    assert {a.path for a, b in zip(again, first, strict=True) if a != b} == {"p/3.csv"}


def test_a_file_that_was_just_written_is_read_again_until_its_time_is_past(zone, reads, clock):
    clock.offset = 0
    zone.files()
    reads.clear()
    zone.files()
    assert len(reads) == 20
    clock.offset = 10 * SECOND
    zone.files()
    reads.clear()
    zone.files()
    assert reads == []


def test_every_file_is_read_again_within_a_week_and_not_all_at_once(
    zone, reads, clock, monkeypatch
):
    monkeypatch.setattr("mlops_assets.adapters.tree.landing.FEW", 0)
    zone.files()
    days = TRUSTED // timedelta(days=1)
    counts = []
    for day in range(1, days + 1):
        reads.clear()
        clock.offset = 10 * SECOND + day * DAY
        zone.files()
        counts.append(len(reads))
    assert sum(counts) == 20
    assert max(counts) < 20


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": 9, "files": []}', b'{"format": 1}'])
def test_what_cannot_be_remembered_is_read(zone, reads, tmp_path, content):
    first = zone.files()
    (tmp_path / "seen.json").write_bytes(content)
    reads.clear()
    assert zone.files() == first
    assert len(reads) == 20


def test_a_file_that_went_is_listed_no_more(zone, tmp_path):
    zone.files()
    (tmp_path / "raw" / "p" / "7.csv").unlink()
    assert "p/7.csv" not in {file.path for file in zone.files()}


def test_links_to_folders_are_not_followed(zone, tmp_path):
    (tmp_path / "raw" / "loop").symlink_to(tmp_path / "raw")
    assert len(zone.files()) == 20


def test_confirmed_slices_are_gathered_and_still_known(tmp_path, monkeypatch):
    monkeypatch.setattr("mlops_assets.adapters.tree.journal._ALONE", 5)
    journal = LocalIngestJournal(tmp_path)
    files = [RawFile(f"{number}.csv", 1, f"{number:064}") for number in range(23)]
    for number, file in enumerate(files):
        journal.intend(f"s{number}", [file])
        journal.confirm(f"s{number}", number, logs={"quarantine": number})
    assert len(list((tmp_path / "slices").iterdir())) <= 5
    assert journal.confirmed() == frozenset(files)
    assert journal.made()["s7"] == {"readings": 7, "quarantine": 7}
    journal.confirm("s7", 99)
    assert journal.made()["s7"]["readings"] == 7
    journal.reopen("s7")
    journal.reopen("s3")
    assert list(journal.pending()) == ["s3", "s7"]
    assert journal.reopened() == {"s3", "s7"}
    assert journal.confirmed() == frozenset(files) - {files[3], files[7]}
    journal.confirm("s3", 50)
    assert journal.reopened() == {"s7"}


def test_a_journal_of_the_first_format_is_read(tmp_path):
    (tmp_path / "slices").mkdir()
    (tmp_path / "slices" / "s.json").write_text(
        '{"format": 1, "slice": "s", "delta_version": 4, '
        '"files": [{"path": "a", "size": 1, "sha256": "0"}]}'
    )
    journal = LocalIngestJournal(tmp_path)
    assert journal.confirmed() == {RawFile("a", 1, "0")}
    assert journal.made() == {"s": {"readings": 4}}


def test_an_intent_that_a_killed_confirm_left_is_closed_by_the_next_holder(tmp_path):
    journal = LocalIngestJournal(tmp_path)
    journal.intend("s", [RawFile("a", 1, "0")])
    intent = tmp_path / "intents" / "s.json"
    data = intent.read_bytes()
    journal.confirm("s", 1)
    intent.write_bytes(data)
    assert journal.pending() == {}
    with journal.lock():
        assert not intent.exists()
