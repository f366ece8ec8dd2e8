"""Review of spec changes: what git says of them when a model is made, and again before signing.

The first is evidence of the model and written once; others may have written it first, so it counts
as far as git says the same now. Changes that nobody had reviewed by then may be reviewed later:
what git says of that is kept as evidence of the release, and signed with it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mlops_assets.domain import lifecycle
from mlops_assets.domain.errors import DataError, MlopsError, StaleError
from mlops_assets.domain.evidence import EVIDENCE_FORMAT, FILES, document_bytes
from mlops_assets.domain.gates import Verdict
from mlops_assets.domain.review import (
    GATE,
    LATER,
    judge_review,
    judge_reviewers,
    review_document,
)
from mlops_assets.flows.ledger import four_eyes, manifest_of, trust_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.domain.circuit import Config
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.manifest import Entry, Manifest
    from mlops_assets.domain.trust import TrustRoot
    from mlops_assets.ports import Platform


def document(
    platform: Platform, circuit: CircuitKey, *, since: str | None, until: str, head: str
) -> dict[str, Any]:
    """Return what git says of the changes in ``since..until``, by reviews up to ``head``."""
    repository, file = platform.config, f"plants/{circuit}.yml"
    commits = repository.log(file, since=since, until=until)
    root = repository.root_commit()
    found = review_document(circuit, file, commits, since=since, until=until, root=root)
    if found["reviewed"]:
        return found
    later = repository.reviews(since=since, until=head)
    return review_document(circuit, file, commits, since=since, until=until, root=root, later=later)


class Replaced:
    """The config commit of what each entry of a release replaces; each manifest is read once."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._known: dict[str, Mapping[CircuitKey, str]] = {}

    def commit(self, entry: Entry) -> str | None:
        """Return it, None where nothing is replaced: then every change of the spec counts."""
        if entry.replaces is None:
            return None
        if entry.replaces not in self._known:
            ledger = self._platform.ledger
            view = lifecycle.find(lifecycle.fold(ledger.entries(), None), entry.replaces)
            entries = manifest_of(ledger, view).entries
            self._known[entry.replaces] = {each.circuit: each.config_commit for each in entries}
        return self._known[entry.replaces].get(entry.circuit)


def keep(platform: Platform, config: Config, manifest: Manifest) -> None:
    """Keep, once, who reviewed afterwards what had no review when its model was made.

    Nothing is kept before every change of the release is reviewed: the gate says what is missing.
    """
    store = platform.dev.evidence
    if four_eyes(platform.ledger.entries(), config.policy) == "off":
        return
    if store.read_release(manifest.release, LATER) is not None:
        return
    trust, head = trust_at(platform.config), platform.config.head()
    found, replaced = {}, Replaced(platform)
    for entry in manifest.entries:
        if entry.action != "deploy":
            continue
        try:
            stored = store.read(entry.circuit, entry.model_version, "pull_request")
            if not _judged(stored, trust).passed:
                since = replaced.commit(entry)
                found[str(entry.circuit)] = _now(platform, entry, since, head)
        except MlopsError:
            return  # the gate names what is gone
    if found and all(_judged(document_bytes(each), trust).passed for each in found.values()):
        whole = {"format": EVIDENCE_FORMAT, "release": manifest.release, "head": head}
        # Somebody else may keep them at the same time, read at another commit: theirs counts.
        with suppress(StaleError):
            store.put_release(manifest.release, LATER, document_bytes(whole | {"circuits": found}))


def kept(platform: Platform, release: str) -> Mapping[str, Any] | None:
    """Return the reviews that a release carries besides those of its models."""
    stored = platform.dev.evidence.read_release(release, LATER)
    if stored is None:
        return None
    try:
        read = json.loads(stored)
        whole = (read["format"], read["release"]) == (EVIDENCE_FORMAT, release)
        whole = whole and isinstance(read["circuits"], dict) and isinstance(read["head"], str)
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(release) from error
    if not whole:
        raise _damaged(release)
    return dict(read)


def _damaged(release: str) -> DataError:
    return DataError(f"{release}: its evidence {LATER}.json is not as it was stored; restore it")


def shown(platform: Platform, release: str, entry: Entry) -> Mapping[str, Any]:
    """Return the review of one circuit as it counts for a release: the later one where there is."""
    later = kept(platform, release)
    if later is not None and (found := later["circuits"].get(str(entry.circuit))):
        return dict(found)
    stored = platform.dev.evidence.read(entry.circuit, entry.model_version, "pull_request")
    return dict(json.loads(stored))


def verdict(  # noqa: PLR0917 the contract of the gate that calls it
    platform: Platform,
    config: Config,
    entry: Entry,
    trust: TrustRoot,
    later: Mapping[str, Any] | None,
    replaced: Replaced,
) -> Verdict:
    """Ask whether each change of the spec was reviewed by a person of the trust root.

    What counts is what git says now of every change since what is replaced. The model's own
    evidence, and ``later``, which is what the release kept, have to say the same.
    """
    stored = platform.dev.evidence.read(entry.circuit, entry.model_version, "pull_request")
    if four_eyes(platform.ledger.entries(), config.policy) == "off":
        found = judge_review(stored)
        says = found.reason if found.passed else f"UNREVIEWED, four eyes off: {found.reason}"
        return Verdict(GATE, passed=True, reason=says)
    found = _judged(stored, trust)
    if why := _differs(platform, entry, json.loads(stored)):
        return Verdict(GATE, passed=False, reason=why)
    head = platform.config.head()
    known = None if later is None else later["circuits"].get(str(entry.circuit))
    if later is not None and known is not None:
        if not platform.config.contains(later["head"], head):
            says = f"the commit {later['head'][:12]} that its review was read at is gone"
            return Verdict(GATE, passed=False, reason=says)
        head = later["head"]
    now = _now(platform, entry, replaced.commit(entry), head)
    if known is not None and now != known:
        says = f"{LATER}.json of the release is not what git says of the changes"
        return Verdict(GATE, passed=False, reason=says)
    counts = _judged(document_bytes(now), trust)
    return found if found.passed and counts.passed else counts


def _differs(platform: Platform, entry: Entry, stored: Mapping[str, Any]) -> str:
    """Say where a model's evidence is not what git says of the same changes; empty where it is."""
    until = platform.dev.models.get(entry.circuit, entry.model_version).config_commit
    own = document(platform, entry.circuit, since=stored.get("since"), until=until, head=until)
    ours, theirs = _reviewers(own), _reviewers(stored)
    odd = sorted({*ours, *theirs} if stored.get("until") != until else ())
    odd += sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
    if not odd and (stored.get("until"), stored.get("file")) == (until, own["file"]):
        return ""
    named = f" of commit {odd[0][:12]}" if odd else ""
    return (
        f"{FILES['pull_request']} of model {entry.model_version} is not what git says{named}: "
        f"somebody else wrote it; change {own['file']}, so that another model gets its own"
    )


def _reviewers(found: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    return {change["commit"]: tuple(sorted(change["reviewers"])) for change in found["changes"]}


def _judged(data: bytes, trust: TrustRoot) -> Verdict:
    found = judge_review(data)
    return (judge_reviewers(json.loads(data), trust) or found) if found.passed else found


def _now(platform: Platform, entry: Entry, since: str | None, head: str) -> dict[str, Any]:
    """What git says up to ``head`` of the changes that a release's entry brings."""
    until = platform.dev.models.get(entry.circuit, entry.model_version).config_commit
    return document(platform, entry.circuit, since=since, until=until, head=head)
