"""How many circuits fit: the numbers of the service, and laws over any fleet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.quota import Quota, Shares, capacity, judge_quota

pytestmark = pytest.mark.azure

USUAL = Quota()
WITH_TEST = Shares(here=2, elsewhere=1, sharing=1)
ALONE = Shares(here=2)
fleets = st.dictionaries(
    st.integers(1, 300).map(lambda number: f"P{number:03}"), st.integers(0, 40), max_size=120
)


def fleet(plants, circuits):
    return {f"P{number:03}": circuits for number in range(plants)}


def test_ten_circuits_fit_a_plant_and_166_a_region_that_the_test_endpoints_share():
    assert capacity(USUAL, WITH_TEST) == (50, 10, 166)
    assert capacity(USUAL, ALONE) == (100, 10, 250)


@pytest.mark.parametrize(
    ("circuits", "shares", "passed"),
    [
        (fleet(16, 10), WITH_TEST, True),
        ({**fleet(16, 10), "last": 6}, WITH_TEST, True),
        ({**fleet(16, 10), "last": 7}, WITH_TEST, False),
        (fleet(25, 10), ALONE, True),
        (fleet(26, 10), ALONE, False),
        ({"P1": 10}, WITH_TEST, True),
        ({"P1": 11}, WITH_TEST, False),
        (fleet(50, 1), WITH_TEST, True),
        (fleet(51, 1), WITH_TEST, False),
        ({}, WITH_TEST, True),
    ],
)
def test_the_last_circuit_that_fits_passes_and_the_next_is_refused(circuits, shares, passed):
    assert judge_quota(circuits, USUAL, shares).passed is passed


def test_a_refusal_names_each_number_its_limit_and_the_way_out():
    verdict = judge_quota({"P1": 12, **fleet(16, 10)}, USUAL, WITH_TEST)
    assert verdict.gate == "quota"
    assert verdict.reason == (
        "P1 has 12 circuits, 10 fit its endpoint; 172 circuits, 166 fit the region: serve each "
        "plant by one deployment (`serves: plant` in the settings), or ask for a higher quota and "
        "write it into the settings"
    )


def test_plants_past_their_limit_are_no_matter_of_how_they_are_served():
    verdict = judge_quota(fleet(51, 1), USUAL, WITH_TEST)
    assert verdict.reason == (
        "51 plants, 50 fit: ask for a higher quota and write it into the settings"
    )


def test_plants_served_whole_hold_any_number_of_circuits():
    verdict = judge_quota(fleet(50, 2000), USUAL, WITH_TEST, serves="plant")
    assert (verdict.passed, verdict.reason) == (True, "50 plants, 50 fit the region")
    assert not judge_quota(fleet(51, 1), USUAL, WITH_TEST, serves="plant").passed


@given(fleets)
def test_a_fleet_passes_when_and_only_when_the_service_would_take_it_all(circuits):
    live = [count for count in circuits.values() if count]
    fits = 2 * len(live) <= 100 and 3 * sum(live) <= 500 and all(2 * count <= 20 for count in live)
    assert judge_quota(circuits, USUAL, WITH_TEST).passed == fits


@given(fleets, st.sampled_from(["circuit", "plant"]))
def test_a_part_of_a_fleet_that_fits_fits(circuits, serves):
    if judge_quota(circuits, USUAL, WITH_TEST, serves=serves).passed and circuits:
        less = dict(list(circuits.items())[1:])
        assert judge_quota(less, USUAL, WITH_TEST, serves=serves).passed
