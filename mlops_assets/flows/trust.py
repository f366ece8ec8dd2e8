"""The trust root in the config repository: adding people and keys, and checking it whole."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mlops_assets.domain import lifecycle
from mlops_assets.domain.canonical import moment_text
from mlops_assets.domain.errors import MlopsError, RefusedError, UsageError
from mlops_assets.domain.evidence import PLATFORM_EMAIL
from mlops_assets.domain.signature import fingerprint, public_line, read_public_line
from mlops_assets.domain.trust import (
    REVOKED_FILE,
    ROLES,
    ROLES_FILE,
    SIGNERS_FILE,
    Person,
    Revocation,
    Signer,
    checked_email,
)
from mlops_assets.flows.ledger import read_root, trust_at

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from mlops_assets.domain.trust import TrustRoot
    from mlops_assets.ports import Platform

# A key that ends within this time is warned of, so that its owner is in time with another.
WARN = timedelta(days=30)
_EMPTY_REVOKED = b"format: 1\nkeys: []\n"
_SIGNERS_HEADER = "# EMAIL namespaces=... ssh-ed25519 KEY; one line a key, see docs/trust.md\n"


def trust_files(people: Iterable[Person], signers: Iterable[Signer]) -> dict[str, bytes]:
    """The three files of a trust root, by path in the config repository."""
    lines = "".join(f"{signer.line}\n" for signer in signers)
    return {
        SIGNERS_FILE: (_SIGNERS_HEADER + lines).encode("ascii"),
        ROLES_FILE: roles_text(people),
        REVOKED_FILE: _EMPTY_REVOKED,
    }


def roles_text(people: Iterable[Person]) -> bytes:
    """The text of `roles.yml`."""
    lines = ["format: 1"]
    entries = [
        line
        for person in sorted(people, key=lambda each: each.email)
        for line in (
            f"  {person.email}:",
            f"    roles: [{', '.join(person.roles)}]",
            f"    git_emails: [{', '.join(person.git_emails)}]",
        )
    ]
    lines += ["people:", *entries] if entries else ["people: {}"]
    return ("\n".join(lines) + "\n").encode("ascii")


def add_person(
    platform: Platform,
    email: str,
    *,
    roles: Sequence[str],
    git_emails: Sequence[str] = (),
    now: datetime,  # noqa: ARG001 git keeps the time
    author: str = PLATFORM_EMAIL,
) -> str:
    """Add a person, or give one other roles and addresses; returns the commit."""
    checked_email(email, "the person")
    addresses = [checked_email(address.casefold(), "--git-email") for address in git_emails]
    if unknown := sorted(set(roles) - set(ROLES)):
        raise UsageError(f"--role: {unknown[0]!r} is none of {', '.join(ROLES)}")
    head = platform.config.head()
    files = _files(platform, head)
    people = dict(read_root(files, head).people)
    person = Person(
        email=email,
        roles=tuple(dict.fromkeys(roles)),
        git_emails=tuple(dict.fromkeys(addresses or [email])),
    )
    if people.get(email) == person:
        return head
    people[email] = person
    files[ROLES_FILE] = roles_text(people.values())
    return _commit(platform, files, head, f"Trust: {email} is {', '.join(roles)}", author)


def add_key(
    platform: Platform,
    email: str,
    public_key: str,
    *,
    now: datetime,  # noqa: ARG001 git keeps the time
    author: str = PLATFORM_EMAIL,
) -> str:
    """Add a person's public key; returns the commit."""
    checked_email(email, "the person")
    key = read_public_line(public_key.strip())
    head = platform.config.head()
    files = _files(platform, head)
    root = read_root(files, head)
    if email not in root.people:
        raise RefusedError(
            "E_TRUST", f"{email} is nobody yet: `mlops trust add-person {email} --role ROLE` first"
        )
    if (known := root.signers.get(key)) is not None:
        if known.principal == email:
            return head
        raise RefusedError("E_TRUST", f"this key speaks for {known.principal} already")
    signer = Signer(principal=email, key=key)
    files[SIGNERS_FILE] = _with_line(files[SIGNERS_FILE], signer.line)
    message = f"Trust: key {fingerprint(key)} speaks for {email}"
    return _commit(platform, files, head, message, author)


def revoke_key(
    platform: Platform,
    key: str,
    *,
    since: datetime,
    reason: str,
    now: datetime,
    author: str = PLATFORM_EMAIL,
) -> str:
    """Make a key void, and doubt what it signed from ``since`` on; returns the commit.

    ``key`` is its fingerprint or its public line. ``since`` may be moved back later, never on:
    what was in doubt stays so.

    Raises:
        RefusedError: the trust root holds no such key, or the key is in doubt from earlier on.
        UsageError: ``since`` is yet to come, or the reason is empty.
    """
    if since > now:
        raise UsageError(f"--since {moment_text(since)} is yet to come: a revoked key is void now")
    if not reason.strip():
        raise UsageError("--reason: say why, for those who read it later")
    head = platform.config.head()
    files = _files(platform, head)
    root = read_root(files, head)
    name = fingerprint(_known(root, key).key)
    if (before := root.revoked.get(name)) is not None:
        if before.since <= since:
            return head
        reason = before.reason
    revoked = {**root.revoked, name: Revocation(fingerprint=name, since=since, reason=reason)}
    files[REVOKED_FILE] = revoked_text(revoked.values())
    return _commit(platform, files, head, f"Trust: key {name} is void", author)


def end_key(
    platform: Platform,
    key: str,
    *,
    at: datetime,
    now: datetime,
    author: str = PLATFORM_EMAIL,
) -> str:
    """Let a key count only before a moment; returns the commit.

    What it signed before stays good. The moment may be moved nearer, never off.

    Raises:
        RefusedError: the trust root holds no such key, or it ends earlier already.
        UsageError: ``at`` is over, so that approvals that wait now would lose their signature.
    """
    if at < now:
        raise UsageError(
            f"--at {moment_text(at)} is over: name a moment to come, or `mlops trust revoke-key`"
        )
    head = platform.config.head()
    files = _files(platform, head)
    signer = _known(read_root(files, head), key)
    if signer.valid_before is not None and signer.valid_before <= at:
        return head
    own, ended = public_line(signer.key), replace(signer, valid_before=at).line
    lines = files[SIGNERS_FILE].decode("ascii").split("\n")
    text = "\n".join(ended if own in line and line[:1] != "#" else line for line in lines)
    files[SIGNERS_FILE] = text.encode("ascii")
    message = f"Trust: key {fingerprint(signer.key)} ends {moment_text(at)}"
    return _commit(platform, files, head, message, author)


def _known(root: TrustRoot, key: str) -> Signer:
    """Find a key of the trust root by its fingerprint or its public line."""
    text = key.strip()
    wanted = text if text.startswith("SHA256:") else fingerprint(read_public_line(text))
    for signer in root.signers.values():
        if fingerprint(signer.key) == wanted:
            return signer
    raise RefusedError(
        "E_KEY_UNKNOWN", f"no key {wanted} is in {SIGNERS_FILE}: `mlops trust check` lists them"
    )


def revoked_text(revocations: Iterable[Revocation]) -> bytes:
    """The text of `revoked.yml`."""
    lines = ["format: 1", "keys:"]
    for each in sorted(revocations, key=lambda one: (one.since, one.fingerprint)):
        lines += [
            f'  - fingerprint: "{each.fingerprint}"',
            f'    since: "{moment_text(each.since)}"',
            # A JSON text is a YAML text too.
            f"    reason: {json.dumps(each.reason)}",
        ]
    return ("\n".join(lines) + "\n").encode("ascii")


def check(platform: Platform, *, now: datetime) -> dict[str, Any]:
    """What the trust root at the watched ref says, its problems, and what void keys have signed."""
    head = platform.config.head()
    try:
        root = trust_at(platform.config, head)
    except RefusedError as error:
        nothing: dict[str, Any] = {"people": {}, "keys": [], "warnings": [], "doubtful": []}
        return {"commit": head, "problems": [str(error)], **nothing}
    keys = [_key(root, signer, now) for signer in root.signers.values()]
    doubtful = doubtful_releases(platform, root)
    mends = _ways_out(platform, {each["release"] for each in doubtful})
    problems = [
        f"{each['release']}: {each['principal']} signed {each['stage']} with the revoked key "
        f"{each['fingerprint']}: {mends[each['release']]}"
        for each in doubtful
    ]
    with_key = {signer.principal for signer in root.signers.values()}
    ending = [
        f"the key {fingerprint(signer.key)} of {signer.principal} counts for nothing from "
        f"{moment_text(signer.valid_before)} on: `mlops trust add-key {signer.principal} NEW.pub`"
        for signer in root.signers.values()
        if signer.valid_before is not None and now <= signer.valid_before <= now + WARN
    ]
    return {
        "commit": head,
        "people": {
            email: {"roles": list(person.roles), "has_key": email in with_key}
            for email, person in sorted(root.people.items())
        },
        "keys": keys,
        "problems": problems,
        "warnings": ending,
        "doubtful": doubtful,
    }


def _ways_out(platform: Platform, releases: Collection[str]) -> dict[str, str]:
    """Say what to do about releases that a void key signed, by how they stand now."""
    from mlops_assets.flows.deployment import live_deployments

    found = {}
    try:
        live = live_deployments(platform.prod).values()
    except MlopsError as error:
        return dict.fromkeys(releases, f"what is live cannot be read: {error}")
    for view in lifecycle.fold(platform.ledger.entries(), None):
        if view.release not in releases:
            continue
        mine = sorted(str(each.circuit) for each in live if each.release == view.release)
        if mine:
            named = " ".join(f"--circuit {key}" for key in mine)
            found[view.release] = f"live, `mlops rollback {named} --as YOU --reason TEXT` goes back"
        elif view.open:
            found[view.release] = "not live yet, sign again with a key that counts"
        else:
            found[view.release] = "nothing of it is live"
    return found


def doubtful_releases(platform: Platform, root: TrustRoot) -> list[dict[str, str]]:
    """Approvals that a key gave after the moment from which it is revoked."""
    from mlops_assets.domain.signature import parse

    found: list[dict[str, str]] = []
    for view in lifecycle.fold(platform.ledger.entries(), None):
        for signed in view.signed:
            armored = platform.ledger.get("approvals", f"{signed.signature}.sig")
            if armored is None:
                continue
            try:
                name = fingerprint(parse(armored).key)
            except RefusedError:
                continue
            revocation = root.revoked.get(name)
            if revocation is not None and signed.at >= revocation.since:
                found.append(
                    {
                        "release": view.release,
                        "stage": signed.stage,
                        "principal": signed.principal,
                        "fingerprint": name,
                    }
                )
    return found


def _key(root: TrustRoot, signer: Signer, now: datetime) -> dict[str, Any]:
    try:
        root.signer(signer.key, now)
    except RefusedError as error:
        state = error.code
    else:
        state = "valid"
    return {
        "principal": signer.principal,
        "fingerprint": fingerprint(signer.key),
        "valid_before": signer.valid_before.isoformat() if signer.valid_before else None,
        "state": state,
    }


def _files(platform: Platform, commit: str) -> dict[str, bytes]:
    files = platform.config.files(commit)
    empty = trust_files((), ())
    return {name: files.get(name, empty[name]) for name in empty}


def _with_line(text: bytes, line: str) -> bytes:
    return text + (b"" if text.endswith(b"\n") or not text else b"\n") + line.encode() + b"\n"


def _commit(
    platform: Platform,
    files: dict[str, bytes],
    head: str,
    message: str,
    author: str,
) -> str:
    """Commit what changed, after reading the new root as a whole: a broken one is never written."""
    read_root(files, head)
    before = platform.config.files(head)
    changed = {name: data for name, data in files.items() if before.get(name) != data}
    return platform.config.commit(changed, message=message, author=author, branch=None)
