"""A backup is of one moment, whatever happens meanwhile; a restored home goes on from there."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from mlops_assets.adapters.local import backup as adapter
from mlops_assets.adapters.local.backup import snapshots
from mlops_assets.domain.errors import DataError, HomeError, RefusedError
from mlops_assets.flows.audit import verify
from mlops_assets.flows.plan import config_at
from mlops_assets.flows.readings import ingest
from mlops_assets.flows.rollback import rehearse
from mlops_assets.flows.trace import trace
from mlops_assets.resources import backups, open_platform
from mlops_assets.settings import HomeLayout, Settings
from mlops_assets_tests.journeys.command import mlops
from mlops_assets_tests.journeys.product_state import product_state

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def opened(home: Path, config: Path | None = None):
    return open_platform(Settings(home=home, config=config or home / "config"))


def taken(home: Path, folder: Path, progress=None, now=NOW):
    return backups(Settings(home=home, config=home / "config"), folder).take(now, progress)


def restore(folder: Path, layout: HomeLayout) -> str:
    home = layout.root
    return backups(Settings(home=home, config=home / "config"), folder).restore(None)


def send(home: Path, number: int) -> None:
    """Put a raw file into the landing zone whose rows continue the table."""
    lake = opened(home).lake
    newest = lake.readings.newest()
    rows = lake.readings.read(start=newest, columns=["plant_id", "circuit_id", "value"])
    moment = newest + timedelta(hours=1)
    lines = [
        f"{plant},{circuit},{moment.isoformat()},{value}"
        for plant, circuit, value in rows.iter_rows()
    ]
    text = "\n".join(["plant_id,circuit_id,timestamp,value", *lines, ""])
    lake.landing.put(f"meanwhile/{number:03}.csv", text.encode())


def slice_of(home: Path) -> None:
    platform = opened(home)
    ingest(platform.lake, config_at(platform), now=platform.clock.now())


class Meanwhile:
    """Works on the home between any two sections of a backup."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.sections: list[str] = []

    def begin(self, what: str, total: int) -> None: ...
    def advance(self, label: str = "") -> None: ...

    def say(self, line: str) -> None:
        self.sections.append(line)
        number = len(self.sections)
        send(self.home, number)
        slice_of(self.home)
        platform = opened(self.home)
        platform.ledger.append("unheld", "platform", {"circuits": []}, platform.clock.now())
        for plant in platform.prod.endpoints.plants():
            live = platform.prod.endpoints.live(plant)
            platform.prod.endpoints.swap(live, live.with_changes({}))
        (self.home / "config" / f"note-{number}.txt").write_text("edited")


def test_a_home_restored_elsewhere_is_the_same_and_goes_on(demo_home, tmp_path):
    before = product_state(demo_home)
    done = taken(demo_home, tmp_path / "backups")
    assert done.written <= done.bytes
    elsewhere = tmp_path / "elsewhere"
    document = mlops(elsewhere, "restore", "--from", str(tmp_path / "backups"))
    assert document["ok"]
    assert document["problems"] == []
    assert product_state(elsewhere) == before
    shutil.rmtree(demo_home)
    assert mlops(elsewhere, "predict")["rows"] == 0
    send(elsewhere, 1)
    assert mlops(elsewhere, "ingest")["rows_inserted"] > 0
    assert mlops(elsewhere, "train")["trained"] == []
    assert mlops(elsewhere, "verify")["ok"]
    platform = opened(elsewhere)
    [row, *_] = (
        platform.lake.predictions.read().sort("issued_for", descending=True).iter_rows(named=True)
    )
    key = next(k for k in config_at(platform).circuits if k.circuit_id == row["circuit_id"])
    assert trace(platform, config_at(platform), key, row["issued_for"])["problems"] == []
    assert isinstance(row["issued_for"], date)
    rehearse(platform, [key])


def test_a_backup_in_the_middle_of_slices_and_decisions_is_of_one_moment(demo_home, tmp_path):
    meanwhile = Meanwhile(demo_home)
    taken(demo_home, tmp_path / "backups", meanwhile)
    assert len(meanwhile.sections) >= 6
    elsewhere = tmp_path / "elsewhere"
    restore(tmp_path / "backups", HomeLayout(elsewhere))
    platform = opened(elsewhere)
    found = verify(platform, now=platform.clock.now())
    assert found["ok"], found["problems"]
    # What was not in it yet comes again with the raw files, each row once.
    slice_of(elsewhere)
    slice_of(demo_home)
    columns = ["plant_id", "circuit_id", "timestamp", "value"]
    mine, theirs = (
        opened(home).lake.readings.read(columns=columns) for home in (elsewhere, demo_home)
    )
    assert mine.equals(theirs.filter(pl.col("timestamp") <= mine["timestamp"].max()))
    assert not mine.select(columns[:3]).is_duplicated().any()
    known = {file.path for file in platform.lake.journal.confirmed()}
    assert {path for path in known if path.startswith("meanwhile/")}


def test_a_second_backup_writes_only_what_is_new(demo_home, tmp_path):
    folder = tmp_path / "backups"
    first = taken(demo_home, folder)
    again = taken(demo_home, folder, now=NOW + timedelta(hours=1))
    assert again.written == 0
    assert (again.files, again.bytes) == (first.files, first.bytes)
    send(demo_home, 1)
    slice_of(demo_home)
    third = taken(demo_home, folder, now=NOW + timedelta(hours=2))
    assert 0 < third.written < first.written / 2
    assert len(snapshots(folder)) == 3


def test_a_backup_that_was_killed_is_none_and_the_next_goes_on_with_it(
    demo_home, tmp_path, monkeypatch
):
    folder = tmp_path / "backups"
    with monkeypatch.context() as patched:
        patched.setattr(adapter, "write_atomic", _die)
        with pytest.raises(KeyboardInterrupt):
            taken(demo_home, folder)
    assert snapshots(folder) == []
    assert taken(demo_home, folder).written == 0


def _die(*_, **__):
    raise KeyboardInterrupt


def test_a_restore_that_was_killed_is_no_home_and_is_finished_by_the_same_again(
    demo_home, tmp_path, monkeypatch
):
    folder, elsewhere = tmp_path / "backups", HomeLayout(tmp_path / "elsewhere")
    taken(demo_home, folder)
    genuine, left = adapter.write_atomic, [40]

    def dying(*arguments, **options):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        genuine(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(adapter, "write_atomic", dying)
        with pytest.raises(KeyboardInterrupt):
            restore(folder, elsewhere)
    with pytest.raises(HomeError):
        elsewhere.kind()
    restore(folder, elsewhere)
    assert product_state(elsewhere.root) == product_state(demo_home)
    with pytest.raises(HomeError, match="is not empty"):
        restore(folder, elsewhere)


def test_every_damage_of_a_backup_is_found_before_it_is_a_home(demo_home, tmp_path):
    folder = tmp_path / "backups"
    taken(demo_home, folder)
    [name] = snapshots(folder)
    content = json.loads((folder / "snapshots" / name).read_bytes())["content"]
    path, digest, *_ = next(row for row in content["files"] if row[0].endswith("log.jsonl"))
    thing = folder / "objects" / digest[:2] / digest
    whole = thing.read_bytes()
    thing.chmod(0o644)
    thing.write_bytes(whole[:-1] + b"?")
    elsewhere = HomeLayout(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=f"{path} is damaged in the backup"):
        restore(folder, elsewhere)
    thing.unlink()
    with pytest.raises(DataError, match="is missing in the backup"):
        restore(folder, elsewhere)
    thing.write_bytes(whole)
    restore(folder, elsewhere)
    sealed = (folder / "snapshots" / name).read_bytes()
    (folder / "snapshots" / name).write_bytes(sealed.replace(b"log.jsonl", b"log.jsonx"))
    with pytest.raises(DataError, match="is damaged"):
        restore(folder, HomeLayout(tmp_path / "other"))


def test_decisions_newer_than_the_backup_are_told_where_an_anchor_shows_them(demo_home, tmp_path):
    folder, elsewhere = tmp_path / "backups", tmp_path / "elsewhere"
    taken(demo_home, folder)
    platform = opened(demo_home)
    platform.ledger.append("unheld", "platform", {"circuits": []}, platform.clock.now())
    survived = Path(shutil.move(demo_home / "config", tmp_path / "config"))
    shutil.rmtree(demo_home)
    document = mlops(
        elsewhere, "--config", str(survived), "restore", "--from", str(folder), expect=1
    )
    assert any("it was cut off" in problem for problem in document["problems"])
    refused = opened(elsewhere, survived)
    with pytest.raises(RefusedError, match="cut off"):
        refused.ledger.append("unheld", "platform", {"circuits": []}, refused.clock.now())
    shutil.rmtree(elsewhere)
    who = ("--as", "ops@co.example", "--reason", "the disk died")
    words = ("--config", str(survived), "restore", "--from", str(folder), "--accept-loss", *who)
    document = mlops(elsewhere, *words)
    assert (document["ok"], document["lost"]) == (True, 1)
    [loss] = document["restored"]
    assert (loss["operator"], loss["reason"]) == ("ops@co.example", "the disk died")
    going_on = opened(elsewhere, survived)
    going_on.ledger.append("unheld", "platform", {"circuits": []}, going_on.clock.now())
    assert verify(going_on, now=going_on.clock.now())["ok"]


def test_a_folder_that_is_none_of_backups_is_refused(demo_home, tmp_path):
    with pytest.raises(DataError, match="lies in the home"):
        taken(demo_home, demo_home / "backups")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match=r"holds me\.jpg, which is no backup"):
        taken(demo_home, tmp_path / "photos")
    with pytest.raises(DataError, match="holds no backup"):
        restore(tmp_path / "photos", HomeLayout(tmp_path / "elsewhere"))
