"""YAML nodes become dataclasses by the declared type of each field, every mistake with its line.

| type | is written |
|---|---|
| text | in quotes where some YAML reader sees something else: `no`, `010`, `1e3`, `12:30:45` |
| whole number | digits, no leading zero |
| number | digits with a point at most |
| yes or no | `true` or `false` |
| date | `YYYY-MM-DD` |
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import re
import types
import typing
from collections.abc import Callable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from mlops_assets.catalog.nodes import Fields, Items, Text, parse
from mlops_assets.domain.canonical import shown
from mlops_assets.domain.errors import ConfigError, MlopsError, Problem

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from mlops_assets.catalog.nodes import Node

CONFIG_FORMAT = 1
# As much as anybody reads of one mistake.
_FIELD_LENGTH, _ADVICE_LENGTH = 200, 400

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,15})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,17})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# What some YAML reader takes for a number, a truth, a time or nothing when it has no quotes.
_NOT_PLAIN_TEXT = re.compile(
    r"(?i:y|n|yes|no|on|off|true|false|null|~|=|[-+]?\.(inf|nan))|"
    r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?|"
    r"[-+]?(0x[0-9a-fA-F_]+|0o[0-7_]+|0b[01_]+|"
    r"([0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?)|"
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*"
)


class _Unread:
    """Stands for a value that has a problem."""


UNREAD = _Unread()

# Judges one value; the answer is None or what is wrong and what to write instead.
Rule = Callable[[Any], str | None]


class Document:
    """One config file while it is read: the line of each field, and where its problems go."""

    def __init__(
        self,
        file: str,
        problems: list[Problem],
        rules: Mapping[tuple[type, str], Rule],
        not_empty: Container[tuple[type, str]] = (),
    ) -> None:
        self.file = file
        self.problems = problems
        self._rules = rules
        self._not_empty = not_empty
        self._lines: dict[str, int] = {}

    def problem(self, field: str, advice: str, line: int | None = None) -> None:
        """Note one mistake, by default at the line of the field or of what holds it."""
        place = field
        while line is None and place and place not in self._lines:
            place = place.rpartition(".")[0]
        line = line or self._lines.get(place, 1)
        said = shown(field, _FIELD_LENGTH), shown(advice, _ADVICE_LENGTH)
        self.problems.append(Problem(self.file, line, *said))

    def top(self, data: bytes) -> Fields | None:
        """Read the file's mapping without its format, which must be ours."""
        try:
            node = parse(self.file, data)
        except ConfigError as error:
            self.problems.extend(error.problems)
            return None
        if not isinstance(node, Fields):
            self.problem("", "not a mapping: write `name: value` lines", node.line)
            return None
        self._lines[""] = node.line
        stated = node.get("format")
        if stated is None:
            self.problem("format", f"missing: write `format: {CONFIG_FORMAT}`")
        elif (number := self.read(stated, int, "format")) not in (CONFIG_FORMAT, UNREAD):
            self.problem("format", f"{number} is not read here: write {CONFIG_FORMAT}")
        return node.without("format")

    def read(self, node: Node, kind: Any, path: str) -> Any:  # noqa: ANN401 any declared type
        """Read a node as a type; `UNREAD` when it has a problem, which is then noted."""
        self._lines.setdefault(path, node.line)
        origin = get_origin(kind)
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            return self._dataclass(node, kind, path)
        if origin is tuple:
            return self._list(node, get_args(kind)[0], path)
        if origin is Mapping:
            return self._mapping(node, get_args(kind)[1], path)
        if origin in (typing.Union, types.UnionType):
            return self._optional(node, get_args(kind), path)
        return self._text(node, kind, path)

    def given(self, node: Node, kind: type, path: str) -> dict[str, Any] | None:
        """Read those fields of a dataclass that are written; None when one has a problem."""
        if not isinstance(node, Fields):
            self.problem(path, "not a mapping: write `name: value` lines", node.line)
            return None
        hints = _field_types(kind)
        values: dict[str, Any] = {}
        whole = True
        for key, item in node.entries:
            inner = f"{path}.{key.text}" if path else key.text
            self._lines.setdefault(inner, key.line)
            if key.text in hints:
                value = values[key.text] = self.read(item, hints[key.text], inner)
                if value is UNREAD or not self._judged(kind, key.text, value, inner):
                    whole = False
            else:
                whole = False
                self.problem(inner, f"unknown key{nearest(key.text, hints)}", key.line)
        return values if whole else None

    def _judged(self, kind: type, name: str, value: Any, path: str) -> bool:  # noqa: ANN401
        """Whether a value that could be read may be so; what is wrong with it is noted."""
        before = len(self.problems)
        metadata = next(each.metadata for each in dataclasses.fields(kind) if each.name == name)
        low, high = metadata.get("minimum"), metadata.get("maximum")
        bounded = low is not None and high is not None and value is not None
        if bounded and not low <= value <= high:
            self.problem(path, f"{value}: write {low} to {high}")
        if "in" in metadata and value not in metadata["in"]:
            self.problem(path, f"{value} is unknown{nearest(value, metadata['in'])}")
        if not value and (kind, name) in self._not_empty:
            self.problem(path, "empty: write at least one")
        if (rule := self._rules.get((kind, name))) is not None:
            several = isinstance(value, tuple)
            for number, item in enumerate(value if isinstance(value, tuple | dict) else (value,)):
                place = f"{path}[{number}]" if several else path
                place = f"{path}.{item}" if isinstance(value, dict) else place
                if (advice := rule(item)) is not None:
                    self.problem(place, advice)
        return len(self.problems) == before

    def _dataclass(self, node: Node, kind: type, path: str) -> Any:  # noqa: ANN401 as in read
        before = len(self.problems)
        values = self.given(node, kind, path)
        written = {key.text for key, _ in node.entries} if isinstance(node, Fields) else set()
        for each in dataclasses.fields(kind):
            optional = (
                each.default is not dataclasses.MISSING
                or each.default_factory is not dataclasses.MISSING
            )
            if isinstance(node, Fields) and not optional and each.name not in written:
                inner = f"{path}.{each.name}" if path else each.name
                meaning = each.metadata.get("doc", "")
                self.problem(
                    inner, f"missing: write it{f' ({meaning})' if meaning else ''}", node.line
                )
        if values is None or len(self.problems) > before:
            return UNREAD
        try:
            return kind(**values)
        except (MlopsError, ValueError, TypeError) as error:
            self.problem(path, " ".join(str(error).split()), node.line)
            return UNREAD

    def _list(self, node: Node, kind: Any, path: str) -> Any:  # noqa: ANN401 as in read
        if not isinstance(node, Items):
            self.problem(path, "not a list: write [FIRST, SECOND]", node.line)
            return UNREAD
        values = [
            self.read(item, kind, f"{path}[{place}]") for place, item in enumerate(node.items)
        ]
        if any(value is UNREAD for value in values):
            return UNREAD
        for place, value in enumerate(values):
            if value in values[:place]:
                self.problem(f"{path}[{place}]", f"{value} is there twice: keep one of them")
                return UNREAD
        return tuple(values)

    def _mapping(self, node: Node, kind: Any, path: str) -> Any:  # noqa: ANN401 as in read
        if not isinstance(node, Fields):
            self.problem(path, "not a mapping: write `name: value` lines", node.line)
            return UNREAD
        values = {}
        for key, item in node.entries:
            name = self.read(key, str, f"{path}.{key.text}")
            values[key.text] = self.read(item, kind, f"{path}.{key.text}")
            if name is UNREAD:
                values[key.text] = UNREAD
        return UNREAD if any(value is UNREAD for value in values.values()) else values

    def _text(self, node: Node, kind: Any, path: str) -> Any:  # noqa: ANN401 as in read
        if not isinstance(node, Text):
            self.problem(path, "write one value here", node.line)
            return UNREAD
        try:
            return _scalar(node, kind)
        except ValueError as error:
            self.problem(path, str(error), node.line)
            return UNREAD

    def _optional(self, node: Node, kinds: Sequence[Any], path: str) -> Any:  # noqa: ANN401
        if isinstance(node, Text) and node.plain and node.text == "null":
            return None
        return self.read(node, next(kind for kind in kinds if kind is not type(None)), path)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that offers the most similar known word, or all of a few."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f": did you mean {close[0]}?"
    if not names:
        return ": there is none here, leave it out"
    if len(names) <= 12:  # noqa: PLR2004 as many as one line shows
        return f": write one of {', '.join(names)}"
    return ""


@functools.cache
def _field_types(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {each.name: hints[each.name] for each in dataclasses.fields(kind)}


def _scalar(node: Text, kind: Any) -> Any:  # noqa: ANN401 any declared type
    if node.plain and not node.text:
        raise ValueError("empty: write a value or leave the line out")
    if get_origin(kind) is Literal:
        options = [str(option) for option in get_args(kind)]
        if node.text not in options:
            raise ValueError(f"{_shown(node)} is unknown{nearest(node.text, options)}")
        return node.text
    if kind is date:
        return _date(node)
    if kind is str:
        if node.plain and _NOT_PLAIN_TEXT.fullmatch(node.text):
            raise ValueError(_ambiguous(node))
        return node.text
    if not node.plain:
        raise ValueError(f'"{_shown(node)}" is text: write it without quotes')
    if kind is bool:
        if node.text not in ("true", "false"):
            raise ValueError(f"{_shown(node)} is neither: write true or false")
        return node.text == "true"
    pattern, name = (_INTEGER, "whole number") if kind is int else (_NUMBER, "number")
    if not pattern.fullmatch(node.text):
        plainly = _as_number(node.text, kind)
        advice = f"write {plainly}" if plainly else "write digits such as 24"
        raise ValueError(f"{_shown(node)} is not a {name}: {advice}")
    return kind(node.text)


def _date(node: Text) -> date:
    if _DATE.fullmatch(node.text):
        try:
            return date.fromisoformat(node.text)
        except ValueError:
            pass
    raise ValueError(f"{_shown(node)} is not a date: write YYYY-MM-DD, such as 2026-06-23")


def _ambiguous(node: Text) -> str:
    text = node.text
    if (short := _shown(node)) != text:
        return f"{short}: write it in quotes, YAML readers disagree about it without"
    number = _as_number(text, int) or _as_number(text, float)
    if number and number != text:
        return f'{text}: write {number} or "{text}"'
    return f'{text}: write "{text}", YAML readers disagree about it without quotes'


def _as_number(text: str, kind: type) -> str:
    """The plain way to write what is meant, empty where nobody can know."""
    digits = text.replace("_", "")
    if re.fullmatch(r"[-+]?0+[0-9]+", digits):
        return str(int(digits))
    if re.fullmatch(r"[-+]?[0-9]*\.?[0-9]*([eE][-+]?[0-9]{1,2})?", digits):
        try:
            value = float(digits)
        except ValueError:
            return ""
        if value.is_integer() and abs(value) < 10**15:
            return str(int(value))
        return repr(value) if kind is float and "e" not in repr(value) else ""
    return ""


def _shown(node: Text) -> str:
    """The text in one short line."""
    line = " ".join(node.text.split())
    return line if len(line) <= 60 else f"{line[:57]}..."  # noqa: PLR2004 fits in a terminal
