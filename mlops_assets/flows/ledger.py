"""Reading decisions: releases, manifests, the trust root, what is live, and who wrote a change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.domain import lifecycle
from mlops_assets.domain.approval import Authors
from mlops_assets.domain.errors import RefusedError
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
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from typing import Literal

    from mlops_assets.domain.circuit import Policy
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.manifest import Entry
    from mlops_assets.domain.release import LedgerEntry, ReleaseView
    from mlops_assets.ports import CommitInfo, ConfigRepository, Ledger, Platform, ServingWorkspace

# Whoever makes a home commits its first config under this address; only the root commit may.
PLATFORM_EMAIL = "platform@mlops-assets.local"


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
    from mlops_assets.catalog import parse_yaml

    commit = commit or config.head()
    files = config.files(commit)
    if missing := [name for name in (SIGNERS_FILE, ROLES_FILE, REVOKED_FILE) if name not in files]:
        raise RefusedError(
            "E_TRUST",
            f"the config at {commit[:12]} has no {missing[0]}: "
            "add people with `mlops trust add-person`",
        )
    return read_trust(
        files[SIGNERS_FILE],
        parse_yaml(files[ROLES_FILE], ROLES_FILE),
        parse_yaml(files[REVOKED_FILE], REVOKED_FILE),
        commit=commit,
    )


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
        elif now != entry.replaces and not (begun and now == _after(entry, manifest.release)):
            stale[str(entry.circuit)] = (
                f"{now or 'nothing'} is live, the release replaces {entry.replaces or 'nothing'}"
            )
    return stale


def _after(entry: Entry, release: str) -> str | None:
    return release if entry.action == "deploy" else None


def authors_of(platform: Platform, manifest: Manifest, trust: TrustRoot) -> Authors:
    """Everybody who wrote, committed or co-wrote what the release changes.

    That is every commit of the config repository since the config commit of each replaced entry,
    or, for a first deployment, since its spec file's first commit. The commit that made the home
    is nobody's.
    """
    entries = platform.ledger.entries()
    root = entries[0].data.get("root_commit") if entries else None
    known = {view.release: view for view in lifecycle.fold(entries, None)}
    people: set[str] = set()
    unmapped: set[str] = set()
    for commit in _commits(platform, manifest, known, root):
        if commit.commit == root and commit.author == commit.committer == PLATFORM_EMAIL:
            continue
        for address in (commit.author, commit.committer, *commit.co_authors):
            person = trust.person_of(address)
            (people.add(person) if person else unmapped.add(address))
    return Authors(people=frozenset(people), unmapped=frozenset(unmapped))


def _commits(
    platform: Platform, manifest: Manifest, known: dict[str, ReleaseView], root: str | None
) -> Iterable[CommitInfo]:
    config = platform.config
    at_root = config.files(root) if root else {}
    replaced: dict[str, Manifest] = {}
    whole: set[tuple[str | None, str]] = set()
    found: dict[str, CommitInfo] = {}
    for entry in manifest.entries:
        if entry.replaces is not None:
            if entry.replaces not in replaced:
                replaced[entry.replaces] = manifest_of(
                    platform.ledger, lifecycle.find(tuple(known.values()), entry.replaces)
                )
            base = replaced[entry.replaces].entry(entry.circuit).config_commit
            whole.add((base, entry.config_commit))
            continue
        file = f"plants/{entry.circuit}.yml"
        history = () if file in at_root else config.log(file, since=None, until=entry.config_commit)
        if history:
            found[history[-1].commit] = history[-1]
            whole.add((history[-1].commit, entry.config_commit))
        else:
            whole.add((None, entry.config_commit))
    for since, until in sorted(whole, key=str):
        for commit in config.log(None, since=since, until=until):
            found[commit.commit] = commit
    return found.values()
