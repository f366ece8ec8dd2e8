"""Runs the command line as its own process, as people do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if not key.startswith(("DAGSTER", "MLOPS"))},
    "PYTHONWARNINGS": "ignore",
}


def mlops_process(home: Path, *words: str) -> subprocess.Popen[str]:
    """Start ``mlops --home HOME --json WORDS`` in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "mlops_assets", "--home", str(home), "--json", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        start_new_session=True,
    )


def mlops(home: Path, *words: str, expect: int = 0) -> Any:
    """Run a command to its end and return its JSON document."""
    process = mlops_process(home, *words)
    out, err = process.communicate(timeout=600)
    assert process.returncode == expect, f"mlops {' '.join(words)}: {process.returncode}\n{err}"
    assert "Traceback" not in err, err
    return json.loads(out)
