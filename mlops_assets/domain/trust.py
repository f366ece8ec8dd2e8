"""The trust root: whose keys count, what each person may approve, and which keys are void.

Read only as the watched ref holds it. `allowed_signers` is a strict subset of OpenSSH's format, one
line a key, so that ``ssh-keygen -Y verify -f allowed_signers`` decides the same:

    EMAIL namespaces="release-approval.v1@mlops-assets"[,valid-after="..Z"][,valid-before="..Z"] KEY

Any line that is not so, a key that appears twice, or a principal without a role refuses the whole
root: a root that is half understood protects nobody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlops_assets.domain.canonical import expect_fields, moment_text, read_moment
from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.identifiers import IdentifierError
from mlops_assets.domain.signature import NAMESPACE, fingerprint, public_line, read_public_line

if TYPE_CHECKING:
    from collections.abc import Mapping

TRUST_FORMAT = 1
ROLES = ("ml_engineer", "engineering_manager", "reviewer", "viewer")
SIGNERS_FILE = "trust/allowed_signers"
ROLES_FILE = "trust/roles.yml"
REVOKED_FILE = "trust/revoked.yml"

_EMAIL = re.compile(r"[a-z0-9][a-z0-9._+-]{0,63}@[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)
_OPTION = re.compile(r'(namespaces|valid-after|valid-before)="([^"\\]*)"', re.ASCII)
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}", re.ASCII)
_MAXIMUM_BYTES = 256 * 2**10


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """One key and the one person it speaks for, from when to when."""

    principal: str
    key: bytes
    valid_after: datetime | None = None
    valid_before: datetime | None = None

    @property
    def line(self) -> str:
        """The key's line in `allowed_signers`."""
        options = [f'namespaces="{NAMESPACE}"']
        for name, moment in (
            ("valid-after", self.valid_after),
            ("valid-before", self.valid_before),
        ):
            if moment is not None:
                options.append(f'{name}="{moment.astimezone(UTC):%Y%m%d%H%M%S}Z"')
        return f"{self.principal} {','.join(options)} {public_line(self.key)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """What someone may approve, and the e-mail addresses their commits carry."""

    email: str
    roles: tuple[str, ...]
    git_emails: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """A key that counts for nothing any more; what it signed from ``since`` on is in doubt."""

    fingerprint: str
    since: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustRoot:
    """Everything above, checked as a whole, as one commit of the config repository holds it."""

    commit: str
    signers: Mapping[bytes, Signer]
    people: Mapping[str, Person]
    revoked: Mapping[str, Revocation]

    def signer(self, key: bytes, now: datetime) -> Signer:
        """Return who a key speaks for at ``now``, or refuse."""
        signer = self.signers.get(key)
        name = fingerprint(key)
        if revocation := self.revoked.get(name):
            raise RefusedError(
                "E_KEY_REVOKED",
                f"the key {name} was revoked on {moment_text(revocation.since)}: "
                f"{revocation.reason}",
            )
        if signer is None:
            raise RefusedError(
                "E_KEY_UNKNOWN",
                f"the key {name} is not in {SIGNERS_FILE} at {self.commit[:12]}: "
                "add it with `mlops trust add-key`",
            )
        if signer.valid_after is not None and now < signer.valid_after:
            raise RefusedError(
                "E_KEY_VALIDITY",
                f"the key {name} is valid only from {moment_text(signer.valid_after)}",
            )
        if signer.valid_before is not None and now >= signer.valid_before:
            raise RefusedError(
                "E_KEY_VALIDITY",
                f"the key {name} was valid only before {moment_text(signer.valid_before)}",
            )
        return signer

    def roles(self, principal: str) -> frozenset[str]:
        """Return the roles of a person; none for a stranger."""
        person = self.people.get(principal)
        return frozenset(person.roles) if person else frozenset()

    def person_of(self, git_email: str) -> str | None:
        """Return who commits under an e-mail address, None when nobody is known to."""
        wanted = git_email.casefold()
        for person in self.people.values():
            if wanted == person.email or wanted in person.git_emails:
                return person.email
        return None


def read_trust(
    signers: bytes, roles: Mapping[str, Any], revoked: Mapping[str, Any], *, commit: str
) -> TrustRoot:
    """Read a whole trust root: the bytes of `allowed_signers`, the documents of the other two."""
    try:
        people = _read_people(roles)
        revocations = _read_revoked(revoked)
    except IdentifierError as error:
        raise RefusedError("E_TRUST", str(error)) from error
    root = TrustRoot(
        commit=commit, signers=_read_signers(signers), people=people, revoked=revocations
    )
    for signer in root.signers.values():
        if signer.principal not in people:
            raise RefusedError(
                "E_TRUST",
                f"{SIGNERS_FILE}: {signer.principal} has a key but is not in {ROLES_FILE}",
            )
    return root


def checked_email(text: object, what: str) -> str:
    """Return one literal lower-case e-mail address; no pattern, no list, no other alphabet."""
    if not isinstance(text, str) or not _EMAIL.fullmatch(text):
        raise IdentifierError(f"{what}: {text!r} is not one lower-case e-mail address")
    return text


def _read_signers(data: bytes) -> Mapping[bytes, Signer]:
    if len(data) > _MAXIMUM_BYTES:
        raise RefusedError("E_TRUST", f"{SIGNERS_FILE} has more than {_MAXIMUM_BYTES} bytes")
    try:
        lines = data.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise RefusedError("E_TRUST", f"{SIGNERS_FILE} is not ASCII") from error
    signers: dict[bytes, Signer] = {}
    for number, line in enumerate(lines, start=1):
        if not line or line.startswith("#"):
            continue
        where = f"{SIGNERS_FILE}:{number}"
        try:
            signer = _read_signer(line)
        except (IdentifierError, RefusedError) as error:
            raise RefusedError("E_TRUST", f"{where}: {error}") from error
        if signer.key in signers:
            raise RefusedError("E_TRUST", f"{where}: this key is in the file twice")
        signers[signer.key] = signer
    return signers


def _read_signer(line: str) -> Signer:
    principal, space, rest = line.partition(" ")
    options_text, second_space, key_text = rest.partition(" ")
    if not (space and second_space and line.isprintable()):
        raise IdentifierError(f'write EMAIL namespaces="{NAMESPACE}" ssh-ed25519 KEY')
    checked_email(principal, "principal")
    options: dict[str, str] = {}
    for option in options_text.split(","):
        match = _OPTION.fullmatch(option)
        if match is None or match[1] in options:
            raise IdentifierError(f"{option!r} is not an option that may stand here once")
        options[match[1]] = match[2]
    if options.pop("namespaces", None) != NAMESPACE:
        raise IdentifierError(f'namespaces="{NAMESPACE}" must be there, and no other')
    validity = {name: _validity(text) for name, text in options.items()}
    return Signer(
        principal=principal,
        key=read_public_line(key_text),
        valid_after=validity.get("valid-after"),
        valid_before=validity.get("valid-before"),
    )


def _validity(text: str) -> datetime:
    if len(text) != len("YYYYmmddHHMMSSZ"):
        raise IdentifierError(f"{text!r} is not YYYYmmddHHMMSSZ, in UTC")
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise IdentifierError(f"{text!r} is not YYYYmmddHHMMSSZ, in UTC") from error


def _check_format(document: Mapping[str, Any], file: str, fields: set[str]) -> dict[str, Any]:
    checked = expect_fields(document, fields, what=file)
    if type(checked["format"]) is not int or checked["format"] != TRUST_FORMAT:
        raise IdentifierError(f"{file}: format: write {TRUST_FORMAT}")
    return checked


def _texts(value: object, what: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise IdentifierError(f"{what} is not a list of texts")
    return tuple(value)


def _read_people(document: Mapping[str, Any]) -> Mapping[str, Person]:
    entries = _check_format(document, ROLES_FILE, {"format", "people"})["people"]
    if not isinstance(entries, dict):
        raise IdentifierError(f"{ROLES_FILE}: people is not a mapping of e-mail addresses")
    people: dict[str, Person] = {}
    owner: dict[str, str] = {}
    for key, value in entries.items():
        email = checked_email(key, f"{ROLES_FILE}: people")
        what = f"{ROLES_FILE}: people.{email}"
        entry = expect_fields(value, {"roles", "git_emails"}, what=what)
        roles = _texts(entry["roles"], f"{what}.roles")
        if unknown := sorted(set(roles) - set(ROLES)):
            raise IdentifierError(f"{what}.roles: {unknown[0]!r} is none of {', '.join(ROLES)}")
        emails = tuple(text.casefold() for text in _texts(entry["git_emails"], what))
        for address in {email, *emails}:
            if owner.setdefault(address, email) != email:
                raise IdentifierError(
                    f"{what}.git_emails: {address} belongs to {owner[address]} too"
                )
        people[email] = Person(email=email, roles=roles, git_emails=emails)
    return people


def _read_revoked(document: Mapping[str, Any]) -> Mapping[str, Revocation]:
    entries = _check_format(document, REVOKED_FILE, {"format", "keys"})["keys"]
    if not isinstance(entries, list):
        raise IdentifierError(f"{REVOKED_FILE}: keys is not a list")
    revoked: dict[str, Revocation] = {}
    for value in entries:
        entry = expect_fields(
            value, {"fingerprint", "since", "reason"}, what=f"{REVOKED_FILE}: keys"
        )
        name, reason = entry["fingerprint"], entry["reason"]
        if not isinstance(name, str) or not _FINGERPRINT.fullmatch(name) or name in revoked:
            raise IdentifierError(f"{REVOKED_FILE}: {name!r} is not a fingerprint SHA256:... once")
        if not isinstance(reason, str) or not reason:
            raise IdentifierError(f"{REVOKED_FILE}: {name}: write a reason")
        try:
            since = read_moment(entry["since"])
        except IdentifierError as error:
            raise IdentifierError(f"{REVOKED_FILE}: {name}: since: {error}") from error
        revoked[name] = Revocation(fingerprint=name, since=since, reason=reason)
    return revoked
