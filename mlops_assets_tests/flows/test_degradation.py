"""Degradation over fakes: what is proposed, what the platform does, and what it rightly leaves."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest

from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.quality import days_of
from mlops_assets.flows import degradation
from mlops_assets.flows.quality import score
from mlops_assets.flows.rollback import rollback
from mlops_assets_tests.fakes.deployment import a_serving, an_entry
from mlops_assets_tests.fakes.forecast import FORECASTING
from mlops_assets_tests.fakes.readings import a_config, readings
from mlops_assets_tests.fakes.serving import DAY, MIDNIGHT, Production

C1, C2, OTHER = CircuitKey("P1", "C1"), CircuitKey("P1", "C2"), CircuitKey("P2", "C1")
DAYS = 4
NOW = MIDNIGHT + timedelta(hours=23)


class Plant(Production):
    """A production whose circuits have had two releases, and a week of forecasts from the second.

    The actuals repeat every day, so a model that adds nothing is never wrong.
    """

    def two_releases(self, *circuits, before=1.0, after=50.0, **settings):
        for circuit in circuits:
            self.send(circuit)
        first = self.put(*circuits, version=1, add=before, **settings)
        second = self.put(*circuits, version=2, add=after)
        return first, second

    def put(self, *circuits, version, serving=None, **settings):
        return self.release(
            *(
                an_entry(
                    circuit,
                    version=version,
                    digest=self.shelf.add(circuit, version, **settings),
                    replaces=self.live(circuit),
                    serving=serving,
                )
                for circuit in circuits
            )
        )

    def days(self, count, *circuits):
        """Forecasts of the days up to DAY, each issued in time, and then its actuals."""
        for number in range(1 - count, 1):
            start = MIDNIGHT + timedelta(days=number)
            issued = start + timedelta(hours=1)
            self.predict(day=start.date(), now=issued, circuits=list(circuits))
            for circuit in circuits:
                values = [100.0 + hour for hour in range(24)]
                self.lake.readings.merge(
                    readings(values, key=str(circuit), start=start),
                    slice_id=f"{circuit}-{number}",
                )
        self.score()

    def score(self):
        score(self.lake, self.prod, self.registry, a_config().policy, up_to=DAY)

    @property
    def platform(self):
        return SimpleNamespace(
            kind="init",
            lake=self.lake,
            prod=self.prod,
            registry=self.registry,
            ledger=self.ledger,
        )

    def incidents(self):
        return degradation.incidents(self.platform, a_config(), now=NOW, forecasting=FORECASTING)

    def act(self, *, automatic=True):
        config = a_config()
        policy = replace(config.policy, automatic_rollback=automatic)
        return degradation.roll_back_degraded(
            self.platform, replace(config, policy=policy), now=NOW, forecasting=FORECASTING
        )

    def rollbacks(self):
        return [entry for entry in self.ledger.entries() if entry.event == "rolled_back"]


@pytest.fixture
def plant():
    return Plant()


def test_circuits_of_one_release_are_one_incident_with_both_figures_and_the_command(plant):
    first, second = plant.two_releases(C1, C2)
    plant.days(DAYS, C1, C2)
    (incident,) = plant.incidents()
    assert incident.release == second
    assert incident.keys == (C1, C2)
    assert incident.advice == (
        f"mlops rollback --circuit P1/C1 --circuit P1/C2 --to {first} --as YOU "
        f'--reason "{second} is degraded"'
    )
    known = incident.circuits[0].comparison
    assert known.days == DAYS
    assert known.live_wape == pytest.approx(50.0 / 111.5)
    assert known.previous_wape == pytest.approx(1.0 / 111.5)
    assert "WAPE 44.8% over 4 days is 8.97 times the signed backtest's 5.0%" in incident.lines[1]
    assert f"{first} would have had WAPE 0.9% against 44.8%" in incident.lines[1]


def test_the_command_that_is_shown_takes_each_circuit_there_and_no_further(plant):
    first, _ = plant.two_releases(C1)
    plant.days(DAYS, C1)
    (incident,) = plant.incidents()
    words = {"operator": "ann@example.com", "reason": incident.release, "now": NOW}
    target = incident.advice.split("--to ")[1].split()[0]
    assert rollback(plant.platform, incident.keys, to=target, **words).to == {C1: first}
    by_another = words | {"operator": "bob@example.com"}
    report = rollback(plant.platform, incident.keys, to=target, **by_another)
    assert report.refused == {C1: f"{first} is live already"}
    assert plant.incidents() == ()


def test_one_bad_day_is_no_incident(plant):
    plant.two_releases(C1)
    plant.days(1, C1)
    assert plant.incidents() == ()


def test_a_release_near_its_backtest_is_no_incident(plant):
    plant.two_releases(C1, after=2.0)
    plant.days(DAYS, C1)
    assert plant.incidents() == ()


def test_releases_that_degrade_apart_are_incidents_apart(plant):
    plant.two_releases(C1)
    plant.two_releases(OTHER, after=60.0)
    plant.days(DAYS, C1, OTHER)
    assert [incident.keys for incident in plant.incidents()] in (
        [(C1,), (OTHER,)],
        [(OTHER,), (C1,)],
    )
    assert len({incident.incident for incident in plant.incidents()}) == 2


def test_the_scores_of_the_previous_deployment_are_kept_and_its_forecasts_are_not(plant):
    first, second = plant.two_releases(C1)
    plant.days(DAYS, C1)
    predictions, quality = plant.lake.predictions.rows, plant.lake.quality.rows
    plant.incidents()
    kept = days_of(plant.lake.hindcasts.rows)
    assert {(day.release, day.model_version, day.hindcast) for day in kept} == {(first, 1, True)}
    assert [day.mae for day in kept] == [1.0] * DAYS
    assert plant.lake.predictions.rows.equals(predictions)
    assert plant.lake.quality.rows.equals(quality)
    assert set(plant.lake.predictions.rows["release"]) == {second}


def test_asking_again_applies_no_model_again(plant):
    plant.two_releases(C1)
    plant.days(DAYS, C1)
    told = plant.incidents()
    reads = plant.shelf.reads
    assert plant.incidents() == told
    assert plant.shelf.reads == reads


def test_the_previous_model_sees_what_was_known_then(plant):
    plant.two_releases(C1)
    plant.days(DAYS, C1)
    plant.lake.readings.merge(
        readings([500.0] * 24, key=str(C1), start=MIDNIGHT - timedelta(days=4)), slice_id="restated"
    )
    (incident,) = plant.incidents()
    # What was restated lies before the first of the days, so it is no actual of theirs.
    assert incident.circuits[0].comparison.previous_wape == pytest.approx(1.0 / 111.5)


def test_a_shorter_previous_horizon_is_compared_on_the_hours_that_both_have(plant):
    plant.send(C1)
    plant.put(C1, version=1, add=1.0, serving=a_serving(horizon=12))
    plant.put(C1, version=2, add=50.0)
    plant.days(DAYS, C1)
    known = plant.incidents()[0].circuits[0].comparison
    assert known.previous_wape == pytest.approx(1.0 / 105.5)
    assert known.live_wape == pytest.approx(50.0 / 105.5)


# --- what the platform does by itself -------------------------------------------------------


def test_nothing_happens_by_itself_unless_the_policy_says_so(plant):
    _, second = plant.two_releases(C1)
    plant.days(DAYS, C1)
    assert plant.act(automatic=False) == ()
    assert plant.live(C1) == second
    assert plant.rollbacks() == []


def test_the_platform_goes_one_step_back_under_its_own_name(plant):
    first, second = plant.two_releases(C1, C2)
    plant.days(DAYS, C1, C2)
    (done,) = plant.act()
    assert done.report.to == {C1: first, C2: first}
    (entry,) = plant.rollbacks()
    assert (entry.actor, entry.data["operator"]) == ("platform", "platform")
    assert second in entry.data["reason"]
    assert entry.data["held"] == {str(key): plant.shelf.get(key, 2).digest for key in (C1, C2)}
    assert plant.act() == ()
    assert len(plant.rollbacks()) == 1


def test_of_two_that_go_back_from_one_release_at_once_the_second_says_so_and_goes_on(plant):
    first, second = plant.two_releases(C1, C2)
    plant.days(DAYS, C1, C2)
    through = plant.prod.endpoints.prepare

    def another_was_faster(deployments):
        data = {
            "circuits": {"P9/C9": {"from": second, "to": first}},
            "operator": "platform",
            "reason": "the same incident",
            "held": {},
        }
        plant.ledger.append("rolled_back", "platform", data, NOW)
        return through(deployments)

    plant.prod.endpoints.prepare = another_was_faster
    (done,) = plant.act()
    said = f"platform went back from {second} meanwhile; nothing was done"
    assert (done.report.to, done.refused) == ({}, {C1: said, C2: said})
    assert plant.live(C1) == plant.live(C2) == second


@pytest.mark.parametrize(("before", "said"), [(50.0, "did no better"), (70.0, "did worse")])
def test_the_platform_stays_where_the_previous_model_was_no_better(plant, before, said):
    _, second = plant.two_releases(C1, before=before)
    plant.days(DAYS, C1)
    (done,) = plant.act()
    assert said in done.refused[C1]
    assert done.incident.advice == "mlops refresh --cutoff DATE --circuit P1/C1"
    assert plant.live(C1) == second
    assert plant.rollbacks() == []


def test_the_platform_leaves_a_past_that_was_hardly_better_to_people(plant):
    _, second = plant.two_releases(C1, before=49.5)
    plant.days(DAYS, C1)
    (done,) = plant.act()
    assert "not better by the margin 2.0%" in done.refused[C1]
    assert done.incident.commands
    assert plant.live(C1) == second
    assert plant.rollbacks() == []


def test_circuits_whose_past_was_better_go_and_the_others_stay(plant):
    for circuit in (C1, C2):
        plant.send(circuit)
    entries = [(C1, 1.0), (C2, 90.0)]
    first = plant.release(
        *(an_entry(key, digest=plant.shelf.add(key, 1, add=add)) for key, add in entries)
    )
    second = plant.put(C1, C2, version=2, add=50.0)
    plant.days(DAYS, C1, C2)
    (done,) = plant.act()
    assert (plant.live(C1), plant.live(C2)) == (first, second)
    assert "did worse" in done.refused[C2]


def test_a_release_is_rolled_back_from_by_the_platform_once(plant):
    first, second = plant.two_releases(C1, C2, before=0.0)
    plant.days(DAYS, C1)
    plant.act()
    assert (plant.live(C1), plant.live(C2)) == (first, second)
    plant.days(DAYS, C2)
    (done,) = plant.act()
    assert done.refused[C2].startswith(f"the platform rolled back from {second} once")
    assert plant.live(C2) == second
    assert done.incident.commands


def test_the_platform_takes_no_second_step(plant):
    plant.send(C1)
    for version, add in ((1, 0.0), (2, 40.0), (3, 50.0)):
        release = plant.put(C1, version=version, add=add)
    plant.days(DAYS, C1)
    assert plant.act()[0].report.circuits == (C1,)
    middle = plant.live(C1)
    assert middle != release
    rows = plant.lake.predictions.rows
    plant.lake.predictions.rows = rows.clear()
    plant.days(DAYS, C1)
    (done,) = plant.act()
    assert done.refused[C1].startswith(f"it was rolled back to {middle} before")
    assert plant.live(C1) == middle


def test_a_first_deployment_has_no_way_back(plant):
    plant.send(C1)
    plant.put(C1, version=1, add=50.0)
    plant.days(DAYS, C1)
    (done,) = plant.act()
    assert "is its first deployment" in done.refused[C1]
    assert "mlops rollback" not in done.incident.advice


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"error": "no convergence"}, "no convergence"),
        ({"golden": False}, "environment mismatch"),
        ({"infinite": True}, "not finite"),
    ],
)
def test_a_previous_model_that_cannot_be_applied_is_no_way_back(plant, settings, said):
    plant.two_releases(C1, **settings)
    plant.days(DAYS, C1)
    (done,) = plant.act()
    assert "can be scored on 0 of the same days, 3 are needed" in done.refused[C1]
    assert said in done.refused[C1]
    assert plant.rollbacks() == []


def test_what_another_process_did_meanwhile_is_no_further_step(plant, monkeypatch):
    plant.send(C1)
    for version, add in ((1, 0.0), (2, 1.0), (3, 50.0)):
        plant.put(C1, version=version, add=add)
    plant.days(DAYS, C1)
    seen = plant.incidents()
    words = {"operator": "ann@example.com", "reason": "off", "now": NOW}
    rollback(plant.platform, [C1], **words)
    middle = plant.live(C1)
    monkeypatch.setattr(degradation, "incidents", lambda *_, **__: seen)
    (done,) = plant.act()
    assert done.report.circuits == ()
    assert plant.live(C1) == middle


def test_a_platform_that_was_killed_half_way_finishes_and_takes_no_further_step(plant):
    first, _ = plant.two_releases(C1, before=0.0)
    plant.days(DAYS, C1)
    swap = plant.prod.endpoints.swap

    def die(*_):
        raise KeyboardInterrupt

    plant.prod.endpoints.swap = die
    with pytest.raises(KeyboardInterrupt):
        plant.act()
    plant.prod.endpoints.swap = swap
    assert plant.act() == ()
    assert plant.live(C1) == first
    assert len(plant.rollbacks()) == 1
