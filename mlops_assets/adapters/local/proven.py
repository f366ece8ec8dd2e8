"""Which models gave their golden forecast on this machine: each is asked once, and not daily.

To ask takes as long as to forecast. The answer can change only with the model, whose digest is what
is remembered, or with what computes it: Python, the C library, the processor, the installed
packages, the forecasters' own source. Any other of these and all is asked anew. Whoever can write
here can hide that an environment differs, and nothing else: bytes are checked against what was
signed whenever they are read.
"""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.adapters.local.files import read_bytes, write_atomic
from mlops_assets.domain.identifiers import digest_of, sha256

if TYPE_CHECKING:
    from collections.abc import Iterable

_FORMAT = 1
_PACKAGE = Path(__file__).resolve().parents[2]
# What of our own source a forecast goes through.
_SOURCES = ("forecasters/*.py", "domain/model.py", "domain/readings.py")
_CPU = ("model name", "flags", "Features", "CPU part")


@dataclass(frozen=True, slots=True)
class LocalProvenModels:
    """One file of a home, which may be removed at any time."""

    path: Path

    def known(self) -> frozenset[str]:
        """Return the digests that were remembered here by what runs here now."""
        try:
            document = json.loads(read_bytes(self.path) or b"{}")
            if (document.get("format"), document.get("by")) == (_FORMAT, fingerprint()):
                return frozenset(map(str, document["digests"]))
        except (ValueError, AttributeError, KeyError, TypeError):
            # Not worth a word: it is asked again and written anew.
            pass
        return frozenset()

    def remember(self, digests: Iterable[str]) -> None:
        """Keep exactly these from now on."""
        wanted = frozenset(digests)
        if wanted != self.known():
            document = {"format": _FORMAT, "by": fingerprint(), "digests": sorted(wanted)}
            write_atomic(self.path, json.dumps(document, indent=1).encode())


@cache
def fingerprint() -> str:
    """Return one digest of all that a forecast is computed by."""
    return digest_of(
        {
            "python": sys.version,
            "system": [*platform.libc_ver(), platform.system(), platform.machine()],
            "processor": sorted(set(_processor())),
            "packages": sorted(_packages()),
            "source": {
                path.relative_to(_PACKAGE).as_posix(): sha256(path.read_bytes())
                for pattern in _SOURCES
                for path in sorted(_PACKAGE.glob(pattern))
            },
        }
    )


def _processor() -> list[str]:
    """Return what a library chooses its instructions by."""
    said = read_bytes(Path("/proc/cpuinfo"))
    if said is None:
        return [platform.processor()]
    lines = said.decode("utf-8", "replace").splitlines()
    return [line for line in lines if line.startswith(_CPU)]


def _packages() -> set[str]:
    """Return the name and version of every installed package, as their folders have them."""
    folders = [Path(each) for each in sys.path if each]
    return {
        found.name for folder in folders if folder.is_dir() for found in folder.glob("*.dist-info")
    }
