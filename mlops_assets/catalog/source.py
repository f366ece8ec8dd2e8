"""What `sources.yml` may say: of one value, and of sources and circuits together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlops_assets.catalog.reading import Rule, nearest
from mlops_assets.catalog.schema import feature, matches, zone
from mlops_assets.domain.source import (
    HISTORIAN,
    REQUIRED_COLUMNS,
    FolderSource,
    Sources,
    TableColumns,
    TableSource,
    conversion_of,
)
from mlops_assets.domain.unit import UNITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.catalog.reading import Document
    from mlops_assets.domain.circuit import Spec
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.source import Source

SOURCES = "sources.yml"


def check_sources(
    document: Document, sources: Sources, specs: Mapping[CircuitKey, Spec | None]
) -> None:
    """Judge what sources say about circuits, and what a table says about its columns."""
    for name, table in sources.tables.items():
        place = f"tables.{name}"
        _check_columns(document, f"{place}.columns", table)
        _check_circuits(document, place, table, specs)
    for name, folder in sources.folders.items():
        _check_circuits(document, f"folders.{name}", folder, specs)


def _check_columns(document: Document, place: str, table: TableSource) -> None:
    for name, column in table.columns.features.items():
        if advice := feature(name) or _identifier(column):
            document.problem(f"{place}.features.{name}", advice)
    names = [getattr(table.columns, name) for name in REQUIRED_COLUMNS]
    names += table.columns.features.values()
    if twice := sorted({name for name in names if names.count(name) > 1}):
        document.problem(place, f"{twice[0]} is named twice: name another column")


def _check_circuits(
    document: Document, place: str, source: Source, specs: Mapping[CircuitKey, Spec | None]
) -> None:
    """Refuse circuits that do not exist, and units that do not become theirs."""
    for field_name, named in (("units", source.units), ("factors", source.factors)):
        for text, given in named.items():
            where = f"{place}.{field_name}.{text}"
            chosen = {
                key: spec for key, spec in specs.items() if text in (str(key), f"{key.plant_id}/*")
            }
            if not chosen:
                document.problem(where, f"no such circuit: {_not_there(text, specs)}")
            if isinstance(given, str) and (advice := _unit(given)):
                document.problem(where, advice)
                continue
            if given == 0:
                document.problem(where, "0 makes every value 0: write another factor")
            for key, spec in chosen.items():
                if spec is not None and conversion_of(source, key, spec.unit) is None:
                    wanted = f"{key} is in {spec.unit}" if spec.unit else f"{key} names no unit"
                    advice = f"{given} converts to nothing there, {wanted}: mend one or a factor"
                    document.problem(where, advice)
                    break


def _not_there(text: str, specs: Mapping[CircuitKey, Spec | None]) -> str:
    """Return how to name circuits, with the nearest."""
    known = {str(key) for key in specs} | {f"{key.plant_id}/*" for key in specs}
    return f"{text} is in no plant{nearest(text, known)}"


def _folder(name: str) -> str | None:
    if name.startswith(HISTORIAN.rstrip("/")):
        return f"{name}: rows of tables lie there: declare the table instead"
    advice = "write a folder of the landing zone such as meters/north, without a / at its ends"
    return matches(r"[^/\\.][^/\\]*(/[^/\\.][^/\\]*)*", advice)(name)


def _unit(name: str) -> str | None:
    return None if not name or name in UNITS else f"{name} is no unit{nearest(name, UNITS)}"


def _variable(name: str) -> str | None:
    """Judge without showing it: what was written may be the secret itself."""
    if re.fullmatch("[A-Z][A-Z0-9_]{0,62}", name, re.ASCII):
        return None
    return "write the NAME of an environment variable, such as MLOPS_NORTH_URL, never the URL"


_IDENTIFIER = "[A-Za-z_][A-Za-z0-9_]{0,62}"
_identifier = matches(_IDENTIFIER, "write letters, digits and _ alone")
_identifier_or_none = matches(f"({_IDENTIFIER})?", "write letters, digits and _ alone")

RULES: Mapping[tuple[type, str], Rule] = {
    (Sources, "tables"): matches("[a-z][a-z0-9_]{0,31}", "write a lower-case name with _"),
    (Sources, "folders"): _folder,
    (TableSource, "url_variable"): _variable,
    (TableSource, "table"): _identifier,
    (TableSource, "schema"): _identifier_or_none,
    (TableSource, "modified_at"): _identifier_or_none,
    (TableSource, "timezone"): zone,
    (TableSource, "unit"): _unit,
    (FolderSource, "timezone"): zone,
    (FolderSource, "unit"): _unit,
    **{(TableColumns, name): _identifier for name in REQUIRED_COLUMNS},
}
