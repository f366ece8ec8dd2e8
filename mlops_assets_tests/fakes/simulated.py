"""A command of this project whose fits are simulated, as on a machine of so many cores.

Started as ``python -m mlops_assets_tests.fakes.simulated CORES mlops|dagster WORDS``. Everything is
what it is without it, but for what a fit does: it lasts until somebody outside lets its process go.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.engines import processes
from mlops_assets_tests.fakes.engine import cheap_fit

if TYPE_CHECKING:
    from mlops_assets.domain.model import FitJob, FitResult

LET_GO = "FITS_LET_GO_IN"


def begun(folder: Path) -> set[str]:
    """Return the fits that began, by circuit; those that ended are among them."""
    return {path.stem for path in folder.glob("*.begun")}


def let_go(folder: Path, fit: str) -> None:
    """End a fit."""
    (folder / f"{fit}.ended").touch()


def held_fit(job: FitJob) -> FitResult:
    """Last until `let_go`; the model is worse than its floor, so that nobody goes on with it."""
    folder, name = Path(os.environ[LET_GO]), str(job.circuit).replace("/", "-")
    (folder / f"{name}.begun").touch()
    while not (folder / f"{name}.ended").exists():
        time.sleep(0.01)
    result = cheap_fit(job)
    return replace(result, metrics=replace(result.metrics, wape=2 * result.floor.wape))


def main() -> None:
    """Run the command."""
    cores, name, *words = sys.argv[1:]
    processes.cores = lambda: int(cores)
    processes.ProcessEngine = partial(
        processes.ProcessEngine, fit_function="mlops_assets_tests.fakes.simulated:held_fit"
    )
    sys.argv = [name, *words]
    where = "mlops_assets.cli" if name == "mlops" else "dagster._cli"
    importlib.import_module(where).main()


if __name__ == "__main__":
    main()
