"""Strict YAML: text with line numbers, nothing implied, nothing repeated, nothing shared.

1. UTF-8, at most 64 KiB, at most 20 levels, one document.
2. No aliases, anchors, tags or merge keys: what is written is what is meant.
3. No key twice in one mapping.
4. Scalars stay text; whoever knows the field's type reads them (`reading.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.domain.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

MAXIMUM_BYTES = 64 * 1024
# The one file that grows with the fleet: room for some hundred thousand circuits.
MASTER, MASTER_BYTES = "plants_circuits.yml", 4 * 1024 * 1024
MAXIMUM_DEPTH = 20

_WORDS = {"true": True, "false": False, "null": None}
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,14})")


@dataclass(frozen=True, slots=True)
class Text:
    """A scalar as it stands in the file; ``plain`` when it has no quotes."""

    line: int
    text: str
    plain: bool


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    line: int
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping, in the file's order."""

    line: int
    entries: tuple[tuple[Text, Node], ...]

    def get(self, key: str) -> Node | None:
        """Return the node under a key, if it is there."""
        return next((node for name, node in self.entries if name.text == key), None)

    def without(self, *keys: str) -> Fields:
        """Return the mapping without some keys."""
        return Fields(self.line, tuple(pair for pair in self.entries if pair[0].text not in keys))


Node = Text | Items | Fields


def parse(file: str, data: bytes) -> Node:
    """Read one document.

    Raises:
        ConfigError: with the one problem that keeps this file from being read further.
    """
    import yaml

    limit = MASTER_BYTES if file == MASTER else MAXIMUM_BYTES
    if len(data) > limit:
        raise _refused(file, 0, f"{len(data)} bytes: write at most {limit}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise _refused(file, line, "not UTF-8: save the file as UTF-8") from error
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Composer(file, iter(yaml.parse(text, Loader=loader))).document()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        what = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
        line = mark.line + 1 if mark is not None else 1
        raise _refused(file, line, f"not YAML: {what}; mend the text before this place") from error


class _Composer:
    """Builds nodes from YAML events, counting levels before it goes deeper."""

    def __init__(self, file: str, events: Iterator[Any]) -> None:
        self._file = file
        self._events = events

    def document(self) -> Node:
        from yaml import events

        first = self._next()
        while isinstance(first, events.StreamStartEvent | events.DocumentStartEvent):
            first = self._next()
        if isinstance(first, events.StreamEndEvent):
            raise _refused(self._file, 1, "the file is empty: begin with `format: 1`")
        node = self._node(first, 1)
        self._next()
        if not isinstance(after := self._next(), events.StreamEndEvent):
            raise _refused(
                self._file, after.start_mark.line + 1, "a second document: keep one in a file"
            )
        return node

    def _next(self) -> Any:  # noqa: ANN401 PyYAML has no types for events
        return next(self._events)

    def _node(self, event: Any, depth: int) -> Node:  # noqa: ANN401 as above
        from yaml import events

        line = event.start_mark.line + 1
        if isinstance(event, events.AliasEvent):
            raise _refused(self._file, line, f"alias *{event.anchor}: write the value out")
        if event.anchor is not None:
            raise _refused(self._file, line, f"anchor &{event.anchor}: leave it out")
        if event.tag is not None:
            raise _refused(self._file, line, f"tag {event.tag}: leave it out")
        if depth > MAXIMUM_DEPTH:
            raise _refused(self._file, line, f"more than {MAXIMUM_DEPTH} levels: write it flatter")
        if isinstance(event, events.ScalarEvent):
            return Text(line, event.value, plain=not event.style)
        if isinstance(event, events.SequenceStartEvent):
            return Items(line, tuple(self._items(depth)))
        return Fields(line, tuple(self._entries(depth)))

    def _items(self, depth: int) -> Iterator[Node]:
        from yaml import events

        while not isinstance(event := self._next(), events.SequenceEndEvent):
            yield self._node(event, depth + 1)

    def _entries(self, depth: int) -> Iterator[tuple[Text, Node]]:
        from yaml import events

        seen: dict[str, int] = {}
        while not isinstance(event := self._next(), events.MappingEndEvent):
            key = self._node(event, depth + 1)
            if not isinstance(key, Text):
                raise _refused(self._file, key.line, "a key that is no text: write `name: value`")
            if key.plain and key.text == "<<":
                raise _refused(self._file, key.line, "merge key <<: write the fields out")
            if key.text in seen:
                raise _refused(
                    self._file,
                    key.line,
                    f"already in line {seen[key.text]}: keep one of them",
                    key.text,
                )
            seen[key.text] = key.line
            yield key, self._node(self._next(), depth + 1)


def _refused(file: str, line: int, advice: str, field: str = "") -> ConfigError:
    return ConfigError((Problem(file, line, field, advice),))


def plain_value(node: Node) -> Any:  # noqa: ANN401 any JSON-like value
    """Return a node as JSON-like values: unquoted whole numbers, truths and null are read, no more.

    For documents whose rules somebody else checks, such as those of ``trust/``.
    """
    match node:
        case Fields():
            return {key.text: plain_value(item) for key, item in node.entries}
        case Items():
            return [plain_value(item) for item in node.items]
        case Text(text=text, plain=True) if text in _WORDS:
            return _WORDS[text]
        case Text(text=text, plain=True) if _WHOLE.fullmatch(text):
            return int(text)
        case Text():
            return node.text
