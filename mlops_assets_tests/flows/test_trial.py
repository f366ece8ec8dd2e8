"""Trying a spec in memory: who is compared with whom, on what, and that nothing is registered."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from types import SimpleNamespace

import numpy as np
import pytest

from mlops_assets.catalog import load
from mlops_assets.domain.circuit import spec_digest
from mlops_assets.domain.conformal import earlier_widths
from mlops_assets.domain.errors import ConfigError, DataError, ModelError
from mlops_assets.domain.evaluation import (
    metrics,
)
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.flows.trial import proposed, trial
from mlops_assets.forecasters.catalogue import ALGORITHMS
from mlops_assets.forecasters.training import fit
from mlops_assets_tests.catalog.files import FILES, SPEC, spec
from mlops_assets_tests.fakes.config import FakeConfigRepository
from mlops_assets_tests.fakes.readings import readings
from mlops_assets_tests.fakes.training import NOW, START, Desk, Notes

KEY = CircuitKey("P1", "C1")
CUTOFF = date(2024, 6, 21)


def desk_of(**options):
    desk = Desk("P1/C1", fit=fit, forecaster="seasonal_naive", **options)
    # Each day a little unlike the one before, so that no forecaster is exact.
    values = [100.0 + 10 * (hour % 24) + (hour * 7919) % 13 for hour in range(60 * 24)]
    desk.lake.readings.merge(readings(values, key="P1/C1", start=START), slice_id="lively")
    return desk


def changed_of(desk, **changes):
    """The configured circuit with some fields of its spec changed."""
    circuit = desk.circuits[KEY]
    wanted = replace(circuit.spec, **changes)
    digest = spec_digest(wanted, ALGORITHMS[wanted.forecaster])
    return replace(circuit, spec=wanted, spec_digest=digest, file="mine.yml")


def tried(desk, *, progress=None, **changes):
    changed = changed_of(desk, **changes)
    return trial(desk.platform, desk.config, changed, now=NOW, progress=progress)


def names(found):
    return [each.candidate for each in found.standings()]


def test_where_nothing_is_live_the_configured_spec_is_backtested_beside_it():
    desk, notes = desk_of(), Notes()
    found = tried(desk, progress=notes, forecaster="cold_start")
    assert names(found) == ["proposed", "configured", "seasonal_naive"]
    assert found.notes == ("nothing is live",)
    assert [each.spec.forecaster for each in desk.engine.fitted] == ["cold_start", "seasonal_naive"]
    assert notes.counts == {"trial": 2}
    assert notes.labels == ["P1/C1", "P1/C1"]


def test_nothing_is_registered_and_no_data_are_pinned():
    desk = desk_of()
    tried(desk, forecaster="cold_start")
    assert not desk.models.versions(KEY)
    assert not desk.data.versions(KEY)
    assert not desk.environments.list()
    assert not desk.ledger.entries()


def test_a_live_model_is_compared_on_the_days_that_it_did_not_learn():
    desk = desk_of(cutoff_date=date(2024, 6, 10))
    desk.put_live(desk.one().record)
    found = tried(desk, forecaster="cold_start", cutoff_date=CUTOFF)
    proposed_row, live, floor = found.standings()
    assert (live.candidate, live.what) == ("live", "version 1 of r-000000000000")
    assert proposed_row.points == live.points == floor.points == 11 * 24
    assert found.notes == ()
    assert found.comparison().origins == 11


def test_a_live_model_that_learned_from_every_origin_gives_way_to_the_configured_spec():
    desk = desk_of()
    desk.put_live(desk.one().record)
    found = tried(desk, forecaster="cold_start")
    assert names(found) == ["proposed", "configured", "seasonal_naive"]
    (note,) = found.notes
    assert note.startswith("incumbent seasonal_naive: not compared, it learned from 28 of 28")


def test_a_damaged_live_model_is_noted_and_stops_no_trial():
    desk = desk_of(cutoff_date=date(2024, 6, 10))
    record = desk.one().record
    desk.put_live(record)
    kept, files, proof = desk.registry.stored[KEY, 1]
    desk.registry.stored[KEY, 1] = (kept, {**files, "model.json": b"{}"}, proof)
    found = tried(desk, cutoff_date=CUTOFF)
    assert names(found) == ["proposed", "configured", "seasonal_naive"]
    assert found.notes[0].startswith("what is live cannot be compared: ")


def test_the_figures_are_those_of_the_backtest_on_common_steps():
    found = tried(desk_of(), forecaster="cold_start")
    row = found.standings()[0]
    said = found.contestants[0].forecast
    width_80, width_95 = earlier_widths(np.abs(found.actual - said))
    bounds = [said - width_80, said + width_80, said - width_95, said + width_95]
    expected = metrics(found.actual, said, *bounds, 1.0)
    assert (row.mae, row.wape) == (expected.mae, expected.wape)
    assert (row.coverage_80, row.coverage_95) == (expected.coverage_80, expected.coverage_95)
    floor = found.standings()[-1]
    assert row.skill == pytest.approx(1 - row.wape / floor.wape)
    assert floor.skill == 0


def test_the_configured_spec_is_judged_on_the_origins_of_the_changed_one():
    desk = desk_of()
    found = tried(desk, cutoff_date=date(2024, 6, 1), horizon=48)
    first, second = desk.engine.fitted
    assert second.spec.cutoff_date == date(2024, 6, 1)
    assert second.spec.horizon == 48
    assert first.series.end == second.series.end
    assert all(each.forecast.shape == found.actual.shape for each in found.contestants)


def test_a_file_that_changes_nothing_is_told_so():
    found = tried(desk_of())
    assert "mine.yml asks for the configured model" in found.notes
    assert found.sentence().startswith("proposed against configured: no difference")


def test_too_few_readings_are_tried_as_they_would_be_trained():
    desk = desk_of()
    found = tried(desk, cutoff_date=date(2024, 5, 8))
    assert found.notes[0] == "too few readings up to 2024-05-08: cold_start"
    assert desk.engine.fitted[0].spec.forecaster == "cold_start"


def test_a_day_that_is_not_over_is_refused_by_the_name_of_the_file():
    with pytest.raises(DataError, match=r"^mine.yml: cutoff_date: 2024-07-01 is not over in UTC"):
        tried(desk_of(), cutoff_date=date(2024, 7, 1))


def test_a_circuit_without_readings_is_refused_by_name():
    desk = desk_of()
    desk.want("P1/C9", forecaster="seasonal_naive")
    changed = desk.circuits[CircuitKey("P1", "C9")]
    with pytest.raises(DataError, match=r"^P1/C9: no readings; nothing to try$"):
        trial(desk.platform, desk.config, changed, now=NOW)


def test_a_spec_that_gives_no_model_ends_the_trial_with_its_reason():
    desk = desk_of()

    def refuse(job):
        raise ModelError(f"{job.circuit}: too short")

    desk.engine.function = refuse
    with pytest.raises(ModelError, match=r"^P1/C1: too short$"):
        tried(desk, forecaster="cold_start")


def test_a_configured_spec_that_gives_no_model_leaves_the_floor():
    desk = desk_of()

    def refuse(job):
        if job.spec.forecaster == "seasonal_naive":
            raise ModelError("too short")
        return fit(job)

    desk.engine.function = refuse
    found = tried(desk, forecaster="cold_start")
    assert names(found) == ["proposed", "seasonal_naive"]
    assert found.notes[-1] == "the configured spec gives no model: too short"
    assert found.sentence() == "compared with the seasonal naive alone"
    assert found.document()["difference"] is None


def test_the_page_needs_nothing_else_and_repeats():
    found = tried(desk_of(), forecaster="cold_start")
    page = found.page()
    assert page == tried(desk_of(), forecaster="cold_start").page()
    text = page.decode()
    assert "<svg" in text
    assert "<script" not in text
    assert "href" not in text
    assert "proposed against configured" in text


class Shelf:
    """A config repository with one good commit."""

    def __init__(self):
        git = FakeConfigRepository()
        files = {name: text.encode() for name, text in FILES.items()}
        commit = git.commit(files, message="Begin", author="e@x.example", branch=None)
        self.config = load(files, commit=commit, algorithms=ALGORITHMS)
        self.platform = SimpleNamespace(config=git)

    def read(self, text):
        key = CircuitKey("P001", "C001")
        return proposed(self.platform, self.config, key, text.encode(), file="mine.yml")


def test_a_changed_spec_is_read_as_config_is():
    changed = Shelf().read(spec("horizon: 48"))
    assert (changed.spec.horizon, changed.file) == (48, "mine.yml")


def test_each_mistake_is_told_with_the_file_that_was_given_its_line_and_field():
    with pytest.raises(ConfigError) as caught:
        Shelf().read(spec("horizon: x", "effort: most"))
    first, second = map(str, caught.value.problems)
    assert first == "mine.yml:3: horizon: x is not a whole number: write digits such as 24"
    assert second.startswith("mine.yml:4: effort: most is unknown")
    assert SPEC not in first
