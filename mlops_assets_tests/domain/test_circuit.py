"""The spec digest changes with what decides the model, and with nothing else."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import date, datetime, timedelta

import pytest

from mlops_assets.domain.circuit import (
    Circuit,
    Spec,
    changed_fields,
    effective_circuit,
    effective_spec,
    spec_digest,
)
from mlops_assets.domain.contract import CONTRACT_FIELDS, ReadingLimits
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.readings import window_end
from mlops_assets.forecasters.catalogue import ALGORITHMS

SPEC = Spec(cutoff_date=date(2026, 6, 23))


def digest(spec=SPEC, algorithm=None):
    return spec_digest(spec, algorithm or ALGORITHMS[spec.forecaster])


def test_the_digest_is_fixed_for_good():
    spec = replace(SPEC, forecaster="mstl_arima")
    assert digest(spec, replace(ALGORITHMS["mstl_arima"], version=1)) == (
        "cf2ad80cde3993634beff80e2c5883904bff9d59261f7365ef6840bd3ee02758"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"cutoff_date": date(2026, 6, 24)},
        {"forecaster": "auto_ets"},
        {"environment": "forecasting:2.0.0"},
        {"environment": "other:1.0.0"},
        {"horizon": 48},
        {"interval": "15min"},
        {"timezone": "Europe/Berlin"},
        {"unit": "MW"},
        {"features": ("wind",)},
        {"effort": "fast"},
        {"limits": ReadingLimits(minimum=0.0)},
        {"limits": ReadingLimits(maximum_gap_hours=6)},
    ],
)
def test_whatever_changes_the_model_changes_the_digest(changes):
    assert digest(replace(SPEC, **changes)) != digest()


@pytest.mark.parametrize(
    "rules",
    [{"sign": "positive"}, {"stuck_hours": 3}, {"spike_jump": 3.0}, {"spike_factor": 2.0}],
)
def test_which_rows_become_readings_is_pinned_by_the_rows_not_by_the_spec(rules):
    assert set(rules) <= CONTRACT_FIELDS
    assert digest(replace(SPEC, limits=ReadingLimits(**rules))) == digest()
    limited = ReadingLimits(minimum=1.0, maximum_gap_hours=6)
    assert digest(replace(SPEC, limits=replace(limited, **rules))) == digest(
        replace(SPEC, limits=limited)
    )


def test_every_field_of_the_limits_counts_either_for_the_spec_or_for_the_rows():
    others = {"minimum", "maximum", "maximum_gap_hours"}
    assert {each.name for each in fields(ReadingLimits)} == others | CONTRACT_FIELDS


def test_a_minor_environment_changes_nothing():
    assert digest(replace(SPEC, environment="forecasting:1.4.2")) == digest()


def test_a_new_algorithm_version_trains_again():
    newer = replace(ALGORITHMS["auto"], version=ALGORITHMS["auto"].version + 1)
    assert digest(algorithm=newer) != digest()


def test_a_hyperparameter_that_repeats_the_default_changes_nothing():
    def with_window(days):
        given = {"window_days": days} if days else {}
        return replace(SPEC, forecaster="mstl_arima", hyperparameters=given)

    default = ALGORITHMS["mstl_arima"].hyperparameters().window_days
    assert digest(with_window(default)) == digest(with_window(None))
    assert digest(with_window(60)) != digest(with_window(None))


def test_the_order_of_hyperparameters_does_not_matter():
    pairs = [("window_days", 60), ("log", True)]
    one = replace(SPEC, forecaster="mstl_arima", hyperparameters=dict(pairs))
    other = replace(SPEC, forecaster="mstl_arima", hyperparameters=dict(pairs[::-1]))
    assert digest(one) == digest(other)


def test_changed_fields_are_those_that_differ_from_the_defaults():
    assert changed_fields(replace(SPEC, horizon=48)) == {
        "cutoff_date": date(2026, 6, 23),
        "horizon": 48,
    }


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
def test_under_fourteen_days_up_to_the_cutoff_the_spec_is_a_cold_start(zone):
    spec = replace(SPEC, timezone=zone, forecaster="mstl_arima", hyperparameters={"log": True})
    end = window_end(date(2026, 6, 24), zone)
    assert effective_spec(spec, end - timedelta(days=14)) == spec
    cold = effective_spec(spec, end - timedelta(days=14) + timedelta(hours=1))
    assert (cold.forecaster, dict(cold.hyperparameters)) == ("cold_start", {})
    assert cold.timezone == zone


def test_without_a_reading_the_spec_stays():
    assert effective_spec(SPEC, None) == SPEC


def test_a_cold_start_has_a_digest_of_its_own():
    circuit = Circuit(
        key=CircuitKey("P", "C"), spec=SPEC, spec_digest=digest(), owners=(), file="f"
    )
    late = datetime.fromisoformat("2026-06-20T00:00:00+00:00")
    early = datetime.fromisoformat("2026-05-20T00:00:00+00:00")
    cold = effective_circuit(circuit, late, ALGORITHMS)
    assert cold.spec_digest == digest(cold.spec) != circuit.spec_digest
    assert effective_circuit(circuit, early, ALGORITHMS) is circuit
