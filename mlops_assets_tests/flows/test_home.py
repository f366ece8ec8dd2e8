"""A home is made whole or not at all, and made again it is the same."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from mlops_assets.catalog import load, parse_yaml
from mlops_assets.domain.errors import DataError, EngineError, HomeError
from mlops_assets.flows.home import Wish, adopt, initialise
from mlops_assets.forecasters.catalogue import ALGORITHMS
from mlops_assets.resources.home import shipped_config
from mlops_assets_tests.fakes.config import FakeConfigRepository
from mlops_assets_tests.fakes.home import Parts
from mlops_assets_tests.fakes.readings import FakeLandingZone
from mlops_assets_tests.fakes.release import PEOPLE

NOW = datetime(2024, 7, 1, tzinfo=UTC)
TEMPLATE = shipped_config()
INIT = Wish(kind="init", horizon=24, effort="balanced")


def a_file(name="readings.parquet", **more):
    """A zone of one long-format file: two circuits of three days."""
    stamps = [datetime(2024, 6, 1, tzinfo=UTC) + timedelta(hours=each) for each in range(72)]
    frame = pl.concat(
        pl.DataFrame(
            {
                "plant_id": "P1",
                "circuit_id": circuit,
                "timestamp": stamps,
                "value": [float(each % 24) for each in range(72)],
                **more,
            }
        )
        for circuit in ("A", "B")
    )
    zone = FakeLandingZone()
    target = io.BytesIO()
    if name.endswith(".csv"):
        frame.write_csv(target)
    else:
        frame.write_parquet(target)
    zone.put(name, target.getvalue())
    return zone


def make(parts, wish=INIT, readings=None, **more):
    return initialise(parts.new, wish, template=TEMPLATE, now=NOW, readings=readings, **more)


def config_of(parts):
    head = parts.repository.head()
    return load(parts.repository.files(head), commit=head, algorithms=ALGORITHMS)


@pytest.mark.parametrize("name", ["readings.parquet", "readings.csv"])
def test_a_file_of_readings_becomes_a_home(name):
    parts = Parts()
    document = make(parts, readings=a_file(name))
    assert document == {"plants": 1, "circuits": 2, "interval": "1h"}
    assert list(parts.landing.data) == [name]
    config = config_of(parts)
    assert [str(key) for key in config.circuits] == ["P1/A", "P1/B"]
    assert {each.spec.timezone for each in config.circuits.values()} == {"UTC"}
    assert {each.spec.cutoff_date.isoformat() for each in config.circuits.values()} == {
        "2024-05-27"
    }


def test_the_file_lands_unchanged():
    zone = a_file("_hidden.parquet")
    parts = Parts()
    make(parts, readings=zone)
    assert parts.landing.data == {"hidden.parquet": zone.data["_hidden.parquet"]}


def test_entry_zero_binds_the_config_repository():
    parts = Parts()
    make(parts, readings=a_file())
    (entry,) = parts.ledger.entries()
    assert entry.event == "initialised"
    assert dict(entry.data) == {
        "format": 1,
        "kind": "init",
        "root_commit": parts.repository.root_commit(),
        "ref": "refs/heads/main",
        "four_eyes": "required",
    }


def test_making_it_again_changes_nothing():
    parts = Parts()
    first = make(parts, readings=a_file())
    head, log = parts.repository.head(), parts.ledger.log
    assert make(parts, readings=a_file()) == first
    assert (parts.repository.head(), parts.ledger.log) == (head, log)


def test_config_that_people_changed_stays_as_they_left_it():
    parts = Parts()
    make(parts, readings=a_file())
    changed = parts.repository.commit(
        {"trust/roles.yml": b"x"}, message="m", author="e@x.example", branch=None
    )
    make(parts, readings=a_file())
    assert parts.repository.head() == changed


@pytest.mark.parametrize(
    ("step", "method"),
    [("landing", "put"), ("repository", "commit"), ("ledger", "append"), ("place", "finish")],
)
@pytest.mark.parametrize("before", [True, False])
def test_an_interrupted_init_is_completed_by_another(monkeypatch, step, method, before):
    undisturbed, parts = Parts(), Parts()
    make(undisturbed, readings=a_file())
    part = getattr(parts, step)
    real = getattr(part, method)

    def killed(*positional, **named):
        if not before:
            real(*positional, **named)
        raise KeyboardInterrupt

    monkeypatch.setattr(part, method, killed)
    with pytest.raises(KeyboardInterrupt):
        make(parts, readings=a_file())
    monkeypatch.undo()
    make(parts, readings=a_file())
    assert parts.place.whole
    assert parts.ledger.log == undisturbed.ledger.log
    assert parts.landing.data == undisturbed.landing.data
    assert list(parts.repository.trees.values()) == list(undisturbed.repository.trees.values())


def test_options_go_into_the_specs():
    parts = Parts()
    wish = Wish(kind="init", horizon=48, effort="fast", features=("wind",))
    wind = [float((each * 7919) % 13) for each in range(72)]
    make(parts, wish, a_file(wind=wind))
    config = config_of(parts)
    assert {each.spec.horizon for each in config.circuits.values()} == {48}
    assert {each.spec.effort for each in config.circuits.values()} == {"fast"}
    assert config.feature_columns == ("wind",)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"PAR1 this is not a table PAR1", "f.parquet: unreadable file: "),
        (b"a,b\n1,2\n", "f.parquet: missing column: plant_id, circuit_id, timestamp, value"),
        (b"", "f.parquet: empty file"),
    ],
)
def test_a_file_that_cannot_be_used_makes_nothing(content, line):
    zone = FakeLandingZone()
    zone.put("f.parquet" if content.startswith(b"PAR1") else "f.csv", content)
    parts = Parts()
    with pytest.raises(DataError, match=line.replace("f.parquet", r"f\.\w+")):
        make(parts, readings=zone)
    assert parts.place.intent is None
    assert parts.landing.data == {}


def test_a_folder_is_not_a_file_of_readings():
    zone = a_file()
    zone.put("second.csv", b"")
    with pytest.raises(DataError, match="name one Parquet or CSV file"):
        make(Parts(), readings=zone)


def test_without_readings_the_shipped_company_is_simulated():
    parts, simulated = Parts(), []
    document = make(
        parts, Wish(kind="demo"), simulate=lambda zone, config: simulated.append(len(config.plants))
    )
    assert document == {"plants": 4, "circuits": 20, "interval": "1h"}
    assert simulated == [4]
    for name, data in TEMPLATE.items():
        assert parts.repository.files(parts.repository.head())[name] == data


def test_a_demo_may_be_smaller_and_longer_sighted():
    parts = Parts()
    document = make(parts, Wish(kind="demo", circuits=3, horizon=48, effort="fast"))
    assert document == {"plants": 1, "circuits": 3, "interval": "1h"}
    config = config_of(parts)
    assert {each.spec.horizon for each in config.circuits.values()} == {48}
    auto = {each.spec.effort for each in config.circuits.values() if each.spec.forecaster == "auto"}
    assert auto == {"fast"}
    text = parts.repository.files(parts.repository.head())["plants/P001/C001.yml"]
    assert b"# Hours forecast from 00:00 of a day.\nhorizon: 48\n" in text


def test_the_first_of_a_large_file_are_enough_for_a_demo():
    parts = Parts()
    assert make(parts, Wish(kind="demo", circuits=1), a_file())["circuits"] == 1


def test_people_are_in_the_first_commit():
    parts = Parts()
    make(parts, readings=a_file(), people=lambda: (PEOPLE, ()))
    roles = parse_yaml(parts.repository.files(parts.repository.head())["trust/roles.yml"], "roles")
    assert set(roles["people"]) == {person.email for person in PEOPLE}
    (info,) = parts.repository.log(None, since=None, until=parts.repository.head())
    assert info.author == "platform@mlops-assets.local"


def test_a_home_for_one_person_says_so_in_policy_and_ledger():
    parts = Parts()
    make(parts, Wish(kind="init", four_eyes="off"), a_file())
    assert config_of(parts).policy.four_eyes == "off"
    assert parts.ledger.entries()[0].data["four_eyes"] == "off"


def test_a_repository_that_is_there_is_watched():
    existing, parts = FakeConfigRepository(), Parts()
    head = existing.commit(TEMPLATE, message="Ours", author="e@x.example", branch=None)
    existing.notes = parts.ledger.anchors
    document = adopt(parts.new, INIT, existing, now=NOW)
    assert document["circuits"] == 20
    assert adopt(parts.new, INIT, existing, now=NOW) == document
    (entry,) = parts.ledger.entries()
    assert entry.data["root_commit"] == head
    assert parts.repository.branches == {}


def test_another_host_of_a_home_needs_no_right_to_write_its_ledger(monkeypatch):
    existing, first, second = FakeConfigRepository(), Parts(), Parts()
    existing.commit(TEMPLATE, message="Ours", author="e@x.example", branch=None)
    existing.notes = first.ledger.anchors
    document = adopt(first.new, INIT, existing, now=NOW)

    def refused():
        raise EngineError("ledger: 403")

    monkeypatch.setattr(first.ledger, "lock", refused)
    second.ledger = first.ledger
    assert adopt(second.new, INIT, existing, now=NOW) == document
    assert second.place.whole


def test_a_repository_that_anchors_another_home_is_refused():
    existing, parts = FakeConfigRepository(), Parts()
    existing.commit(TEMPLATE, message="Ours", author="e@x.example", branch=None)
    existing.anchor("0 of another home")
    with pytest.raises(HomeError, match="anchors the ledger of another home"):
        adopt(parts.new, INIT, existing, now=NOW)
    assert parts.ledger.log == b""


def test_config_without_a_circuit_is_no_home():
    existing = FakeConfigRepository()
    master = b"format: 1\nplants: {}\n"
    files = {name: data for name, data in TEMPLATE.items() if not name.startswith("plants")}
    existing.commit(
        {**files, "plants_circuits.yml": master}, message="M", author="e@x.example", branch=None
    )
    with pytest.raises(HomeError, match="config lists no circuit"):
        adopt(Parts().new, INIT, existing, now=NOW)
