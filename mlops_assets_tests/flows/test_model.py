"""Training over a platform in memory: what is trained, what stands, what fails, and who hears."""

from __future__ import annotations

import weakref
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from mlops_assets.domain.errors import ModelError, StaleError
from mlops_assets.domain.evaluation import Backtest, Metrics, paired_bound
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.proof import metrics_of, proof_document, read_proof, write_proof
from mlops_assets.flows import model
from mlops_assets_tests.fakes.engine import cheap_fit
from mlops_assets_tests.fakes.environment import environment
from mlops_assets_tests.fakes.readings import a_lake, readings
from mlops_assets_tests.fakes.training import COMMIT, NOW, Desk, Notes


def test_a_circuit_is_trained_on_its_pinned_data_and_registered_as_version_one():
    desk = Desk()
    outcome = desk.one()
    assert (outcome.status, outcome.reason) == ("trained", "version 1, seasonal_naive")
    assert desk.models.get(outcome.circuit, 1) == outcome.record
    assert outcome.record.data_digest == outcome.data.content_digest
    assert outcome.record.spec_digest == desk.circuits[outcome.circuit].spec_digest
    assert outcome.record.environment_digest == environment().digest
    assert outcome.record.config_commit == COMMIT
    assert desk.engine.fitted[0].series.end == datetime(2024, 6, 22, tzinfo=UTC)
    assert [verdict.gate for verdict in outcome.verdicts] == ["skill", "champion", "coverage"]
    assert all(verdict.passed for verdict in outcome.verdicts)
    assert outcome.metrics.wape == 0.5
    assert outcome.floor.wape == 0.6
    assert outcome.incumbent is None


def test_a_model_carries_every_tag_that_people_look_it_up_by():
    tags = Desk().one().record.tags
    assert tags["plant"] == "P1"
    assert tags["circuit"] == "C1"
    assert tags["experiment"] == "plant_P1_circuit_C1"
    assert tags["author"] == "author@co.example"
    assert tags["pull_request"] == "17"
    assert tags["trained_at"] == "2024-07-01T12:00:00+00:00"
    assert (tags["wape"], tags["floor_wape"]) == ("0.5", "0.6")
    assert set(tags) >= {
        *("cutoff_date", "spec_digest", "config_commit", "data_version", "data_digest"),
        *("delta_version", "environment", "environment_digest", "forecaster"),
        *("algorithm_version", "effort", "hyperparameters", "mae", "rmse", "mase", "r2"),
        *("coverage_80", "coverage_95", "floor_mae"),
    }
    assert all(isinstance(text, str) for text in tags.values())


def test_training_twice_fits_once_and_says_which_version_stands():
    desk = Desk()
    first = desk.train()
    again = desk.train(now=NOW + timedelta(days=1))
    assert len(desk.engine.fitted) == len(first.trained) == 2
    assert again.trained == ()
    assert again.skipped == first.trained
    outcome = again.outcomes[CircuitKey("P1", "C1")]
    assert outcome.reason == "unchanged: version 1, same spec, same data"
    assert outcome.record == first.outcomes[outcome.circuit].record
    assert outcome.proof == first.outcomes[outcome.circuit].proof
    assert outcome.verdicts == first.outcomes[outcome.circuit].verdicts
    assert outcome.status == "unchanged"


def test_another_spec_gets_the_next_version():
    desk = Desk("P1/C1")
    desk.one()
    desk.want("P1/C1", cutoff_date=date(2024, 6, 20))
    outcome = desk.one()
    assert outcome.record.version == 2
    assert desk.one().reason == "unchanged: version 2, same spec, same data"


def test_a_spec_that_comes_back_finds_its_old_model():
    desk = Desk("P1/C1")
    desk.one()
    desk.want("P1/C1", cutoff_date=date(2024, 6, 20))
    desk.one()
    desk.want("P1/C1")
    assert desk.one().reason == "unchanged: version 1, same spec, same data"


def test_the_same_spec_on_other_data_is_another_model_of_a_revised_date():
    desk = Desk("P1/C1")
    desk.one()
    desk.send("P1/C1", level=200.0)
    outcome = desk.one()
    assert outcome.status == "trained"
    assert str(outcome.record.data_version) == "2024-06-21.r1"
    assert outcome.record.version == 2


def test_a_failing_fit_stops_no_other_circuit():
    def fit(job):
        if job.circuit.circuit_id == "C2":
            raise ModelError("nothing but gaps")
        return cheap_fit(job)

    desk = Desk("P1/C1", "P1/C2", "P1/C3", fit=fit)
    report = desk.train()
    assert [str(key) for key in report.trained] == ["P1/C1", "P1/C3"]
    assert report.failed == {CircuitKey("P1", "C2"): "nothing but gaps"}
    assert not report.outcomes[CircuitKey("P1", "C2")].left_out
    assert report.outcomes[CircuitKey("P1", "C2")].data is not None


def test_only_what_failed_is_fitted_again():
    moods = iter([ModelError("a bad day"), None, None])

    def fit(job):
        if (mood := next(moods)) is not None:
            raise mood
        return cheap_fit(job)

    desk = Desk(fit=fit)
    assert len(desk.train().failed) == 1
    assert len(desk.train().trained) == 1
    assert len(desk.engine.fitted) == 3


def test_a_circuit_without_readings_is_left_out_by_name():
    desk = Desk("P1/C1")
    desk.want("P1/DEAD")
    report = desk.train()
    dead = report.outcomes[CircuitKey("P1", "DEAD")]
    assert (dead.status, dead.reason, dead.left_out) == ("failed", "no readings", True)
    assert len(report.trained) == 1


def test_a_lake_without_any_readings_leaves_everything_out():
    desk = Desk("P1/C1")
    desk.lake = a_lake()
    assert desk.one().reason == "no readings"


def test_readings_that_begin_after_the_cutoff_do_not_count():
    desk = Desk()
    desk.want("P1/NEW")
    desk.send("P1/NEW", start=datetime(2024, 6, 22, tzinfo=UTC), days=5)
    outcome = desk.one("P1/NEW")
    assert outcome.reason == "no readings up to its cutoff date 2024-06-21"
    assert outcome.left_out


def test_a_cutoff_in_the_future_fails_with_the_file_and_the_field():
    desk = Desk("P1/C1", cutoff_date=date(2024, 7, 1))
    outcome = desk.one()
    assert outcome.status == "failed"
    assert outcome.reason.startswith("plants/P1/C1.yml: cutoff_date: 2024-07-01 is not over")
    assert not outcome.left_out


def test_a_circuit_that_config_does_not_know_fails_by_name():
    assert Desk().one("P9/C9").reason == (
        "P9/C9: config has no such circuit; add it to plants_circuits.yml"
    )


def test_a_circuit_with_too_few_readings_is_trained_by_cold_start_and_found_again():
    desk = Desk("P1/C1")
    desk.want("P1/NEW")
    desk.send("P1/NEW", start=datetime(2024, 6, 15, tzinfo=UTC), days=10)
    outcome = desk.one("P1/NEW")
    assert outcome.status == "trained"
    assert desk.engine.fitted[0].spec.forecaster == "cold_start"
    assert outcome.record.spec_digest != desk.circuits[outcome.circuit].spec_digest
    assert desk.one("P1/NEW").status == "unchanged"


def test_an_environment_with_other_content_fails_its_circuits_and_no_others():
    desk = Desk("P1/C1")
    desk.want("P1/C2", environment="forecasting:1.1.0")
    desk.send("P1/C2")
    desk.environments.register(environment(numpy="9.9.9"))
    desk.known.append(environment("forecasting:1.1.0"))
    report = desk.train()
    assert [str(key) for key in report.trained] == ["P1/C2"]
    assert "is registered with other content" in report.failed[CircuitKey("P1", "C1")]


def test_an_environment_without_a_file_is_named():
    desk = Desk("P1/C1", environment="forecasting:9.0.0")
    assert desk.one().reason == (
        "environment forecasting:9.0.0: config/environments has no such version; add its file"
    )


def test_the_live_model_is_scored_on_the_same_origins():
    desk = Desk("P1/C1")
    first = desk.one().record
    desk.put_live(first)
    desk.want("P1/C1", cutoff_date=date(2024, 6, 25))
    outcome = desk.one()
    assert dict(desk.engine.fitted[-1].incumbent) == desk.models.files(first)
    assert outcome.incumbent.wape == 0.5
    assert outcome.proof["comparison"]["lower_bound"] == 0.0


def test_a_damaged_live_model_is_said_and_does_not_prevent_its_successor():
    desk = Desk("P1/C1")
    desk.put_live(desk.one().record)
    desk.registry.stored[CircuitKey("P1", "C1"), 1][1]["model.json"] = b"damaged"
    desk.want("P1/C1", cutoff_date=date(2024, 6, 25))
    notes = Notes()
    outcome = desk.one(progress=notes)
    assert outcome.status == "trained"
    assert outcome.incumbent is None
    assert any("trained without comparison to what is live" in line for line in notes.lines)


def test_a_model_that_was_rolled_back_from_is_held_until_its_spec_changes():
    desk = Desk("P1/C1")
    record = desk.one().record
    held = {"circuits": {}, "held": {"P1/C1": record.digest}, "reason": "", "operator": "a@b.c"}
    desk.ledger.append("rolled_back", "a@b.c", held, NOW)
    outcome = desk.one()
    assert (outcome.status, outcome.held) == ("unchanged", True)
    assert outcome.reason == (
        "held: version 1 was rolled back from; change its spec, or `mlops release create --unhold "
        "P1/C1`"
    )
    desk.want("P1/C1", cutoff_date=date(2024, 6, 20))
    assert desk.one().status == "trained"


def test_whoever_registers_the_same_model_first_wins_and_no_version_is_wasted():
    desk = Desk("P1/C1")
    rival = Desk("P1/C1")
    rival.models = desk.models
    taken = desk.models.next_version

    def late(circuit):
        version = taken(circuit)
        if not rival.engine.fitted:
            rival.one(now=NOW - timedelta(hours=1))
        return version

    desk.models.next_version = late
    outcome = desk.one()
    assert outcome.record.version == 1
    assert taken(CircuitKey("P1", "C1")) == 2


def test_a_version_that_another_spec_took_meanwhile_is_passed_over():
    desk = Desk("P1/C1")
    rival = Desk("P1/C1", cutoff_date=date(2024, 6, 20))
    rival.models = desk.models
    taken = desk.models.next_version

    def late(circuit):
        version = taken(circuit)
        if not rival.engine.fitted:
            rival.one()
        return version

    desk.models.next_version = late
    assert desk.one().record.version == 2
    assert [record.version for record in desk.models.versions(CircuitKey("P1", "C1"))] == [1, 2]


def test_a_model_of_other_bytes_for_the_same_spec_and_data_gives_way_to_the_first():
    desk = Desk("P1/C1")
    rival = Desk("P1/C1", fit=lambda job: replace(cheap_fit(job), files=other_files(job)))
    rival.models = desk.models
    register = desk.models.register

    def late(record, files, proof=b""):
        if not rival.engine.fitted:
            desk.models.register = register
            rival.one()
            raise StaleError("somebody was faster")
        return register(record, files, proof)

    desk.models.register = late
    outcome = desk.one()
    assert outcome.status == "unchanged"
    assert outcome.record.version == 1


def other_files(job):
    return {name: b"other " + data for name, data in cheap_fit(job).files.items()}


def test_each_outcome_is_told_once_as_soon_as_it_is_certain():
    desk = Desk()
    desk.want("P1/DEAD")
    heard = []
    report = desk.train(on_result=lambda outcome: heard.append(str(outcome.circuit)))
    assert sorted(heard) == [str(key) for key in report.outcomes]
    assert heard[0] == "P1/DEAD"


def test_what_was_registered_before_a_kill_is_found_again():
    desk = Desk()

    def killed(outcome):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        desk.train(on_result=killed)
    report = desk.train()
    assert len(report.trained) == len(report.skipped) == 1
    assert len(desk.engine.fitted) == 2


def test_what_failed_is_trained_again_alone():
    def once(job):
        if job.circuit.circuit_id == "C2" and len(desk.engine.fitted) <= 2:
            raise ModelError("took longer than 60 s and was stopped")
        return cheap_fit(job)

    desk = Desk(fit=once)
    assert list(desk.train().failed) == [CircuitKey("P1", "C2")]
    assert desk.train().trained == (CircuitKey("P1", "C2"),)
    assert [job.circuit.circuit_id for job in desk.engine.fitted] == ["C1", "C2", "C2"]


def test_progress_counts_data_then_fits_and_says_where_cores_bind():
    desk = Desk()
    notes = Notes()
    desk.train(progress=notes)
    assert notes.counts == {"training data": 2, "training": 2}
    assert notes.lines == ["1 fits at once over all trainings: the policy allows 5, the cores bind"]
    assert desk.asked == [5]


def test_what_was_fitted_is_let_go_while_others_are_still_fitted():
    alive = []

    class Engine:
        """Fits in order and keeps no job, as an engine should."""

        workers = 1

        def fit(self, jobs):
            waiting = [jobs.pop(0) for _ in range(len(jobs))]
            series = [weakref.ref(job.series.values) for job in waiting]
            while waiting:
                yield waiting[0].circuit, cheap_fit(waiting.pop(0))
                alive.append(sum(each() is not None for each in series))

    desk = Desk("P1/C1", "P1/C2", "P1/C3", "P1/C4")
    desk.engine = Engine()
    backtests = []
    report = desk.train(on_result=lambda outcome: backtests.append(outcome.proof["backtest"]))
    assert len(backtests) == len(report.trained) == 4
    # The last one that was prepared is still in the hand of whoever prepared it.
    assert alive == [3, 2, 1, 1]
    assert all("backtest" not in outcome.proof for outcome in report.outcomes.values())


def test_training_nothing_is_nothing():
    desk = Desk()
    assert model.train(desk.platform, desk.config, [], now=NOW).outcomes == {}
    assert desk.asked == []


def test_metrics_are_told_of_every_model_whether_trained_now_or_before():
    desk = Desk("P1/C1")
    desk.want("P1/DEAD")
    first = desk.train()
    key = CircuitKey("P1", "C1")
    assert first.metrics == {key: {"wape": 0.5, "floor": 0.6, "incumbent": None}}
    assert desk.train().metrics == first.metrics


def test_data_that_a_rule_refuses_trains_nothing():
    desk = Desk("P1/C1")
    desk.want("P1/THIN")
    first = datetime(2024, 5, 1, tzinfo=UTC)
    desk.lake.readings.merge(readings([1.0] * 5, key="P1/THIN", start=first), slice_id="thin")
    outcome = desk.one("P1/THIN")
    assert outcome.status == "failed"
    assert outcome.left_out
    assert outcome.reason.startswith("enough_rows: 5 readings, at least")
    assert outcome.data is not None


def test_a_proof_repeats_holds_no_clock_and_writes_what_is_no_number_as_null():
    job = SimpleNamespace(
        circuit=CircuitKey("P1", "C1"),
        series=SimpleNamespace(values=np.array([1.0]), end=NOW),
        spec=SimpleNamespace(cutoff_date=date(2024, 6, 21)),
        incumbent=None,
    )
    result = cheap_fit(job)
    nan = np.full((2, 24), np.nan)
    backtest = Backtest(result.backtest.origins, nan, nan, nan, nan)
    unknown = Metrics(
        mae=np.nan,
        rmse=np.inf,
        mase=np.nan,
        wape=np.nan,
        r2=np.nan,
        coverage_80=np.nan,
        coverage_95=np.nan,
        points=0,
    )
    result = replace(result, backtest=backtest, incumbent=unknown, floor=unknown)
    first = write_proof(proof_document(result, paired_bound(result.backtest)))
    second = write_proof(
        proof_document(replace(result, seconds=99.0), paired_bound(result.backtest))
    )
    assert first == second
    document = read_proof(first, where="here")
    assert document["incumbent"] is None
    assert document["backtest"]["actual"][0][0] is None
    assert b"seconds" not in first
    assert np.isnan(metrics_of(document, "floor").rmse)


@pytest.mark.parametrize("damaged", [b"", b"[]", b"{}", b"\xff", b'{"format":2}'])
def test_a_proof_of_no_known_format_is_refused_by_name(damaged):
    with pytest.raises(ModelError, match="here: "):
        read_proof(damaged, where="here")
