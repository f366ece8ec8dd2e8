"""Azure Resource Manager's template language, as far as `infra/` speaks it.

What only the running service knows, such as an identity's principal, stays an expression.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "infra"
SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-mlops"
_TOKEN = re.compile(r"\s*(?:'((?:[^']|'')*)'|(\d+)|([A-Za-z_]\w*)|([(),.\[\]]))")


@dataclass
class Template:
    """One file, evaluated with parameters: ``resources`` are what would be deployed."""

    name: str
    parameters: dict[str, Any]
    document: dict[str, Any] = field(init=False)
    resources: list[dict[str, Any]] = field(init=False)

    def __post_init__(self):
        self.document = json.loads((FOLDER / f"{self.name}.json").read_text())
        declared = self.document["parameters"]
        assert set(self.parameters) <= set(declared), "a parameter that is not declared"
        self._loops: dict[str, int] = {}
        self._given = {}
        for name, one in declared.items():
            value = self.parameters.get(name, self.value(one.get("defaultValue")))
            assert value is not None, f"{name} must be given"
            _check_parameter(name, one, value)
            self._given[name] = value
        self.resources = [each for one in self.document["resources"] for each in self._each(one)]

    def outputs(self):
        """Names of what the deployment prints, with the expression of each."""
        return {name: self.value(one["value"]) for name, one in self.document["outputs"].items()}

    def value(self, said: Any) -> Any:
        """Evaluate every expression in a value."""
        if isinstance(said, str):
            if said.startswith("[") and not said.startswith("[["):
                assert said.endswith("]"), said
                return _Expression(said[1:-1], self).value()
            return said
        if isinstance(said, list):
            return [self.value(each) for each in said]
        if isinstance(said, dict):
            found = {
                self.value(key): value
                for key, one in said.items()
                if key != "copy" and (value := self.value(one)) is not None
            }
            for loop in said.get("copy", ()):
                found[loop["name"]] = self._repeated(loop)
            return found
        return said

    def _each(self, one):
        if not self.value(one.get("condition", True)):
            return
        body = {key: said for key, said in one.items() if key not in {"copy", "condition"}}
        loop = one.get("copy")
        if loop is None:
            yield self.value(body)
            return
        for index in range(self.value(loop["count"])):
            self._loops[""] = index
            yield self.value(body) | {"loop": loop["name"]}
        del self._loops[""]

    def _repeated(self, loop):
        found = []
        for index in range(self.value(loop["count"])):
            self._loops[loop["name"]] = index
            found.append(self.value(loop["input"]))
        return found

    def call(self, name: str, arguments: list[Any]) -> Any:  # noqa: PLR0911 one a function
        """What a function of the language returns."""
        match name, arguments:
            case "parameters", [which]:
                return self._given[which]
            case "variables", [which]:
                return self.value(self.document["variables"][which])
            case "copyIndex", []:
                return self._loops[""]
            case "copyIndex", [which]:
                return self._loops[which]
            case "format", [text, *values]:
                return text.format(*values)
            case "resourceId", [kind, *names]:
                return f"{GROUP}{_provider(kind, names)}"
            case "subscriptionResourceId", [kind, *names]:
                return f"/subscriptions/{SUBSCRIPTION}{_provider(kind, names)}"
            case "guid", values:
                return str(uuid.uuid5(uuid.NAMESPACE_URL, "-".join(values)))
            case "length", [values]:
                return len(values)
            case "if", [condition, yes, no]:
                return yes if condition else no
            case "not", [condition]:
                return not condition
            case "and", conditions:
                return all(conditions)
            case "empty", [value]:
                return not value
            case "null", []:
                return None
            case "createArray", values:
                return values
            case "createObject", values:
                return dict(zip(values[0::2], values[1::2], strict=True))
            case "resourceGroup", []:
                return {"id": GROUP, "location": "westeurope"}
            case "subscription", []:
                return {"tenantId": "99999999-9999-9999-9999-999999999999"}
            case "environment", []:
                return {"suffixes": {"storage": "core.windows.net"}}
            case "reference", [place, *_]:
                return Unknown(f"[reference('{place}')]")
        raise AssertionError(f"{name}({len(arguments)}) is no function that infra/ uses")


class Unknown(str):
    """What the service says when it has made something; a part of it is unknown too."""

    __slots__ = ()

    def __getitem__(self, part):
        return Unknown(f"{self[:]}.{part}") if isinstance(part, str) else super().__getitem__(part)


class _Expression:
    """A call, or a text, with the parts that are taken of it."""

    def __init__(self, text: str, template: Template):
        self._template = template
        self._tokens = []
        place = 0
        while place < len(text):
            match = _TOKEN.match(text, place)
            assert match, f"{text!r} at {place}"
            self._tokens.append(match.groups())
            place = match.end()
        self._tokens.append((None, None, None, "end"))

    def value(self):
        found = self._part()
        assert self._next == "end", "more than one expression"
        return found

    @property
    def _next(self):
        return self._tokens[0][3]

    def _part(self):
        text, number, name, _ = self._tokens.pop(0)
        if text is not None:
            found = text.replace("''", "'")
        elif number is not None:
            found = int(number)
        else:
            assert name, "neither a text, a number nor a function"
            found = self._template.call(name, self._arguments())
        while self._next in {".", "["}:
            if self._tokens.pop(0)[3] == ".":
                found = found[self._tokens.pop(0)[2]]
            else:
                found = found[self._part()]
                assert self._tokens.pop(0)[3] == "]"
        return found

    def _arguments(self):
        assert self._tokens.pop(0)[3] == "("
        found = []
        while self._next != ")":
            found.append(self._part())
            if self._next == ",":
                self._tokens.pop(0)
        self._tokens.pop(0)
        return found


def resource_id(resource: dict[str, Any]) -> str:
    """The id that a resource will have."""
    provider = _provider(resource["type"], resource["name"].split("/"))
    return f"{resource.get('scope', GROUP)}{provider}"


def _provider(kind: str, names: list[str]) -> str:
    namespace, *types = kind.split("/")
    assert len(types) == len(names), f"{kind} takes {len(types)} names, not {names}"
    pairs = "/".join(f"{one}/{name}" for one, name in zip(types, names, strict=True))
    return f"/providers/{namespace}/{pairs}"


def _check_parameter(name, declared, value):
    kinds = {"string": str, "bool": bool, "int": int, "object": dict}
    assert isinstance(value, kinds[declared["type"]]), name
    if declared["type"] == "string":
        assert declared.get("minLength", 0) <= len(value) <= declared.get("maxLength", 1000), name
