"""Named attacks on the ledger: its log, its anchors, and the files beside it."""

from __future__ import annotations

import json
import shutil

from mlops_assets.domain.identifiers import canonical_json
from mlops_assets.domain.ledger import following, hash_of, line_of
from mlops_assets_tests.attacks.named import attack
from mlops_assets_tests.attacks.scene import signed
from mlops_assets_tests.fakes.release import AUTHOR, C1, C2, ENGINEER, MANAGER

CLOSED = ("E_APPROVAL", "E_GATE")
CHAIN = ("E_CHAIN", "E_ANCHOR")


def _promote(home, stage="registry"):
    return lambda: home.again().promote(home.made, stage)


def _log(home):
    return home.layout.ledger / "log.jsonl"


def _file(home, kind, name):
    return home.layout.ledger / kind / name


def _approval(home, suffix):
    last = home.ledger.entries()[-1].data
    name = last["statement"] if suffix == "json" else last["signature"]
    return _file(home, "approvals", f"{name}.{suffix}")


# --- files -------------------------------------------------------------------------------------


@attack("approved", "E_MANIFEST")
def a_manifest_is_changed_after_the_signature(home):
    path = _file(home, "releases", f"{home.made}.json")
    path.write_bytes(path.read_bytes().replace(b'"attempt":1', b'"attempt":2'))
    return _promote(home)


@attack("ready", "E_MANIFEST")
def a_manifest_names_another_model_after_the_signature(home):
    path = _file(home, "releases", f"{home.made}.json")
    path.write_bytes(path.read_bytes().replace(b'"model_version":2', b'"model_version":1'))
    return _promote(home, "production")


@attack("approved", "E_MANIFEST")
def a_manifest_of_another_release_is_copied_over(home):
    folder = home.layout.ledger / "releases"
    shutil.copy(folder / f"{home.first}.json", folder / f"{home.made}.json")
    return _promote(home)


@attack("approved", "E_MANIFEST")
def a_manifest_is_gone(home):
    _file(home, "releases", f"{home.made}.json").unlink()
    return _promote(home)


@attack("approved", "E_MANIFEST")
def a_manifest_has_a_space_more(home):
    path = _file(home, "releases", f"{home.made}.json")
    path.write_bytes(path.read_bytes() + b" ")
    return _promote(home)


@attack("approved", *CLOSED)
def a_stored_statement_is_changed(home):
    path = _approval(home, "json")
    path.write_bytes(path.read_bytes().replace(b"approve", b"APPROVE"))
    return _promote(home)


@attack("approved", *CLOSED)
def a_stored_signature_is_another_persons(home):
    path = _approval(home, "sig")
    path.write_bytes(signed(_approval(home, "json").read_bytes(), AUTHOR))
    return _promote(home)


@attack("approved", *CLOSED)
def a_stored_signature_is_gone(home):
    _approval(home, "sig").unlink()
    return _promote(home)


@attack("approved", *CLOSED)
def a_stored_statement_is_gone(home):
    _approval(home, "json").unlink()
    return _promote(home)


@attack("asked", *CLOSED)
def files_of_an_approval_are_planted_without_an_entry(home):
    data = home.statement(home.made, "registry", ENGINEER)
    home.ledger.put("approvals", "planted.json", data)
    home.ledger.put("approvals", "planted.sig", signed(data, ENGINEER))
    return _promote(home)


@attack("asked", "E_NONCE", "E_CHAIN", "E_APPROVAL")
def a_request_file_says_another_window(home):
    nonce = home.view(home.made).open_request.nonce
    path = _file(home, "requests", f"{nonce}.json")
    path.write_bytes(path.read_bytes().replace(b"2024", b"2094"))
    return _promote(home)


# --- the log -----------------------------------------------------------------------------------


@attack("approved", *CHAIN)
def an_entry_names_another_signer(home):
    log = _log(home)
    head, last = log.read_bytes()[:-1].rsplit(b"\n", 1)
    log.write_bytes(head + b"\n" + last.replace(ENGINEER.encode(), MANAGER.encode()) + b"\n")
    return _promote(home)


@attack("asked", *CHAIN)
def an_entry_opens_the_window_earlier(home):
    log = _log(home)
    log.write_bytes(log.read_bytes().replace(b'"event":"requested"', b'"event":"requestee"'))
    return _promote(home)


@attack("created", *CHAIN)
def the_last_entry_is_cut_off(home):
    assert home.reject(home.made, "registry", ENGINEER).code == "OK"
    log = _log(home)
    log.write_bytes(log.read_bytes()[:-1].rsplit(b"\n", 1)[0] + b"\n")
    return lambda: home.again().approve(home.made, "registry", ENGINEER)


@attack("approved", *CHAIN)
def a_line_is_dropped(home):
    lines = _log(home).read_bytes().splitlines(keepends=True)
    _log(home).write_bytes(b"".join(lines[:3] + lines[4:]))
    return _promote(home)


@attack("approved", *CHAIN)
def two_lines_are_swapped(home):
    lines = _log(home).read_bytes().splitlines(keepends=True)
    lines[3], lines[4] = lines[4], lines[3]
    _log(home).write_bytes(b"".join(lines))
    return _promote(home)


@attack("approved", *CHAIN)
def a_line_stands_twice(home):
    lines = _log(home).read_bytes().splitlines(keepends=True)
    _log(home).write_bytes(b"".join([*lines, lines[-1]]))
    return _promote(home)


@attack("approved", *CHAIN)
def the_log_is_empty(home):
    _log(home).write_bytes(b"")
    return _promote(home)


@attack("approved", *CHAIN, "DataError")
def the_log_is_gone(home):
    _log(home).unlink()
    return _promote(home)


@attack("approved", *CHAIN)
def the_log_is_one_byte_of_nothing(home):
    _log(home).write_bytes(_log(home).read_bytes() + b"\0\n")
    return _promote(home)


def _written_anew(home, change):
    """The whole log with a chain that fits, each entry passed through ``change``."""
    last, text = None, b""
    for entry in home.ledger.entries():
        event, actor, data = change(entry)
        last = following(last, event=event, actor=actor, data=data, now=entry.at)
        text += line_of(last)
    _log(home).write_bytes(text)


@attack("approved", *CHAIN)
def the_log_is_written_anew_without_the_request(home):
    _written_anew(home, lambda entry: (entry.event, "platform", entry.data))
    return _promote(home)


@attack("created", *CHAIN)
def the_log_is_written_anew_with_four_eyes_off(home):
    def change(entry):
        off = {"four_eyes": "off"} if entry.event == "initialised" else {}
        return entry.event, entry.actor, {**entry.data, **off}

    _written_anew(home, change)
    home.stricter(four_eyes="off")
    return lambda: home.again().approve(home.made, "registry", AUTHOR)


def _forged(home, event, data, actor="platform"):
    """One more line whose chain fits; no process of the platform anchored it."""
    last = home.ledger.entries()[-1]
    entry = following(last, event=event, actor=actor, data=data, now=home.now)
    _log(home).write_bytes(_log(home).read_bytes() + line_of(entry))


def _about(home, **data):
    view = home.view(home.made)
    asked = view.open_request
    usual = {"release": home.made, "stage": asked.stage, "nonce": asked.nonce} if asked else {}
    return {**usual, "release": home.made, **data}


@attack("asked", *CLOSED)
def an_approval_is_forged_in_the_log(home):
    data = _about(home, principal=ENGINEER, statement="0" * 64, signature="0" * 64)
    _forged(home, "approved", data, ENGINEER)
    return _promote(home)


@attack("asked", *CLOSED)
def an_approval_is_forged_with_the_statement_of_another_release(home):
    entry = next(entry for entry in home.ledger.entries() if entry.event == "approved")
    data = _about(
        home,
        principal=ENGINEER,
        statement=entry.data["statement"],
        signature=entry.data["signature"],
    )
    _forged(home, "approved", data, ENGINEER)
    return _promote(home)


@attack("asked", *CLOSED, "DataError")
def an_approval_is_forged_with_names_of_other_files(home):
    _forged(
        home,
        "approved",
        _about(home, principal=ENGINEER, statement="../releases/x", signature="..\\x\0"),
        ENGINEER,
    )
    return _promote(home)


@attack("asked", *CLOSED)
def the_beginning_of_a_stage_is_forged(home):
    _forged(home, "consumed", _about(home, statements=[]))
    return _promote(home)


@attack("asked", "E_GATE", "E_APPROVAL", "E_STATE", "E_LEDGER")
def the_end_of_a_stage_is_forged(home):
    _forged(home, "registered", {"release": home.made})
    return lambda: home.again().promote(home.made, "test")


@attack("tested", "E_LEDGER", "E_STATE")
def a_deployment_is_forged(home):
    _forged(home, "deployed", {"release": home.made, "circuits": {str(C1): home.first}})
    return _promote(home, "production")


@attack("created", "E_LEDGER")
def a_release_is_forged_that_was_there_already(home):
    view = home.view(home.made)
    data = {"release": view.release, "digest": view.digest, "circuits": [str(C1)], "attempt": 1}
    _forged(home, "released", {**data, "config_commit": home.git.head()})
    return lambda: home.again().approve(home.made, "registry", ENGINEER)


MALFORMED = {
    "nothing": ("released", {}),
    "no_digest": ("released", {"release": "r-" + "0" * 12}),
    "circuits_that_climb": (
        "released",
        {
            "release": "r-" + "0" * 12, "digest": "0" * 64, "circuits": ["../../C1"],
            "attempt": 1, "config_commit": "0" * 40,
        },
    ),
    "a_release_that_is_a_list": ("requested", {"release": ["r-1"], "stage": "registry"}),
    "a_stage_that_is_a_list": ("errored", {"stage": ["test"], "reason": "x"}),
    "no_nonce": ("approved", {"principal": ENGINEER}),
    "a_window_that_is_no_moment": ("requested", {"stage": "registry", "expires_at": "soon"}),
    "circuits_that_are_a_number": ("deployed", {"circuits": 7}),
    "a_rollback_of_nothing": ("rolled_back", {}),
    "a_rollback_that_is_a_list": ("rolled_back", {"circuits": [str(C1)]}),
    "a_rollback_of_a_path": ("rolled_back", {"circuits": {"../C1": {"from": "a", "to": "b"}}}),
    "held_models_that_are_none": ("unheld", {"circuits": 5}),
}  # fmt: skip


def _malformed(name, event, data):
    def mischief(home):
        filled = {"release": home.made, **data} if event != "released" else data
        _forged(home, event, filled)
        return lambda: home.again().promote(home.made, "registry")

    mischief.__name__ = f"an_entry_is_forged_with_{name}"
    attack("approved", "E_LEDGER", "E_STATE", "E_GATE")(mischief)


for _name, (_event, _data) in MALFORMED.items():
    _malformed(_name, _event, _data)


@attack("approved", *CHAIN)
def an_entry_is_nested_too_deep_to_read(home):
    log = _log(home)
    log.write_bytes(log.read_bytes() + b'{"actor":' + b"[" * 200_000 + b"\n")
    return _promote(home)


@attack("approved", *CHAIN)
def an_entry_is_larger_than_memory_should_be(home):
    last = home.ledger.entries()[-1]
    document = {
        "seq": last.seq + 1, "prev": hash_of(last), "at": "2024-06-20T06:00:00Z",
        "event": "note", "actor": "x", "data": {"x": "y" * (5 * 2**20)},
    }  # fmt: skip
    _log(home).write_bytes(_log(home).read_bytes() + canonical_json(document) + b"\n")
    return _promote(home)


# --- anchors -----------------------------------------------------------------------------------

NOTES = "refs/notes/mlops-ledger"


@attack("approved", *CHAIN)
def the_anchors_are_deleted(home):
    home.git.git("update-ref", "-d", NOTES)
    return _promote(home)


@attack("approved", *CHAIN)
def the_anchors_are_rewound(home):
    home.git.git("update-ref", NOTES, f"{NOTES}~2")
    return _promote(home)


@attack("approved", *CHAIN)
def an_anchor_of_another_line_is_added(home):
    last = home.ledger.entries()[-1]
    home.git.anchor(f"{last.seq} {'0' * 64}")
    return _promote(home)


@attack("approved", *CHAIN)
def an_anchor_of_the_future_is_added(home):
    home.git.anchor(f"{10**6} {'0' * 64}")
    return _promote(home)


# --- another home ------------------------------------------------------------------------------


@attack("asked", *CHAIN, "E_CONFIG_ROOT")
def the_ledger_of_another_home_is_copied_over(home):
    from mlops_assets_tests.attacks.homes import DiskHome

    other = DiskHome(home.layout.root.parent / f"{home.layout.root.name}-other", C1, C2)
    made = other.create()
    assert other.approve(made, "registry", ENGINEER).accepted
    shutil.rmtree(home.layout.ledger)
    shutil.copytree(other.layout.ledger, home.layout.ledger)
    return lambda: home.again().promote(made, "registry")


@attack("asked", "E_NONCE")
def the_approval_of_an_equal_release_in_another_home_is_submitted(home):
    twin = home.at(home.layout.root.parent / f"{home.layout.root.name}-twin")
    twin.tick(days=1)
    assert twin.approve(home.made, "registry", ENGINEER).accepted
    entry = json.loads(_log(twin).read_bytes().splitlines()[-1])["data"]
    paper = [
        twin.ledger.get("approvals", f"{entry['statement']}.json"),
        twin.ledger.get("approvals", f"{entry['signature']}.sig"),
    ]
    return lambda: home.again().submit(*paper)
