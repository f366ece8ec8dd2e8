"""Above 2,000 circuits a day is told plant by plant; what is wrong is told all the same."""

from mlops_assets.assets.events import Fact
from mlops_assets.assets.plant import MOST_CIRCUITS, at_most_a_plant


def facts(circuits: int, **odd: dict[str, object]) -> list[Fact]:
    keys = [f"P{number // 700:03}/C{number % 700:03}" for number in range(circuits)]
    return [
        Fact(
            asset="predictions",
            partition=key,
            version=f"2024-06-29:r-1:{number}",
            metadata={"plant": key[:4], "rows": 24, **odd.get(key.replace("/", "_"), {})},
        )
        for number, key in enumerate(keys)
    ]


def test_two_thousand_circuits_are_told_one_by_one():
    every = facts(MOST_CIRCUITS)

    assert at_most_a_plant(every) == every


def test_one_circuit_more_is_told_by_its_plant():
    told = at_most_a_plant(facts(MOST_CIRCUITS + 1))

    assert [fact.partition for fact in told] == ["P000", "P001", "P002"]
    assert [fact.metadata["circuits"] for fact in told] == [700, 700, 601]
    assert [fact.metadata["rows"] for fact in told] == [700 * 24, 700 * 24, 601 * 24]


def test_a_plant_names_the_circuits_that_somebody_should_look_at():
    every = facts(
        MOST_CIRCUITS + 1,
        P000_C003={"fallback": "seasonal_naive", "fallback_reason": "no reading for 30 h"},
        P000_C004={"degraded": True, "says": "WAPE 30 % is 3 times the signed backtest's"},
        P000_C005={"state": "dead"},
        P000_C006={"state": "reporting", "fallback": "none", "degraded": False},
    )

    plant = at_most_a_plant(every)[0].metadata

    assert plant["odd"] == 3
    assert plant["odd_circuits"] == {
        "P000/C003": "seasonal_naive: no reading for 30 h",
        "P000/C004": "WAPE 30 % is 3 times the signed backtest's",
        "P000/C005": "dead",
    }


def test_a_plant_is_told_again_when_one_of_its_circuits_has_another_version():
    before = at_most_a_plant(facts(MOST_CIRCUITS + 1))
    changed = facts(MOST_CIRCUITS + 1)
    changed[700] = Fact(asset="predictions", partition="P001/C000", version="2024-06-30:r-2:7")

    after = at_most_a_plant(changed)

    assert [one.version == other.version for one, other in zip(before, after, strict=True)] == [
        True,
        False,
        True,
    ]
    # A late run for an older day is told by the day that every version begins with.
    assert after[1].version.startswith("2024-06-30:")
