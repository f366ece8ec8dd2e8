"""Named attacks on who may sign: the trust root, the config repository, and its history."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace

import yaml

from mlops_assets.domain.circuit import StagePolicy
from mlops_assets.domain.evidence import PLATFORM_EMAIL
from mlops_assets.domain.trust import REVOKED_FILE as REVOKED
from mlops_assets.domain.trust import ROLES_FILE as ROLES
from mlops_assets.domain.trust import SIGNERS_FILE as SIGNERS
from mlops_assets.flows.approval import approve
from mlops_assets.flows.plan import check_history
from mlops_assets.flows.trust import trust_files
from mlops_assets_tests.attacks.homes import WATCHED, History
from mlops_assets_tests.attacks.named import attack
from mlops_assets_tests.fakes.release import (
    AUTHOR,
    C1,
    ENGINEER,
    MANAGER,
    PEOPLE,
    STRANGER,
    VIEWER,
    keys_of,
    signer,
)

FRIEND = "friend@co.example"


def _approve(home, person, stage="registry"):
    return lambda: home.again().approve(home.made, stage, person)


def _promote(home, stage="registry"):
    return lambda: home.again().promote(home.made, stage)


def _files(home):
    files = home.git.files(home.git.head())
    return {name: files[name] for name in (SIGNERS, ROLES, REVOKED)}


def _root(home, *, signers=(), people=(), without=()):
    """The files of the trust root with more lines and persons."""
    known = [person for person in PEOPLE if person.email not in {*without}]
    keep = [signer(person.email) for person in known]
    changed = {person.email for person in people}
    return trust_files(
        [*(person for person in known if person.email not in changed), *people],
        [*keep, *signers],
    )


def _person(email, role="ml_engineer", *git_emails):
    return replace(PEOPLE[0], email=email, roles=(role,), git_emails=git_emails)


# --- keys and roles ----------------------------------------------------------------------------


@attack("asked", "E_KEY_UNKNOWN")
def a_stranger_signs(home):
    return _approve(home, STRANGER)


@attack("asked", "E_ROLE")
def somebody_who_may_only_look_signs(home):
    return _approve(home, VIEWER)


@attack("asked", "E_ROLE")
def a_manager_signs_for_the_registry(home):
    return _approve(home, MANAGER)


@attack("asked", "E_SELF_APPROVAL")
def the_author_signs(home):
    return _approve(home, AUTHOR)


@attack("tested", "E_SELF_APPROVAL")
def the_author_signs_for_production(home):
    return _approve(home, AUTHOR, "production")


@attack("created", "E_SELF_APPROVAL")
def whoever_asked_signs(home):
    home.request(home.made, "registry", requester=ENGINEER)
    return _approve(home, ENGINEER)


@attack("asked", "E_KEY_TYPE", "E_KEY_FILE")
def a_key_of_another_kind_signs(home):
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    data = generate_private_key(SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()
    )
    return lambda: approve(home.platform, home.config, home.made, "registry", data, now=home.now)


@attack("approved", "E_APPROVAL")
def a_key_is_revoked_between_signature_and_gate(home):
    home.revoke(ENGINEER)
    return _promote(home)


@attack("ready", "E_APPROVAL")
def a_key_is_revoked_between_gate_and_deployment(home):
    from mlops_assets.flows.gates import gate

    assert gate(home.platform, home.config, home.made, "production", now=home.now)[-1].passed
    home.revoke(MANAGER)
    return _promote(home, "production")


@attack("approved", "E_APPROVAL")
def a_key_is_revoked_from_a_later_day_on(home):
    from datetime import timedelta

    home.revoke(ENGINEER, since=home.now + timedelta(days=900))
    return _promote(home)


@attack("approved", "E_APPROVAL")
def a_role_is_taken_after_the_signature(home):
    files = _files(home)
    roles = yaml.safe_load(files[ROLES])
    roles["people"][ENGINEER]["roles"] = ["viewer"]
    home.git.add({ROLES: yaml.safe_dump(roles).encode()}, author=MANAGER)
    return _promote(home)


@attack("approved", "E_APPROVAL")
def a_key_ran_out_after_the_signature(home):
    from datetime import timedelta

    rest = [signer(person.email) for person in PEOPLE if person.email != ENGINEER]
    short = signer(ENGINEER, valid_before=home.now - timedelta(seconds=1))
    home.git.add(trust_files(PEOPLE, [*rest, short]), author=MANAGER)
    return _promote(home)


@attack("approved", "E_APPROVAL")
def a_person_left_after_the_signature(home):
    home.git.add(_root(home, without=[ENGINEER]), author=MANAGER)
    return _promote(home)


@attack("approved", "E_APPROVAL", "E_GATE")
def a_signer_turns_out_to_be_an_author(home):
    home.git.add(_root(home, people=[_person(ENGINEER, "ml_engineer", AUTHOR + "x")]),
                 author=MANAGER)  # fmt: skip
    home.git.add({f"plants/{C1}.yml": b"spec again"}, author=ENGINEER)
    home.train(C1, spec="5")
    home.made = home.create(C1)
    home.request(home.made, "registry")
    assert home.approve(home.made, "registry", ENGINEER).code == "E_SELF_APPROVAL"
    return _promote(home)


@attack("tested", "E_APPROVAL")
def one_person_signs_twice_with_two_keys_for_a_quorum_of_two(home):
    home.stricter(production=replace(home.policy.production, quorum=2))
    home.git.add(_root(home, signers=[signer(MANAGER, 1)]), author=VIEWER)
    for number in (0, 1):
        key = keys_of(MANAGER, number).private_file
        approve(home.platform, home.config, home.made, "production", key, now=home.now)
    return _promote(home, "production")


@attack("tested", "E_ROLE")
def the_policy_lets_viewers_sign(home):
    home.stricter(production=StagePolicy(roles=("viewer", "ml_engineer")))
    return _approve(home, VIEWER, "production")


@attack("asked", "E_ROLE")
def the_policy_names_nobody(home):
    home.stricter(registry=StagePolicy(roles=()))
    return _approve(home, ENGINEER)


@attack("asked", "E_APPROVAL")
def the_policy_asks_for_nobodys_signature(home):
    home.stricter(registry=replace(home.policy.registry, quorum=0))
    return _promote(home)


@attack("asked", "E_SELF_APPROVAL")
def the_policy_turns_four_eyes_off_later(home):
    home.stricter(four_eyes="off")
    return _approve(home, AUTHOR)


# --- the trust root, where it lies -------------------------------------------------------------


def _smuggled(home):
    return _root(home, signers=[signer(STRANGER)], people=[_person(STRANGER)])


@attack("asked", "E_KEY_UNKNOWN")
def the_trust_root_is_changed_in_the_work_tree_only(home):
    for name, data in _smuggled(home).items():
        (home.layout.config / name).write_bytes(data)
    return _approve(home, STRANGER)


@attack("asked", "E_KEY_UNKNOWN")
def the_trust_root_is_changed_in_the_index_only(home):
    for name, data in _smuggled(home).items():
        (home.layout.config / name).write_bytes(data)
        home.git.git("add", name)
    return _approve(home, STRANGER)


@attack("asked", "E_KEY_UNKNOWN")
def the_trust_root_is_changed_on_another_branch(home):
    home.git.git("checkout", "-q", "-b", "evil")
    home.git.add(_smuggled(home), author=STRANGER)
    return _approve(home, STRANGER)


@attack("asked", "E_KEY_UNKNOWN")
def a_replaced_commit_holds_another_trust_root(home):
    head = home.git.head()
    home.git.git("checkout", "-q", "--detach")
    home.git.git("update-ref", "--no-deref", "HEAD", head)
    for name, data in _smuggled(home).items():
        (home.layout.config / name).write_bytes(data)
        home.git.git("add", name)
    home.git.git("commit", "-q", "-m", "x", author=STRANGER)
    home.git.git("replace", head, home.git.git("rev-parse", "HEAD"))
    return _approve(home, STRANGER)


@attack("asked", "E_KEY_UNKNOWN")
def the_environment_names_another_repository(home):
    other = home.layout.root.parent / f"{home.layout.root.name}-env"
    repository = History.create(other, WATCHED)
    repository.commit(_smuggled(home), message="x", author=STRANGER, branch=None)

    def attempt():
        names = {"GIT_DIR": str(other / ".git"), "GIT_WORK_TREE": str(other)}
        before = dict(os.environ)
        os.environ.update(names)
        try:
            return home.again().approve(home.made, "registry", STRANGER)
        finally:
            for name in names:
                del os.environ[name]
            os.environ.update(before)

    return attempt


@attack("asked", "E_TRUST", "ConfigError", "HomeError")
def a_file_of_the_trust_root_is_a_link_in_git(home):
    path = home.layout.config / SIGNERS
    path.unlink()
    path.symlink_to("/etc/passwd")
    home.git.git("add", SIGNERS)
    home.git.git("commit", "-q", "-m", "x", author=MANAGER)
    return _approve(home, ENGINEER)


@attack("asked", "E_TRUST")
def a_file_of_the_trust_root_is_gone(home):
    home.git.git("rm", "-q", REVOKED)
    home.git.git("commit", "-q", "-m", "x", author=MANAGER)
    return _approve(home, ENGINEER)


BROKEN = {
    "a_wildcard": {SIGNERS: b'* namespaces="release-approval.v1@mlops-assets" ssh-ed25519 AAAA\n'},
    "an_alias": {ROLES: b"format: 1\npeople: &a {}\n"},
    "an_alias_bomb": {
        ROLES: b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\n"
        b"c: &c [*b,*b,*b,*b,*b,*b,*b]\npeople: *c\n"
    },
    "a_key_twice": {ROLES: b"format: 1\npeople: {}\npeople: {}\n"},
    "a_tag": {ROLES: b"format: 1\npeople: !!python/object/apply:os.system [id]\n"},
    "a_deep_nest": {REVOKED: b"[" * 20_000},
    "bytes_that_are_no_text": {REVOKED: b"\xff\xfe\0"},
    "a_later_format": {REVOKED: b"format: 2\nkeys: []\n"},
    "nothing_in_it": {ROLES: b""},
}


def _broken(name, files):
    def mischief(home):
        home.git.add(files, author=MANAGER)
        return _approve(home, ENGINEER)

    mischief.__name__ = f"the_trust_root_has_{name}"
    attack("asked", "E_TRUST")(mischief)


for _name, _content in BROKEN.items():
    _broken(_name, _content)


# --- the history -------------------------------------------------------------------------------


def _changed_by(home, **commit):
    """Another change of C1 by somebody, trained, released and asked for."""
    files = commit.pop("files", {})
    home.git.add({f"plants/{C1}.yml": b"spec by them", **files}, **commit)
    home.train(C1, spec="7")
    home.made = home.create(C1)
    home.request(home.made, "registry")


@attack("created", "E_SELF_APPROVAL")
def a_committer_signs_what_another_wrote(home):
    _changed_by(home, author=AUTHOR, committer=ENGINEER)
    return _approve(home, ENGINEER)


@attack("created", "E_SELF_APPROVAL")
def a_co_author_signs(home):
    _changed_by(home, author=AUTHOR, co_authors=["Eng@Git.example"])
    return _approve(home, ENGINEER)


@attack("created", "E_SELF_APPROVAL")
def an_author_signs_whose_second_address_wrote(home):
    _changed_by(home, author="ENG@git.example")
    return _approve(home, ENGINEER)


@attack("created", "E_AUTHOR_UNKNOWN")
def an_author_hides_behind_an_address_that_looks_like_another(home):
    _changed_by(home, author="engin\u0435er@co.example")
    return _approve(home, ENGINEER)


@attack("created", "E_AUTHOR_UNKNOWN")
def an_author_hides_behind_the_platforms_address(home):
    _changed_by(home, author=PLATFORM_EMAIL)
    return _approve(home, ENGINEER)


@attack("created", "E_AUTHOR_UNKNOWN")
def an_author_writes_escape_codes_for_a_name(home):
    _changed_by(home, author="x\x1b[2J@co.example")
    return _approve(home, ENGINEER)


@attack("created", "E_AUTHOR_UNKNOWN")
def a_co_author_cannot_be_read(home):
    _changed_by(home, author=AUTHOR, co_authors=["not an address"])
    return _approve(home, ENGINEER)


@attack("created", "E_SELF_APPROVAL")
def a_mailmap_gives_the_change_to_somebody_else(home):
    names = b"<author@co.example> <engineer@co.example>\n"
    _changed_by(home, author=ENGINEER, files={".mailmap": names})
    return _approve(home, ENGINEER)


@attack("created", "E_SELF_APPROVAL", "E_AUTHOR_UNKNOWN")
def a_merge_hides_who_wrote(home):
    home.git.git("checkout", "-q", "-b", "side")
    (home.layout.config / f"plants/{C1}.yml").write_bytes(b"from the side")
    home.git.git("commit", "-qam", "side", author=ENGINEER)
    home.git.git("checkout", "-q", "main")
    home.git.git("merge", "-q", "--no-ff", "-m", "merge", "side", author=AUTHOR)
    home.train(C1, spec="7")
    home.made = home.create(C1)
    home.request(home.made, "registry")
    return _approve(home, ENGINEER)


@attack("created", "E_TRUST_CHANGED")
def a_friend_gets_a_key_in_the_same_commit(home):
    files = _root(home, signers=[signer(FRIEND)], people=[_person(FRIEND)])
    _changed_by(home, author=AUTHOR, files=files)
    return _approve(home, FRIEND)


@attack("created", "E_TRUST_CHANGED")
def somebody_gets_a_role_in_the_same_commit(home):
    _changed_by(home, author=AUTHOR, files=_root(home, people=[_person(VIEWER)]))
    return _approve(home, VIEWER)


@attack("created", "E_TRUST_CHANGED")
def somebody_gets_another_key_in_the_same_commit(home):
    files = _root(home, signers=[signer(ENGINEER, 1)])
    _changed_by(home, author=AUTHOR, files=files)
    key = keys_of(ENGINEER, 1).private_file
    return lambda: approve(home.platform, home.config, home.made, "registry", key, now=home.now)


@attack("created", "E_TRUST_CHANGED")
def a_friend_gets_a_key_in_the_merge_that_brings_the_change(home):
    home.git.git("checkout", "-q", "-b", "side")
    home.git.add(_root(home, signers=[signer(FRIEND)], people=[_person(FRIEND)]), author=AUTHOR)
    (home.layout.config / f"plants/{C1}.yml").write_bytes(b"from the side")
    home.git.git("commit", "-qam", "side", author=AUTHOR)
    home.git.git("checkout", "-q", "main")
    home.git.git("merge", "-q", "--no-ff", "-m", "merge", "side", author=AUTHOR)
    home.train(C1, spec="7")
    home.made = home.create(C1)
    home.request(home.made, "registry")
    return _approve(home, FRIEND)


@attack("created", "E_SELF_APPROVAL", "E_TRUST_CHANGED")
def an_author_gives_the_address_to_somebody_else_in_the_same_commit(home):
    people = [_person(ENGINEER), _person(MANAGER, "engineering_manager", "eng@git.example")]
    _changed_by(home, author="eng@git.example", files=_root(home, people=people))
    return _approve(home, ENGINEER)


@attack("created", "E_SELF_APPROVAL", "E_TRUST_CHANGED")
def an_author_gives_the_address_to_somebody_else_in_a_later_commit(home):
    _changed_by(home, author="eng@git.example")
    people = [_person(ENGINEER), _person(MANAGER, "engineering_manager", "eng@git.example")]
    home.git.add(_root(home, people=people), author=MANAGER)
    return _approve(home, ENGINEER)


@attack("created", "E_SELF_APPROVAL", "E_TRUST_CHANGED")
def an_author_gives_the_address_to_somebody_else_in_an_earlier_commit(home):
    people = [_person(ENGINEER), _person(MANAGER, "engineering_manager", "eng@git.example")]
    home.git.add(_root(home, people=people), author="eng@git.example")
    _changed_by(home, author="eng@git.example")
    return _approve(home, ENGINEER)


# --- another repository, another history -------------------------------------------------------


def _checked(home):
    def attempt():
        new = home.again()
        check_history(new.git, new.ledger.entries(), new.git.head())
        return new.promote(home.made, "registry")

    return attempt


@attack("approved", "E_CONFIG_REWOUND")
def the_watched_ref_is_forced_back_before_the_change(home):
    home.git.git("update-ref", WATCHED, f"{WATCHED}~1")
    return _checked(home)


@attack("approved", "E_CONFIG_REWOUND")
def the_watched_ref_is_forced_to_a_rewritten_change(home):
    home.git.git("commit", "-q", "--amend", "-m", "x", author=MANAGER)
    return _checked(home)


@attack("created", "E_CONFIG_REWOUND")
def the_watched_ref_is_forced_back_before_a_revocation_that_a_signature_saw(home):
    home.git.add({"README.yml": b"x: 1\n"}, author=MANAGER)
    home.revoke(MANAGER)
    assert home.approve(home.made, "registry", ENGINEER).accepted
    home.git.git("update-ref", WATCHED, f"{WATCHED}~1")
    return _checked(home)


@attack("approved", "E_CONFIG_ROOT")
def another_repository_stands_in_its_place(home):
    files = home.git.files(home.git.head())
    home.layout.config.rename(home.layout.root / "real")
    History.create(home.layout.config, WATCHED)
    other = History(home.layout.config, WATCHED)
    other.commit(dict(files), message="x", author=STRANGER, branch=None)
    return _checked(home)


@attack("approved", "E_CONFIG_REF")
def another_ref_is_watched(home):
    home.git.git("branch", "evil")

    def attempt():
        git = History(home.layout.config, "refs/heads/evil")
        check_history(git, home.ledger.entries(), git.head())

    return attempt


@attack("approved", "HomeError", "E_CONFIG_ROOT", "E_ANCHOR")
def a_shallow_clone_stands_in_its_place(home):
    real = home.layout.config.rename(home.layout.root / "real")
    subprocess.run(
        ["git", "clone", "-q", "--depth", "1", f"file://{real}", str(home.layout.config)],
        check=True,
        capture_output=True,
    )
    subprocess.run(
        ["git", "fetch", "-q", "origin", "refs/notes/*:refs/notes/*"],
        cwd=home.layout.config,
        check=True,
        capture_output=True,
    )
    return _checked(home)
