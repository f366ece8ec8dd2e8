"""Every field of every config file as one page of markdown, from the fields themselves."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from datetime import date
from typing import Any, Literal, get_args, get_origin

from mlops_assets.catalog.nodes import MASTER, MASTER_BYTES, MAXIMUM_BYTES, MAXIMUM_DEPTH
from mlops_assets.catalog.schema import EnvironmentFile, MasterFile, PolicyFile
from mlops_assets.domain.circuit import Spec
from mlops_assets.domain.source import Sources

_PAGES: tuple[tuple[str, str, type], ...] = (
    (
        "plants_circuits.yml",
        "What exists: a circuit that is added here is trained, one that is removed is retired.",
        MasterFile,
    ),
    ("plants/PLANT/CIRCUIT.yml", "What one circuit asks for.", Spec),
    (
        "environments/NAME/MAJOR.MINOR.PATCH.yml",
        "The software a model needs. Only another MAJOR trains again.",
        EnvironmentFile,
    ),
    (
        "sources.yml",
        "Where readings come from, and what their files cannot say of themselves. May be absent.",
        Sources,
    ),
    (
        "release_policy.yml",
        "Who signs what, and the limits of a release; never laxer than the platform's own rules.",
        PolicyFile,
    ),
)
_NAMES = {str: "text", int: "whole number", float: "number", bool: "true or false", date: "date"}


_RULES = f"""# Config, field by field

Written by `mlops_assets.catalog.documentation()`; a test holds this page to the code.

Every file begins with `format: 1`, is UTF-8 with at most {MAXIMUM_BYTES // 1024} KiB
(`{MASTER}` {MASTER_BYTES // 1024 // 1024} MiB) and
{MAXIMUM_DEPTH} levels, and has no aliases, anchors, tags or repeated keys. An unknown key is
refused. Text that a YAML reader could take for something else needs quotes (`"no"`, `"010"`,
`"12:30"`). Dates are YYYY-MM-DD.

Ids of plants and circuits are 1 to 32 letters, digits, - or _, beginning with a letter or digit,
and differ by more than case.
"""
_TRUST = """## `trust/`

People, their keys and roles: change them with `mlops trust add-person` and `mlops trust add-key`.
"""


def documentation() -> str:
    """Return the page `docs/config.md`."""
    parts = [_RULES]
    for path, text, kind in _PAGES:
        table = ["| field | type | default | meaning |", "|---|---|---|---|", *_rows(kind, "")]
        parts.append(f"## `{path}`\n\n{text}\n\n" + "\n".join(table) + "\n")
    return "\n".join([*parts, _TRUST])


def _rows(kind: type, prefix: str) -> list[str]:
    hints = typing.get_type_hints(kind)
    rows = []
    for each in dataclasses.fields(kind):
        hint, name = hints[each.name], f"{prefix}{each.name}"
        inner = hint
        if get_origin(hint) is Mapping:
            inner, name = get_args(hint)[1], f"{name}.NAME"
        if dataclasses.is_dataclass(inner) and isinstance(inner, type):
            rows += _rows(inner, f"{name}.")
            continue
        meaning = each.metadata.get("doc", "")
        rows.append(f"| `{name}` | {_type(hint)} | {_default(each)} | {meaning} |")
    return rows


def _type(hint: Any) -> str:  # noqa: ANN401 any declared type
    arguments = get_args(hint)
    if get_origin(hint) is Literal:
        return " / ".join(f"`{option}`" for option in arguments)
    if get_origin(hint) is tuple:
        return f"list of {_type(arguments[0])}"
    if get_origin(hint) is Mapping:
        known = get_origin(arguments[1]) is tuple or arguments[1] in _NAMES
        return _type(arguments[1]) if known else "depends on the forecaster"
    kinds = [kind for kind in arguments if kind is not type(None)]
    return _NAMES[kinds[0] if kinds else hint]


def _default(each: dataclasses.Field[Any]) -> str:
    if each.default_factory is not dataclasses.MISSING:
        return "none"
    match each.default:
        case dataclasses.MISSING:
            return "required"
        case None | () | "":
            return "none"
        case bool() as value:
            return f"`{str(value).lower()}`"
        case value:
            return f"`{value}`"
