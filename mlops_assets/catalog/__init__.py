"""Config files become a `Config`, or one report of every problem in every file.

`load` reads what the config repository holds at one commit: the master list, one spec per circuit,
environments, sources and the release policy. People and keys (``trust/``) are read by
`flows/trust.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from mlops_assets.catalog.documentation import documentation
from mlops_assets.catalog.nodes import MASTER, Text, parse, plain_value
from mlops_assets.catalog.reading import UNREAD, Document, nearest
from mlops_assets.catalog.schema import (
    NOT_EMPTY,
    POLICY,
    RULES,
    EnvironmentFile,
    MasterFile,
    PolicyFile,
    check_policy,
    check_spec,
)
from mlops_assets.catalog.source import RULES as SOURCE_RULES
from mlops_assets.catalog.source import SOURCES, check_sources
from mlops_assets.domain.circuit import (
    Circuit,
    Config,
    Environment,
    Package,
    Plant,
    Spec,
    environment_digest,
    spec_digest,
)
from mlops_assets.domain.errors import ConfigError, MlopsError, Problem
from mlops_assets.domain.feature import measured
from mlops_assets.domain.identifiers import CircuitKey, EnvironmentRef
from mlops_assets.domain.source import Sources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mlops_assets.catalog.reading import Rule
    from mlops_assets.domain.circuit import Algorithm

Content = TypeVar("Content")
_SUFFIXES = (".yml", ".yaml")

__all__ = ["documentation", "load", "parse_yaml", "spec_path"]


def parse_yaml(data: bytes, file: str) -> Any:  # noqa: ANN401 any JSON-like value
    """Read a document whose rules somebody else checks, as strictly as every other file.

    Raises:
        ConfigError: naming the file and the line.
    """
    return plain_value(parse(file, data))


def spec_path(key: CircuitKey) -> str:
    """Return the path of a circuit's spec inside the config repository."""
    return f"plants/{key.plant_id}/{key.circuit_id}.yml"


def load(files: Mapping[str, bytes], *, commit: str, algorithms: Mapping[str, Algorithm]) -> Config:
    """Read config at one commit.

    Raises:
        ConfigError: with every problem of every file.
    """
    problems: list[Problem] = []
    plants = _plants(files, problems)
    environments = _environments(files, problems)
    policy = _read(POLICY, files, PolicyFile, check_policy, problems)
    specs = {
        key: _spec(key, files, environments, algorithms, problems)
        for key in sorted(_listed(plants or {}) | _present(files, problems))
    }
    sources = _sources(files, specs, problems)
    if plants is not None:
        problems += _unlisted(specs, plants)
    if problems or plants is None or policy is None:
        raise ConfigError(tuple(sorted(problems, key=lambda each: (each.file, each.line))))
    features = {name for spec in specs.values() if spec for name in measured(spec.features)}
    return Config(
        commit=commit,
        plants=plants,
        circuits={
            key: Circuit(
                key=key,
                spec=spec,
                spec_digest=spec_digest(spec, algorithms[spec.forecaster]),
                owners=plants[key.plant_id].owners,
                file=spec_path(key),
            )
            for key, spec in specs.items()
            if spec is not None
        },
        environments={ref: each for ref, each in environments.items() if each is not None},
        policy=policy.policy(),
        feature_columns=tuple(sorted(features)),
        sources=sources,
    )


def _read(
    path: str,
    files: Mapping[str, bytes],
    kind: type[Content],
    check: Callable[[Document, Content], None] | None,
    problems: list[Problem],
) -> Content | None:
    """Read and judge one file; None when it has a problem."""
    if path not in files:
        problems.append(Problem(path, 0, "", "missing: write this file"))
        return None
    document = Document(path, problems, {**RULES, **SOURCE_RULES}, NOT_EMPTY)
    before = len(problems)
    top = document.top(files[path])
    content = UNREAD if top is None else document.read(top, kind, "")
    if not isinstance(content, kind):
        return None
    if check is not None:
        check(document, content)
    return content if len(problems) == before else None


def _plants(files: Mapping[str, bytes], problems: list[Problem]) -> dict[str, Plant] | None:
    master = _read(MASTER, files, MasterFile, _check_ids, problems)
    if master is None:
        return None
    return {
        plant_id: Plant(
            plant_id=plant_id, name=entry.name, owners=entry.owners, circuits=entry.circuits
        )
        for plant_id, entry in sorted(master.plants.items())
    }


def _check_ids(document: Document, master: MasterFile) -> None:
    """Judge ids, and that they differ by more than case: some file systems see no other."""
    plants: dict[str, str] = {}
    for plant_id, plant in master.plants.items():
        place = f"plants.{plant_id}"
        _check_id(document, place, plant_id, plants)
        circuits: dict[str, str] = {}
        for number, circuit in enumerate(plant.circuits):
            _check_id(document, f"{place}.circuits[{number}]", circuit, circuits)


def _check_id(document: Document, place: str, name: str, seen: dict[str, str]) -> None:
    try:
        CircuitKey(name, name)
    except MlopsError as error:
        document.problem(place, str(error))
    other = seen.setdefault(name.casefold(), name)
    if other != name:
        document.problem(place, f"{name} and {other} differ only by case: name one otherwise")


def _spec(
    key: CircuitKey,
    files: Mapping[str, bytes],
    environments: Mapping[EnvironmentRef, Environment | None],
    algorithms: Mapping[str, Algorithm],
    problems: list[Problem],
) -> Spec | None:
    path = spec_path(key)
    if path not in files:
        advice = f"missing, though {MASTER} lists {key}: write this file or take {key} off the list"
        problems.append(Problem(path, 0, "", advice))
        return None
    rules = {
        **RULES,
        (Spec, "forecaster"): _known_forecaster(algorithms),
        (Spec, "environment"): _known_environment(environments),
    }
    document = Document(path, problems, rules, NOT_EMPTY)
    before = len(problems)
    top = document.top(files[path])
    if top is None:
        return None
    spec = document.read(top.without("hyperparameters"), Spec, "")
    stated, node = top.get("forecaster"), top.get("hyperparameters")
    algorithm = algorithms.get(stated.text if isinstance(stated, Text) else "auto")
    if node is not None and algorithm is not None:
        given = document.given(node, algorithm.hyperparameters, "hyperparameters")
        if given is not None:
            _check_hyperparameters(document, given, algorithm)
            spec = replace(spec, hyperparameters=given) if isinstance(spec, Spec) else spec
    if not isinstance(spec, Spec):
        return None
    check_spec(document, spec)
    return spec if len(problems) == before else None


def _sources(
    files: Mapping[str, bytes], specs: Mapping[CircuitKey, Spec | None], problems: list[Problem]
) -> Sources:
    """Read where readings come from; without the file, from raw files in UTC alone."""
    if SOURCES not in files:
        return Sources()

    def check(document: Document, sources: Sources) -> None:
        check_sources(document, sources, specs)

    return _read(SOURCES, files, Sources, check, problems) or Sources()


def _known_forecaster(algorithms: Mapping[str, Algorithm]) -> Rule:
    def rule(name: str) -> str | None:
        return None if name in algorithms else f"{name} is unknown{nearest(name, algorithms)}"

    return rule


def _known_environment(environments: Mapping[EnvironmentRef, Environment | None]) -> Rule:
    def rule(text: str) -> str | None:
        try:
            ref = EnvironmentRef.parse(text)
        except MlopsError as error:
            return str(error)
        if ref in environments:
            return None
        return f"{ref} is not in environments/{nearest(text, map(str, environments))}"

    return rule


def _check_hyperparameters(
    document: Document, given: Mapping[str, Any], algorithm: Algorithm
) -> None:
    """Let the forecaster's own rules judge the values."""
    try:
        algorithm.hyperparameters(**given)
    except (MlopsError, ValueError, TypeError) as error:
        document.problem("hyperparameters", f"{algorithm.name}: {' '.join(str(error).split())}")


def _environments(
    files: Mapping[str, bytes], problems: list[Problem]
) -> dict[EnvironmentRef, Environment | None]:
    """Read every environment; one with a problem is None, so that its specs are not blamed."""
    environments: dict[EnvironmentRef, Environment | None] = {}
    for path in sorted(files):
        folder, _, rest = path.partition("/")
        if folder != "environments" or not path.endswith(_SUFFIXES):
            continue
        name, _, file = rest.partition("/")
        try:
            ref = EnvironmentRef.parse(f"{name}:{file.removesuffix('.yml')}")
        except MlopsError as error:
            advice = f"{error}: name the file environments/NAME/MAJOR.MINOR.PATCH.yml"
            problems.append(Problem(path, 0, "", advice))
            continue
        content = _read(path, files, EnvironmentFile, None, problems)
        environments[ref] = None if content is None else _environment(ref, content)
    return environments


def _environment(ref: EnvironmentRef, content: EnvironmentFile) -> Environment:
    environment = Environment(
        ref=ref,
        python=content.python,
        packages=tuple(
            Package(name=name, version=package.version, hashes=package.hashes)
            for name, package in sorted(content.packages.items())
        ),
        summary=content.summary,
        digest="",
    )
    return replace(environment, digest=environment_digest(environment))


def _listed(plants: Mapping[str, Plant]) -> set[CircuitKey]:
    return {CircuitKey(each.plant_id, name) for each in plants.values() for name in each.circuits}


def _present(files: Mapping[str, bytes], problems: list[Problem]) -> set[CircuitKey]:
    """Find the specs that are there, and name files that nothing reads: somebody meant them."""
    found = set()
    for path in sorted(files):
        match path.split("/"):
            case ["plants", plant, file] if file.endswith(".yml"):
                try:
                    found.add(CircuitKey(plant, file.removesuffix(".yml")))
                except MlopsError as error:
                    problems.append(Problem(path, 0, "", str(error)))
            case ["trust" | "environments", *_]:
                continue
            case _ if path not in (MASTER, POLICY, SOURCES) and path.endswith(_SUFFIXES):
                known = f"{MASTER}, {SOURCES} or {POLICY}"
                advice = f"nothing reads it: name it plants/PLANT/CIRCUIT.yml, {known}"
                problems.append(Problem(path, 0, "", advice))
    return found


def _unlisted(specs: Iterable[CircuitKey], plants: Mapping[str, Plant]) -> Iterable[Problem]:
    for key in sorted(set(specs) - _listed(plants)):
        advice = f"{MASTER} does not list {key}: add it there or remove this file"
        yield Problem(spec_path(key), 0, "", advice)
