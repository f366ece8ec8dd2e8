"""A small world of requests and people, each request with a statement that is accepted as it is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from mlops_assets.domain.approval import (
    Asked,
    Authors,
    authenticate,
    evidence_digests,
    previous_digest,
    statement,
    verify,
)
from mlops_assets.domain.circuit import StagePolicy
from mlops_assets.domain.identifiers import CircuitKey, sha256
from mlops_assets.domain.release import OpenRequest, Stage
from mlops_assets.domain.signature import sign
from mlops_assets.domain.trust import TrustRoot
from mlops_assets_tests.fakes.deployment import a_release, an_entry, retired
from mlops_assets_tests.fakes.release import (
    AUTHOR,
    ENGINEER,
    MANAGER,
    PEOPLE,
    STRANGER,
    VIEWER,
    keys_of,
    signer,
)

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
POLICIES = {
    "registry": StagePolicy(roles=("ml_engineer",)),
    "production": StagePolicy(roles=("ml_engineer", "engineering_manager")),
}
# Whom a stage accepts; AUTHOR wrote the change and STRANGER is in no trust root.
SIGNER: dict[Stage, str] = {"registry": ENGINEER, "production": MANAGER}
ANYBODY = (ENGINEER, MANAGER, AUTHOR, VIEWER, STRANGER)
_SIGNERS = [signer(person.email) for person in PEOPLE] + [signer(ENGINEER, 1)]
TRUST = TrustRoot(
    commit="c" * 40,
    signers={each.key: each for each in _SIGNERS},
    people={person.email: person for person in PEOPLE},
    revoked={},
)
AUTHORS = Authors(people=frozenset({AUTHOR}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to have a statement counted: what is handed in, and where."""

    data: bytes
    armored: bytes
    asked: Asked
    now: datetime = NOW
    trust: TrustRoot = field(default=TRUST, repr=False)
    authors: Authors = AUTHORS

    def __call__(self) -> str:
        """Authenticate and verify, as `submit` and the gate do."""
        said = authenticate(self.data, self.armored, trust=self.trust, now=self.now)
        verify(
            said,
            asked=self.asked,
            trust=self.trust,
            policy=POLICIES[self.asked.request.stage],
            authors=self.authors,
            now=self.now,
        )
        return said.approver

    @property
    def identity(self) -> int:
        """Different for different attempts."""
        return hash(
            (
                self.data,
                self.armored,
                self.asked.request,
                self.asked.manifest.release,
                self.asked.previous,
                tuple(sorted(self.asked.evidence.items())),
                self.now,
                frozenset(signer.line for signer in self.trust.signers.values()),
                repr(self.trust.people),
                frozenset(self.trust.revoked.items()),
                self.authors.people,
                self.authors.unmapped,
            )
        )


def signed(data: bytes, person: str, number: int = 0) -> bytes:
    """Sign as one person, with one of their keys."""
    return sign(keys_of(person, number).private_file, data)


def asked_for(number: int, stage: Stage, window: int) -> Asked:
    """The request number ``window`` for a stage of release ``number``, all deterministic."""
    plants = [CircuitKey(f"P{number % 3 + 1}", f"C{circuit:03}") for circuit in range(1, 4)]
    kinds = {kind: sha256(f"{kind}{number}".encode()) for kind in ("metrics", "lineage")}
    entries = [an_entry(key, digest=sha256(f"{key}{number}".encode()), evidence=kinds) for key in
               plants[: 1 + number % 3]]  # fmt: skip
    if number % 4 == 3:
        entries.append(retired(CircuitKey("P9", "C9"), "r-" + "9" * 12))
    manifest = a_release(*entries, attempt=1 + number % 2)
    evidence = (
        evidence_digests(manifest)
        if stage == "registry"
        else {kind: sha256(f"{kind}{number}".encode()) for kind in ("test_validation", "plan")}
    )
    opened = NOW - timedelta(hours=1 + window)
    request = OpenRequest(
        release=manifest.release,
        stage=stage,
        nonce=sha256(f"nonce {number} {stage} {window}".encode()),
        requester="platform",
        requested_at=opened,
        expires_at=opened + timedelta(hours=24),
    )
    live = dict.fromkeys(manifest.circuits, None if number % 2 else "r-" + "1" * 12)
    return Asked(
        request=request, manifest=manifest, evidence=evidence, previous=previous_digest(live)
    )


def accepted(asked: Asked, person: str | None = None) -> Attempt:
    """The attempt that counts: the statement that the platform issues, signed by the right one."""
    person = person or SIGNER[asked.request.stage]
    data = statement(asked, person, "approve")
    return Attempt(data=data, armored=signed(data, person), asked=asked)


def requests(count: int = 12) -> list[Asked]:
    """Open requests for several releases, both stages and two windows each."""
    stages: tuple[Stage, ...] = ("registry", "production")
    return [
        asked_for(number, stage, window)
        for number in range(count)
        for stage in stages
        for window in (0, 3)
    ]


def elsewhere(attempt: Attempt, asked: Asked) -> Attempt:
    """The same paper handed in for another request."""
    return replace(attempt, asked=asked)
