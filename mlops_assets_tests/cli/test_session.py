"""What a command says while it works: lines into a file, a bar on a terminal."""

from __future__ import annotations

import io
import os
import pty
import sys

import pytest

from mlops_assets.cli.session import Bar


def worked(total):
    """Do so much, with a word in the middle."""
    bar = Bar()
    bar.begin("training", total)
    for number in range(total):
        bar.advance(f"P1/C{number}")
        if number == total // 2:
            bar.say("the cores bind")
    bar.close()


def test_into_a_file_it_says_how_far_it_is_and_nothing_goes_to_the_document(capfd):
    worked(20)
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "training: 20",
        *(f"training: {done} of 20, P1/C{done - 1}" for done in (2, 4, 6, 8, 10)),
        "the cores bind",
        *(f"training: {done} of 20, P1/C{done - 1}" for done in (12, 14, 16, 18, 20)),
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no terminal to make")
def test_on_a_terminal_it_draws_a_bar_and_takes_it_away(monkeypatch):
    ours, theirs = pty.openpty()
    with io.TextIOWrapper(io.FileIO(theirs, "w"), write_through=True) as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        worked(3)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert "P1/C2" in shown
    assert "the cores bind" in shown
    assert "of 3" not in shown
    assert shown.endswith("\x1b[2K"), "the bar's line is blank at the end"
