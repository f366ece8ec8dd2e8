"""Named attacks on who may sign: the trust root, the config repository, and its history."""

from __future__ import annotations

import os
from dataclasses import replace

import yaml

from mlops_assets.domain.circuit import StagePolicy
from mlops_assets.domain.trust import REVOKED_FILE as REVOKED
from mlops_assets.domain.trust import ROLES_FILE as ROLES
from mlops_assets.domain.trust import SIGNERS_FILE as SIGNERS
from mlops_assets.flows.approval import approve
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


def approving(home, person, stage="registry"):
    return lambda: home.again().approve(home.made, stage, person)


def _promote(home, stage="registry"):
    return lambda: home.again().promote(home.made, stage)


def _files(home):
    files = home.git.files(home.git.head())
    return {name: files[name] for name in (SIGNERS, ROLES, REVOKED)}


def trust_with(home, *, signers=(), people=(), without=()):
    """The files of the trust root with more lines and persons."""
    known = [person for person in PEOPLE if person.email not in {*without}]
    keep = [signer(person.email) for person in known]
    changed = {person.email for person in people}
    return trust_files(
        [*(person for person in known if person.email not in changed), *people],
        [*keep, *signers],
    )


def a_person(email, role="ml_engineer", *git_emails):
    return replace(PEOPLE[0], email=email, roles=(role,), git_emails=git_emails)


# --- keys and roles ----------------------------------------------------------------------------


@attack("asked", "E_KEY_UNKNOWN")
def a_stranger_signs(home):
    return approving(home, STRANGER)


@attack("asked", "E_ROLE")
def somebody_who_may_only_look_signs(home):
    return approving(home, VIEWER)


@attack("asked", "E_ROLE")
def a_manager_signs_for_the_registry(home):
    return approving(home, MANAGER)


@attack("asked", "E_SELF_APPROVAL")
def the_author_signs(home):
    return approving(home, AUTHOR)


@attack("tested", "E_SELF_APPROVAL")
def the_author_signs_for_production(home):
    return approving(home, AUTHOR, "production")


@attack("created", "E_SELF_APPROVAL")
def whoever_asked_signs(home):
    home.request(home.made, "registry", requester=ENGINEER)
    return approving(home, ENGINEER)


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
    home.git.add(trust_with(home, without=[ENGINEER]), author=MANAGER)
    return _promote(home)


@attack("approved", "E_APPROVAL", "E_GATE")
def a_signer_turns_out_to_be_an_author(home):
    home.git.add(trust_with(home, people=[a_person(ENGINEER, "ml_engineer", AUTHOR + "x")]),
                 author=MANAGER)  # fmt: skip
    home.git.add({f"plants/{C1}.yml": b"spec again"}, author=ENGINEER, reviewers=[VIEWER])
    home.train(C1, spec="5")
    home.made = home.create(C1)
    home.request(home.made, "registry")
    assert home.approve(home.made, "registry", ENGINEER).code == "E_SELF_APPROVAL"
    return _promote(home)


@attack("tested", "E_APPROVAL")
def one_person_signs_twice_with_two_keys_for_a_quorum_of_two(home):
    home.stricter(production=replace(home.policy.production, quorum=2))
    home.git.add(trust_with(home, signers=[signer(MANAGER, 1)]), author=VIEWER)
    for number in (0, 1):
        key = keys_of(MANAGER, number).private_file
        approve(home.platform, home.config, home.made, "production", key, now=home.now)
    return _promote(home, "production")


@attack("tested", "E_ROLE")
def the_policy_lets_viewers_sign(home):
    home.stricter(production=StagePolicy(roles=("viewer", "ml_engineer")))
    return approving(home, VIEWER, "production")


@attack("asked", "E_ROLE")
def the_policy_names_nobody(home):
    home.stricter(registry=StagePolicy(roles=()))
    return approving(home, ENGINEER)


@attack("asked", "E_APPROVAL")
def the_policy_asks_for_nobodys_signature(home):
    home.stricter(registry=replace(home.policy.registry, quorum=0))
    return _promote(home)


@attack("asked", "E_SELF_APPROVAL")
def the_policy_turns_four_eyes_off_later(home):
    home.stricter(four_eyes="off")
    return approving(home, AUTHOR)


# --- the trust root, where it lies -------------------------------------------------------------


def _smuggled(home):
    return trust_with(home, signers=[signer(STRANGER)], people=[a_person(STRANGER)])


@attack("asked", "E_KEY_UNKNOWN")
def the_trust_root_is_changed_in_the_work_tree_only(home):
    for name, data in _smuggled(home).items():
        (home.layout.config / name).write_bytes(data)
    return approving(home, STRANGER)


@attack("asked", "E_KEY_UNKNOWN")
def the_trust_root_is_changed_in_the_index_only(home):
    for name, data in _smuggled(home).items():
        (home.layout.config / name).write_bytes(data)
        home.git.git("add", name)
    return approving(home, STRANGER)


@attack("asked", "E_KEY_UNKNOWN")
def the_trust_root_is_changed_on_another_branch(home):
    home.git.git("checkout", "-q", "-b", "evil")
    home.git.add(_smuggled(home), author=STRANGER)
    return approving(home, STRANGER)


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
    return approving(home, STRANGER)


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
    return approving(home, ENGINEER)


@attack("asked", "E_TRUST")
def a_file_of_the_trust_root_is_gone(home):
    home.git.git("rm", "-q", REVOKED)
    home.git.git("commit", "-q", "-m", "x", author=MANAGER)
    return approving(home, ENGINEER)


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
        return approving(home, ENGINEER)

    mischief.__name__ = f"the_trust_root_has_{name}"
    attack("asked", "E_TRUST")(mischief)


for _name, _content in BROKEN.items():
    _broken(_name, _content)
