"""Named attacks on what opened a stage: whoever writes the ledger says that people signed.

Each entry is appended as the platform itself does it, chained and anchored: nothing of the log
tells it from a real one.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from mlops_assets.domain.approval import statement
from mlops_assets.domain.canonical import moment_text
from mlops_assets.domain.identifiers import canonical_json, sha256
from mlops_assets.flows.ledger import manifest_of
from mlops_assets.flows.signed import asked
from mlops_assets_tests.attacks.named import attack
from mlops_assets_tests.attacks.people import a_person, trust_with
from mlops_assets_tests.attacks.scene import signed
from mlops_assets_tests.fakes.release import AUTHOR, C1, ENGINEER, MANAGER, STRANGER, VIEWER, signer

CLOSED = ("E_APPROVAL", "E_GATE")


def _append(home, event, actor="platform", **data):
    home.ledger.append(event, actor, {"release": home.made, **data}, home.now)


def _ask(home, nonce="f" * 64):
    """Open a request without a question to any gate."""
    ends = moment_text(home.now + timedelta(days=1))
    _append(home, "requested", stage="registry", nonce=nonce, expires_at=ends)
    return nonce


def _recorded(home, person, data, *, by=None, trust=None):
    """Record a statement as if `submit` had accepted it."""
    armored = signed(data, by or person)
    paper = {"statement": sha256(data), "signature": sha256(armored)}
    home.ledger.put("approvals", f"{paper['statement']}.json", data)
    home.ledger.put("approvals", f"{paper['signature']}.sig", armored)
    request = home.view(home.made).open_request
    _append(
        home,
        "approved",
        person,
        stage=request.stage,
        nonce=request.nonce,
        principal=person,
        trust_commit=trust or home.git.head(),
        **paper,
    )
    return paper["statement"]


def _said(home, person):
    """What the platform would have this person sign."""
    view, platform = home.view(home.made), home.platform
    manifest = manifest_of(platform.ledger, view)
    return statement(asked(platform, view, manifest, view.open_request), person, "approve")


def _copied_by_hand(home):
    """Lay the release's models into the registry, byte for byte."""
    for entry in manifest_of(home.ledger, home.view(home.made)).entries:
        record = home.dev.models.get(entry.circuit, entry.model_version)
        files, proof = home.dev.models.files(record), home.dev.models.proof(record)
        home.registry.models.register(record, files, proof)


def _opened(home, nonce, *statements):
    """Say that the registry stage was opened and done."""
    _append(home, "consumed", stage="registry", nonce=nonce, statements=list(statements))
    _copied_by_hand(home)
    _append(home, "registered")


def _test(home):
    return lambda: home.again().promote(home.made, "test")


def _go_live(home):
    """The one signature that production needs, from a person who trusts the stages before."""

    def attempt():
        other = home.again()
        answer = other.approve(other.made, "production", MANAGER)
        return other.promote(other.made, "production") if answer.accepted else answer

    return attempt


@attack("created", *CLOSED)
def a_stage_is_said_to_be_done_that_nobody_signed(home):
    _opened(home, _ask(home))
    return _test(home)


@attack("created", "E_EVIDENCE", *CLOSED)
def stages_are_said_to_be_done_until_one_signature_is_left(home):
    _opened(home, _ask(home))
    passed = [{"gate": "rows", "passed": True, "reason": "all there", "blocking": True}]
    result = canonical_json({"format": 1, "release": home.made, "circuits": {str(C1): passed}})
    home.dev.evidence.put_release(home.made, "test_validation", result)
    _append(home, "tested", evidence=sha256(result))
    return _go_live(home)


@attack("created", *CLOSED)
def a_stage_is_said_to_be_opened_by_a_statement_that_nobody_recorded(home):
    _opened(home, _ask(home), "0" * 64)
    return _test(home)


def _signed_by(person, **options):
    def mischief(home):
        nonce = _ask(home)
        _opened(home, nonce, _recorded(home, person, _said(home, person), **options))
        return _test(home)

    return mischief


for _name, _mischief in {
    "its_author": _signed_by(AUTHOR),
    "a_viewer": _signed_by(VIEWER),
    "a_manager_who_may_open_production_alone": _signed_by(MANAGER),
    "a_stranger": _signed_by(STRANGER),
    "somebody_elses_key": _signed_by(ENGINEER, by=VIEWER),
}.items():
    _mischief.__name__ = f"a_stage_is_said_to_be_opened_by_{_name}"
    attack("created", *CLOSED)(_mischief)


@attack("created", *CLOSED)
def a_stage_is_said_to_be_opened_by_the_signature_of_another_release(home):
    old = home.view(home.first).signed[0]
    data = home.ledger.get("approvals", f"{old.statement}.json")
    _opened(home, _ask(home), _recorded(home, ENGINEER, data))
    return _test(home)


def _trust(home, files, *, aside=False):
    """Commit a trust root on the watched ref, or on a branch beside it; returns the commit."""
    if aside:
        return home.git.commit(files, message="Aside", author=AUTHOR, branch="aside")
    return home.git.add(files, author=MANAGER)


@attack("created", *CLOSED)
def a_stage_was_opened_by_a_key_that_a_branch_alone_trusts(home):
    files = trust_with(home, signers=[signer(STRANGER)], people=[a_person(STRANGER)])
    nonce, trust = _ask(home), _trust(home, files, aside=True)
    _opened(home, nonce, _recorded(home, STRANGER, _said(home, STRANGER), trust=trust))
    return _test(home)


@attack("created", *CLOSED)
def a_stage_was_opened_by_a_key_that_was_trusted_once(home):
    files = trust_with(home, signers=[signer(STRANGER)], people=[a_person(STRANGER)])
    trust = _trust(home, files)
    _trust(home, trust_with(home))
    nonce = _ask(home)
    _opened(home, nonce, _recorded(home, STRANGER, _said(home, STRANGER), trust=trust))
    return _test(home)


@attack("approved", *CLOSED)
def the_key_that_opened_the_stage_before_is_revoked(home):
    home.promote(home.made, "registry")
    home.revoke(ENGINEER)
    return _test(home)


def _copied(home, source):
    """The same entries once more, said to carry on the approval of a release."""
    again = replace(manifest_of(home.ledger, home.view(home.made)), attempt=2)
    done = home.view(source).consumed[0]
    home.made = again.release
    home.ledger.put("releases", f"{home.made}.json", again.to_bytes())
    _append(
        home,
        "released",
        digest=again.digest,
        circuits=[str(key) for key in again.circuits],
        config_commit=home.git.head(),
        attempt=2,
        copied_approval={
            "release": source,
            "nonce": done.nonce,
            "statements": list(done.statements),
        },
    )
    _copied_by_hand(home)
    return _test(home)


@attack("created", *CLOSED)
def an_approval_of_other_content_is_said_to_be_carried_on(home):
    return _copied(home, home.first)


@attack("tested", *CLOSED)
def an_approval_of_a_release_that_did_not_fail_is_said_to_be_carried_on(home):
    return _copied(home, home.made)


@attack("created", *CLOSED)
def an_approval_that_never_was_is_said_to_be_carried_on(home):
    source = home.made
    nonce = _ask(home)
    _append(home, "consumed", stage="registry", nonce=nonce, statements=["0" * 64])
    _append(home, "failed", stage="registry", circuits={str(C1): "no reason"})
    return _copied(home, source)
