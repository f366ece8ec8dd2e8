"""Windows open and close, statements are recorded once, and nobody signs for themselves."""

from __future__ import annotations

import json

import pytest

from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.evidence import PLATFORM_EMAIL, document_bytes
from mlops_assets.domain.identifiers import IdentifierError, sha256
from mlops_assets.domain.signature import sign
from mlops_assets.flows.approval import Submission, approve, expire
from mlops_assets.flows.gates import circuit_verdicts, gate
from mlops_assets.flows.ledger import manifest_of
from mlops_assets.flows.review import document as review_of
from mlops_assets_tests.fakes.release import (
    AUTHOR,
    C1,
    C2,
    C3,
    ENGINEER,
    MANAGER,
    STRANGER,
    VIEWER,
    ReleaseHome,
    keys_of,
)


@pytest.fixture
def home():
    return ReleaseHome()


def signed(home, data, person):
    return home.submit(data, sign(keys_of(person).private_file, data))


def test_a_request_opens_a_day_long_window(home):
    made = home.create()
    window = home.request(made, "registry", requester=MANAGER)

    assert window.missing == ()
    assert len(window.nonce) == 64
    assert (window.expires_at - home.now).total_seconds() == 24 * 3600
    request = home.view(made).open_request
    assert (request.requester, request.nonce) == (MANAGER, window.nonce)
    assert list(home.ledger.names("requests")) == [f"{window.nonce}.json"]


def test_asking_again_returns_the_open_window(home):
    made = home.create()
    window = home.request(made, "registry")
    log = home.ledger.log
    home.tick(hours=23)
    assert home.request(made, "registry") == window
    assert home.ledger.log == log


def test_each_window_has_a_nonce_of_its_own(home):
    made = home.create()
    first = home.request(made, "registry")
    home.tick(days=1)
    second = home.request(made, "registry")
    assert first.nonce != second.nonce
    assert home.ledger.events()[-3:] == ["requested", "expired", "requested"]


def test_the_policy_may_shorten_the_day_and_not_lengthen_it(home):
    from dataclasses import replace

    for hours, expected in ((8, 8), (48, 24), (0, 1)):
        home.stricter(registry=replace(home.policy.registry, expires_hours=hours))
        made = home.create(C1)
        window = home.request(made, "registry")
        assert (window.expires_at - home.now).total_seconds() == expected * 3600
        home.reject(made, "registry", ENGINEER)


def test_a_request_says_everything_that_is_missing_at_once(home):
    home.train(C1, spec="3", wape=0.09, floor=0.06)
    home.train(C2, spec="3")
    made = home.create()
    del home.dev.evidence.bundles[C2, 2]["metrics.json"]
    window = home.request(made, "registry")

    assert window.nonce is None
    assert "P001/C001: skill -0.500 is below the minimum 0.000" in " ".join(window.missing)
    assert "P001/C002: missing: metrics" in " ".join(window.missing)
    assert home.state(made) == "candidate"


def test_no_statement_is_issued_while_evidence_is_missing(home):
    made = home.create()
    home.request(made, "registry")
    home.dev.evidence.bundles[C2, 1]["lineage.json"] = b"other"
    with pytest.raises(RefusedError, match="lineage is not the one") as caught:
        home.statement(made, "registry", ENGINEER)
    assert caught.value.code == "E_EVIDENCE"
    assert home.statement(made, "registry", ENGINEER, "reject")


def test_a_request_in_another_state_says_what_is_awaited(home):
    made = home.create()
    with pytest.raises(RefusedError, match="it waits for a registry request") as caught:
        home.request(made, "production")
    assert caught.value.code == "E_STATE"
    home.request(made, "registry")
    home.reject(made, "registry", ENGINEER)
    with pytest.raises(RefusedError, match="that is an end"):
        home.request(made, "registry")
    with pytest.raises(RefusedError, match="there is no release r-0"):
        home.request("r-0", "registry")
    with pytest.raises(IdentifierError, match="one lower-case e-mail"):
        home.request(made, "registry", requester="*")


def test_a_statement_signed_by_ssh_keygen_or_in_process_is_the_same(home):
    made = home.create()
    home.request(made, "registry")
    data = home.statement(made, "registry", ENGINEER)
    done = signed(home, data, ENGINEER)

    assert done == Submission(
        accepted=True, code="OK", reason=f"recorded: {ENGINEER} approves registry of {made}"
    )
    view = home.view(made)
    assert view.open_request.approvals == (ENGINEER,)
    assert view.signed[0].statement == sha256(data)
    assert view.signed[0].trust_commit == home.git.head()
    assert home.ledger.get("approvals", f"{sha256(data)}.json") == data


def test_a_statement_is_recorded_once(home):
    made = home.create()
    home.request(made, "registry")
    data = home.statement(made, "registry", ENGINEER)
    signed(home, data, ENGINEER)
    log = home.ledger.log
    assert signed(home, data, ENGINEER).reason.startswith("recorded before")
    assert home.ledger.log == log


def test_a_comment_is_kept_for_the_ledger(home):
    made = home.create()
    key = keys_of(ENGINEER).private_file
    approve(home.platform, home.config, made, "registry", key, "looks well", now=home.now)
    assert home.view(made).signed[0].comment == "looks well"


def test_a_rejection_ends_the_release(home):
    made = home.create()
    home.request(made, "registry")
    good = home.statement(made, "registry", ENGINEER)
    assert home.reject(made, "registry", ENGINEER).accepted
    assert home.state(made) == "rejected"
    assert signed(home, good, ENGINEER).code == "E_REJECTED"
    assert home.approve(made, "registry", ENGINEER).code == "E_REJECTED"


def test_a_rejection_after_an_approval_counts(home):
    made = home.create()
    home.approve(made, "registry", ENGINEER)
    assert home.reject(made, "registry", ENGINEER).accepted
    with pytest.raises(RefusedError, match="rejected by engineer"):
        home.promote(made, "registry")


def test_statements_die_with_their_window(home):
    made = home.create()
    home.request(made, "registry")
    data = home.statement(made, "registry", ENGINEER)
    home.tick(days=1)
    assert signed(home, data, ENGINEER).code == "E_EXPIRED"
    expire(home.platform, now=home.now)
    assert signed(home, data, ENGINEER).code == "E_NO_REQUEST"
    home.request(made, "registry")
    assert signed(home, data, ENGINEER).code == "E_NONCE"


def test_a_statement_opens_its_stage_once(home):
    made = home.create()
    home.request(made, "registry")
    data = home.statement(made, "registry", ENGINEER)
    signed(home, data, ENGINEER)
    home.promote(made, "registry")
    assert signed(home, data, ENGINEER).code == "E_CONSUMED"
    home.promote(made, "test")
    home.request(made, "production")
    assert signed(home, data, ENGINEER).code == "E_CONSUMED"


def test_a_statement_for_one_release_opens_no_other(home):
    one, other = home.create(C1), home.create(C2)
    for made in (one, other):
        home.request(made, "registry")
    data = home.statement(one, "registry", ENGINEER)
    forged = data.replace(one.encode(), other.encode())
    assert signed(home, forged, ENGINEER).code == "E_NONCE"
    assert home.view(other).signed == ()


def test_a_statement_for_another_stage_is_refused(home):
    made = home.tested()
    home.request(made, "production")
    with pytest.raises(RefusedError) as caught:
        home.statement(made, "registry", ENGINEER)
    assert caught.value.code == "E_CONSUMED"
    fresh = ReleaseHome()
    made = fresh.create()
    fresh.request(made, "registry")
    with pytest.raises(RefusedError, match="asks for registry") as caught:
        fresh.statement(made, "production", ENGINEER)
    assert caught.value.code == "E_STAGE"


def test_people_who_may_not_sign_are_refused_with_their_code(home):
    made = home.create()
    for person, code in (
        (STRANGER, "E_KEY_UNKNOWN"),
        (VIEWER, "E_ROLE"),
        (MANAGER, "E_ROLE"),
    ):
        assert home.approve(made, "registry", person).code == code
    home.revoke(ENGINEER)
    assert home.approve(made, "registry", ENGINEER).code == "E_KEY_REVOKED"
    assert home.view(made).signed == ()


def test_a_key_file_that_is_none_is_a_refusal(home):
    made = home.create()
    done = approve(home.platform, home.config, made, "registry", b"no key", now=home.now)
    assert done.code == "E_KEY_FILE"


def test_an_approval_that_gates_refuse_says_why(home):
    home.train(C1, spec="3", wape=0.09)
    made = home.create()
    done = home.approve(made, "registry", ENGINEER)
    assert (done.accepted, done.code) == (False, "E_EVIDENCE")
    assert "skill" in done.reason


def test_an_approval_is_refused_when_evidence_vanished_since_the_statement(home):
    made = home.create()
    home.request(made, "registry")
    data = home.statement(made, "registry", ENGINEER)
    home.dev.evidence.bundles.clear()
    assert signed(home, data, ENGINEER).code == "E_EVIDENCE"


def test_a_trust_root_that_is_broken_opens_nothing(home):
    made = home.create()
    home.request(made, "registry")
    data = home.statement(made, "registry", ENGINEER)
    for file, text in (
        ("trust/allowed_signers", b"* ssh-ed25519 AAAA\n"),
        ("trust/roles.yml", b"format: 1\npeople: &a {}\n"),
        ("trust/roles.yml", b"format: 1\npeople: {}\npeople: {}\n"),
        ("trust/revoked.yml", b"format: 2\nkeys: []\n"),
    ):
        home.git.add({file: text}, author=MANAGER)
        assert signed(home, data, ENGINEER).code == "E_TRUST"


def test_a_config_without_trust_root_opens_nothing(home):
    made = home.create()
    home.request(made, "registry")
    data = home.statement(made, "registry", ENGINEER)
    del home.git.trees[home.git.head()]["trust/revoked.yml"]
    done = signed(home, data, ENGINEER)
    assert done.code == "E_TRUST"
    assert "has no trust/revoked.yml" in done.reason


# --- four eyes --------------------------------------------------------------------------------


def sign_for(home, made, person, stage="registry"):
    return home.approve(made, stage, person).code


def test_the_commit_that_made_the_home_is_nobodys(home):
    assert sign_for(home, home.create(), AUTHOR) == "OK"


@pytest.mark.parametrize(
    "commit",
    [
        {"author": ENGINEER},
        {"author": "ENG@git.example"},
        {"author": AUTHOR, "committer": ENGINEER},
        {"author": AUTHOR, "co_authors": ["eng@git.example"]},
    ],
)
def test_whoever_wrote_committed_or_co_wrote_the_change_may_not_sign(home, commit):
    home.edit(C1, **commit)
    made = home.create(C1)
    assert sign_for(home, made, ENGINEER) == "E_SELF_APPROVAL"


def test_whoever_did_not_write_the_change_may_sign(home):
    home.edit(C1, author=AUTHOR, reviewers=[ENGINEER])
    made = home.create(C1)
    assert sign_for(home, made, AUTHOR) == "E_SELF_APPROVAL"
    assert sign_for(home, made, ENGINEER) == "OK"


def test_an_author_whom_nobody_knows_stops_everybody(home):
    home.edit(C1, author="ghost@git.example")
    assert sign_for(home, home.create(C1), ENGINEER) == "E_AUTHOR_UNKNOWN"


def test_changes_that_are_live_already_count_no_more(home):
    home.edit(C1, author=AUTHOR)
    home.deployed()
    home.edit(C2, author=MANAGER)
    made = home.create(C2)
    assert sign_for(home, made, AUTHOR) == "OK"
    home.promote(made, "registry")
    home.promote(made, "test")
    assert sign_for(home, made, MANAGER, "production") == "E_SELF_APPROVAL"


def test_a_circuit_that_came_later_counts_from_its_first_commit(home):
    home.git.add({"README.md": b"x"}, author=MANAGER)
    home.circuits.append(C3)
    home.git.add({f"plants/{C3}.yml": b"spec"}, author=AUTHOR, reviewers=[VIEWER])
    home.spec_digests[C3] = "2" * 64
    home.production.send(C3)
    home.train(C3)
    made = home.tested(C3)
    assert sign_for(home, made, AUTHOR, "production") == "E_SELF_APPROVAL"
    assert sign_for(home, made, MANAGER, "production") == "OK"


def test_people_and_keys_that_the_platform_added_are_nobodys_change(home):
    home.git.add({"trust/roles.yml": home.git.files(home.git.head())["trust/roles.yml"] + b"\n"},
                 author=PLATFORM_EMAIL)  # fmt: skip
    assert sign_for(home, home.create(C1), ENGINEER) == "OK"


def test_the_platforms_name_hides_no_other_change(home):
    home.edit(C1, author=PLATFORM_EMAIL)
    assert sign_for(home, home.create(C1), ENGINEER) == "E_AUTHOR_UNKNOWN"


def test_whoever_asked_may_not_sign(home):
    made = home.create()
    home.request(made, "registry", requester=ENGINEER)
    assert sign_for(home, made, ENGINEER) == "E_SELF_APPROVAL"
    assert sign_for(home, made, AUTHOR) == "OK"


def test_whoever_wrote_the_change_may_still_reject_it(home):
    home.edit(C1, author=ENGINEER)
    made = home.create(C1)
    home.request(made, "registry")
    assert home.reject(made, "registry", ENGINEER).accepted


def test_four_eyes_are_off_only_where_the_home_was_made_so(home):
    home.stricter(four_eyes="off")
    home.edit(C1, author=ENGINEER)
    assert sign_for(home, home.create(C1), ENGINEER) == "E_SELF_APPROVAL"


def test_a_circuit_whose_file_no_commit_holds_counts_the_whole_history(home):
    home.circuits.append(C3)
    home.production.send(C3)
    home.train(C3)
    home.git.add({"README.md": b"x"}, author=ENGINEER)
    assert sign_for(home, home.create(C3), ENGINEER) == "E_SELF_APPROVAL"


# --- gates ------------------------------------------------------------------------------------


def verdicts(home, made, stage):
    """Every verdict of a gate, by name."""
    found = gate(home.platform, home.config, made, stage, now=home.now)
    return {verdict.gate: verdict for verdict in found}


def test_a_gate_tells_all_its_questions(home):
    made = home.create()
    assert list(verdicts(home, made, "registry")) == [
        "evidence",
        "pull_request_review",
        "lineage",
        "restatements",
        "skill",
        "champion",
        "coverage",
        "four_eyes",
        "base",
        "registry_approval",
    ]
    assert list(verdicts(home, made, "production")) == [
        "registry_approval",
        "artifacts",
        "four_eyes",
        "restatements",
        "base",
        "test_validation",
        "rollback_plan",
        "production_approval",
    ]
    assert "no request is open" in verdicts(home, made, "registry")["registry_approval"].reason


def test_a_gate_tells_afterwards_who_signed(home):
    made = home.deployed()
    assert verdicts(home, made, "registry")["registry_approval"].reason == (
        f"signed by {ENGINEER}, 1 of 1 needed"
    )


def test_a_copied_approval_is_named_by_the_gate(home):
    home.train(C2, spec="3", error="no convergence")
    failed = home.registered()
    home.promote(failed, "test")
    copied = home.create(C1)
    assert verdicts(home, copied, "registry")["registry_approval"].reason == f"as in {failed}"


def test_a_gate_names_a_model_that_the_registry_lacks(home):
    made = home.registered()
    home.registry.models.records.clear()
    assert "there is no such version" in verdicts(home, made, "test")["artifacts"].reason
    other = ReleaseHome()
    made = other.registered()
    other.registry.environments.known.clear()
    assert "is not the one signed" in verdicts(other, made, "test")["artifacts"].reason


def test_a_model_under_the_same_version_with_another_digest_is_refused(home):
    from dataclasses import replace

    made = home.create()
    record = home.dev.models.records[C1, 1]
    home.dev.models.records[C1, 1] = replace(record, digest="f" * 64)
    assert "the release pins" in verdicts(home, made, "registry")["evidence"].reason


def test_evidence_that_cannot_be_read_is_missing(home):
    made = home.create()

    def breaks(*_):
        raise RefusedError("E_EVIDENCE", "metrics.json: is not what was stored as evidence")

    home.dev.evidence.get = breaks
    assert "is not what was stored" in verdicts(home, made, "registry")["evidence"].reason


def test_figures_beside_the_model_must_be_those_that_people_sign(home):
    made = home.create()
    proof = json.loads(home.dev.models.proofs[C1, 1])
    for change in ({"metrics": proof["metrics"] | {"wape": 0.001}}, {"forecaster": "cold_start"}):
        home.dev.models.proofs[C1, 1] = json.dumps(proof | change).encode()
        said = verdicts(home, made, "registry")["evidence"].reason
        assert "are not those of its evidence" in said


def review(**change):
    usual = {
        "commit": "d" * 40,
        "author": AUTHOR,
        "committer": AUTHOR,
        "co_authors": [],
        "reviewers": [MANAGER],
        "review": f"reviewed by {MANAGER}",
    }
    return {"changes": [usual | change], "reviewed": True, "reason": "reviewed"}


def reviewed(home, made):
    """What the gate says of the review of C1."""
    manifest = manifest_of(home.ledger, home.view(made))
    return circuit_verdicts(home.platform, home.config, manifest)[C1][1]


@pytest.mark.parametrize(
    ("change", "passed"),
    [
        ({"reviewers": [MANAGER]}, True),
        ({"reviewers": ["friend@git.example"]}, False),
        ({"reviewers": [ENGINEER], "author": "eng@git.example"}, False),
        ({"reviewers": ["friend@git.example", MANAGER]}, True),
        ({"reviewers": []}, False),
    ],
)
def test_a_review_counts_by_a_person_of_the_trust_root_who_did_not_write(home, change, passed):
    home.edit(C1, **change)
    verdict = reviewed(home, home.create(C1))
    assert (verdict.gate, verdict.passed) == ("pull_request_review", passed)


def test_the_commit_that_made_the_home_needs_no_reviewer(home):
    verdict = reviewed(home, home.create(C1))
    assert (verdict.passed, "initial commit by the platform" in verdict.reason) == (True, True)


def _said(home, change):
    """Change what is kept of the review of C1's newest model, and cut its release."""
    name = (C1, home.dev.models.next_version(C1) - 1)
    bundle = home.dev.evidence.bundles[name]
    bundle["pull_request.json"] = document_bytes(change(json.loads(bundle["pull_request.json"])))
    return home.create(C1)


PREWRITTEN = {
    "that nothing changed": lambda said: said | {"changes": [], "reviewed": True},
    "that somebody reviewed it": lambda said: (
        said
        | {
            "changes": [
                each | {"reviewers": [MANAGER], "review": f"reviewed by {MANAGER}"}
                for each in said["changes"]
            ],
            "reviewed": True,
            "reason": "reviewed",
        }
    ),
    "that another commit was reviewed": lambda said: (
        said | review() | {"changes": [review()["changes"][0] | {"commit": "0" * 40}]}
    ),
    "a review of the time since": lambda said: (
        said | {"since": said["until"], "changes": [], "reviewed": True}
    ),
    "another file": lambda said: said | {"file": "plants/P001/C009.yml", "reviewed": True},
    "another end": lambda said: said | {"until": "0" * 39 + "1", "changes": [], "reviewed": True},
}


@pytest.mark.parametrize("says", PREWRITTEN)
def test_evidence_that_somebody_else_wrote_reviews_nothing(home, says):
    home.edit(C1, reviewers=())
    made = _said(home, PREWRITTEN[says])
    verdict = reviewed(home, made)
    assert verdict.passed is False
    assert home.request(made, "registry").nonce is None


def test_evidence_that_names_other_reviewers_than_git_is_refused_by_name(home):
    home.edit(C1, reviewers=[MANAGER])
    made = _said(home, lambda said: said | {"changes": [
        each | {"reviewers": [ENGINEER]} for each in said["changes"]
    ]})  # fmt: skip
    verdict = reviewed(home, made)
    assert verdict.passed is False
    assert verdict.reason.startswith("pull_request.json of model 2 is not what git says of commit")


def test_a_review_is_asked_of_every_change_since_what_is_replaced(home):
    home.edit(C1, reviewers=())
    record = home.dev.models.versions(C1)[-1]
    late = review_of(home.platform, C1, since=home.git.head(), until=home.git.head(),
                     head=home.git.head())  # fmt: skip
    home.dev.evidence.bundles[C1, record.version]["pull_request.json"] = document_bytes(late)
    verdict = reviewed(home, home.create(C1))
    assert verdict.passed is False
    assert "has no review by somebody who did not write it" in verdict.reason


def test_with_four_eyes_off_a_missing_review_is_marked():
    home = ReleaseHome(four_eyes="off")
    bundle = home.dev.evidence.bundles[C1, 1]
    bundle["pull_request.json"] = json.dumps(
        {"changes": [], "reviewed": False, "reason": "no review"}
    ).encode()
    made = home.create(C1)
    verdict = verdicts(home, made, "registry")["pull_request_review"]
    assert verdict.passed
    assert "UNREVIEWED" in verdict.reason


def test_stored_verdicts_that_are_none_refuse(home):
    made = home.tested()
    home.dev.evidence.releases[made, "test_validation"] = b"{}"
    assert "not as it was stored" in verdicts(home, made, "production")["test_validation"].reason
    home = ReleaseHome()
    made = home.tested()
    home.request(made, "production")
    home.dev.evidence.releases[made, "rollback_plan"] = b"{}"
    assert "not as it was stored" in verdicts(home, made, "production")["rollback_plan"].reason


def test_a_statement_that_the_ledger_ascribes_to_somebody_else_counts_for_nobody(home):
    made = home.create()
    home.approve(made, "registry", ENGINEER)
    entry = home.ledger.entries()[-1]
    forged = {**entry.data, "principal": MANAGER}
    home.ledger.append("approved", MANAGER, forged, home.now)
    verdict = verdicts(home, made, "registry")["registry_approval"]
    assert "manager@co.example: E_APPROVER" in verdict.reason
    assert verdict.reason.startswith("signed by engineer@co.example, 1 of 1")
