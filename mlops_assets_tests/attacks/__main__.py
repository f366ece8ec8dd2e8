"""The attacks in full (`make attacks`): ``python -m mlops_assets_tests.attacks [PART...]``.

100,000 generated attacks on statements and signatures, 2,500 of them handed in through `submit`
and the gate (500 on a home on a disk); every named attack; 10,000 signatures put before
`ssh-keygen`; every bit, length and line of an audit log. Ends with 0 when nothing was accepted that
must not be, nothing broke, and all harm was found.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mlops_assets_tests.attacks import (
    decisions,
    folders,
    histories,
    moments,
    openings,
    papers_named,
    people,
)
from mlops_assets_tests.attacks.generate import SEED, generated
from mlops_assets_tests.attacks.homes import DiskHome
from mlops_assets_tests.attacks.log import harmed, realistic
from mlops_assets_tests.attacks.named import NAMED, homes_by_point, untouched
from mlops_assets_tests.attacks.oracle import compared
from mlops_assets_tests.attacks.tally import Tally, outcome_of
from mlops_assets_tests.attacks.through import attacked, prepared
from mlops_assets_tests.fakes.release import ReleaseHome

GENERATED, IN_MEMORY, ON_DISK, SIGNATURES = 100_000, 2_000, 500, 10_000
_TABLES = (decisions, folders, histories, moments, openings, people)


def _generated(scale: int, seed: int, folder: Path) -> list[str]:
    tally = generated((GENERATED - IN_MEMORY - ON_DISK) // scale, seed)
    attacked(prepared(ReleaseHome()), IN_MEMORY // scale, "in memory", seed, tally)
    attacked(prepared(DiskHome(folder / "home")), ON_DISK // scale, "on a disk", seed, tally)
    print(tally.table())
    return tally.wrong


def _named(scale: int, seed: int, folder: Path) -> list[str]:
    tally, wrong = Tally(), []
    homes = homes_by_point(folder)
    for number, named in enumerate(NAMED.values()):
        family = named.mischief.__module__.rpartition(".")[2]
        if not tally.controls[family]:
            for begins in homes:
                good = untouched(begins)(homes[begins].at(folder / f"{family}-{begins}"))
                tally.control(family, outcome_of(good))
        home = homes[named.begins].at(folder / f"attacked-{number}")
        attempt = named.mischief(home)
        served = home.again().served()
        outcome = outcome_of(attempt)
        tally.add(family, outcome, identity=number, what=named.name)
        if outcome.code not in named.codes or home.again().served() != served:
            wrong.append(f"{named.name}: {outcome.code} {outcome.reason}")
        shutil.rmtree(home.layout.root)
    for number, (name, (code, attempt)) in enumerate(papers_named.NAMED.items()):
        outcome = outcome_of(attempt)
        tally.add("single papers", outcome, identity=number, what=name)
        if outcome.code != code:
            wrong.append(f"{name}: {outcome.code} instead of {code}")
    print(tally.table())
    return [*tally.wrong, *wrong]


def _signatures(scale: int, seed: int, folder: Path) -> list[str]:
    found = compared(SIGNATURES // scale, folder, seed)
    print(found.table())
    agreed = sum(said[True, True] for said in found.counts.values())
    return [*found.wrong, *([] if agreed else ["no good signature was accepted by both"])]


def _log(scale: int, seed: int, folder: Path) -> list[str]:
    log = realistic()
    print(f"{len(log.lines)} entries, {len(log.data)} bytes")
    found = harmed(log, every=1 if scale == 1 else 8 * scale + 1)
    print(found.table())
    return found.wrong


PARTS: dict[str, Callable[[int, int, Path], list[str]]] = {
    "named": _named,
    "generated": _generated,
    "signatures": _signatures,
    "log": _log,
}


def main() -> int:
    """Run the parts that are named, or all; print tables, and what must not be."""
    parser = argparse.ArgumentParser(prog="python -m mlops_assets_tests.attacks")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--quick", action="store_true", help="a hundredth, to see that it runs")
    chosen = parser.parse_args()
    if unknown := sorted(set(chosen.parts) - set(PARTS)):
        parser.error(f"no part {', '.join(unknown)}: there are {', '.join(PARTS)}")
    wrong: list[str] = []
    for name in chosen.parts or PARTS:
        print(f"\n{name}, seed {chosen.seed}")
        started = (time.monotonic(), time.process_time())
        with tempfile.TemporaryDirectory() as folder:
            found = PARTS[name](100 if chosen.quick else 1, chosen.seed, Path(folder))
        wall, cpu = time.monotonic() - started[0], time.process_time() - started[1]
        print(f"{len(found)} wrong; {wall:.0f} s, {cpu:.0f} s of this process")
        wrong += found
    print("\n".join(wrong[:100]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
