"""Approvals: a person's signed statement about one request of one release.

The statement is an in-toto Statement v1 in canonical JSON. Its subjects are the manifest and every
circuit's entry, its predicate names the request (release, stage, nonce, window), the evidence and
the live deployments it was made against. A statement counts only if it is, byte for byte, the one
that this platform would issue now to that person; each way to differ has its own code.

Verification follows a fixed order and fails closed: armor and signature over the exact bytes, key,
canonical form, approver, request, role, authorship, subjects, evidence, base, window.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlops_assets.domain import signature as sshsig
from mlops_assets.domain.canonical import expect_fields, moment_text, read_canonical, shown
from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.identifiers import (
    CircuitKey,
    IdentifierError,
    canonical_json,
    digest_of,
    sha256,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mlops_assets.domain.circuit import StagePolicy
    from mlops_assets.domain.manifest import Manifest
    from mlops_assets.domain.release import OpenRequest, Stage
    from mlops_assets.domain.trust import TrustRoot

Decision = Literal["approve", "reject"]

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://mlops-assets/release-approval/v1"
# Room for 15,000 circuits.
MAXIMUM_BYTES = 2 * 2**20
# What a stage changes; `release_policy.yml` may narrow the roles, never widen them.
TARGETS: Mapping[Stage, str] = {"registry": "registry", "production": "prod"}
ROLES: Mapping[Stage, frozenset[str]] = {
    "registry": frozenset({"ml_engineer"}),
    "production": frozenset({"ml_engineer", "engineering_manager"}),
}
WINDOW_HOURS = 24
# Who opens a request that nobody asked for; it is no person and can sign nothing.
PLATFORM = "platform"

_STATEMENT_FIELDS = {"_type", "predicateType", "subject", "predicate"}
_PREDICATE_FIELDS = {
    "release",
    "stage",
    "environment",
    "nonce",
    "decision",
    "approver",
    "previous",
    "evidence",
    "requested_at",
    "expires_at",
}
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
# How much of a hostile text is shown: of a digest or id, and of a whole sentence.
_DIGITS = 16
_SENTENCE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the platform itself knows about a request, recomputed from storage.

    ``evidence`` maps kind to SHA-256; ``previous`` is `previous_digest` of what is live now.
    """

    request: OpenRequest
    manifest: Manifest
    evidence: Mapping[str, str]
    previous: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Authors:
    """Who wrote, committed or co-wrote what a release changes.

    ``people`` are principals, ``unmapped`` git addresses that belong to nobody in the trust root,
    ``newcomers`` principals who got a key, a role or an address by a commit that is a part of the
    change: whoever wrote it has chosen them.
    """

    people: frozenset[str] = frozenset()
    unmapped: frozenset[str] = frozenset()
    newcomers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A statement whose signature holds: its signer said this, whatever it is worth."""

    approver: str
    decision: Decision
    key: bytes
    text: bytes
    subject: list[Any]
    predicate: Mapping[str, Any]

    @property
    def release(self) -> str:
        """The release it names."""
        return str(self.predicate["release"])

    @property
    def sha256(self) -> str:
        """The name under which it is kept."""
        return sha256(self.text)


def previous_digest(live: Mapping[CircuitKey, str | None]) -> str:
    """Return the SHA-256 of which release each circuit of a release is served by now."""
    return digest_of({str(circuit): release for circuit, release in live.items()})


def evidence_digests(manifest: Manifest) -> dict[str, str]:
    """Return one SHA-256 a kind of registry evidence, over all circuits that are deployed."""
    by_kind: dict[str, dict[str, str]] = {}
    for entry in manifest.entries:
        for kind, digest in (entry.evidence or {}).items():
            by_kind.setdefault(kind, {})[str(entry.circuit)] = digest
    return {kind: digest_of(digests) for kind, digests in by_kind.items()}


def statement(asked: Asked, principal: str, decision: Decision) -> bytes:
    """Return the bytes that this person has to sign."""
    request, manifest = asked.request, asked.manifest
    return canonical_json(
        {
            "_type": STATEMENT_TYPE,
            "predicateType": PREDICATE_TYPE,
            "subject": _subject(manifest),
            "predicate": {
                "release": manifest.release,
                "stage": request.stage,
                "environment": TARGETS[request.stage],
                "nonce": request.nonce,
                "decision": decision,
                "approver": principal,
                "previous": asked.previous,
                "evidence": dict(asked.evidence),
                "requested_at": moment_text(request.requested_at),
                "expires_at": moment_text(request.expires_at),
            },
        }
    )


def _subject(manifest: Manifest) -> list[dict[str, Any]]:
    named = [("manifest", manifest.digest)]
    named += [(f"circuit/{entry.circuit}", entry.digest) for entry in manifest.entries]
    return [{"name": name, "digest": {"sha256": digest}} for name, digest in named]


def authenticate(data: bytes, armored: bytes, *, trust: TrustRoot, now: datetime) -> Statement:
    """Return a statement that its own approver signed with a key that counts at ``now``."""
    if len(data) > MAXIMUM_BYTES:
        raise RefusedError(
            "E_SIZE", f"the statement has {len(data)} bytes; at most {MAXIMUM_BYTES} are read"
        )
    key = sshsig.verify(armored, data)
    signer = trust.signer(key, now)
    try:
        document = expect_fields(
            read_canonical(data, what="the statement", limit=MAXIMUM_BYTES),
            _STATEMENT_FIELDS,
            what="the statement",
        )
        predicate = expect_fields(
            document["predicate"], _PREDICATE_FIELDS, what="the statement's predicate"
        )
    except IdentifierError as error:
        raise RefusedError("E_STATEMENT", shown(error, _SENTENCE)) from error
    if (document["_type"], document["predicateType"]) != (STATEMENT_TYPE, PREDICATE_TYPE):
        raise RefusedError("E_STATEMENT", f"the statement is not a {PREDICATE_TYPE}")
    _check_types(document["subject"], predicate)
    if predicate["approver"] != signer.principal:
        raise RefusedError(
            "E_APPROVER",
            f"the statement speaks for {shown(predicate['approver'])}, but {signer.principal} "
            "signed it",
        )
    return Statement(
        approver=signer.principal,
        decision=predicate["decision"],
        key=key,
        text=data,
        subject=document["subject"],
        predicate=predicate,
    )


def _check_types(subject: object, predicate: Mapping[str, Any]) -> None:
    for name in sorted(_PREDICATE_FIELDS - {"evidence"}):
        if not isinstance(predicate[name], str):
            raise RefusedError("E_STATEMENT", f"the statement's {name} is not text")
    if predicate["decision"] not in ("approve", "reject"):
        raise RefusedError("E_STATEMENT", "the statement's decision is neither approve nor reject")
    if not isinstance(predicate["evidence"], dict):
        raise RefusedError("E_STATEMENT", "the statement's evidence is not an object")
    if not isinstance(subject, list):
        raise RefusedError("E_STATEMENT", "the statement's subject is not a list")
    for item in subject:
        try:
            named = expect_fields(item, {"name", "digest"}, what="a subject")
            digest = expect_fields(named["digest"], {"sha256"}, what="a subject's digest")
        except IdentifierError as error:
            raise RefusedError("E_STATEMENT", shown(error, _SENTENCE)) from error
        _check_name(named["name"])
        if not isinstance(digest["sha256"], str) or not _DIGEST.fullmatch(digest["sha256"]):
            raise RefusedError("E_STATEMENT", "a subject's digest is not a SHA-256")


def _check_name(name: object) -> None:
    if name == "manifest":
        return
    if not isinstance(name, str) or not name.startswith("circuit/"):
        raise RefusedError("E_NAME", f"{shown(name)} is no subject of a release")
    try:
        CircuitKey.parse(name.removeprefix("circuit/"))
    except IdentifierError as error:
        raise RefusedError("E_NAME", f"a subject's name: {shown(error, _SENTENCE)}") from error


def verify(
    signed: Statement,
    *,
    asked: Asked,
    trust: TrustRoot,
    policy: StagePolicy,
    authors: Authors | None,
    now: datetime,
) -> None:
    """Refuse a statement that does not count for this request at ``now``.

    ``authors`` None means that four eyes are off here, for this release and this home alike.
    """
    check_request(signed, asked)
    check_role(signed.approver, asked.request.stage, trust, policy)
    if authors is not None:
        check_authorship(signed.approver, asked.request.requester, authors)
    check_content(signed, asked)
    check_window(asked.request, now)


def check_request(signed: Statement, asked: Asked) -> None:
    """Refuse a statement made for another release, stage, target or window."""
    request, predicate = asked.request, signed.predicate
    for name, code, expected in (
        ("release", "E_RELEASE", asked.manifest.release),
        ("stage", "E_STAGE", request.stage),
        ("environment", "E_ENVIRONMENT", TARGETS[request.stage]),
        ("nonce", "E_NONCE", request.nonce),
    ):
        if predicate[name] != expected:
            raise RefusedError(
                code,
                f"the statement is for {name} {shown(predicate[name], _DIGITS)}, "
                f"but this request is for {expected[:_DIGITS]}",
            )


def check_role(principal: str, stage: Stage, trust: TrustRoot, policy: StagePolicy) -> None:
    """Refuse people who may not open this stage."""
    allowed = ROLES[stage] & frozenset(policy.roles)
    if not allowed & trust.roles(principal):
        needed = " or ".join(sorted(allowed)) or "a role, but the policy names none that may"
        raise RefusedError("E_ROLE", f"{principal} may not open {stage}: it needs {needed}")


def check_authorship(principal: str, requester: str, authors: Authors) -> None:
    """Refuse whoever wrote the change or asked for it, and everybody while an author is unknown."""
    if authors.unmapped:
        raise RefusedError(
            "E_AUTHOR_UNKNOWN",
            f"{', '.join(map(shown, sorted(authors.unmapped)))} wrote a part of this change and is "
            "nobody in the trust root: add the address to git_emails of a person in "
            "trust/roles.yml",
        )
    if principal in authors.people:
        raise RefusedError(
            "E_SELF_APPROVAL", f"{principal} wrote a part of this change; somebody else must sign"
        )
    if principal in authors.newcomers:
        raise RefusedError(
            "E_TRUST_CHANGED",
            f"{principal} got a key, a role or an address by the very commit that is released; "
            "somebody must sign whom the trust root knew before",
        )
    if principal == requester:
        raise RefusedError(
            "E_SELF_APPROVAL", f"{principal} asked for this approval; somebody else must sign"
        )


def check_content(signed: Statement, asked: Asked) -> None:
    """Refuse a statement about another manifest, circuits, evidence, base or window."""
    predicate = signed.predicate
    if signed.subject != _subject(asked.manifest):
        raise RefusedError(
            "E_SUBJECT", f"the statement's subjects are not those of {asked.manifest.release}"
        )
    if predicate["evidence"] != dict(asked.evidence):
        raise RefusedError(
            "E_EVIDENCE", "the statement's evidence is not what is stored: ask for a new statement"
        )
    if predicate["previous"] != asked.previous:
        raise RefusedError(
            "E_STALE_BASE",
            "what is live has changed since the statement was made: create a new release",
        )
    if signed.text != statement(asked, signed.approver, signed.decision):
        raise RefusedError("E_WINDOW", "the statement's window is not that of the request")


def check_window(request: OpenRequest, now: datetime) -> None:
    """Refuse what comes after the window."""
    if now >= request.expires_at:
        raise RefusedError(
            "E_EXPIRED",
            f"the request expired at {moment_text(request.expires_at)}: "
            f"request {request.stage} again",
        )
