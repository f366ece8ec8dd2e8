"""What Azure publishes of the resources that `infra/` uses, cut down to what is used of it.

`published.json` holds, by type and API version, the properties that our templates name with their
types, values and limits, and everything that is required. It is made from a clone of the repository
`azure-resource-manager-schemas`: `python -m mlops_assets_tests.infra.published CLONE`. A property
that is not in it is refused, so a new one is first looked up there.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator

from mlops_assets_tests.infra.template import FOLDER, SUBSCRIPTION, Template, Unknown

PLACE = Path(__file__).with_name("published.json")
# What every resource may have besides what its own schema says.
COMMON = {"type", "apiVersion", "name", "scope", "dependsOn", "condition", "copy"}
KEPT = (
    "type", "enum", "const", "pattern", "minimum", "maximum", "minItems", "maxItems", "minLength",
    "maxLength",
)  # fmt: skip
OWN = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/azureml-rg-northwind-registry_1/providers"
REQUIRED = {
    "alerts": {
        "recipients": {
            name: f"{name}@co.example" for name in ("ml-ops", "data-eng", "finance", "management")
        },
        "from": "2026-01-01",
    },
    # What a registry makes for itself lies in a group of its own, whose name Azure completes.
    "endpoints": {
        "registryStore": f"{OWN}/Microsoft.Storage/storageAccounts/made1",
        "registryImages": f"{OWN}/Microsoft.ContainerRegistry/registries/made2",
    },
    # So that what is left out of a deployment otherwise is held to what is published as well.
    "synapse": {
        "administrator": "33333333-3333-3333-3333-333333333333",
        "client": "203.0.113.7",
    },
}


def templates(*, name: str = "northwind", private: bool = False) -> dict[str, Template]:
    """Every template, evaluated, by its name."""
    found = {}
    for path in sorted(FOLDER.glob("*.json")):
        declared = json.loads(path.read_text())["parameters"]
        given = {"name": name, **REQUIRED.get(path.stem, {})}
        if "private" in declared:
            given["private"] = private
        found[path.stem] = Template(path.stem, given)
    return found


def problems(resource: dict[str, Any], published: dict[str, Any]) -> list[str]:
    """What the published schema says against a resource; nothing when it holds."""
    key = f"{resource['type']}@{resource['apiVersion']}"
    if key not in published:
        return [f"{key}: is not in published.json"]
    schema = {"definitions": published["definitions"], **published[key]}
    body = {name: value for name, value in resource.items() if name not in {*COMMON, "loop"}}
    return [
        f"{resource['type']} {resource['name']}: {'.'.join(map(str, error.path))}: {error.message}"
        for error in Draft7Validator(schema).iter_errors(body)
        if not isinstance(error.instance, Unknown) and not _declared(resource, error.instance)
    ]


def _declared(resource: dict[str, Any], said: Any) -> bool:
    """Whether it is a stream of our own, where only the service's own are published by name."""
    return isinstance(said, str) and said in resource["properties"].get("streamDeclarations", {})


def load() -> dict[str, Any]:
    """What was published, as it was cut down."""
    found: dict[str, Any] = json.loads(PLACE.read_text())
    return found | {"definitions": {}}


class _Schemas:
    """A clone of the published schemas."""

    def __init__(self, clone: Path):
        self._folder = clone / "schemas"
        self._read: dict[Path, Any] = {}

    def find(self, kind: str, version: str) -> tuple[Any, Any]:
        """The schema of a resource and the file that its references lead into."""
        namespace, _, rest = kind.partition("/")
        for path in sorted((self._folder / version).glob("*.json")):
            if not path.name.lower().startswith(namespace.lower()):
                continue
            document = self._read.setdefault(path, json.loads(path.read_text()))
            for part in ("resourceDefinitions", "extension_resourceDefinitions"):
                found = document.get(part, {}).get(rest.replace("/", "_"))
                if found is not None:
                    return found, document
        raise LookupError(f"{kind} was not published as {version}")


def cut(schema: Any, document: Any, instances: list[Any]) -> Any:
    """Return a schema with only the properties that some instance has."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if "common/definitions" in schema["$ref"]:
            return {"type": "object"} if name == "resourceBase" else {}
        return cut(document["definitions"][name], document, instances)
    for word in ("oneOf", "anyOf"):
        if word in schema:
            return _choice(schema[word], _own(schema, document, instances), document, instances)
    own = _own(schema, document, instances)
    for part in schema.get("allOf", ()):
        own = _both(own, cut(part, document, instances))
    return own


def _own(schema, document, instances):
    found = {word: schema[word] for word in KEPT if word in schema}
    objects = [each for each in instances if isinstance(each, dict)]
    if "items" in schema:
        items = [item for each in instances if isinstance(each, list) for item in each]
        found["items"] = cut(schema["items"], document, items)
    if schema.get("properties"):
        properties = {
            name: cut(one, document, [each[name] for each in objects if name in each])
            for name, one in schema["properties"].items()
            if any(name in each for each in objects)
        }
        found["properties"] = (
            {name: one for name, one in properties.items() if name not in {"type", "apiVersion"}}
            if "apiVersion" in schema["properties"]
            else properties
        )
        found["additionalProperties"] = False
        required = [name for name in schema.get("required", ()) if name not in COMMON]
        if required:
            found["required"] = sorted(required)
    elif isinstance(schema.get("additionalProperties"), dict):
        values = [value for each in objects for value in each.values()]
        found["additionalProperties"] = cut(schema["additionalProperties"], document, values)
    return found


def _choice(options, own, document, instances):
    """The options that instances take; an expression is none, because ours are evaluated."""
    real = [one for one in options if not one.get("$ref", "").endswith("/expression")]
    cuts = [_both(own, cut(one, document, instances)) for one in real]
    taken = [one for one in cuts if any(_takes(one, each) for each in instances)]
    chosen = taken or cuts
    return chosen[0] if len(chosen) == 1 else {"anyOf": chosen}


def _takes(option, instance):
    """Whether an option means this instance, whatever holds of it besides."""
    errors = Draft7Validator(option).iter_errors(instance)
    return all(error.validator == "additionalProperties" and not error.path for error in errors)


def _both(own, option):
    """What an option adds to what holds for all of them."""
    if "anyOf" in option:
        return {"anyOf": [_both(own, one) for one in option["anyOf"]]}
    if "properties" not in own or "properties" not in option:
        return own | option
    required = {*own.get("required", ()), *option.get("required", ())}
    return {
        **own,
        **option,
        "properties": own["properties"] | option["properties"],
        **({"required": sorted(required)} if required else {}),
    }


def main(clone: str) -> None:
    """Cut the published schemas down to what our templates use."""
    schemas = _Schemas(Path(clone))
    used: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for private in (False, True):
        for template in templates(private=private).values():
            for each in template.resources:
                used.setdefault((each["type"], each["apiVersion"]), []).append(each)
    found = {}
    for (kind, version), instances in sorted(used.items()):
        schema, document = schemas.find(kind, version)
        whole = cut(schema, document, [json.loads(json.dumps(each)) for each in instances])
        for name in COMMON:
            whole["properties"].pop(name, None)
        found[f"{kind}@{version}"] = whole
    text = json.dumps(found, indent=1, sort_keys=True)
    PLACE.write_text(re.sub(r"\n +", "\n", text) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
