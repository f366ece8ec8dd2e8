"""The first few hundred of the malformed files; ``make malformed`` reads all 30,000."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mlops_assets_tests.malformed import config, raw


@pytest.mark.parametrize(("name", "count"), [("raw", 160), ("config", 240), ("model", 100)])
def test_every_malformed_file_is_one_clear_line_or_read(name, count):
    done = subprocess.run(
        [sys.executable, "-m", "mlops_assets_tests.malformed", name, f"--count={count}"],
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("holds\n")
    assert done.stderr == ""


def test_the_same_seed_gives_the_same_files():
    for programme in (raw, config):
        kinds = len(programme.KINDS)
        assert list(programme.cases(kinds, 5)) == list(programme.cases(kinds, 5))
        assert list(programme.cases(kinds, 5)) != list(programme.cases(kinds, 6))
