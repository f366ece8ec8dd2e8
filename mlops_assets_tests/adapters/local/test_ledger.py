"""The log on disk survives a kill at any byte, and shows whatever no kill can do."""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
from datetime import UTC, datetime

import pytest

from mlops_assets.adapters.local.ledger import LocalLedger
from mlops_assets.domain.errors import DataError, RefusedError
from mlops_assets.domain.ledger import anchor_of, line_of

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Home:
    """A folder with a ledger and its anchors in a file beside it."""

    def __init__(self, folder):
        self.folder = folder
        self.log = folder / "ledger" / "log.jsonl"
        self.notes = folder / "notes"

    def anchor(self, text):
        with self.notes.open("a") as file:
            file.write(f"{text}\n")

    def anchored(self):
        return self.notes.read_text().splitlines() if self.notes.exists() else []

    @property
    def ledger(self):
        """The ledger as a new process sees it."""
        return LocalLedger(self.folder / "ledger", self.anchor, self.anchored)


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path)
    for number in range(3):
        home.ledger.append("e", "platform", {"n": number}, NOW)
    return home


def test_a_torn_line_is_removed_by_the_next_append(home):
    whole = home.log.read_bytes()
    last = line_of(home.ledger.entries()[-1])
    for length in range(1, len(last)):
        home.log.write_bytes(whole + last[:length].replace(b'"n":2', b'"n":3'))
        assert len(home.ledger.entries()) == 3
    entry = home.ledger.append("e", "platform", {"n": 3}, NOW)
    assert entry.seq == 3
    assert home.log.read_bytes() == whole + line_of(entry)


def test_a_line_that_was_acknowledged_is_never_repaired_away(home):
    home.log.write_bytes(home.log.read_bytes()[:-5])
    with pytest.raises(RefusedError, match="entry 2 was anchored: it was cut off") as caught:
        home.ledger.append("e", "platform", {}, NOW)
    assert caught.value.code == "E_ANCHOR"


def test_a_line_without_its_anchor_gets_it_from_the_next_holder(home):
    anchors = home.anchored()
    home.notes.write_text("\n".join(anchors[:-1]) + "\n")
    with home.ledger.lock():
        assert home.anchored() == anchors
    assert home.ledger.append("e", "platform", {}, NOW).seq == 3


def test_an_append_whose_anchor_fails_is_found_again_not_doubled(home):
    def fails(text):
        raise DataError("git: no space")

    broken = LocalLedger(home.folder / "ledger", fails, home.anchored)
    with pytest.raises(DataError, match="no space"):
        broken.append("e", "platform", {"n": 3}, NOW)
    with home.ledger.lock():
        assert [entry.data["n"] for entry in home.ledger.entries()] == [0, 1, 2, 3]
    assert len(home.anchored()) == 4


def test_two_lines_without_anchor_are_refused(home):
    home.notes.write_text(anchor_of(home.ledger.entries()[0]) + "\n")
    with pytest.raises(RefusedError, match="entry 1 has no anchor"), home.ledger.lock():
        pass


def test_a_changed_line_is_refused_by_name(home):
    home.log.write_bytes(home.log.read_bytes().replace(b'"n":1', b'"n":7'))
    with pytest.raises(RefusedError, match="ledger entry 1 is not the one that was anchored"):
        home.ledger.entries()


def test_a_removed_log_is_refused(home):
    home.log.unlink()
    with pytest.raises(RefusedError, match="cut off"):
        home.ledger.append("e", "platform", {}, NOW)


def test_a_log_that_cannot_be_written_is_named(home):
    home.log.unlink()
    home.log.mkdir()
    with pytest.raises(DataError, match=r"log\.jsonl: cannot be"):
        home.ledger.append("e", "platform", {}, NOW)


def test_a_full_disk_leaves_the_log_as_it_was(home):
    whole = home.log.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 10, hard))
    try:
        with pytest.raises(DataError, match="check the disk's free space"):
            home.ledger.append("e", "platform", {"n": 3}, NOW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert home.log.read_bytes() == whole
    assert home.ledger.append("e", "platform", {"n": 4}, NOW).seq == 3


def test_threads_take_turns(home):
    ledger = home.ledger

    def work():
        for _ in range(5):
            with ledger.lock():
                count = len(ledger.entries())
                ledger.append("e", "platform", {"n": count}, NOW)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.data["n"] for entry in ledger.entries()] == list(range(18))


WORKER = """
import sys, pathlib
from datetime import UTC, datetime
from mlops_assets_tests.adapters.local.test_ledger import Home
ledger = Home(pathlib.Path(sys.argv[1])).ledger
for _ in range(5):
    with ledger.lock():
        ledger.append("e", "platform", {"n": len(ledger.entries())}, datetime.now(UTC))
"""


def test_processes_take_turns(home):
    command = [sys.executable, "-c", WORKER, str(home.folder)]
    workers = [subprocess.Popen(command) for _ in range(2)]
    assert [worker.wait() for worker in workers] == [0, 0]
    assert [entry.data["n"] for entry in home.ledger.entries()] == list(range(13))
