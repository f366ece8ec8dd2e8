"""Rolling back over fakes, against a small model of what should be live."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.errors import DataError, StaleError, UsageError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.flows.deployment import deploy
from mlops_assets.flows.rollback import resume, rollback
from mlops_assets_tests.fakes.deployment import a_release, an_entry, retired
from mlops_assets_tests.fakes.forecast import model_files
from mlops_assets_tests.fakes.release import C1 as RELEASED
from mlops_assets_tests.fakes.release import ReleaseHome
from mlops_assets_tests.fakes.serving import NOW, Production

C1, C2, OTHER = CircuitKey("P1", "C1"), CircuitKey("P1", "C2"), CircuitKey("P2", "C1")
WHO = {"operator": "ann@example.com", "reason": "forecasts are off", "now": NOW}


@pytest.fixture
def production():
    return Production()


def platform(production):
    return SimpleNamespace(
        ledger=production.ledger, prod=production.prod, registry=production.registry
    )


def roll(production, *circuits, **changed):
    return rollback(platform(production), circuits, **(WHO | changed))


def release(production, *circuits, version):
    """A release of one model version for each circuit, replacing what is live."""
    return production.release(
        *(
            an_entry(
                circuit,
                version=version,
                digest=production.shelf.add(circuit, version),
                replaces=production.live(circuit),
            )
            for circuit in circuits
        )
    )


def rollbacks(production):
    return [entry for entry in production.ledger.entries() if entry.event == "rolled_back"]


def test_one_step_back_moves_and_is_in_the_ledger(production):
    first = release(production, C1, version=1)
    second = release(production, C1, version=2)
    report = roll(production, C1)
    assert production.live(C1) == first
    assert (report.circuits, report.from_, report.to) == ((C1,), {C1: second}, {C1: first})
    (entry,) = rollbacks(production)
    assert entry.actor == "ann@example.com"
    assert entry.data.keys() == {"circuits", "operator", "reason", "held", "request"}
    assert entry.data | {"request": ""} == {
        "request": "",
        "circuits": {"P1/C1": {"from": second, "to": first}},
        "operator": "ann@example.com",
        "reason": "forecasts are off",
        "held": {"P1/C1": production.shelf.get(C1, 2).digest},
    }


def test_rolling_back_again_goes_one_step_further_and_adds_none(production):
    first, second, third = (release(production, C1, version=n) for n in (1, 2, 3))
    assert roll(production, C1).to == {C1: second}
    assert roll(production, C1).to == {C1: first}
    assert roll(production, C1).refused[C1].startswith(f"{first} is its first deployment")
    assert production.live(C1) == first
    fourth = release(production, C1, version=4)
    assert roll(production, C1).to == {C1: first}
    assert third not in {production.live(C1), fourth}


def test_circuits_without_a_way_back_are_refused_and_stay_live(production):
    first = release(production, C1, C2, version=1)
    release(production, C1, version=2)
    report = roll(production, C1, C2, OTHER)
    assert report.circuits == (C1,)
    assert production.live(C2) == first
    assert "it stays live" in report.refused[C2]
    assert report.refused[OTHER] == "nothing is live, so there is nothing to roll back"


def test_nothing_moved_leaves_no_trace_in_the_ledger(production):
    release(production, C1, version=1)
    assert roll(production, C1).circuits == ()
    assert rollbacks(production) == []


def test_an_earlier_deployment_can_be_named(production):
    first, second, third = (release(production, C1, version=n) for n in (1, 2, 3))
    assert roll(production, C1, to=first).to == {C1: first}
    assert production.live(C1) == first
    for other in (second, third):
        refusal = roll(production, C1, to=other).refused[C1]
        assert "is not an earlier deployment" in refusal
    assert roll(production, C1, to=first).refused[C1] == f"{first} is live already"


def test_each_plant_changes_in_one_swap_and_the_ledger_in_one_entry(production):
    release(production, C1, C2, OTHER, version=1)
    release(production, C1, C2, OTHER, version=2)
    before = production.prod.endpoints.swaps
    roll(production, C1, C2, OTHER)
    assert production.prod.endpoints.swaps == before + 2
    assert len(rollbacks(production)) == 1


def test_a_target_whose_bytes_changed_is_refused_and_the_others_move(production):
    first = release(production, C1, C2, version=1)
    second = release(production, C1, C2, version=2)
    production.shelf.bytes[C1, 1] = model_files(add=1e9)
    report = roll(production, C1, C2)
    assert "is damaged" in report.refused[C1]
    assert (production.live(C1), production.live(C2)) == (second, first)


def test_a_plant_that_cannot_be_made_ready_is_refused_whole_and_the_others_move(production):
    first = release(production, C1, C2, OTHER, version=1)
    second = release(production, C1, C2, OTHER, version=2)
    production.prod.endpoints.broken = {"P1": "its deployment of C2 failed"}
    report = roll(production, C1, C2, OTHER)
    assert report.circuits == (OTHER,)
    assert set(report.refused) == {C1, C2}
    assert report.refused[C1] == "its deployment of C2 failed; run the same command again"
    assert [production.live(c) for c in (C1, C2, OTHER)] == [second, second, first]
    (entry,) = rollbacks(production)
    assert set(entry.data["circuits"]) == {"P2/C1"}
    production.prod.endpoints.broken = {}
    assert roll(production, C1, C2).circuits == (C1, C2)


def test_a_killed_rollback_whose_plant_is_not_ready_stays_unfinished_until_it_is(production):
    first = release(production, C1, OTHER, version=1)
    second = release(production, C1, OTHER, version=2)
    dying = platform(production)
    dying.prod = SimpleNamespace(endpoints=DyingEndpoints(production.prod.endpoints, 1))
    with pytest.raises(KilledError):
        rollback(dying, [C1, OTHER], **WHO)
    production.prod.endpoints.broken = {"P2": "its deployment of C1 failed"}
    for _ in range(2):
        report = roll(production, C1, OTHER)
        assert (report.circuits, set(report.refused)) == ((C1,), {OTHER})
        assert production.live(OTHER) == second
    production.prod.endpoints.broken = {}
    assert roll(production, C1, OTHER).circuits == (C1, OTHER)
    assert (production.live(C1), production.live(OTHER)) == (first, first)
    assert len(rollbacks(production)) == 1


def test_a_target_that_is_no_longer_recorded_is_refused(production):
    first = release(production, C1, version=1)
    release(production, C1, version=2)
    del production.prod.endpoints.deployments[C1, first]
    assert "is not recorded on the endpoint" in roll(production, C1).refused[C1]


def test_a_deployment_that_was_not_finished_is_finished_before_it_is_rolled_back(production):
    release(production, C1, version=1)
    entry = an_entry(
        C1, version=2, digest=production.shelf.add(C1, 2), replaces=production.live(C1)
    )
    manifest = a_release(entry)
    deploy(production.prod, production.registry, manifest, now=NOW)
    said = roll(production, C1).refused[C1]
    assert said.endswith(f"`mlops release promote {manifest.release} --stage production`")
    production.say_deployed(manifest)
    assert roll(production, C1).circuits == (C1,)


def test_what_a_failed_release_left_live_can_be_rolled_back(production):
    first = release(production, C1, version=1)
    entry = an_entry(C1, version=2, digest=production.shelf.add(C1, 2), replaces=first)
    manifest = a_release(entry)
    deploy(production.prod, production.registry, manifest, now=NOW)
    data = {"release": manifest.release, "stage": "production", "deployed": {"P1/C1": first}}
    production.ledger.append("failed", "platform", data | {"circuits": {"P1/C1": "no"}}, NOW)
    assert roll(production, C1).to == {C1: first}


def test_a_retired_circuit_has_nothing_to_roll_back(production):
    first = release(production, C1, version=1)
    production.release(retired(C1, first))
    assert roll(production, C1).refused[C1].startswith("nothing is live")


@pytest.mark.parametrize(
    ("circuits", "changed", "said"),
    [
        ((), {}, "no circuit is named"),
        ((C1,), {"operator": ""}, "names nobody"),
        ((C1,), {"operator": "ann"}, "names nobody"),
        ((C1,), {"reason": "  "}, "it needs a reason"),
    ],
)
def test_a_rollback_names_circuits_a_person_and_a_reason(production, circuits, changed, said):
    with pytest.raises(UsageError, match=said):
        roll(production, *circuits, **changed)


class KilledError(Exception):
    """Stands for kill -9."""


class DyingEndpoints:
    """Endpoints whose process dies at a swap."""

    def __init__(self, inner, swaps):
        self.inner = inner
        self.left = swaps

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def swap(self, expected, wanted):
        if self.left == 0:
            raise KilledError
        self.left -= 1
        self.inner.swap(expected, wanted)


@pytest.mark.parametrize("swaps", [0, 1])
@pytest.mark.parametrize("again", ["same", "part", "resume"])
def test_a_killed_rollback_is_finished_and_takes_no_further_step(production, swaps, again):
    release(production, C1, OTHER, version=1)
    second = release(production, C1, OTHER, version=2)
    release(production, C1, OTHER, version=3)
    dying = platform(production)
    dying.prod = SimpleNamespace(endpoints=DyingEndpoints(production.prod.endpoints, swaps))
    with pytest.raises(KilledError):
        rollback(dying, [C1, OTHER], **WHO)
    assert (production.live(C1) == second) == (swaps == 1)
    if again == "resume":
        assert resume(platform(production)) == ((OTHER,) if swaps else (C1, OTHER))
        assert resume(platform(production)) == ()
    else:
        report = roll(production, *([C1, OTHER] if again == "same" else [C1]))
        assert report.circuits == (C1, OTHER)
    assert production.live(C1) == production.live(OTHER) == second
    assert len(rollbacks(production)) == 1


class Untold(Exception):  # noqa: N818 it stands for kill -9 before the report was shown
    """Stands for kill -9 after the last swap."""


def die_untold(_):
    raise Untold


def test_killed_after_the_last_swap_the_same_command_reports_and_takes_no_further_step(production):
    release(production, C1, C2, version=1)
    second = release(production, C1, version=2)
    release(production, C1, version=3)
    with pytest.raises(Untold):
        roll(production, C1, C2, told=die_untold)
    assert production.live(C1) == second
    report = roll(production, C1, C2)
    assert (report.circuits, report.to) == ((C1,), {C1: second})
    assert "is its first deployment" in report.refused[C2]
    assert production.live(C1) == second
    assert len(rollbacks(production)) == 1


def test_once_it_was_told_the_same_words_mean_a_further_step(production):
    first, second, _ = (release(production, C1, version=n) for n in (1, 2, 3))
    with pytest.raises(Untold):
        roll(production, C1, told=die_untold)
    shown = []
    assert roll(production, C1, told=shown.append).to == {C1: second}
    assert [report.to for report in shown] == [{C1: second}]
    assert roll(production, C1).to == {C1: first}


@pytest.mark.parametrize(
    "other", [{"operator": "bob@example.com"}, {"reason": "worse still"}, {"to": "first"}]
)
def test_another_request_is_no_repetition(production, other):
    first, _, _ = (release(production, C1, version=n) for n in (1, 2, 3))
    with pytest.raises(Untold):
        roll(production, C1, told=die_untold)
    other = {"to": first} if "to" in other else other
    assert roll(production, C1, **other).to == {C1: first}


def test_after_a_release_came_between_the_same_words_are_a_new_request(production):
    release(production, C1, version=1)
    second = release(production, C1, version=2)
    release(production, C1, version=3)
    with pytest.raises(Untold):
        roll(production, C1, told=die_untold)
    release(production, C1, version=4)
    assert roll(production, C1).to == {C1: second}
    assert len(rollbacks(production)) == 2


@pytest.mark.parametrize("swaps", [0, 1])
def test_finished_by_another_it_is_still_told_to_who_asked(production, swaps):
    release(production, C1, OTHER, version=1)
    second = release(production, C1, OTHER, version=2)
    release(production, C1, OTHER, version=3)
    dying = platform(production)
    dying.prod = SimpleNamespace(endpoints=DyingEndpoints(production.prod.endpoints, swaps))
    with pytest.raises(KilledError):
        rollback(dying, [C1, OTHER], **WHO)
    resume(platform(production))
    assert roll(production, C1, OTHER).to == {C1: second, OTHER: second}
    assert len(rollbacks(production)) == 1


def test_a_circuit_that_moved_on_is_refused_where_the_origin_is_named(production):
    _, second, third = (release(production, C1, version=n) for n in (1, 2, 3))
    refusal = roll(production, C1, only_from=second).refused[C1]
    assert refusal == f"{third} serves it by now, not {second}; nothing was done"
    assert production.live(C1) == third
    assert roll(production, C1, only_from=third).to == {C1: second}


def test_a_release_that_came_between_is_not_undone_by_finishing(production):
    release(production, C1, OTHER, version=1)
    second = release(production, C1, OTHER, version=2)
    dying = platform(production)
    dying.prod = SimpleNamespace(endpoints=DyingEndpoints(production.prod.endpoints, 0))
    with pytest.raises(KilledError):
        rollback(dying, [C1, OTHER], **WHO)
    entry = an_entry(C1, version=3, digest=production.shelf.add(C1, 3), replaces=second)
    manifest = a_release(entry)
    deploy(production.prod, production.registry, manifest, now=NOW)
    assert resume(platform(production)) == (OTHER,)
    assert production.live(C1) == manifest.release


def test_finishing_without_the_deployments_file_says_what_to_restore(production):
    first = release(production, C1, version=1)
    release(production, C1, version=2)
    dying = platform(production)
    dying.prod = SimpleNamespace(endpoints=DyingEndpoints(production.prod.endpoints, 0))
    with pytest.raises(KilledError):
        rollback(dying, [C1], **WHO)
    del production.prod.endpoints.deployments[C1, first]
    with pytest.raises(DataError, match="restore its file"):
        resume(platform(production))


class History:
    """What should be live: a tree of releases, and where each circuit stands in it."""

    def __init__(self):
        self.replaced: dict[tuple[CircuitKey, str], str | None] = {}
        self.live: dict[CircuitKey, str] = {}

    def deploy(self, circuits, name):
        for circuit in circuits:
            self.replaced[circuit, name] = self.live.get(circuit)
            self.live[circuit] = name

    def back(self, circuits):
        moved = {}
        for circuit in circuits:
            name = self.live.get(circuit)
            before = None if name is None else self.replaced[circuit, name]
            if before is not None:
                self.live[circuit] = moved[circuit] = before
        return moved


KEYS = [C1, C2, OTHER]
SELECTIONS = st.lists(st.sampled_from(KEYS), min_size=1, unique=True)
ACTIONS = st.lists(st.tuples(st.sampled_from(["deploy", "back", "stale", "die"]), SELECTIONS))


@given(ACTIONS)
def test_any_sequence_of_releases_and_rollbacks_agrees_with_the_history(actions):
    production, history = Production(), History()
    for number, (action, circuits) in enumerate(actions, start=1):
        if action == "deploy":
            history.deploy(circuits, release(production, *circuits, version=number))
        elif action == "stale":
            before = dict(production.prod.endpoints.files)
            stale = a_release(an_entry(C1, version=9999, replaces="r-" + "0" * 12))
            with pytest.raises(StaleError):
                deploy(production.prod, production.registry, stale, now=NOW)
            assert production.prod.endpoints.files == before
        elif action == "back":
            said = f"reason {number}"
            assert roll(production, *circuits, reason=said).to == history.back(circuits)
        elif action == "die":
            dying = platform(production)
            dying.prod = SimpleNamespace(endpoints=DyingEndpoints(production.prod.endpoints, 0))
            moved = history.back(circuits)
            if not moved:
                continue
            with pytest.raises(KilledError):
                rollback(dying, circuits, **WHO)
            resume(platform(production))
        for circuit in KEYS:
            assert production.live(circuit) == history.live.get(circuit)


def test_a_rollback_needs_no_request_that_is_still_open():
    home = ReleaseHome()
    first = home.deployed()
    home.edit(RELEASED)
    home.deployed(RELEASED)
    home.edit(RELEASED)
    waiting = home.create(RELEASED)
    home.request(waiting, "registry")
    home.tick(hours=48)
    assert home.view(waiting).open_request is None
    report = rollback(home.platform, [RELEASED], **(WHO | {"now": home.now}))
    assert report.to == {RELEASED: first}
    assert home.live(RELEASED) == first
