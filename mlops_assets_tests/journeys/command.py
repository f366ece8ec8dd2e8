"""Runs the command line as its own process, as people do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if not key.startswith(("DAGSTER", "MLOPS"))},
    "PYTHONWARNINGS": "ignore",
}


def mlops_process(
    home: Path, *words: str, environ: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start ``mlops --home HOME --json WORDS`` in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "mlops_assets", "--home", str(home), "--json", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**ENVIRONMENT, **(environ or {})},
        start_new_session=True,
    )


# Ends the process at its first use of a network, whichever library wants one.
_CUT_OFF = """
import os, sys
def refuse(event, arguments):
    if event in {"socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo"}:
        print("used the network:", event, arguments, file=sys.stderr, flush=True)
        os._exit(99)
sys.addaudithook(refuse)
sys.argv[0] = "mlops"
from mlops_assets.cli import main
main()
"""


def mlops_cut_off(home: Path, *words: str) -> Any:
    """Run a command that must need no network; return its JSON document."""
    done = subprocess.run(
        [sys.executable, "-c", _CUT_OFF, "--home", str(home), "--json", *words],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def mlops(
    home: Path, *words: str, expect: int = 0, environ: Mapping[str, str] | None = None
) -> Any:
    """Run a command to its end and return its JSON document."""
    process = mlops_process(home, *words, environ=environ)
    out, err = process.communicate(timeout=600)
    assert process.returncode == expect, f"mlops {' '.join(words)}: {process.returncode}\n{err}"
    assert "Traceback" not in err, err
    return json.loads(out)
