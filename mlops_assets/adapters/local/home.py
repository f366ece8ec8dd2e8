"""A home's folder while it is made: its intent is there first, its description last."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.local.files import (
    flush_folder,
    read_bytes,
    write_atomic,
    write_once,
)
from mlops_assets.adapters.tree import step
from mlops_assets.domain.errors import HomeError
from mlops_assets.domain.identifiers import canonical_json
from mlops_assets.domain.signature import key_pair

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.settings import HomeLayout


class LocalHome:
    """The folder of one home."""

    def __init__(self, layout: HomeLayout) -> None:
        self._layout = layout

    def begin(self, document: Mapping[str, Any]) -> bool:
        """Claim an empty folder for what ``document`` says; True when it is whole already.

        A demo home is taken as it is, whatever the demo was asked for this time but other readings.
        """
        layout = self._layout
        wanted = canonical_json(dict(document))
        if layout.home_file.exists():
            layout.kind()
            self._same_or_refused(layout.home_file.read_bytes(), document)
            return True
        intent = read_bytes(layout.intent_file)
        if intent is None:
            self._refuse_others()
            write_atomic(layout.intent_file, wanted)
        elif intent != wanted:
            raise HomeError(
                f"{layout.root}: an interrupted `mlops {_read(intent).get('kind')}` with other "
                "options lies here: repeat that one, or name an empty folder"
            )
        for folder in layout.folders():
            folder.mkdir(parents=True, exist_ok=True)
        return False

    def finish(self) -> None:
        """Say that the home is whole."""
        step("home.made", self._layout.home_file)
        self._layout.intent_file.rename(self._layout.home_file)
        flush_folder(self._layout.root)

    def key(self, principal: str) -> bytes:
        """Return a throw-away person's private key file, made now where there is none."""
        path = self._layout.demo_keys / principal
        if (there := read_bytes(path)) is not None:
            return there
        made = key_pair(os.urandom(32), principal).private_file
        write_once(path, made, mode=0o600)
        return made

    def _same_or_refused(self, there: bytes, wanted: Mapping[str, Any]) -> None:
        before, asked = _read(there), wanted["made_for"]
        made_for = before.get("made_for") or {}
        if before.get("kind") != wanted["kind"]:
            raise HomeError(
                f"{self._layout.root}: is a home that `mlops {before.get('kind')}` made: "
                "name another folder"
            )
        names = list(asked)
        if wanted["kind"] == "demo":
            names = ["readings"] if asked["readings"] else []
        other = [name for name in names if made_for.get(name) != asked[name]]
        if other:
            raise HomeError(
                f"{self._layout.root}: was made with other {' and '.join(other)}: name another "
                "folder"
            )

    def _refuse_others(self) -> None:
        root = self._layout.root
        if root.exists() and not root.is_dir():
            raise HomeError(f"{root}: is a file: name a folder")
        names = [path.name for path in root.iterdir()] if root.is_dir() else []
        # What a killed write of the intent left is nothing, nor is what Dagster makes for itself
        # where it is started before there is a home. Settings say where the home is to be.
        before = {self._layout.dagster.name, "settings.yml"}
        names = [
            name for name in names if name not in before and not name.startswith(".init.json.")
        ]
        if names:
            raise HomeError(
                f"{root}: is neither empty nor a home (it holds {min(names)}): name another folder"
            )


def _read(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
