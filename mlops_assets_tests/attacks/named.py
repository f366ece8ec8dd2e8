"""The table of named attacks on a home: each prepares one, then tries to open a gate with it.

An attack is a function of a home on a disk that does its mischief and returns what is tried then;
its docstring is the story. It begins at one point of the life of a release:

    created    release ``home.made`` changes C1, whose change AUTHOR wrote; C1 and C2 are live
    asked      its registry request is open
    approved   ENGINEER signed it
    tested     registry and test stage are done
    ready      its production request is open and MANAGER signed it
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mlops_assets_tests.attacks.homes import DiskHome
from mlops_assets_tests.fakes.release import AUTHOR, C1, ENGINEER, MANAGER

Point = Literal["created", "asked", "approved", "tested", "ready"]
Mischief = Callable[[DiskHome], Callable[[], Any]]


@dataclass(frozen=True, slots=True)
class Named:
    """``codes`` are the refusals that answer it; ``begins`` is the point it starts from."""

    name: str
    begins: Point
    codes: frozenset[str]
    mischief: Mischief


NAMED: dict[str, Named] = {}


def attack(begins: Point, *codes: str) -> Callable[[Mischief], Mischief]:
    """Put an attack into the table under its function's name, in words."""

    def put(mischief: Mischief) -> Mischief:
        name = mischief.__name__.replace("_", " ").strip()
        if name in NAMED:
            raise ValueError(f"there are two attacks named {name!r}")
        NAMED[name] = Named(name, begins, frozenset(codes), mischief)
        return mischief

    return put


def homes_by_point(folder: Path) -> dict[Point, DiskHome]:
    """One home at each point, to be copied by each attack."""
    home = DiskHome(folder / "home")
    home.first = home.deployed()
    home.edit(C1, author=AUTHOR, reviewers=[MANAGER])
    home.made = home.create(C1)
    found: dict[Point, DiskHome] = {"created": home.at(folder / "created")}
    home.request(home.made, "registry")
    found["asked"] = home.at(folder / "asked")
    assert home.approve(home.made, "registry", ENGINEER).accepted
    found["approved"] = home.at(folder / "approved")
    home.promote(home.made, "registry")
    home.promote(home.made, "test")
    found["tested"] = home.at(folder / "tested")
    assert home.approve(home.made, "production", MANAGER).accepted
    found["ready"] = home.at(folder / "ready")
    return found


def untouched(begins: Point) -> Mischief:
    """What each attack tries in the end, without any mischief: it must open the gate."""

    def do(home: DiskHome) -> Callable[[], Any]:
        match begins:
            case "created" | "asked":
                return lambda: home.approve(home.made, "registry", ENGINEER)
            case "approved":
                return lambda: home.promote(home.made, "registry")
            case "tested":
                return lambda: home.approve(home.made, "production", MANAGER)
            case _:
                return lambda: home.promote(home.made, "production")

    return do
