"""The audit finds whatever was changed behind the platform's back, and names it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlops_assets.domain.errors import AbsentRoleError, DataError
from mlops_assets.flows.audit import verify
from mlops_assets.flows.rollback import rollback
from mlops_assets_tests.fakes.release import AUTHOR, C1, C2, ENGINEER, ReleaseHome


@pytest.fixture
def home():
    home = ReleaseHome()
    home.made = home.deployed()
    return home


def problems(home):
    """What the audit finds."""
    found = verify(home.platform, now=home.now)
    assert found["ok"] == (not found["problems"])
    return "\n".join(found["problems"])


def test_an_untouched_home_has_no_problems(home):
    home.edit(C1)
    home.deployed(C1)
    rollback(home.platform, [C1], operator="op@co.example", reason="worse", now=home.now)
    home.circuits.remove(C2)
    home.deployed()
    assert problems(home) == ""
    assert verify(home.platform, now=home.now)["entries"] == len(home.ledger.entries())


def test_a_copied_approval_is_followed_to_its_source():
    home = ReleaseHome()
    home.train(C2, spec="3", error="no convergence")
    failed = home.registered()
    home.promote(failed, "test")
    home.create(C1)
    assert problems(home) == ""
    data = {
        "release": "r-" + "f" * 12,
        "digest": "f" * 64,
        "circuits": [str(C1)],
        "config_commit": home.git.head(),
        "attempt": 1,
        "copied_approval": {"release": failed, "nonce": "none", "statements": []},
    }
    home.ledger.append("released", "platform", data, home.now)
    assert f"it copied an approval that {failed} never had" in problems(home)


def test_a_changed_line_of_the_log_is_named(home):
    home.ledger.log = home.ledger.log.replace(b'"attempt":1', b'"attempt":2')
    found = verify(home.platform, now=home.now)
    assert found == {
        "ok": False,
        "entries": 0,
        "problems": [
            (
                "ledger entry 1 is not the one that was anchored "
                "(ledger entry 2 does not follow entry 1)"
            )
        ],
    }


def test_a_log_that_was_cut_off_is_found(home):
    home.ledger.log = home.ledger.log[: home.ledger.log[:-1].rfind(b"\n") + 1]
    assert "it was cut off" in problems(home)


def test_a_log_that_was_written_anew_is_found(home):
    from mlops_assets.domain.ledger import following, line_of

    entries = list(home.ledger.entries())
    new, text = None, b""
    for entry in entries:
        actor = "mallory@co.example" if entry.event == "requested" else entry.actor
        new = following(new, event=entry.event, actor=actor, data=entry.data, now=entry.at)
        text += line_of(new)
    home.ledger.log = text
    assert "is not the one that was anchored" in problems(home)


def test_an_empty_ledger_is_a_problem(home):
    home.ledger.log, home.ledger.anchors = b"", []
    home.git.notes = home.ledger.anchors
    assert "does not begin with the making of this home" in problems(home)


def test_a_new_home_has_no_problems():
    assert problems(ReleaseHome()) == ""


def test_another_config_repository_is_found(home):
    home.git.root_commit = lambda: "f" * 40
    assert "not with the one of this home" in problems(home)


def test_a_rewound_config_is_found(home):
    home.edit(C1, author=AUTHOR)
    home.create()
    home.git.infos.pop()
    assert "it was rewound" in problems(home)


def test_a_config_that_cannot_be_read_is_a_problem(home):
    def breaks(_=None):
        raise DataError("config: is no git repository")

    home.git.head = home.git.anchored = breaks
    assert "is no git repository" in problems(home)


def test_an_entry_that_no_platform_writes_is_found(home):
    home.ledger.append("tested", "platform", {"release": home.made}, home.now)
    assert "tested, but" in problems(home)


def test_a_deployment_that_nobody_signed_is_found():
    home = ReleaseHome()
    made = home.tested()
    home.request(made, "production")
    nonce = home.view(made).open_request.nonce
    data = {"release": made, "stage": "production", "nonce": nonce, "statements": []}
    home.ledger.append("consumed", "platform", data, home.now)
    home.ledger.append("deployed", "platform", {"release": made, "circuits": {}}, home.now)
    assert "production was done, signed by nobody" in problems(home)


def test_a_stage_opened_by_an_unknown_statement_is_found():
    home = ReleaseHome()
    made = home.create()
    home.approve(made, "registry", ENGINEER)
    nonce = home.view(made).open_request.nonce
    statements = [home.view(made).signed[0].statement, "0" * 64]
    data = {"release": made, "stage": "registry", "nonce": nonce, "statements": statements}
    home.ledger.append("consumed", "platform", data, home.now)
    assert "statements that nobody recorded" in problems(home)


def test_a_changed_statement_or_signature_is_found(home):
    for suffix in (".json", ".sig"):
        name = next(
            name
            for name in home.ledger.files
            if name[0] == "approvals" and name[1].endswith(suffix)
        )
        kept = home.ledger.files[name]
        home.ledger.files[name] = kept[:-2] + b"x\n"
        assert "the approval of engineer@co.example does not verify" in problems(home) or (
            "the approval of manager@co.example does not verify" in problems(home)
        )
        home.ledger.files[name] = kept


def test_a_statement_about_other_evidence_is_found(home):
    home.dev.evidence.releases[home.made, "rollback_plan"] = b'{"refused":{}}'
    assert "evidence is not what is stored" in problems(home)


def test_a_key_that_was_lost_puts_its_signatures_in_doubt(home):
    home.revoke(ENGINEER)
    assert "had to be revoked" in problems(home)


def test_a_broken_trust_root_is_found(home):
    home.git.add({"trust/allowed_signers": b"everybody\n"}, author=ENGINEER)
    assert "trust/allowed_signers:1" in problems(home)


def test_a_changed_manifest_is_found(home):
    name = ("releases", f"{home.made}.json")
    home.ledger.files[name] = home.ledger.files[name].replace(b'"attempt":1', b'"attempt":2')
    found = problems(home)
    assert "its manifest has digest" in found
    assert "but the ledger never deployed it" not in found


def test_a_changed_model_is_found(home):
    name = (C1, 1)
    home.registry.models.bytes[name] = {**home.registry.models.bytes[name], "arrays.npz": b"x"}
    assert "P001/C001 version 1: is damaged" in problems(home)


def test_changed_evidence_is_found(home):
    home.dev.evidence.bundles[C1, 1]["lineage.json"] = b"other"
    assert "P001/C001: evidence of model 1: lineage is not the one" in problems(home)


def test_evidence_of_a_release_that_is_gone_is_found(home):
    del home.dev.evidence.releases[home.made, "test_validation"]
    assert "its test_validation is gone" in problems(home)


def swap_live(home, **changed):
    """Change what is live behind the ledger's back."""
    endpoints = home.production.prod.endpoints
    live = endpoints.live(C1.plant_id)
    forged = replace(live.of(C1), **changed)
    endpoints.swap(live, live.with_changes({C1: forged}))


def test_a_deployment_that_the_ledger_does_not_know_is_found(home):
    swap_live(home, release="r-" + "0" * 12)
    assert "is live, but the ledger never deployed it" in problems(home)


def test_a_deployment_of_other_content_is_found(home):
    swap_live(home, model_digest="0" * 64)
    assert "is not what r-" in problems(home)


def test_a_live_manifest_that_cannot_be_read_is_found(home):
    def breaks(_):
        raise DataError("live.json: does not match its own digest")

    home.production.prod.endpoints.live = breaks
    assert "does not match its own digest" in problems(home)


def test_what_differs_from_what_was_signed_is_named_with_both_values(home):
    swap_live(home, model_digest="0" * 64, seasonal_naive_hours=7)
    signed = home.dev.models.get(C1, 1).digest
    found = problems(home)
    assert f"model_digest is '{'0' * 64}' and not '{signed}'" in found
    assert "seasonal_naive_hours is 7 and not 24" in found


def put_live(home, deployment):
    """Serve something else, or nothing, behind the ledger's back."""
    endpoints = home.production.prod.endpoints
    live = endpoints.live(C1.plant_id)
    endpoints.swap(live, live.with_changes({C1: deployment}))


def test_an_earlier_release_that_is_live_without_a_rollback_is_named(home):
    home.edit(C1)
    newer = home.deployed(C1)
    put_live(home, home.production.prod.endpoints.recorded(C1, home.made))
    assert f"P001/C001: {home.made} is live; ledger entry" in problems(home)
    assert f"says {newer}" in problems(home)


def test_a_circuit_that_was_taken_away_is_named(home):
    put_live(home, None)
    assert "P001/C001: nothing is live; ledger entry" in problems(home)


def test_a_plant_whose_live_file_is_gone_is_named(home):
    home.production.prod.endpoints.files.clear()
    assert "P001/C001: nothing is live" in problems(home)
    assert "P001/C002: nothing is live" in problems(home)


def test_a_rollback_that_was_not_finished_is_named(home):
    home.edit(C1)
    newer = home.deployed(C1)
    rollback(home.platform, [C1], operator="op@co.example", reason="worse", now=home.now)
    put_live(home, home.production.prod.endpoints.recorded(C1, newer))
    assert f"{newer} is live still: the rollback to {home.made}, ledger entry" in problems(home)


def test_a_retired_circuit_that_is_live_again_is_named(home):
    home.circuits.remove(C1)
    before = home.production.prod.endpoints.recorded(C1, home.made)
    home.deployed()
    assert problems(home) == ""
    put_live(home, before)
    assert f"{home.made} is live; ledger entry" in problems(home)
    assert "says nothing" in problems(home)


def test_a_way_back_that_was_tampered_with_is_named(home):
    endpoints = home.production.prod.endpoints
    home.edit(C1)
    home.deployed(C1)
    kept = endpoints.deployments[C1, home.made]
    endpoints.deployments[C1, home.made] = replace(kept, model_version=9)
    assert "is kept for a rollback is not what" in problems(home)
    assert "model_version is 9 and not 1" in problems(home)
    del endpoints.deployments[C1, home.made]
    assert f"the deployment by {home.made} is gone from the endpoint" in problems(home)


def test_bytes_of_an_earlier_model_are_checked_too(home):
    home.edit(C1)
    home.deployed(C1)
    home.registry.models.bytes[C1, 1]["model.json"] = b"[]"
    assert "model P001/C001 version 1: is damaged" in problems(home)


def test_what_this_host_may_not_read_is_no_problem_and_is_told(home):
    def absent(*_):
        raise AbsentRoleError("dev/evidence: cannot be read by this host, which is prod")

    home.dev.evidence.get = home.dev.evidence.read_release = absent
    found = verify(home.platform, now=home.now)
    assert found["ok"], found
    assert found["not_asked"].startswith(
        "not asked: dev/evidence: cannot be read by this host, which is prod; likewise "
    )
    # What it may read is still asked.
    home.registry.models.files = lambda record: (_ for _ in ()).throw(DataError("bytes are gone"))
    assert "bytes are gone" in problems(home)


def test_where_nothing_is_deployed_from_the_ledger_is_still_verified(home):
    def absent(*_):
        raise AbsentRoleError("prod/endpoints: cannot be read by this host, which is etl")

    home.platform.prod.endpoints.plants = absent
    found = verify(home.platform, now=home.now)
    assert found["ok"]
    assert found["not_asked"].endswith("by this host, which is etl")


def test_who_may_not_ask_what_is_served_still_verifies_what_is_recorded(home):
    def absent():
        raise AbsentRoleError("this needs the identity of prod, and this host is dev")

    home.platform.prod.endpoints.differences = absent
    assert verify(home.platform, now=home.now)["not_asked"].endswith("and this host is dev")
    home.registry.models.files = lambda record: (_ for _ in ()).throw(DataError("bytes are gone"))
    assert "bytes are gone" in problems(home)
