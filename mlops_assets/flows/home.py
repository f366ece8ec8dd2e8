"""A new home: its intent first, then everything in it, its description last.

An interrupted one is completed by running the same again; a whole one is left as it is.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlops_assets.catalog import load, spec_path
from mlops_assets.domain.circuit import Spec
from mlops_assets.domain.discovery import discover, master_text, spec_text
from mlops_assets.domain.errors import DataError, HomeError
from mlops_assets.domain.evidence import PLATFORM_EMAIL
from mlops_assets.flows.trust import trust_files
from mlops_assets.forecasters.catalogue import ALGORITHMS
from mlops_assets.settings import HOME_FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from mlops_assets.domain.circuit import Circuit, Config, Effort
    from mlops_assets.domain.readings import RawFile
    from mlops_assets.domain.trust import Person, Signer
    from mlops_assets.ports import ConfigRepository, HomePlace, LandingZone, Ledger, Progress

_MASTER = "plants_circuits.yml"
_POLICY = "release_policy.yml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody wants a home to be; two equal wishes make the same home."""

    kind: Literal["init", "demo"]
    four_eyes: Literal["required", "off"] = "required"
    features: tuple[str, ...] = ()
    horizon: int | None = None
    effort: Effort | None = None
    circuits: int | None = None

    def document(self, readings: RawFile | None) -> dict[str, Any]:
        """Return the description that the home carries."""
        return {
            "format": HOME_FORMAT,
            "kind": self.kind,
            "made_for": {
                "readings": readings.sha256 if readings else None,
                "four_eyes": self.four_eyes,
                "features": list(self.features),
                "horizon": self.horizon,
                "effort": self.effort,
                "circuits": self.circuits,
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class NewHome:
    """The ports of a home that is being made."""

    place: HomePlace
    config: Callable[[], ConfigRepository]
    ledger: Callable[[ConfigRepository], Ledger]
    landing: LandingZone


def initialise(
    new: NewHome,
    wish: Wish,
    *,
    template: Mapping[str, bytes],
    now: datetime,
    readings: LandingZone | None = None,
    people: Callable[[], tuple[Iterable[Person], Iterable[Signer]]] = lambda: ((), ()),
    simulate: Callable[[LandingZone, Config], object] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Make a home; returns its plants, circuits and most frequent interval.

    ``template`` holds the shipped config: its environments and policy begin every home, its plants
    only one without ``readings``. ``simulate`` fills the landing zone of such a home.

    Raises:
        DataError: the readings cannot be used; nothing was made.
        HomeError: something else is there.
    """
    source = _only_file(readings) if readings else None
    document = wish.document(source)
    if readings and source:
        if progress is not None:
            progress.say(f"reading {source.path}")
        files = _found_config(source.path, readings.read(source), wish, template)
    else:
        files = _template_config(wish, template)
    config = load(files, commit="0" * 40, algorithms=ALGORITHMS)
    if not new.place.begin(document):
        if readings and source:
            new.landing.put(_landing_name(source.path), readings.read(source))
        elif simulate is not None:
            simulate(new.landing, config)
        files |= trust_files(*people())
        repository = new.config()
        repository.commit(
            files,
            message=f"Begin with {len(config.circuits)} circuits",
            author=PLATFORM_EMAIL,
            branch=None,
        )
        begin_ledger(new.ledger(repository), repository, wish, now=now)
        new.place.finish()
    return _summary(config)


def adopt(
    new: NewHome, wish: Wish, repository: ConfigRepository, *, now: datetime
) -> dict[str, Any]:
    """Make a home that watches a config repository which is there already."""
    head = repository.head()
    config = load(repository.files(head), commit=head, algorithms=ALGORITHMS)
    if not new.place.begin(wish.document(None)):
        begin_ledger(new.ledger(repository), repository, wish, now=now)
        new.place.finish()
    return _summary(config)


def begin_ledger(
    ledger: Ledger, repository: ConfigRepository, wish: Wish, *, now: datetime
) -> None:
    """Write entry 0, once: from here on another config repository is refused.

    A repository that anchors another home's ledger is refused: only people can know whether that
    home is gone or was cut off.
    """
    if ledger.entries():
        return  # of another host, which may write what this one only reads
    if repository.anchored():
        raise HomeError(
            "this config repository anchors the ledger of another home: restore that home, or, if "
            "it is gone for good, run `git update-ref -d refs/notes/mlops-ledger` in it"
        )
    with ledger.lock():
        if ledger.entries():
            return
        data = {
            "format": HOME_FORMAT,
            "kind": wish.kind,
            "root_commit": repository.root_commit(),
            "ref": repository.ref,
            "four_eyes": wish.four_eyes,
        }
        ledger.append("initialised", "platform", data, now)


def _only_file(readings: LandingZone) -> RawFile:
    files = readings.files()
    if len(files) != 1:
        raise DataError("--readings: name one Parquet or CSV file")
    return files[0]


def _landing_name(path: str) -> str:
    """Return a name that the landing zone shows: hidden files are not data."""
    return path.lstrip("._") or "readings"


def _found_config(
    name: str, data: bytes, wish: Wish, template: Mapping[str, bytes]
) -> dict[str, bytes]:
    """Return the first config for a file of readings."""
    from mlops_assets.domain.raw_file import RawFileError, parse

    try:
        rows = parse(name, data, wish.features).rows
    except RawFileError as error:
        what = error.code.replace("_", " ")
        raise DataError(f"{name}: {what}: {error.detail}") from error
    found = discover(rows, wish.features, name=name)
    if wish.circuits is not None:
        found = found.first(wish.circuits)
    spec = Spec(
        cutoff_date=found.cutoff_date,
        horizon=wish.horizon or 24,
        effort=wish.effort or "balanced",
        features=wish.features,
    )
    specs = {spec_path(key): spec_text(found, key, spec) for key in found.circuits}
    return {_MASTER: master_text(found), **specs, **_common(wish, template)}


def _template_config(wish: Wish, template: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the shipped config, cut to the first circuits and changed where that is wished."""
    config = load(template, commit="0" * 40, algorithms=ALGORITHMS)
    kept = list(config.circuits.values())[: wish.circuits]
    specs = {each.file: _changed_spec(template[each.file], each, wish) for each in kept}
    master = template[_MASTER]
    if len(kept) < len(config.circuits):
        master = _shorter_master(config, kept)
    return {_MASTER: master, **specs, **_common(wish, template)}


def _common(wish: Wish, template: Mapping[str, bytes]) -> dict[str, bytes]:
    environments = {
        path: data for path, data in template.items() if path.startswith("environments/")
    }
    policy = _with_line(template[_POLICY], "four_eyes", wish.four_eyes)
    return {_POLICY: policy, **environments}


def _changed_spec(data: bytes, circuit: Circuit, wish: Wish) -> bytes:
    if wish.horizon is not None and wish.horizon != circuit.spec.horizon:
        data = _with_line(data, "horizon", str(wish.horizon))
    if wish.effort is not None and circuit.spec.forecaster == "auto":
        data = _with_line(data, "effort", wish.effort)
    return data


def _with_line(data: bytes, name: str, value: str) -> bytes:
    """Return the text with this top-level field set, its comments kept."""
    line = f"{name}: {value}".encode()
    pattern = re.compile(rb"^" + name.encode() + rb":[^\n#]*?(?=[ \t]*(?:#|\n|$))", re.MULTILINE)
    changed, count = pattern.subn(line, data, count=1)
    return changed if count else data.rstrip(b"\n") + b"\n" + line + b"\n"


def _shorter_master(config: Config, kept: Sequence[Circuit]) -> bytes:
    lines = ["# What exists; docs/config.md describes every field.", "format: 1", "plants:"]
    for plant in config.plants.values():
        circuits = [each.key.circuit_id for each in kept if each.key.plant_id == plant.plant_id]
        if circuits:
            lines += [
                f'  "{plant.plant_id}":',
                f'    name: "{plant.name}"',
                f"    owners: [{', '.join(plant.owners)}]",
                f"    circuits: [{', '.join(circuits)}]",
            ]
    return ("\n".join(lines) + "\n").encode()


def _summary(config: Config) -> dict[str, Any]:
    if not config.circuits:
        raise HomeError("config lists no circuit: add one to plants_circuits.yml")
    intervals = Counter(circuit.spec.interval for circuit in config.circuits.values())
    return {
        "plants": len(config.plants),
        "circuits": len(config.circuits),
        "interval": intervals.most_common(1)[0][0],
    }
