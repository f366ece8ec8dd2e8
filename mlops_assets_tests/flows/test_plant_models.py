"""A plant's models are read together, and only what was signed is applied."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from mlops_assets.domain.identifiers import CircuitKey, digest_of_files
from mlops_assets_tests.fakes.deployment import an_entry
from mlops_assets_tests.fakes.serving import DAY, NOW, Production

C1, C2, OTHER = CircuitKey("P1", "C1"), CircuitKey("P1", "C2"), CircuitKey("P2", "C1")
FIRST, NEXT = DAY - timedelta(days=1), DAY


@dataclass
class FakePlantModels:
    plants: dict[str, dict] = field(default_factory=dict)
    writes: int = 0
    reads: list[str] = field(default_factory=list)

    def listed(self, plant_id):
        return frozenset(self.plants.get(plant_id, {}))

    def read(self, plant_id):
        self.reads.append(plant_id)
        found = self.plants.get(plant_id, {})
        return {
            digest: files for digest, files in found.items() if digest_of_files(files) == digest
        }

    def write(self, plant_id, models):
        self.plants[plant_id] = dict(models)
        self.writes += 1


@pytest.fixture
def production():
    made = Production()
    made.prod = replace(made.prod, models=FakePlantModels())
    return made


def predict(production, day=FIRST, circuits=None):
    return production.predict(day, circuits, now=NOW + (day - DAY))


def test_the_next_batch_reads_no_model_from_the_registry(production):
    production.serve(C1, C2, OTHER)
    first = predict(production)
    production.shelf.reads = 0
    production.prod.models.reads.clear()

    second = predict(production, NEXT)

    assert production.shelf.reads == 0
    assert production.prod.models.reads == ["P1", "P2"]
    assert {one.fallback for one in second.circuits.values()} == {"none"}
    assert len(second.circuits) == len(first.circuits) == 3
    assert production.prod.models.writes == 2  # two plants, once each


def test_forecasts_are_those_of_the_registrys_own_files(production):
    production.serve(C1, add=3.0)
    plain = Production()
    plain.serve(C1, add=3.0)
    for each in (production, plain):
        predict(each)
        predict(each, NEXT)

    told, wanted = (
        each.rows(C1, NEXT).drop("release", "issued_at") for each in (production, plain)
    )
    assert told.equals(wanted)


def test_a_circuit_that_is_released_anew_is_served_by_its_new_model(production):
    production.serve(C1)
    predict(production)
    digest = production.shelf.add(C1, 2, add=7.0)
    production.release(an_entry(C1, version=2, digest=digest, replaces=production.live(C1)))

    report = predict(production, NEXT)

    assert report.circuits[C1].model_version == 2
    assert report.circuits[C1].fallback == "none"
    assert set(production.prod.models.plants["P1"]) == {digest}


def test_a_damaged_copy_is_read_from_the_registry_and_laid_down_anew(production):
    production.serve(C1, C2)
    predict(production)
    digest = production.shelf.records[C1, 1].digest
    production.prod.models.plants["P1"][digest] = {"model.json": b"{}"}

    report = predict(production, NEXT)

    assert report.circuits[C1].fallback == "none"
    assert digest in production.prod.models.read("P1")
    predict(production, NEXT)
    assert production.prod.models.writes == 2


def test_a_damaged_copy_of_what_is_not_forecast_again_is_laid_down_when_it_is(production):
    production.serve(C1, C2)
    predict(production)
    digest = production.shelf.records[C1, 1].digest
    production.prod.models.plants["P1"][digest] = {"model.json": b"{}"}

    predict(production)  # the day stands: nothing is read
    assert production.prod.models.writes == 1
    predict(production, NEXT)
    assert digest in production.prod.models.read("P1")


def test_a_circuit_that_is_live_no_more_leaves_the_copies(production):
    production.serve(C1, C2)
    predict(production)
    digest = production.shelf.records[C1, 1].digest
    production.prod.models.plants["P1"]["0" * 64] = {"model.json": b"{}"}

    predict(production, NEXT)

    assert "0" * 64 not in production.prod.models.plants["P1"]
    assert digest in production.prod.models.plants["P1"]


def test_one_circuit_alone_changes_no_plants_copies(production):
    production.serve(C1, C2)
    predict(production)

    predict(production, NEXT, [C1])

    assert production.prod.models.writes == 1


def test_a_model_that_cannot_be_read_is_not_kept_and_the_others_are(production):
    production.serve(C1, C2, previous={"add": 1.0})
    production.shelf.bytes[C1, 2] = {"model.json": b"{}"}

    report = predict(production)

    assert report.circuits[C1].fallback == "previous_model"
    assert set(production.prod.models.plants["P1"]) == {production.shelf.records[C2, 2].digest}
    predict(production, NEXT)
    assert production.prod.models.writes == 1
