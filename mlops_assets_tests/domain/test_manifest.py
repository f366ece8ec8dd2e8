"""A manifest has one text: what is written is read back, and nothing else is read."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.evidence import REGISTRY_KINDS
from mlops_assets.domain.identifiers import CircuitKey, IdentifierError, canonical_json
from mlops_assets.domain.manifest import MAXIMUM_BYTES, Entry, Manifest, Serving

IDS = st.from_regex(r"[A-Z][0-9]{1,3}", fullmatch=True)
KEYS = st.builds(CircuitKey, IDS, IDS)
DIGESTS = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
COMMITS = st.from_regex(r"[0-9a-f]{40}", fullmatch=True)
RELEASES = st.from_regex(r"r-[0-9a-f]{12}", fullmatch=True)
TEXTS = st.text(min_size=1, max_size=12)
NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False).map(repr)
SERVINGS = st.builds(
    Serving,
    cutoff_date=st.dates().map(str),
    horizon=st.integers(0, 500),
    interval=st.sampled_from(["15min", "30min", "1h"]),
    timezone=TEXTS,
    maximum_gap_hours=st.integers(0, 100),
    minimum=NUMBERS,
    maximum=NUMBERS,
    features=st.lists(TEXTS, max_size=3).map(tuple),
)
EVIDENCE = st.fixed_dictionaries({"metrics": DIGESTS, "lineage": DIGESTS})


@st.composite
def entries(draw, key):
    commit = draw(COMMITS)
    if draw(st.booleans()):
        return Entry(circuit=key, action="retire", config_commit=commit, replaces=draw(RELEASES))
    previous = draw(st.none() | st.tuples(st.integers(1, 99), DIGESTS)) or (None, None)
    return Entry(
        circuit=key,
        action="deploy",
        config_commit=commit,
        replaces=draw(st.none() | RELEASES),
        model_version=draw(st.integers(1, 99)),
        model_digest=draw(DIGESTS),
        forecaster=draw(TEXTS),
        data_version=draw(st.sampled_from(["2026-01-31", "2026-01-31.r2"])),
        data_digest=draw(DIGESTS),
        delta_version=draw(st.integers(0, 99)),
        environment="forecasting:1.2.3",
        environment_digest=draw(DIGESTS),
        spec_digest=draw(DIGESTS),
        evidence=draw(EVIDENCE),
        previous_model_version=previous[0],
        previous_model_digest=previous[1],
        seasonal_naive_hours=draw(st.sampled_from([24, 168])),
        serving=draw(SERVINGS),
    )


@st.composite
def manifests(draw):
    keys = sorted(draw(st.sets(KEYS, min_size=1, max_size=4)))
    return Manifest(
        entries=tuple(draw(entries(key)) for key in keys),
        attempt=draw(st.integers(1, 9)),
        four_eyes=draw(st.sampled_from(["required", "off"])),
    )


def a_manifest(**entry) -> Manifest:
    usual = {
        "circuit": CircuitKey("P001", "C001"),
        "action": "deploy",
        "config_commit": "c" * 40,
        "replaces": None,
        "model_version": 1,
        "model_digest": "d" * 64,
        "forecaster": "auto_ets",
        "data_version": "2026-01-31",
        "data_digest": "1" * 64,
        "environment": "forecasting:1.0.0",
        "environment_digest": "e" * 64,
        "spec_digest": "2" * 64,
        "evidence": {"metrics": "3" * 64},
        "serving": Serving(
            cutoff_date="2026-01-31",
            horizon=24,
            interval="1h",
            timezone="UTC",
            maximum_gap_hours=24,
            minimum="0.0",
            maximum=None,
            features=("holiday",),
        ),
    }
    return Manifest(entries=(Entry(**(usual | entry)),), attempt=1, four_eyes="required")


@given(manifests())
def test_what_is_written_is_read_back(manifest):
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest


@given(manifests(), st.data())
def test_a_changed_byte_is_refused_or_is_another_release(manifest, data):
    text = bytearray(manifest.to_bytes())
    place = data.draw(st.integers(0, len(text) - 1))
    text[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        changed = Manifest.from_bytes(bytes(text))
    except IdentifierError:
        return
    assert changed.to_bytes() == bytes(text)
    assert changed.digest != manifest.digest


def test_the_release_is_named_by_the_digest_of_its_text():
    manifest = a_manifest()
    assert manifest.release == f"r-{manifest.digest[:12]}"
    assert replace(manifest, attempt=2).release != manifest.release
    assert manifest.entry(CircuitKey("P001", "C001")) == manifest.entries[0]
    assert len(manifest.entries[0].digest) == 64


def test_an_entry_that_says_nothing_of_a_model_names_none():
    entry = Entry(
        circuit=CircuitKey("P1", "C1"), action="retire", config_commit="c" * 40, replaces=None
    )
    assert (entry.model_version, entry.delta_version, entry.seasonal_naive_hours) == (0, 0, 24)
    assert {entry.model_digest, entry.forecaster, entry.data_version, entry.spec_digest} == {""}
    assert (entry.evidence, entry.serving, entry.previous_model_digest) == (None, None, None)


def test_a_circuit_that_is_not_in_it_is_named():
    with pytest.raises(IdentifierError, match="does not carry P9/C9"):
        a_manifest().entry(CircuitKey("P9", "C9"))


def changed(path, value):
    """The text of a manifest with one value exchanged; ``...`` removes it."""
    document = a_manifest().document()
    place = document
    for step in path[:-1]:
        place = place[step]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return canonical_json(document)


ENTRY = ("entries", 0)
SERVING = (*ENTRY, "serving")
HERE = "the manifest's entry for P001/C001:"
NO_DIGEST = "is not a SHA-256: 64 lower-case hexadecimal digits"
NO_ACTION = "a manifest entry's action is neither deploy nor retire"
NO_ENTRIES = "the manifest has no entries; an empty release releases nothing"
NO_EVIDENCE = (
    f"{HERE} evidence is not an object of pull_request, scoring_notebook, training_log, metrics, "
    "lineage"
)
NO_VERSION = "is not a model version: an integer from 1"
NO_COUNT = "the manifest's attempt is not a whole number from 1"
REFUSED = {
    "no format": (("format",), ..., "the manifest lacks format"),
    "a later format": (
        ("format",), 2, "the manifest has format 2; this version reads format 1"
    ),
    "a format that is true": (
        ("format",), True, "the manifest has format True; this version reads format 1"
    ),
    "an unknown field": (("extra",), 1, "the manifest has unknown fields: 'extra'"),
    "attempt 0": (("attempt",), 0, NO_COUNT),
    "attempt as text": (("attempt",), "1", NO_COUNT),
    "other eyes": (
        ("four_eyes",), "maybe", "the manifest's four_eyes is neither required nor off"
    ),
    "no entries": (("entries",), [], NO_ENTRIES),
    "entries that are none": (("entries",), {}, NO_ENTRIES),
    "an entry that is none": (ENTRY, 7, NO_ACTION),
    "an entry without action": ((*ENTRY, "action"), ..., NO_ACTION),
    "an entry with another action": ((*ENTRY, "action"), "erase", NO_ACTION),
    "an entry with more fields": (
        (*ENTRY, "extra"), 1, "a manifest entry has unknown fields: 'extra'"
    ),
    "an entry with fewer fields": (
        (*ENTRY, "model_digest"), ..., "a manifest entry lacks model_digest"
    ),
    "a circuit that climbs": (
        (*ENTRY, "circuit"), "../C001",
        "'..' is not an id: use 1 to 32 letters, digits, - or _, starting with a letter or digit",
    ),
    "a circuit that is none": (
        (*ENTRY, "circuit"), 1, "a manifest entry's circuit is not text"
    ),
    "a short commit": ((*ENTRY, "config_commit"), "cafe", "'cafe' is not a full git commit id"),
    "a commit that is none": ((*ENTRY, "config_commit"), None, f"{HERE} config_commit is not text"),
    "a release that is none": (
        (*ENTRY, "replaces"), "r-1", "'r-1' is not a release id: r- and 12 hexadecimal digits"
    ),
    "a release that is a number": ((*ENTRY, "replaces"), 7, f"{HERE} replaces is not text"),
    "model version 0": ((*ENTRY, "model_version"), 0, f"0 {NO_VERSION}"),
    "model version true": ((*ENTRY, "model_version"), True, f"True {NO_VERSION}"),
    "a digest in capitals": (
        (*ENTRY, "model_digest"), "D" * 64, f"{HERE} model_digest {NO_DIGEST}"
    ),
    "a digest with a newline": (
        (*ENTRY, "data_digest"), "d" * 64 + "\n", f"{HERE} data_digest {NO_DIGEST}"
    ),
    "an environment without digest": (
        (*ENTRY, "environment_digest"), "e" * 63, f"{HERE} environment_digest {NO_DIGEST}"
    ),
    "a spec without digest": (
        (*ENTRY, "spec_digest"), 2, f"{HERE} spec_digest {NO_DIGEST}"
    ),
    "no forecaster": ((*ENTRY, "forecaster"), "", f"{HERE} forecaster is not text"),
    "data of no date": (
        (*ENTRY, "data_version"), "latest", "'latest' is not YYYY-MM-DD or YYYY-MM-DD.rN"
    ),
    "data of no text": ((*ENTRY, "data_version"), 2026, f"{HERE} data_version is not text"),
    "no semver": (
        (*ENTRY, "environment"), "forecasting:1", "'1' is not MAJOR.MINOR.PATCH, such as 1.5.0"
    ),
    "no environment": ((*ENTRY, "environment"), None, f"{HERE} environment is not text"),
    "delta version -1": (
        (*ENTRY, "delta_version"), -1, f"{HERE} delta_version is not a whole number from 0"
    ),
    "delta version true": (
        (*ENTRY, "delta_version"), True, f"{HERE} delta_version is not a whole number from 0"
    ),
    "season 0": (
        (*ENTRY, "seasonal_naive_hours"), 0,
        f"{HERE} seasonal_naive_hours is not a whole number from 1",
    ),
    "half a previous model": (
        (*ENTRY, "previous_model_version"), 3, f"{HERE} previous_model_digest {NO_DIGEST}"
    ),
    "another half": ((*ENTRY, "previous_model_digest"), "d" * 64, f"None {NO_VERSION}"),
    "evidence that is a list": ((*ENTRY, "evidence"), [], NO_EVIDENCE),
    "evidence of another kind": ((*ENTRY, "evidence", "hope"), "3" * 64, NO_EVIDENCE),
    "evidence without digest": (
        (*ENTRY, "evidence", "metrics"), "x", f"{HERE} evidence.metrics {NO_DIGEST}"
    ),
    "a restatement without digest": (
        (*ENTRY, "restated"), "yes", f"{HERE} restated {NO_DIGEST}"
    ),
    "a restatement of nothing": ((*ENTRY, "restated"), None, f"{HERE} restated {NO_DIGEST}"),
    "no serving": (SERVING, None, f"{HERE} serving is not a JSON object"),
    "a serving with more": ((*SERVING, "extra"), 1, f"{HERE} serving has unknown fields: 'extra'"),
    "no zone": ((*SERVING, "timezone"), "", f"{HERE} serving.timezone is not text"),
    "a limit that is a number": ((*SERVING, "minimum"), 0, f"{HERE} serving.minimum is not text"),
    "an upper limit of no text": ((*SERVING, "maximum"), "", f"{HERE} serving.maximum is not text"),
    "a horizon that is text": (
        (*SERVING, "horizon"), "24", f"{HERE} serving.horizon is not a whole number from 0"
    ),
    "features that are text": (
        (*SERVING, "features"), "all", f"{HERE} serving.features is not a list"
    ),
    "a feature that is none": ((*SERVING, "features"), [1], f"{HERE} serving.features is not text"),
}  # fmt: skip


@pytest.mark.parametrize(("path", "value", "why"), REFUSED.values(), ids=REFUSED)
def test_whatever_writing_would_not_produce_is_refused_with_its_reason(path, value, why):
    with pytest.raises(IdentifierError) as caught:
        Manifest.from_bytes(changed(path, value))
    assert str(caught.value) == why


def test_a_retirement_must_replace_something_and_has_no_other_fields():
    retire = {"circuit": "P1/C1", "action": "retire", "config_commit": "c" * 40, "replaces": None}
    document = a_manifest().document()
    for entry, why in (
        (retire, "the manifest's entry for P1/C1 retires a circuit that replaces nothing"),
        (retire | {"serving": None}, "a manifest entry has unknown fields: 'serving'"),
        (retire | {"restated": "1" * 64}, "a manifest entry has unknown fields: 'restated'"),
    ):
        with pytest.raises(IdentifierError) as caught:
            Manifest.from_bytes(canonical_json(document | {"entries": [entry]}))
        assert str(caught.value) == why


def test_evidence_of_every_kind_is_read_back():
    proved = a_manifest(evidence=dict.fromkeys(REGISTRY_KINDS, "3" * 64))
    assert Manifest.from_bytes(proved.to_bytes()) == proved


def test_an_entry_that_nobody_proved_or_said_how_to_serve_is_written_and_never_read():
    unproved = a_manifest(evidence=None, serving=None)
    written = unproved.document()["entries"][0]
    assert (written["evidence"], written["serving"]) == ({}, None)
    with pytest.raises(IdentifierError, match="serving is not a JSON object"):
        Manifest.from_bytes(unproved.to_bytes())


def test_what_was_restated_is_signed_only_where_something_was():
    assert "restated" not in a_manifest().document()["entries"][0]
    restated = a_manifest(restated="4" * 64)
    assert Manifest.from_bytes(restated.to_bytes()) == restated
    assert restated.release != a_manifest().release


def test_entries_out_of_order_or_twice_are_refused():
    first = a_manifest().document()["entries"][0]
    second = first | {"circuit": "P000/C001"}
    for others, at in (([first, first], "P001/C001"), ([first, second], "P000/C001")):
        document = a_manifest().document() | {"entries": others}
        with pytest.raises(IdentifierError) as caught:
            Manifest.from_bytes(canonical_json(document))
        assert str(caught.value) == f"the manifest's entries are not sorted at {at}"


TEXTS_REFUSED = {
    "nothing": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "spaces": json.dumps(a_manifest().document(), sort_keys=True).encode(),
    "another order": json.dumps(a_manifest().document(), separators=(",", ":")).encode(),
    "a newline after": a_manifest().to_bytes() + b"\n",
    "a key twice": a_manifest().to_bytes().replace(b'{"attempt":1', b'{"attempt":1,"attempt":1'),
    "a float": a_manifest().to_bytes().replace(b'"attempt":1', b'"attempt":1.0'),
    "infinity": a_manifest().to_bytes().replace(b'"attempt":1', b'"attempt":1e400'),
    "a huge number": a_manifest().to_bytes().replace(b'"attempt":1', b'"attempt":' + b"9" * 5000),
    "not ASCII": a_manifest().to_bytes().replace(b"auto_ets", "é".encode()),
    "bad UTF-8": a_manifest().to_bytes().replace(b"auto_ets", b"\xff"),
    "too deep": b"[" * 100_000,
    "too long": b" " * (MAXIMUM_BYTES + 1),
}


@pytest.mark.parametrize("text", TEXTS_REFUSED.values(), ids=TEXTS_REFUSED)
def test_a_text_that_is_not_canonical_is_refused_in_one_line(text):
    with pytest.raises(IdentifierError) as caught:
        Manifest.from_bytes(text)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("the manifest")
