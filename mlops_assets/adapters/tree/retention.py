"""What a home holds, thing by thing: where each kind lies, and what it is called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.domain.retention import Stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlops_assets.adapters.tree import Tree
    from mlops_assets.domain.retention import Kind


@dataclass(frozen=True, slots=True)
class Place:
    """Where things of a kind lie in their tree: ``path`` and ``name`` have the same parts.

    ``seal`` is the file by which a folder is there, None where the thing is a file; ``last`` is
    what its own name must be.
    """

    path: str
    name: str
    seal: str | None = None
    last: str = r"[^.].*"

    @property
    def depth(self) -> int:
        """How many levels below its tree a thing lies."""
        return self.path.count("/") + 1

    def named(self, path: str) -> str | None:
        """What lies at a path is called, None where it is no such thing."""
        found = re.fullmatch(_pattern(self.path), path)
        own = re.fullmatch(self.last, path.rpartition("/")[2])
        return self.name.format(*found.groups()) if found and own else None

    def at(self, name: str) -> str:
        """Where a thing of this name lies."""
        found = re.fullmatch(_pattern(self.name), name)
        return self.path.format(*found.groups()) if found else name


_DAY = r"\d{4}-\d{2}-\d{2}\.parquet"
PLACES: Mapping[Kind, Place] = {
    "training_data": Place("{}/{}/{}", "{}/{}/{}", seal="asset.json"),
    "dev_model": Place("{}/{}/{}", "{}/{}/{}", seal="record.json"),
    "registry_model": Place("{}/{}/{}", "{}/{}/{}", seal="record.json"),
    "evidence": Place("{}/{}/v{}", "{}/{}/{}", seal="bundle.json"),
    "interpreter": Place("{}/{}", "{}:{}", seal="pyvenv.cfg"),
    "dev_environment": Place("{}/{}.json", "{}:{}"),
    "registry_environment": Place("{}/{}.json", "{}:{}"),
    "page": Place("{}/page.html", "{}"),
    "drill": Place("{}", "{}", last=r"[0-9].*\.json"),
    "test_predictions": Place("{}/{}/{}.parquet", "{}/{}/{}", last=_DAY),
    "prod_predictions": Place("{}/{}/{}.parquet", "{}/{}/{}", last=_DAY),
}


class TreeStorage:
    """The things of a home; ``trees`` says where those of each kind lie, pages in ``releases``."""

    def __init__(self, trees: Mapping[Kind, Tree]) -> None:
        self._trees = trees

    def items(self) -> Iterator[Stored]:
        """Every thing of every kind, with its age and size."""
        for kind, tree in self._trees.items():
            place = PLACES[kind]
            for thing in tree.things(depth=place.depth, seal=place.seal):
                if (name := place.named(thing.name)) is not None:
                    yield Stored(kind=kind, name=name, at=thing.at, bytes=thing.bytes)

    def remove(self, item: Stored) -> None:
        """Remove one thing, whole or not at all; one that is gone is no error."""
        place, tree = PLACES[item.kind], self._trees[item.kind]
        if place.seal is None:
            tree.remove(place.at(item.name))
        else:
            tree.remove_folder(place.at(item.name), seal=place.seal)


def _pattern(form: str) -> str:
    return re.escape(form).replace(r"\{\}", "([^/]+)")
