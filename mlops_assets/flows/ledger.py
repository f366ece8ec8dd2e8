"""Reading decisions: releases, manifests, the trust root, what is live, and who wrote a change."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from mlops_assets.domain import lifecycle
from mlops_assets.domain.approval import Authors
from mlops_assets.domain.errors import ConfigError, RefusedError
from mlops_assets.domain.evidence import PLATFORM_EMAIL
from mlops_assets.domain.identifiers import IdentifierError
from mlops_assets.domain.manifest import Manifest
from mlops_assets.domain.trust import (
    REVOKED_FILE,
    ROLES_FILE,
    SIGNERS_FILE,
    TrustRoot,
    read_trust,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from typing import Literal

    from mlops_assets.domain.circuit import Policy
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.manifest import Entry
    from mlops_assets.domain.release import LedgerEntry, ReleaseView
    from mlops_assets.ports import CommitInfo, ConfigRepository, Ledger, Platform, ServingWorkspace

# Where config lies that changes what is released; the rest is the trust root and prose.
_CONTENT = ("plants", "environments", "plants_circuits.yml", "release_policy.yml")


def views(platform: Platform, now: datetime) -> tuple[ReleaseView, ...]:
    """Every release in order of creation, with requests that ran out taken back."""
    return lifecycle.fold(platform.ledger.entries(), now)


def manifest_of(ledger: Ledger, view: ReleaseView) -> Manifest:
    """A release's manifest, checked against the digest that the ledger holds."""
    return read_manifest(ledger, view.release, view.digest)


def read_manifest(ledger: Ledger, release: str, digest: str) -> Manifest:
    """The same by id and digest."""
    data = ledger.get("releases", f"{release}.json")
    if data is None:
        raise RefusedError("E_MANIFEST", f"{release}: its manifest is gone from ledger/releases")
    try:
        manifest = Manifest.from_bytes(data)
    except IdentifierError as error:
        raise RefusedError("E_MANIFEST", f"{release}: {error}") from error
    if manifest.digest != digest or manifest.release != release:
        raise RefusedError(
            "E_MANIFEST",
            f"{release}: its manifest has digest {manifest.digest[:12]}, "
            f"but the ledger says {digest[:12]}",
        )
    return manifest


def trust_at(config: ConfigRepository, commit: str | None = None) -> TrustRoot:
    """The trust root as the watched ref holds it now, or as one commit held it."""
    commit = commit or config.head()
    files = config.files(commit)
    if missing := [name for name in (SIGNERS_FILE, ROLES_FILE, REVOKED_FILE) if name not in files]:
        raise RefusedError(
            "E_TRUST",
            f"the config at {commit[:12]} has no {missing[0]}: "
            "add people with `mlops trust add-person`",
        )
    return read_root(files, commit)


def read_root(files: Mapping[str, bytes], commit: str) -> TrustRoot:
    """The trust root in the three files of a commit, whole or refused."""
    from mlops_assets.catalog.nodes import parse, plain_value

    try:
        roles, revoked = (
            plain_value(parse(name, files[name])) for name in (ROLES_FILE, REVOKED_FILE)
        )
    except ConfigError as error:
        raise RefusedError("E_TRUST", str(error)) from error
    return read_trust(files[SIGNERS_FILE], roles, revoked, commit=commit)


def four_eyes(entries: Sequence[LedgerEntry], policy: Policy) -> Literal["required", "off"]:
    """Whether authors may sign: only where the policy says so and the home was made so."""
    made_so = bool(entries) and entries[0].data.get("four_eyes") == "off"
    return "off" if made_so and policy.four_eyes == "off" else "required"


def live_releases(
    serving: ServingWorkspace, circuits: Iterable[CircuitKey]
) -> dict[CircuitKey, str | None]:
    """Which release serves each circuit now; each plant's live manifest is read once."""
    wanted = sorted(circuits)
    plants = {circuit.plant_id for circuit in wanted}
    live = {plant: serving.endpoints.live(plant).live for plant in sorted(plants)}
    return {
        circuit: deployment.release
        if (deployment := live[circuit.plant_id].get(circuit.circuit_id))
        else None
        for circuit in wanted
    }


def stale_circuits(platform: Platform, view: ReleaseView, manifest: Manifest) -> dict[str, str]:
    """Circuits that are no longer served by what the release replaces, each with the reason.

    Once its production stage has begun, circuits that it changed already are as they should be,
    and those that were rolled back from it since must not be deployed again.
    """
    begun = view.begun is not None and view.begun.stage == "production"
    live = live_releases(platform.prod, manifest.circuits)
    stale: dict[str, str] = {}
    for entry in manifest.entries:
        now = live[entry.circuit]
        if begun and entry.circuit in view.rolled_back:
            stale[str(entry.circuit)] = "was rolled back before the deployment ended"
        elif now != entry.replaces and not (begun and now == served_after(entry, manifest.release)):
            stale[str(entry.circuit)] = (
                f"{now or 'nothing'} is live, the release replaces {entry.replaces or 'nothing'}"
            )
    return stale


def served_after(entry: Entry, release: str) -> str | None:
    """Which release serves an entry's circuit once it is done; None for a retirement."""
    return release if entry.action == "deploy" else None


def authors_of(platform: Platform, manifest: Manifest, trust: TrustRoot) -> Authors:
    """Everybody who wrote, committed or co-wrote what the release changes.

    That is every commit of the config repository since the config commit of each replaced entry,
    or, for a first deployment, since its spec file's first commit. Nobody's are the commit that
    made the home, and those by which the platform changed the trust root and nothing else.
    An address counts for everybody to whom it belonged on the way: moving it hides nobody.
    """
    entries = platform.ledger.entries()
    root = entries[0].data.get("root_commit") if entries else None
    commits = _commits(platform, manifest, lifecycle.fold(entries, None), root)
    ours = {
        commit.commit
        for commit in commits
        if {commit.author, commit.committer, *commit.co_authors} == {PLATFORM_EMAIL}
    }
    if ours - {root}:
        ours -= _touching(platform.config, _CONTENT) - {root}
    theirs = [commit for commit in commits if commit.commit not in ours]
    trusting = _touching(platform.config, ("trust",)) if theirs else set()
    changes = [commit for commit in theirs if commit.commit in trusting and commit.parent]
    befores = {change.parent or "" for change in changes}
    untils = {entry.config_commit for entry in manifest.entries} if theirs else set()
    roots = [trust, *_roots(platform.config, befores | untils)]
    people: set[str] = set()
    unmapped: set[str] = set()
    for commit in theirs:
        for address in (commit.author, commit.committer, *commit.co_authors):
            people |= {person for each in roots if (person := each.person_of(address))}
            if trust.person_of(address) is None:
                unmapped.add(address)
    return Authors(
        people=frozenset(people),
        unmapped=frozenset(unmapped),
        newcomers=_newcomers(platform.config, changes, trust),
    )


def _touching(config: ConfigRepository, paths: Iterable[str]) -> set[str]:
    """Every commit up to the watched ref that changed one of these paths, merges included."""
    head = config.head()
    return {commit.commit for path in paths for commit in config.log(path, since=None, until=head)}


def _roots(config: ConfigRepository, commits: Iterable[str]) -> list[TrustRoot]:
    """The trust roots of some commits, each content once; one that cannot be read names nobody."""
    found: dict[tuple[bytes | None, ...], TrustRoot] = {}
    for commit in sorted(commits):
        files = config.files(commit)
        content = tuple(files.get(name) for name in (SIGNERS_FILE, ROLES_FILE, REVOKED_FILE))
        if None not in content and content not in found:
            with suppress(RefusedError):
                found[content] = read_root(files, commit)
    return list(found.values())


def _newcomers(
    config: ConfigRepository, changes: Sequence[CommitInfo], trust: TrustRoot
) -> frozenset[str]:
    """Who got a key, a role or an address by a commit that also changed what is released."""
    found: set[str] = set()
    content = _touching(config, _CONTENT) if changes else set()
    for change in changes:
        if change.commit in content and change.parent is not None:
            before = {who for root in _roots(config, {change.parent}) for who in _standing(root)}
            after = (_roots(config, {change.commit}) or [trust])[0]
            found |= {str(who[0]) for who in _standing(after) - before}
    return frozenset(found)


def _standing(root: TrustRoot) -> set[tuple[str, ...]]:
    """What each person may do and by which keys and addresses, to be compared."""
    return {
        (
            email,
            *person.roles,
            *person.git_emails,
            *sorted(signer.line for signer in root.signers.values() if signer.principal == email),
        )
        for email, person in root.people.items()
    }


def _commits(
    platform: Platform, manifest: Manifest, known: tuple[ReleaseView, ...], root: str | None
) -> tuple[CommitInfo, ...]:
    config = platform.config
    at_root = config.files(root) if root else {}
    replaced: dict[str, Manifest] = {}
    ranges: set[tuple[str | None, str]] = set()
    found: dict[str, CommitInfo] = {}
    for entry in manifest.entries:
        since: str | None = None
        if entry.replaces is not None:
            if entry.replaces not in replaced:
                view = lifecycle.find(known, entry.replaces)
                replaced[entry.replaces] = manifest_of(platform.ledger, view)
            since = replaced[entry.replaces].entry(entry.circuit).config_commit
        elif (file := f"plants/{entry.circuit}.yml") not in at_root:
            history = config.log(file, since=None, until=entry.config_commit)
            if history:
                found[history[-1].commit] = history[-1]
                since = history[-1].commit
        ranges.add((since, entry.config_commit))
    for since, until in sorted(ranges, key=str):
        for commit in config.log(None, since=since, until=until):
            found[commit.commit] = commit
    return tuple(found.values())
