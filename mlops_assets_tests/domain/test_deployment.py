"""Deployments as text and as history."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.deployment import (
    Deployment,
    LiveManifest,
    changes_of,
    deployment_of,
    history,
    rollback_target,
)
from mlops_assets.domain.errors import DataError, RefusedError, StaleError
from mlops_assets.domain.identifiers import CircuitKey, IdentifierError, canonical_json, digest_of
from mlops_assets_tests.fakes.deployment import a_serving, an_entry, retired

CIRCUIT = CircuitKey("P1", "C1")
R1, R2, R3 = (f"r-{digit * 12}" for digit in "123")


def deployed(release, *, replaces=None, circuit=CIRCUIT, **changed):
    entry = an_entry(circuit, replaces=replaces, **changed)
    return deployment_of(entry, release=release, release_digest="9" * 64)


def sealed(content):
    """A stored text whose digest is right, whatever it says."""
    return canonical_json({"format": 1, "sha256": digest_of(content), "content": content})


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", fullmatch=True)
servings = st.builds(
    a_serving,
    horizon=st.integers(1, 400),
    timezone=st.sampled_from(["UTC", "Europe/Paris"]),
    minimum=st.none() | st.just("-1.5"),
    features=st.lists(st.text(max_size=9)).map(tuple),
)


@given(st.dictionaries(names, servings, max_size=4), st.integers(0, 2**40))
def test_a_live_manifest_reads_back_what_was_written(circuits, generation):
    live = {
        name: deployed(R1, circuit=CircuitKey("P1", name), serving=serving)
        for name, serving in sorted(circuits.items())
    }
    manifest = LiveManifest(plant_id="P1", generation=generation, live=live)
    assert LiveManifest.from_bytes(manifest.to_bytes(), "live.json") == manifest


@pytest.mark.parametrize(
    "changed",
    [
        {"model_version": "1"},
        {"model_version": True},
        {"circuit": "P1"},
        {"release": "latest"},
        {"replaces": 3},
        {"serving": {}},
        {"extra": 1},
    ],
)
def test_a_deployment_that_cannot_be_understood_is_named_in_one_line(changed):
    content = deployed(R1).document() | changed
    with pytest.raises(DataError) as caught:
        Deployment.from_bytes(sealed(content), "x.json")
    assert str(caught.value).startswith("x.json: cannot be understood")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        {"plant_id": "P1", "generation": -1, "live": {}},
        {"plant_id": "P1", "generation": 1},
        {"plant_id": 1, "generation": 1, "live": {}},
        {"plant_id": "P1", "generation": 1, "live": []},
        {"plant_id": "P2", "generation": 1, "live": {"C1": deployed(R1).document()}},
        [],
    ],
)
def test_a_live_manifest_that_cannot_be_understood_is_named(content):
    with pytest.raises(DataError, match=r"^live\.json: cannot be understood"):
        LiveManifest.from_bytes(sealed(content), "live.json")


def test_text_that_is_not_canonical_is_refused():
    data = deployed(R1).to_bytes()
    spaced = json.dumps(json.loads(data)).encode()
    with pytest.raises(DataError, match="does not match its own digest"):
        Deployment.from_bytes(spaced, "x.json")


def test_changes_are_what_a_release_still_has_to_do():
    other = CircuitKey("P1", "C2")
    live = LiveManifest(
        plant_id="P1", generation=2, live={"C1": deployed(R2), "C2": deployed(R1, circuit=other)}
    )
    entries = [an_entry(CIRCUIT), retired(other, R1), retired(CircuitKey("P1", "C3"), R1)]
    changes = changes_of(live, entries, release=R2, release_digest="9" * 64)
    assert changes == {other: None}
    after = live.with_changes(changes)
    assert (after.generation, list(after.live)) == (3, ["C1"])


def test_a_stale_entry_is_refused_by_name():
    live = LiveManifest(plant_id="P1", generation=1, live={"C1": deployed(R1)})
    entry = an_entry(CIRCUIT, replaces=R3)
    with pytest.raises(StaleError, match=f"^P1/C1: {R1} is live, but {R2} was made to replace"):
        changes_of(live, [entry], release=R2, release_digest="9" * 64)


def test_a_retired_entry_has_no_deployment():
    with pytest.raises(DataError, match="is retired by it"):
        deployment_of(retired(CIRCUIT, R1), release=R2, release_digest="9" * 64)


CHAIN = {
    R1: deployed(R1),
    R2: deployed(R2, replaces=R1),
    R3: deployed(R3, replaces=R2),
}


def recorded(circuit, release):
    return CHAIN.get(release)


def test_history_goes_back_to_the_first_deployment():
    assert [step.release for step in history(CHAIN[R3], recorded)] == [R2, R1]
    assert rollback_target(CHAIN[R3], recorded).release == R2
    assert rollback_target(CHAIN[R3], recorded, to=R1).release == R1


@pytest.mark.parametrize(
    ("live", "to", "code"),
    [
        (None, None, "E_NOT_LIVE"),
        (CHAIN[R1], None, "E_NO_PREVIOUS"),
        (CHAIN[R2], R2, "E_ALREADY_LIVE"),
        (CHAIN[R2], R3, "E_NOT_EARLIER"),
        (replace(CHAIN[R2], replaces="r-" + "4" * 12), None, "E_NO_RECORD"),
    ],
)
def test_a_rollback_that_leads_nowhere_is_refused_with_its_code(live, to, code):
    with pytest.raises(RefusedError) as caught:
        rollback_target(live, recorded, to=to)
    assert caught.value.code == code


def test_a_target_that_is_no_release_id_is_refused():
    with pytest.raises(IdentifierError):
        rollback_target(CHAIN[R2], recorded, to="latest")
