"""Stages are done when their gate is open, once, and end in the same state however often killed."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from mlops_assets.domain.errors import MlopsError, RefusedError
from mlops_assets.domain.history import History
from mlops_assets.domain.identifiers import canonical_json, sha256
from mlops_assets.flows import promotion
from mlops_assets.flows.approval import expire
from mlops_assets.flows.audit import verify
from mlops_assets.flows.promotion import precheck
from mlops_assets.flows.rollback import rollback
from mlops_assets_tests.fakes.release import (
    AUTHOR,
    C1,
    C2,
    C3,
    ENGINEER,
    MANAGER,
    VIEWER,
    ReleaseHome,
    signer,
)


@pytest.fixture
def home():
    return ReleaseHome()


def refused(home, release, stage):
    """The refusal of a stage."""
    with pytest.raises(RefusedError) as caught:
        home.promote(release, stage)
    return caught.value


def test_a_release_goes_through_its_three_stages(home):
    made = home.create()

    assert home.state(made) == "candidate"
    assert home.approve(made, "registry", ENGINEER).accepted
    assert home.state(made) == "awaiting_registry"
    assert home.promote(made, "registry").circuits == (C1, C2)
    assert home.state(made) == "registered"
    assert home.promote(made, "test").state == "tested"
    assert home.approve(made, "production", MANAGER).accepted
    assert home.promote(made, "production").state == "deployed"
    assert home.live(C1) == home.live(C2) == made
    assert home.create() is None


def test_a_stage_that_was_done_is_not_done_again(home):
    made = home.deployed()
    log = home.ledger.log
    for stage, state in (
        ("registry", "deployed"),
        ("test", "deployed"),
        ("production", "deployed"),
    ):
        again = home.promote(made, stage)
        assert (again.state, again.circuits) == (state, ())
    assert home.ledger.log == log


def test_models_and_environments_are_copied_byte_for_byte(home):
    home.registered()
    for record in home.registry.models.records.values():
        assert home.registry.models.files(record) == home.dev.models.files(record)
        assert home.registry.models.proof(record) == home.dev.models.proof(record)
    assert home.registry.environments.list() == home.dev.environments.list()


def test_no_stage_is_done_out_of_its_turn(home):
    made = home.create()
    for stage in ("registry", "test", "production"):
        assert refused(home, made, stage).code == "E_STATE"
    home.request(made, "registry")
    for stage in ("test", "production"):
        assert refused(home, made, stage).code == "E_STATE"
    assert "waits for" in refused(home, made, "test").reason


def test_a_stage_that_nobody_asked_to_sign_names_the_command(home):
    made = home.create()
    command = f"`mlops release approve {made} --stage registry --key KEY`"
    assert refused(home, made, "registry").reason.endswith(command)
    assert "mlops release approve" not in refused(home, made, "production").reason


def test_a_stage_without_signature_stays_closed(home):
    made = home.create()
    home.request(made, "registry")
    refusal = refused(home, made, "registry")
    assert refusal.code == "E_APPROVAL"
    assert "signed by nobody, 0 of 1 needed" in refusal.reason
    assert home.registry.models.records == {}


def test_a_quorum_of_two_needs_two_people():
    home = ReleaseHome(quorum=2)
    made = home.tested()
    assert home.approve(made, "production", MANAGER).accepted
    assert "signed by manager@co.example, 1 of 2 needed" in refused(home, made, "production").reason
    assert home.approve(made, "production", MANAGER).reason.startswith("recorded before")
    assert refused(home, made, "production").code == "E_APPROVAL"
    assert home.approve(made, "production", ENGINEER).accepted
    assert home.promote(made, "production").state == "deployed"
    assert len(home.view(made).consumed[-1].statements) == 2


def test_a_request_that_ran_out_opens_nothing(home):
    made = home.create()
    home.approve(made, "registry", ENGINEER)
    home.tick(days=1)
    assert refused(home, made, "registry").code == "E_STATE"
    assert home.state(made) == "candidate"
    assert home.ledger.events()[-1] == "expired"
    assert home.approve(made, "registry", ENGINEER).accepted
    assert home.promote(made, "registry").state == "registered"


def test_a_key_that_was_revoked_after_it_signed_opens_nothing(home):
    made = home.create()
    home.approve(made, "registry", ENGINEER)
    home.revoke(ENGINEER)
    refusal = refused(home, made, "registry")
    assert refusal.code == "E_APPROVAL"
    assert "E_KEY_REVOKED" in refusal.reason


def test_a_role_that_was_taken_after_the_signature_opens_nothing(home):
    made = home.create()
    home.approve(made, "registry", ENGINEER)
    home.git.add(
        {
            "trust/roles.yml": home.git.files(home.git.head())["trust/roles.yml"].replace(
                b"  engineer@co.example:\n    roles: [ml_engineer]",
                b"  engineer@co.example:\n    roles: [viewer]",
            )
        },
        author=MANAGER,
    )
    assert "E_ROLE" in refused(home, made, "registry").reason


def test_a_model_that_was_swapped_after_the_signature_opens_nothing(home):
    made = home.create()
    home.approve(made, "registry", ENGINEER)
    home.dev.models.bytes[C2, 1] = {**home.dev.models.bytes[C2, 1], "arrays.npz": b"other"}
    refusal = refused(home, made, "registry")
    assert refusal.code == "E_GATE"
    assert "P001/C002" in refusal.reason
    assert "is damaged" in refusal.reason


def test_evidence_that_was_changed_after_the_signature_opens_nothing(home):
    made = home.create()
    home.approve(made, "registry", ENGINEER)
    home.dev.evidence.bundles[C1, 1]["lineage.json"] = b'{"other":1}'
    assert "lineage is not the one that the release pins" in refused(home, made, "registry").reason


def test_a_statement_file_that_was_changed_opens_nothing(home):
    made = home.create()
    home.approve(made, "registry", ENGINEER)
    name = next(name for name in home.ledger.files if name[1].endswith(".sig"))
    home.ledger.files[name] = b"forged"
    assert "E_APPROVAL_FILE" in refused(home, made, "registry").reason
    del home.ledger.files[name]
    assert "E_APPROVAL_FILE" in refused(home, made, "registry").reason


def test_a_manifest_that_was_changed_opens_nothing(home):
    made = home.create()
    home.approve(made, "registry", ENGINEER)
    name = ("releases", f"{made}.json")
    whole = home.ledger.files[name]
    for data in (whole.replace(b'"attempt":1', b'"attempt":2'), whole + b" "):
        home.ledger.files[name] = data
        assert refused(home, made, "registry").code == "E_MANIFEST"
    del home.ledger.files[name]
    assert refused(home, made, "registry").code == "E_MANIFEST"


def test_a_model_that_fails_in_test_ends_its_release_for_good(home):
    home.train(C2, spec="3", error="no convergence")
    made = home.registered()
    done = home.promote(made, "test")

    assert done.state == "failed"
    assert done.circuits == (C1,)
    assert "no convergence" in done.refused[str(C2)]
    assert home.view(made).failed == done.refused
    for stage in ("test", "production"):
        assert refused(home, made, stage).code == "E_STATE"
    assert home.approve(made, "production", MANAGER).code == "E_NO_REQUEST"


def test_a_release_without_the_failed_circuit_keeps_its_approval(home):
    home.train(C2, spec="3", error="no convergence")
    failed = home.registered()
    home.promote(failed, "test")
    home.tick(hours=23)
    made = home.create(C1)

    view = home.view(made)
    assert (view.state, view.copied_approval["release"]) == ("registered", failed)
    assert home.promote(made, "test").state == "tested"
    assert home.approve(made, "production", MANAGER).accepted
    assert home.promote(made, "production").state == "deployed"


def test_an_approval_is_copied_only_for_a_day(home):
    home.train(C2, spec="3", error="no convergence")
    home.promote(home.registered(), "test")
    home.tick(days=1)
    assert home.state(home.create(C1)) == "candidate"


def test_an_approval_that_somebody_copied_after_a_day_opens_nothing(home):
    home.train(C2, spec="3", error="no convergence")
    failed = home.registered()
    home.promote(failed, "test")
    done = home.view(failed).consumed[0]
    home.tick(hours=24)
    append = home.ledger.append

    def forged(event, actor, data, now):
        copied = {"release": failed, "nonce": done.nonce, "statements": list(done.statements)}
        return append(event, actor, {**data, "copied_approval": copied}, now)

    home.ledger.append = forged
    made = home.create(C1)
    home.ledger.append = append
    error = refused(home, made, "test")
    assert (error.code, home.state(made)) == ("E_APPROVAL", "registered")
    assert f"E_COPIED it copied the approval of {failed}, more than a day old" in str(error)


def test_a_release_whose_registry_signature_counts_no_more_is_rejected_and_made_anew(home):
    made = home.tested()
    home.revoke(ENGINEER)
    assert refused(home, made, "production").code == "E_STATE"
    answer = home.approve(made, "production", MANAGER)
    assert (answer.accepted, answer.code) == (False, "E_EVIDENCE")
    assert "E_KEY_REVOKED" in answer.reason
    assert home.create() is None
    assert home.reject(made, "production", MANAGER).accepted
    again = home.create()
    assert (home.state(made), home.state(again)) == ("rejected", "candidate")


def test_an_approval_by_a_key_that_counts_no_more_is_not_copied(home):
    root = home.git.trees[home.git.head()]
    until = signer(ENGINEER, valid_before=home.now + timedelta(hours=2)).line
    root["trust/allowed_signers"] = root["trust/allowed_signers"].replace(
        signer(ENGINEER).line.encode(), until.encode()
    )
    home.train(C2, spec="3", error="no convergence")
    home.promote(home.registered(), "test")
    home.tick(hours=2)
    assert home.state(home.create(C1)) == "candidate"


def test_the_approval_of_a_release_that_failed_in_production_is_not_copied(home):
    made = home.tested()
    home.approve(made, "production", MANAGER)
    assert kill_at(home, 1, lambda: home.promote(made, "production"))
    rolled_back_meanwhile(home, C1, made, None)
    rolled_back_meanwhile(home, C2, made, None)
    assert home.promote(made, "production").state == "failed"
    assert home.state(home.create()) == "candidate"


def test_an_approval_is_not_copied_to_other_content(home):
    home.train(C2, spec="3", error="no convergence")
    home.promote(home.registered(), "test")
    home.train(C1, spec="4")
    assert home.state(home.create(C1)) == "candidate"


def test_a_copied_approval_may_be_copied_on(home):
    home.train(C2, spec="3", error="no convergence")
    first = home.registered()
    home.promote(first, "test")
    second = home.create(C1)
    home.registry.models.bytes[C1, 1] = {**home.registry.models.bytes[C1, 1], "golden.json": b"x"}
    assert refused(home, second, "test").code == "E_GATE"
    third = home.create(C2)
    assert home.view(third).copied_approval["release"] == first
    assert home.promote(third, "test").state == "failed"
    fourth = home.create(C2)
    assert home.view(fourth).copied_approval["release"] == first


def test_what_breaks_in_the_registry_can_be_tried_again(home):
    made = home.create()
    home.approve(made, "registry", ENGINEER)
    register = home.registry.models.register

    def breaks(*_):
        raise MlopsError("no space left: free some")

    home.registry.models.register = breaks
    with pytest.raises(MlopsError, match="no space left"):
        home.promote(made, "registry")
    assert home.state(made) == "errored"
    assert "no space left" in home.view(made).waits_for(home.policy)
    home.tick(days=3)
    home.registry.models.register = register
    assert home.promote(made, "registry").state == "registered"


def test_what_breaks_in_the_test_can_be_tried_again(home):
    made = home.registered()
    summary = home.production.lake.readings.summary

    def breaks():
        raise MlopsError("the table cannot be read")

    home.production.lake.readings.summary = breaks
    for _ in range(2):
        with pytest.raises(MlopsError, match="cannot be read"):
            home.promote(made, "test")
    assert home.ledger.events().count("errored") == 1
    assert refused(home, made, "production").code == "E_STATE"
    home.production.lake.readings.summary = summary
    assert home.promote(made, "test").state == "tested"


def test_an_environment_that_is_gone_refuses_before_anything_is_consumed(home):
    made = home.create()
    home.approve(made, "registry", ENGINEER)
    home.dev.environments.known.clear()
    with pytest.raises(MlopsError, match="broken at environment -> model"):
        home.promote(made, "registry")
    assert home.state(made) == "awaiting_registry"


def test_the_second_of_two_releases_learns_that_its_base_is_stale(home):
    first = home.deployed()
    home.edit(C1)
    one = home.tested(C1)
    home.edit(C2)
    other = home.tested(C1, C2)
    assert home.approve(one, "production", MANAGER).accepted
    assert home.approve(other, "production", MANAGER).accepted
    assert home.promote(one, "production").state == "deployed"

    assert home.state(other) == "superseded"
    assert home.ledger.events()[-1] == "superseded"
    refusal = refused(home, other, "production")
    assert refusal.code == "E_STATE"
    assert f"{one} deployed first" in refusal.reason
    assert (home.live(C1), home.live(C2)) == (one, first)


def test_a_release_whose_base_was_rolled_back_is_stale(home):
    home.deployed()
    home.edit(C1)
    second = home.deployed(C1)
    home.edit(C1)
    third = home.tested(C1)
    home.approve(third, "production", MANAGER)
    rollback(home.platform, [C1], operator="op@co.example", reason="worse", now=home.now)

    refusal = refused(home, third, "production")
    assert refusal.code == "E_STALE_BASE"
    assert f"the release replaces {second}" in refusal.reason
    assert home.approve(third, "production", ENGINEER).code == "E_EVIDENCE"
    fourth = home.create(C1)
    assert fourth not in {None, third}


def kill_at(home, count, work):
    """Run ``work``, killed after ``count`` more appends to the ledger; returns whether it was."""
    home.ledger.crash_after = count
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        home.ledger.crash_after = None
    return False


@pytest.mark.parametrize("stage", ["registry", "test", "production"])
def test_a_stage_that_is_killed_between_any_two_entries_is_finished_by_the_next_run(stage):
    undisturbed = ReleaseHome()
    undisturbed.deployed()
    for count in range(4):
        home = ReleaseHome()
        made = home.create()
        for earlier in ("registry", "test", "production"):
            if earlier != "test":
                home.approve(made, earlier, MANAGER if earlier == "production" else ENGINEER)
            if earlier == stage:
                killed = kill_at(home, count, partial(home.promote, made, stage))
                assert not killed or home.state(made) != "deployed"
            home.promote(made, earlier)
        assert home.ledger.events() == undisturbed.ledger.events()
        assert home.live(C1) == made


def test_a_deployment_that_was_killed_is_finished_after_its_window(home):
    made = home.tested()
    home.approve(made, "production", MANAGER)
    assert kill_at(home, 1, lambda: home.promote(made, "production"))
    assert home.live(C1) == made
    home.tick(days=2)
    assert home.state(made) == "awaiting_production"
    assert home.promote(made, "production").state == "deployed"


def test_a_killed_deployment_is_not_finished_by_a_key_that_was_revoked(home):
    made = home.tested()
    home.approve(made, "production", MANAGER)
    assert kill_at(home, 1, lambda: home.promote(made, "production"))
    home.revoke(MANAGER)
    done = home.promote(made, "production")
    assert done.state == home.state(made) == "failed"
    assert "E_KEY_REVOKED" in done.refused[str(C1)]
    assert home.view(made).deployed == (C1, C2)


def early(home, release, stage):
    """What is refused before anything heavy is loaded; None where `promote` is to be asked."""
    try:
        precheck(home.platform, home.config, release, stage, now=home.now)
    except RefusedError as error:
        return error.code
    return None


def test_what_cannot_be_done_is_refused_before_anything_is_loaded():
    home = ReleaseHome(quorum=2)
    made = home.create()
    assert early(home, made, "registry") == early(home, made, "production") == "E_STATE"
    home.request(made, "registry")
    assert early(home, made, "registry") == "E_APPROVAL"
    home.approve(made, "registry", ENGINEER)
    assert early(home, made, "registry") is None
    home.promote(made, "registry")
    assert early(home, made, "registry") is None
    assert early(home, made, "test") is None
    home.promote(made, "test")
    home.approve(made, "production", MANAGER)
    assert early(home, made, "production") == "E_APPROVAL"
    home.approve(made, "production", ENGINEER)
    assert early(home, made, "production") is None
    assert kill_at(home, 1, lambda: home.promote(made, "production"))
    home.tick(days=2)
    assert early(home, made, "production") is None
    log = home.ledger.log
    assert early(home, "r-" + "0" * 12, "test") == "E_RELEASE"
    assert home.ledger.log == log


def test_a_failed_deployment_names_the_circuits_that_it_retired(home):
    home.deployed()
    home.circuits.remove(C2)
    home.edit(C1)
    made = home.tested()
    home.approve(made, "production", MANAGER)
    assert kill_at(home, 1, lambda: home.promote(made, "production"))
    home.revoke(MANAGER)
    assert home.promote(made, "production").state == "failed"
    (failed,) = [entry for entry in home.ledger.entries() if entry.event == "failed"]
    assert failed.data["retired"] == [str(C2)]
    assert home.view(made).deployed == (C1, C2)
    history = History(home.ledger.entries())
    assert (history.live[C1].release, history.live[C2].release) == (made, None)
    problems = verify(home.platform, now=home.now)["problems"]
    assert [problem for problem in problems if "nothing is live" in problem] == []


def rolled_back_meanwhile(home, circuit, release, to):
    """What a rollback by other means leaves while a deployment is not recorded yet."""
    endpoints = home.production.prod.endpoints
    live = endpoints.live(circuit.plant_id)
    target = endpoints.recorded(circuit, to) if to else None
    endpoints.swap(live, live.with_changes({circuit: target}))
    home.ledger.append(
        "rolled_back",
        "op@co.example",
        {
            "circuits": {str(circuit): {"from": release, "to": to}},
            "operator": "op@co.example",
            "reason": "worse",
        },
        home.now,
    )


def test_what_was_rolled_back_from_a_killed_deployment_is_not_deployed_again(home):
    first = home.deployed()
    home.edit(C1, C2)
    made = home.tested()
    home.approve(made, "production", MANAGER)
    assert kill_at(home, 1, lambda: home.promote(made, "production"))
    rolled_back_meanwhile(home, C1, made, first)

    done = home.promote(made, "production")
    assert (done.state, done.circuits) == ("deployed", (C2,))
    assert done.refused == {str(C1): "was rolled back before the deployment ended"}
    assert (home.live(C1), home.live(C2)) == (first, made)
    assert home.view(made).rolled_back == (C1,)


def test_a_killed_deployment_of_which_everything_was_rolled_back_has_failed(home):
    first = home.deployed()
    home.edit(C1)
    made = home.tested(C1)
    home.approve(made, "production", MANAGER)
    assert kill_at(home, 1, lambda: home.promote(made, "production"))
    rolled_back_meanwhile(home, C1, made, first)
    assert home.promote(made, "production").state == "failed"


def test_no_other_release_begins_while_one_is_being_deployed(home):
    one, other = home.tested(C1), home.tested(C1, C2)
    home.approve(one, "production", MANAGER)
    home.approve(other, "production", MANAGER)
    endpoints = home.production.prod.endpoints
    endpoints.swap, swap = None, endpoints.swap
    with pytest.raises(TypeError):
        home.promote(one, "production")
    endpoints.swap = swap

    refusal = refused(home, other, "production")
    assert refusal.code == "E_BUSY"
    assert f"mlops release promote {one}" in refusal.reason
    assert home.promote(one, "production").state == "deployed"
    assert home.state(other) == "superseded"


def test_a_circuit_that_left_the_config_is_retired_by_a_release(home):
    first = home.deployed()
    home.circuits.remove(C2)
    made = home.tested()
    assert home.view(made).circuits == (C2,)
    home.approve(made, "production", MANAGER)
    assert home.promote(made, "production").state == "deployed"
    assert (home.live(C1), home.live(C2)) == (first, None)
    assert home.create() is None


def test_the_clock_may_not_be_turned_back_to_open_a_window(home):
    made = home.create()
    home.approve(made, "registry", ENGINEER)
    home.tick(days=1)
    expire(home.platform, now=home.now)
    home.tick(hours=-12)
    assert refused(home, made, "registry").code == "E_CLOCK"
    assert home.approve(made, "registry", ENGINEER).code == "E_CLOCK"


def test_with_four_eyes_off_the_author_takes_it_through_alone_and_it_is_marked():
    home = ReleaseHome(four_eyes="off")
    home.edit(C1, author=AUTHOR)
    made = home.create()
    for stage in ("registry", "test", "production"):
        if stage != "test":
            assert home.approve(made, stage, AUTHOR).accepted
        home.promote(made, stage)
    assert home.state(made) == "deployed"


def test_a_release_made_without_review_is_closed_once_review_is_required():
    home = ReleaseHome(four_eyes="off")
    made = home.create()
    home.approve(made, "registry", ENGINEER)
    home.stricter(four_eyes="required")
    assert "which this home does not allow" in refused(home, made, "registry").reason


def test_progress_is_told_for_every_circuit(home):
    from mlops_assets.flows.promotion import promote

    class Told:
        def __init__(self):
            self.lines = []

        def begin(self, what, total):
            self.lines.append((what, total))

        def advance(self, label=""):
            self.lines.append(label)

    made = home.create()
    home.approve(made, "registry", ENGINEER)
    told = Told()
    promote(home.platform, home.config, made, "registry", now=home.now, progress=told)
    assert told.lines == [(f"registry of {made}", 2), str(C1), str(C2)]


def test_a_new_circuit_joins_by_a_release_of_its_own(home):
    first = home.deployed()
    home.circuits.append(C3)
    home.git.add({f"plants/{C3}.yml": b"spec"}, author=AUTHOR, reviewers=[VIEWER])
    home.production.send(C3)
    home.train(C3)
    made = home.deployed()
    assert home.view(made).circuits == (C3,)
    assert (home.live(C1), home.live(C3)) == (first, made)


def test_a_model_that_was_swapped_between_gate_and_copy_is_not_copied(home):
    from mlops_assets.flows.ledger import manifest_of

    made = home.create()
    home.approve(made, "registry", ENGINEER)
    manifest = manifest_of(home.ledger, home.view(made))
    home.dev.models.records[C2, 1] = home.train(C2, spec="3")
    with pytest.raises(MlopsError, match="model 1 in dev is not the one that"):
        promotion._register(home.platform, manifest, home.now, None)
    assert (C2, 1) not in home.registry.models.records


def test_a_test_that_ends_after_its_release_did_changes_nothing(home):
    made = home.registered()
    entries = home.ledger.entries
    other = home.tested(C1)
    home.approve(other, "production", MANAGER)
    validated = home.production.test.endpoints.swap

    def deploys_meanwhile(*live):
        home.production.test.endpoints.swap = validated
        home.promote(other, "production")
        validated(*live)

    home.production.test.endpoints.swap = deploys_meanwhile
    assert home.promote(made, "test").state == "superseded"
    assert entries()[-1].event == "superseded"


def test_a_result_of_the_test_stage_that_somebody_wrote_before_it_is_never_believed(home):
    home.train(C2, spec="3", error="no convergence")
    made = home.registered()
    verdicts = [{"gate": "no_errors", "passed": True, "reason": "fine", "blocking": True}]
    forged = {"format": 1, "release": made, "circuits": {str(c): verdicts for c in (C1, C2)}}
    home.dev.evidence.put_release(made, "test_validation", canonical_json(forged))

    done = home.promote(made, "test")

    assert done.state == "failed"
    assert "no convergence" in done.refused[str(C2)]
    stored = home.dev.evidence.read_release(made, "test_validation")
    assert b"no convergence" in stored
    assert home.ledger.entries()[-1].data["evidence"] == sha256(stored)


def test_a_result_that_was_written_and_not_named_is_made_again(home):
    made = home.registered()
    assert kill_at(home, 0, lambda: home.promote(made, "test"))
    first = home.dev.evidence.read_release(made, "test_validation")
    assert first is not None
    assert home.promote(made, "test").state == "tested"
    assert home.dev.evidence.read_release(made, "test_validation") == first


def test_a_way_back_that_was_broken_once_is_planned_anew(home):
    home.deployed()
    home.edit(C1, C2)
    made = home.tested()
    target = home.production.prod.endpoints.live("P001").of(C1)
    whole = home.registry.models.bytes[C1, target.model_version]
    home.registry.models.bytes[C1, target.model_version] = {**whole, "golden.json": b"x"}
    assert "is damaged" in "; ".join(home.request(made, "production").missing)
    home.registry.models.bytes[C1, target.model_version] = whole
    assert home.approve(made, "production", MANAGER).accepted
    assert home.promote(made, "production").state == "deployed"


def test_a_way_back_that_somebody_wrote_before_it_was_planned_is_never_believed(home):
    made = home.tested()
    home.dev.evidence.put_release(made, "rollback_plan", canonical_json({"refused": {}}))
    assert home.approve(made, "production", MANAGER).accepted
    assert b"mlops rollback" in home.dev.evidence.read_release(made, "rollback_plan")
