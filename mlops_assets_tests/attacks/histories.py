"""Named attacks on the config repository: who wrote a change, and what history it stands in."""

from __future__ import annotations

import subprocess

from mlops_assets.domain.evidence import PLATFORM_EMAIL
from mlops_assets.flows.approval import approve
from mlops_assets.flows.plan import check_history
from mlops_assets_tests.attacks.homes import WATCHED, History
from mlops_assets_tests.attacks.named import attack
from mlops_assets_tests.attacks.people import FRIEND, a_person, approving, trust_with
from mlops_assets_tests.fakes.release import (
    AUTHOR,
    C1,
    ENGINEER,
    MANAGER,
    STRANGER,
    VIEWER,
    keys_of,
    signer,
)

REVIEWED = f"\n\nReviewed-by: x <{VIEWER}>"

# --- the history -------------------------------------------------------------------------------


def _changed_by(home, **commit):
    """Another change of C1 by somebody, trained, released and asked for."""
    files = commit.pop("files", {})
    commit.setdefault("reviewers", [VIEWER])
    home.git.add({f"plants/{C1}.yml": b"spec by them", **files}, **commit)
    home.train(C1, spec="7")
    home.made = home.create(C1)
    home.request(home.made, "registry")


@attack("created", "E_SELF_APPROVAL")
def a_committer_signs_what_another_wrote(home):
    _changed_by(home, author=AUTHOR, committer=ENGINEER)
    return approving(home, ENGINEER)


@attack("created", "E_SELF_APPROVAL")
def a_co_author_signs(home):
    _changed_by(home, author=AUTHOR, co_authors=["Eng@Git.example"])
    return approving(home, ENGINEER)


@attack("created", "E_SELF_APPROVAL")
def an_author_signs_whose_second_address_wrote(home):
    _changed_by(home, author="ENG@git.example")
    return approving(home, ENGINEER)


@attack("created", "E_AUTHOR_UNKNOWN")
def an_author_hides_behind_an_address_that_looks_like_another(home):
    _changed_by(home, author="engin\u0435er@co.example")
    return approving(home, ENGINEER)


@attack("created", "E_AUTHOR_UNKNOWN")
def an_author_hides_behind_the_platforms_address(home):
    _changed_by(home, author=PLATFORM_EMAIL)
    return approving(home, ENGINEER)


@attack("created", "E_AUTHOR_UNKNOWN")
def an_author_writes_escape_codes_for_a_name(home):
    _changed_by(home, author="x\x1b[2J@co.example")
    return approving(home, ENGINEER)


@attack("created", "E_AUTHOR_UNKNOWN")
def a_co_author_cannot_be_read(home):
    _changed_by(home, author=AUTHOR, co_authors=["not an address"])
    return approving(home, ENGINEER)


@attack("created", "E_SELF_APPROVAL")
def a_mailmap_gives_the_change_to_somebody_else(home):
    names = b"<author@co.example> <engineer@co.example>\n"
    _changed_by(home, author=ENGINEER, files={".mailmap": names})
    return approving(home, ENGINEER)


@attack("created", "E_SELF_APPROVAL", "E_AUTHOR_UNKNOWN")
def a_merge_hides_who_wrote(home):
    home.git.git("checkout", "-q", "-b", "side")
    (home.layout.config / f"plants/{C1}.yml").write_bytes(b"from the side")
    home.git.git("commit", "-qam", f"side{REVIEWED}", author=ENGINEER)
    home.git.git("checkout", "-q", "main")
    home.git.git("merge", "-q", "--no-ff", "-m", f"merge{REVIEWED}", "side", author=AUTHOR)
    home.train(C1, spec="7")
    home.made = home.create(C1)
    home.request(home.made, "registry")
    return approving(home, ENGINEER)


@attack("created", "E_TRUST_CHANGED")
def a_friend_gets_a_key_in_the_same_commit(home):
    files = trust_with(home, signers=[signer(FRIEND)], people=[a_person(FRIEND)])
    _changed_by(home, author=AUTHOR, files=files)
    return approving(home, FRIEND)


@attack("created", "E_TRUST_CHANGED")
def somebody_gets_a_role_in_the_same_commit(home):
    _changed_by(home, author=AUTHOR, files=trust_with(home, people=[a_person(VIEWER)]))
    return approving(home, VIEWER)


@attack("created", "E_TRUST_CHANGED")
def somebody_gets_another_key_in_the_same_commit(home):
    files = trust_with(home, signers=[signer(ENGINEER, 1)])
    _changed_by(home, author=AUTHOR, files=files)
    key = keys_of(ENGINEER, 1).private_file
    return lambda: approve(home.platform, home.config, home.made, "registry", key, now=home.now)


@attack("created", "E_TRUST_CHANGED")
def a_friend_gets_a_key_in_the_merge_that_brings_the_change(home):
    home.git.git("checkout", "-q", "-b", "side")
    home.git.add(
        trust_with(home, signers=[signer(FRIEND)], people=[a_person(FRIEND)]), author=AUTHOR
    )
    (home.layout.config / f"plants/{C1}.yml").write_bytes(b"from the side")
    home.git.git("commit", "-qam", f"side{REVIEWED}", author=AUTHOR)
    home.git.git("checkout", "-q", "main")
    home.git.git("merge", "-q", "--no-ff", "-m", f"merge{REVIEWED}", "side", author=AUTHOR)
    home.train(C1, spec="7")
    home.made = home.create(C1)
    home.request(home.made, "registry")
    return approving(home, FRIEND)


@attack("created", "E_SELF_APPROVAL", "E_TRUST_CHANGED")
def an_author_gives_the_address_to_somebody_else_in_the_same_commit(home):
    people = [a_person(ENGINEER), a_person(MANAGER, "engineering_manager", "eng@git.example")]
    _changed_by(home, author="eng@git.example", files=trust_with(home, people=people))
    return approving(home, ENGINEER)


@attack("created", "E_SELF_APPROVAL", "E_TRUST_CHANGED")
def an_author_gives_the_address_to_somebody_else_in_a_later_commit(home):
    _changed_by(home, author="eng@git.example")
    people = [a_person(ENGINEER), a_person(MANAGER, "engineering_manager", "eng@git.example")]
    home.git.add(trust_with(home, people=people), author=MANAGER)
    return approving(home, ENGINEER)


@attack("created", "E_SELF_APPROVAL", "E_TRUST_CHANGED")
def an_author_gives_the_address_to_somebody_else_in_an_earlier_commit(home):
    people = [a_person(ENGINEER), a_person(MANAGER, "engineering_manager", "eng@git.example")]
    home.git.add(trust_with(home, people=people), author="eng@git.example")
    _changed_by(home, author="eng@git.example")
    return approving(home, ENGINEER)


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
