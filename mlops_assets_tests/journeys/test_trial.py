"""A trial from the command line: it answers, draws, and leaves the home as it was."""

from __future__ import annotations

import hashlib
from datetime import date, timedelta

import yaml

from mlops_assets_tests.journeys.command import mlops


def content(home):
    """Every file of a home, by path, with the digest of its bytes."""
    return {
        path.relative_to(home).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(home.rglob("*"))
        if path.is_file()
    }


def test_a_trial_leaves_every_byte_of_the_home_as_it_was(demo_home, tmp_path):
    key, *_ = [line["circuit"] for line in mlops(demo_home, "plan")]
    plant, circuit = key.split("/")
    text = (demo_home / "config" / "plants" / plant / f"{circuit}.yml").read_text()
    stated = yaml.safe_load(text)
    trained = date.fromisoformat(str(stated["cutoff_date"]))
    file = tmp_path / "mine.yml"
    before = content(demo_home)
    answers = {}
    for days, incumbent in ((0, "configured"), (7, "live")):
        wanted = {
            **stated,
            "cutoff_date": trained + timedelta(days=days),
            "forecaster": "seasonal_naive",
        }
        file.write_text(yaml.safe_dump(wanted))
        plot = tmp_path / f"{incumbent}.html"
        answers[incumbent] = mlops(
            demo_home, "try", "--circuit", key, "--spec", str(file), "--out", str(plot)
        )
        assert b"<svg" in plot.read_bytes()
    for incumbent, answer in answers.items():
        rows = answer["candidates"]
        assert [row["candidate"] for row in rows] == ["proposed", incumbent, "seasonal_naive"]
        assert len({row["points"] for row in rows}) == 1
        assert all(row["mae"] > 0 for row in rows)
        assert rows[0]["mae"] == rows[2]["mae"]
    assert content(demo_home) == before

    file.write_text("format: 1\ncutoff_date: 2026-13-01\n")
    refused = mlops(demo_home, "try", "--circuit", key, "--spec", str(file), expect=1)
    assert refused["error"].startswith(f"{file}:2: cutoff_date: 2026-13-01 is not a date")
    assert content(demo_home) == before
