"""What the pages of `docs/` have people type."""

from __future__ import annotations

import re
import shlex
import textwrap
from pathlib import Path

import click

from mlops_assets.cli import main

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
_BLOCK = re.compile(r"^ *```\w*\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
# What ends one command of a line and begins the next.
_NEXT = re.compile(r"\s(?:&&|\|\||\||;|#|>>?|<)\s")


def blocks(text: str) -> list[str]:
    """Every block that is set apart, as it is typed."""
    return [textwrap.dedent(found) for found in _BLOCK.findall(text)]


def typed(text: str) -> list[str]:
    """Every line of a block, and everything in the text that stands in backticks."""
    lines = [line.strip() for block in blocks(text)
             for line in block.replace("\\\n", " ").splitlines()]  # fmt: skip
    inline = re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", _BLOCK.sub("", text))
    return [*lines, *(" ".join(each.split()) for each in inline)]


def filled(line: str) -> str:
    """A line as one word for each thing that its shell would ask before."""
    while (start := line.find("$(")) >= 0:
        end, depth = start + 2, 1
        while depth:
            depth += {"(": 1, ")": -1}.get(line[end], 0)
            end += 1
        line = f"{line[:start]}SAID{line[end:]}"
    return line


def ours(text: str) -> list[list[str]]:
    """The commands of ours among them, as words."""
    parts = [part for line in typed(text) for part in _NEXT.split(filled(line))]
    return [shlex.split(part)[1:] for part in parts if part.strip().startswith("mlops ")]


def unknown(words: list[str]) -> str | None:
    """What of a command there is not; None where all of it is."""
    group: click.Command = main
    known = {flag for each in main.params for flag in each.opts}
    rest = list(words)
    while isinstance(group, click.Group):
        while rest and rest[0].startswith("-"):
            flag = rest.pop(0)
            if flag not in known and flag not in {"-h", "--help", "--version"}:
                return flag
            if flag in {"--home", "--config"} and rest:
                rest.pop(0)
        if not rest:
            return None
        name = rest.pop(0)
        command = group.get_command(click.Context(group), name)
        if command is None:
            return name
        group = command
    flags = {flag for each in group.params for flag in each.opts} | {"-h", "--help"}
    given = [word.partition("=")[0] for word in rest if word.startswith("--")]
    return next((word for word in given if word not in flags), None)
