"""A kill at any request leaves the journal and the endpoints as before it, or as after."""

from __future__ import annotations

import pytest

from mlops_assets.adapters.tree import journal as journals
from mlops_assets.adapters.tree.deployment import TreeEndpoints
from mlops_assets.adapters.tree.journal import TreeIngestJournal
from mlops_assets.domain.deployment import deployment_of
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.readings import RawFile
from mlops_assets_tests.fakes.deployment import an_entry
from mlops_assets_tests.fakes.dying_blobs import Place, killed

pytestmark = [
    pytest.mark.azure,
    pytest.mark.parametrize("fault", ["killed_before", "killed_after"]),
]

CIRCUIT = CircuitKey("P1", "C1")
FILES = {name: RawFile(f"{name}.csv", 1, name * 64) for name in "abc"}


def test_no_slice_is_lost_or_confirmed_twice_while_slices_are_gathered(azurite, fault, monkeypatch):
    for at in range(20):
        place = Place(azurite)
        journal = TreeIngestJournal(place.tree)
        for name in "ab":
            journal.intend(name, [FILES[name]])
            journal.confirm(name, 1)
        journal.intend("c", [FILES["c"]])
        monkeypatch.setattr(journals, "_ALONE", 1)
        dying = TreeIngestJournal(place.dying(fault, at))
        died = killed(lambda: dying.confirm("c", 2, logs={"quarantine": 3}), place)  # noqa: B023
        monkeypatch.undo()

        after = TreeIngestJournal(place.tree)
        assert after.confirmed() >= {FILES["a"], FILES["b"]}
        assert (FILES["c"] in after.confirmed()) is not bool(after.pending())
        with after.lock():
            after.confirm("c", 2, logs={"quarantine": 3})
        assert after.confirmed() == frozenset(FILES.values())
        assert after.made()["c"] == {"readings": 2, "quarantine": 3}
        assert [record.slice_id for record in after.history()] == ["a", "b", "c"]
        assert after.pending() == {}
        if not died:
            break
    assert at == 6


def test_a_plant_serves_all_of_the_old_or_all_of_the_new(azurite, fault):
    deployments = [
        deployment_of(an_entry(CIRCUIT, version=number), release=release, release_digest="9" * 64)
        for number, release in ((1, "r-" + "1" * 12), (2, "r-" + "2" * 12))
    ]
    for at in range(20):
        place = Place(azurite)
        endpoints = TreeEndpoints(place.tree)
        old = endpoints.live("P1").with_changes({CIRCUIT: deployments[0]})
        endpoints.swap(endpoints.live("P1"), old)
        new = old.with_changes({CIRCUIT: deployments[1]})
        dying = TreeEndpoints(place.dying(fault, at))
        died = killed(lambda: dying.swap(old, new), place)  # noqa: B023
        place.outlived("P1/.lock")

        after = TreeEndpoints(place.tree)
        if after.live("P1") != new:
            after.swap(old, new)
        assert after.live("P1") == new
        if not died:
            break
    assert at == 3
