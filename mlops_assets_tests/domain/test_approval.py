"""A statement counts only if it is, byte for byte, the one that would be issued."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain import approval
from mlops_assets.domain.approval import (
    MAXIMUM_BYTES,
    WINDOW_HOURS,
    Asked,
    Authors,
    authenticate,
    previous_digest,
    statement,
    verify,
)
from mlops_assets.domain.circuit import StagePolicy
from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.identifiers import CircuitKey, canonical_json, digest_of, sha256
from mlops_assets.domain.release import OpenRequest
from mlops_assets.domain.signature import sign
from mlops_assets.domain.trust import TrustRoot
from mlops_assets_tests.fakes.deployment import a_release, an_entry, retired
from mlops_assets_tests.fakes.release import (
    AUTHOR,
    ENGINEER,
    MANAGER,
    PEOPLE,
    STRANGER,
    VIEWER,
    keys_of,
    signer,
)

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
C1, C2 = CircuitKey("P001", "C001"), CircuitKey("P001", "C002")
DIGESTS = {"metrics": "5" * 64, "lineage": "6" * 64}
MANIFEST = a_release(
    an_entry(C1, evidence=DIGESTS),
    an_entry(C2, evidence=DIGESTS),
    retired(CircuitKey("P2", "C1"), "r-" + "9" * 12),
)
SIGNERS = [signer(person.email) for person in PEOPLE]
TRUST = TrustRoot(
    commit="c" * 40,
    signers={each.key: each for each in SIGNERS},
    people={person.email: person for person in PEOPLE},
    revoked={},
)
REQUEST = OpenRequest(
    release=MANIFEST.release,
    stage="registry",
    nonce="a" * 64,
    requester="platform",
    requested_at=NOW - timedelta(hours=1),
    expires_at=NOW + timedelta(hours=23),
)
ASKED = Asked(
    request=REQUEST,
    manifest=MANIFEST,
    evidence=approval.evidence_digests(MANIFEST),
    previous=previous_digest(dict.fromkeys(MANIFEST.circuits)),
)
ENGINEERS = StagePolicy(roles=("ml_engineer",))
BOTH = StagePolicy(roles=("ml_engineer", "engineering_manager"))
GOOD = statement(ASKED, ENGINEER, "approve")


def signed(data, person=ENGINEER):
    return sign(keys_of(person).private_file, data)


def judge(data=GOOD, person=ENGINEER, signature=None, **changed):
    """Authenticate and verify, as the gate does."""
    usual = {
        "asked": ASKED,
        "trust": TRUST,
        "policy": ENGINEERS,
        "authors": Authors(people=frozenset({AUTHOR})),
        "now": NOW,
    } | changed
    said = authenticate(
        data, signature or signed(data, person), trust=usual["trust"], now=usual["now"]
    )
    verify(said, **usual)
    return said


def bent(path, value, data=GOOD):
    """A statement with one value exchanged and its canonical form kept; ``...`` removes it."""
    document = json.loads(data)
    place = document
    for step in path[:-1]:
        place = place[step]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return canonical_json(document)


def test_the_issued_statement_counts():
    said = judge()
    assert (said.approver, said.decision) == (ENGINEER, "approve")
    assert said.sha256 == sha256(GOOD)
    assert said.key == signer(ENGINEER).key
    assert said.release == MANIFEST.release


def test_a_statement_is_an_in_toto_statement_about_every_circuit():
    document = json.loads(GOOD)
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert [item["name"] for item in document["subject"]] == [
        "manifest",
        "circuit/P001/C001",
        "circuit/P001/C002",
        "circuit/P2/C1",
    ]
    assert document["subject"][0]["digest"]["sha256"] == MANIFEST.digest
    assert "signed_at" not in document["predicate"]


def test_production_is_open_to_managers_too():
    asked = replace(ASKED, request=replace(REQUEST, stage="production"))
    data = statement(asked, MANAGER, "approve")
    assert judge(data, MANAGER, asked=asked, policy=BOTH).approver == MANAGER


def test_the_window_ends_with_its_last_second():
    late = REQUEST.expires_at - timedelta(seconds=1)
    assert judge(now=late)
    with pytest.raises(RefusedError) as caught:
        judge(now=REQUEST.expires_at)
    assert caught.value.code == "E_EXPIRED"


P = "predicate"
S = "subject"
DAY = timedelta(days=1)
FORGED = {
    "another release": ((P, "release"), "r-000000000000", "E_RELEASE"),
    "another stage": ((P, "stage"), "production", "E_STAGE"),
    "the test stage": ((P, "stage"), "test", "E_STAGE"),
    "another target": ((P, "environment"), "prod", "E_ENVIRONMENT"),
    "another nonce": ((P, "nonce"), "b" * 64, "E_NONCE"),
    "a longer nonce": ((P, "nonce"), "a" * 65, "E_NONCE"),
    "another approver": ((P, "approver"), MANAGER, "E_APPROVER"),
    "another base": ((P, "previous"), "0" * 64, "E_STALE_BASE"),
    "other evidence": ((P, "evidence", "metrics"), "0" * 64, "E_EVIDENCE"),
    "less evidence": ((P, "evidence", "metrics"), ..., "E_EVIDENCE"),
    "more evidence": ((P, "evidence", "hope"), "0" * 64, "E_EVIDENCE"),
    "no evidence": ((P, "evidence"), {}, "E_EVIDENCE"),
    "evidence that is null": ((P, "evidence"), None, "E_STATEMENT"),
    "a later request": ((P, "requested_at"), "2026-06-01T11:30:00Z", "E_WINDOW"),
    "a longer window": ((P, "expires_at"), "2027-06-01T11:00:00Z", "E_WINDOW"),
    "a third decision": ((P, "decision"), "perhaps", "E_STATEMENT"),
    "a decision in capitals": ((P, "decision"), "APPROVE", "E_STATEMENT"),
    "another type": (("_type",), "https://in-toto.io/Statement/v0.1", "E_STATEMENT"),
    "another predicate": (("predicateType",), "https://slsa.dev/provenance/v1", "E_STATEMENT"),
    "a field more": (("extra",), 1, "E_STATEMENT"),
    "a field more inside": ((P, "signed_at"), "2026-06-01T12:00:00Z", "E_STATEMENT"),
    "no predicate": ((P,), ..., "E_STATEMENT"),
    "a predicate that is a list": ((P,), [], "E_STATEMENT"),
    "a subject that is null": ((S,), None, "E_STATEMENT"),
    "no subjects": ((S,), [], "E_SUBJECT"),
    "a subject less": ((S, 1), ..., "E_SUBJECT"),
    "a subject that is text": ((S, 1), "circuit/P001/C001", "E_STATEMENT"),
    "a subject with more": ((S, 1, "uri"), "file:///", "E_STATEMENT"),
    "another manifest": ((S, 0, "digest", "sha256"), "0" * 64, "E_SUBJECT"),
    "another circuit's digest": ((S, 1, "digest", "sha256"), "0" * 64, "E_SUBJECT"),
    "a digest that is short": ((S, 1, "digest", "sha256"), "0" * 63, "E_STATEMENT"),
    "a digest with a newline": ((S, 1, "digest", "sha256"), "0" * 64 + "\n", "E_STATEMENT"),
    "another kind of digest": ((S, 1, "digest"), {"md5": "0"}, "E_STATEMENT"),
    "a name that is a number": ((S, 1, "name"), 1, "E_NAME"),
    "a name of nothing": ((S, 1, "name"), "model", "E_NAME"),
    "a name that climbs": ((S, 1, "name"), "circuit/../C001", "E_NAME"),
    "an absolute name": ((S, 1, "name"), "circuit//etc/passwd", "E_NAME"),
    "a name with NUL": ((S, 1, "name"), "circuit/P001/C\0", "E_NAME"),
    "a name with a newline": ((S, 1, "name"), "circuit/P001/C001\n", "E_NAME"),
    "a name in another alphabet": ((S, 1, "name"), "circuit/P001/\u0421001", "E_NAME"),
    "a name that is long": ((S, 1, "name"), "circuit/P001/" + "C" * 64, "E_NAME"),
    "a name in small letters": ((S, 1, "name"), "circuit/p001/c001", "E_SUBJECT"),
    "a circuit twice": ((S, 2, "name"), "circuit/P001/C001", "E_SUBJECT"),
}


@pytest.mark.parametrize(("path", "value", "code"), FORGED.values(), ids=FORGED)
def test_a_statement_that_says_anything_else_is_refused_with_its_code(path, value, code):
    with pytest.raises(RefusedError) as caught:
        judge(bent(path, value))
    assert caught.value.code == code
    assert "\n" not in caught.value.reason


@pytest.mark.parametrize("field", sorted(approval._PREDICATE_FIELDS))
@pytest.mark.parametrize("value", [..., None, [], 7, True])
def test_every_field_must_be_there_and_be_what_it_is(field, value):
    with pytest.raises(RefusedError) as caught:
        judge(bent((P, field), value))
    assert caught.value.code == "E_STATEMENT"


TEXTS = {
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "no JSON": b"{",
    "spaces": GOOD.replace(b'":', b'": '),
    "a newline after": GOOD + b"\n",
    "a field twice": GOOD.replace(b'"nonce":', b'"nonce":"x","nonce":'),
    "a float": GOOD.replace(b'"approve"', b"1.5"),
    "infinity": GOOD.replace(b'"approve"', b"1e400"),
    "bad UTF-8": GOOD.replace(b"approve", b"appr\xff"),
    "a byte order mark": b"\xef\xbb\xbf" + GOOD,
    "another escape": GOOD.replace(b"approve", b"\\u0061pprove"),
    "too deep": b"[" * 100_000,
}


@pytest.mark.parametrize("data", TEXTS.values(), ids=TEXTS)
def test_a_text_that_is_not_canonical_is_refused_though_it_is_signed(data):
    with pytest.raises(RefusedError) as caught:
        judge(data)
    assert caught.value.code == "E_STATEMENT"


def test_what_is_too_long_is_refused_before_anything_is_parsed():
    with pytest.raises(RefusedError) as caught:
        judge(b" " * (MAXIMUM_BYTES + 1), signature=b"none")
    assert caught.value.code == "E_SIZE"


def test_a_statement_about_one_release_never_opens_another():
    other = a_release(an_entry(C1, evidence=DIGESTS), attempt=2)
    with pytest.raises(RefusedError) as caught:
        judge(asked=replace(ASKED, manifest=other))
    assert caught.value.code == "E_RELEASE"


def test_a_signature_of_somebody_else_does_not_count():
    for person, code in ((MANAGER, "E_APPROVER"), (STRANGER, "E_KEY_UNKNOWN")):
        with pytest.raises(RefusedError) as caught:
            judge(person=person)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("person", "stage", "policy", "code"),
    [
        (MANAGER, "registry", BOTH, "E_ROLE"),
        (VIEWER, "registry", BOTH, "E_ROLE"),
        (VIEWER, "production", BOTH, "E_ROLE"),
        (MANAGER, "production", ENGINEERS, "E_ROLE"),
        (ENGINEER, "production", StagePolicy(roles=("engineering_manager",)), "E_ROLE"),
        (ENGINEER, "registry", StagePolicy(roles=()), "E_ROLE"),
        (VIEWER, "production", StagePolicy(roles=("viewer",)), "E_ROLE"),
    ],
)
def test_only_the_roles_of_the_platform_and_the_policy_may_sign(person, stage, policy, code):
    asked = replace(ASKED, request=replace(REQUEST, stage=stage))
    with pytest.raises(RefusedError) as caught:
        judge(statement(asked, person, "approve"), person, asked=asked, policy=policy)
    assert caught.value.code == code


def test_nobody_approves_what_they_wrote_or_asked_for():
    data = statement(ASKED, AUTHOR, "approve")
    with pytest.raises(RefusedError, match="wrote a part") as caught:
        judge(data, AUTHOR)
    assert caught.value.code == "E_SELF_APPROVAL"
    mine = replace(ASKED, request=replace(REQUEST, requester=ENGINEER))
    with pytest.raises(RefusedError, match="asked for") as caught:
        judge(statement(mine, ENGINEER, "approve"), asked=mine)
    assert caught.value.code == "E_SELF_APPROVAL"


def test_an_author_whom_nobody_knows_stops_everybody():
    with pytest.raises(RefusedError, match="ghost@git") as caught:
        judge(authors=Authors(unmapped=frozenset({"ghost@git.example"})))
    assert caught.value.code == "E_AUTHOR_UNKNOWN"


def test_with_four_eyes_off_the_author_may_sign():
    data = statement(ASKED, AUTHOR, "approve")
    assert judge(data, AUTHOR, authors=None).approver == AUTHOR


@given(st.integers(0, len(GOOD) * 8 - 1))
def test_every_flipped_bit_of_a_statement_is_refused(bit):
    flipped = bytearray(GOOD)
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(RefusedError):
        judge(bytes(flipped), signature=signed(GOOD))
    with pytest.raises(RefusedError):
        judge(bytes(flipped))


def test_the_base_is_named_by_every_circuit_of_the_release():
    assert previous_digest({C1: None}) != previous_digest({C1: "r-" + "1" * 12})
    assert previous_digest({C1: None, C2: None}) == previous_digest({C2: None, C1: None})


def test_evidence_is_one_digest_a_kind_over_the_circuits_that_have_it():
    one = an_entry(C1, evidence={"metrics": "5" * 64})
    two = an_entry(C2, evidence=DIGESTS)
    assert approval.evidence_digests(a_release(one, two)) == {
        "metrics": digest_of({str(C1): "5" * 64, str(C2): "5" * 64}),
        "lineage": digest_of({str(C2): "6" * 64}),
    }
    assert approval.evidence_digests(a_release(retired(C1, "r-" + "9" * 12))) == {}


def test_the_base_is_the_digest_of_which_release_serves_which_circuit():
    release = "r-" + "1" * 12
    assert previous_digest({C1: None, C2: release}) == digest_of({str(C1): None, str(C2): release})


def test_a_rejection_is_a_statement_too():
    data = statement(ASKED, ENGINEER, "reject")
    assert judge(data).decision == "reject"


def test_a_statement_of_the_greatest_size_is_read():
    with pytest.raises(RefusedError) as caught:
        judge(b" " * MAXIMUM_BYTES)
    assert caught.value.code == "E_STATEMENT"
    with pytest.raises(RefusedError) as caught:
        judge(b" " * (MAXIMUM_BYTES + 1), signature=b"")
    assert (caught.value.code, caught.value.reason) == (
        "E_SIZE",
        "the statement has 2097153 bytes; at most 2097152 are read",
    )


def test_a_statement_has_room_for_15_000_circuits_and_a_window_a_day():
    one, two = (
        statement(replace(ASKED, manifest=a_release(*MANIFEST.entries[:n])), ENGINEER, "approve")
        for n in (1, 2)
    )
    assert 15_000 * (len(two) - len(one)) < MAXIMUM_BYTES
    assert timedelta(hours=WINDOW_HOURS) == DAY


def test_a_newcomer_is_refused_by_a_code_of_its_own():
    with pytest.raises(RefusedError) as caught:
        judge(authors=Authors(newcomers=frozenset({ENGINEER})))
    assert caught.value.code == "E_TRUST_CHANGED"
    assert judge(authors=Authors(newcomers=frozenset({MANAGER}))).approver == ENGINEER


def test_a_key_counts_only_in_its_time():
    rest = [each for each in SIGNERS if each.principal != ENGINEER]
    ended = signer(ENGINEER, valid_before=NOW)
    late = replace(TRUST, signers={each.key: each for each in [*rest, ended]})
    with pytest.raises(RefusedError) as caught:
        judge(trust=late)
    assert caught.value.code == "E_KEY_VALIDITY"
    assert judge(trust=late, now=NOW - timedelta(seconds=1))
