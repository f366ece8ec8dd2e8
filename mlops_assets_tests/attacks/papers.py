"""Families of generated attacks on one statement; each starts from one that is accepted as it is.

A family is a function of chance and of the requests that are open; it returns what was accepted
and what the attack makes of it. The attacker is the strongest that signatures allow: where it
helps, a bent statement is signed anew with the very key whose signature would have counted.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from mlops_assets.domain.approval import Asked, Authors, statement
from mlops_assets.domain.identifiers import canonical_json
from mlops_assets.domain.trust import ROLES, Person, Revocation, TrustRoot
from mlops_assets_tests.attacks.armor import BENDS
from mlops_assets_tests.attacks.names import a_name, a_principal
from mlops_assets_tests.attacks.scene import (
    ANYBODY,
    AUTHOR,
    NOW,
    SIGNER,
    TRUST,
    Attempt,
    accepted,
    elsewhere,
    signed,
)
from mlops_assets_tests.fakes.release import keys_of, signer

Pair = tuple[Attempt, Attempt]
Family = Callable[[random.Random, Sequence[Asked]], Pair]


def _signer(attempt: Attempt) -> str:
    return SIGNER[attempt.asked.request.stage]


def _anew(attempt: Attempt, data: bytes) -> Attempt:
    """Signed again by the one whose signature counts."""
    return replace(attempt, data=data, armored=signed(data, _signer(attempt)))


def flip_statement(chance: random.Random, asked: Sequence[Asked]) -> Pair:
    """One bit of the statement, under its old signature."""
    good = accepted(chance.choice(asked))
    return good, replace(good, data=_flipped(chance, good.data))


def flip_and_sign(chance: random.Random, asked: Sequence[Asked]) -> Pair:
    """One bit of the statement, and the rightful person signs what came out."""
    good = accepted(chance.choice(asked))
    return good, _anew(good, _flipped(chance, good.data))


def _flipped(chance: random.Random, data: bytes) -> bytes:
    flipped = bytearray(data)
    bit = chance.randrange(len(flipped) * 8)
    flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)


def splice(chance: random.Random, asked: Sequence[Asked]) -> Pair:
    """Cut, lengthened, doubled, or put together from two statements; signed anew."""
    good, other = (accepted(chance.choice(asked)) for _ in range(2))
    at = chance.randrange(1, len(good.data))
    junk = bytes(chance.choices(range(256), k=chance.randint(1, 20)))
    data = chance.choice(
        [
            good.data[:at],
            good.data[at:],
            good.data + junk,
            junk + good.data,
            good.data + good.data,
            good.data[:at] + junk + good.data[at:],
            good.data[:at] + other.data[at:],
            b"[" + good.data + b"]",
            b"[" * chance.choice([10, 1000, 100_000]) + good.data,
        ]
    )
    return good, _anew(good, data)


def rewrite(chance: random.Random, asked: Sequence[Asked]) -> Pair:
    """The same document in another JSON text: spaces, order, doubled keys, escapes, encodings."""
    good = accepted(chance.choice(asked))
    document, text = json.loads(good.data), good.data
    at = chance.choice([place for place, byte in enumerate(text) if byte in b',:{}["]'])
    key = chance.choice(["_type", "predicate", "subject", "predicateType"])
    nonce = document["predicate"]["nonce"].encode()
    data = chance.choice(
        [
            json.dumps(document, sort_keys=True).encode(),
            json.dumps(document, indent=chance.randint(1, 4), sort_keys=True).encode(),
            json.dumps(dict(reversed(document.items())), separators=(",", ":")).encode(),
            text[:at] + chance.choice([b" ", b"\n", b"\t", b"\r\n", b"\0", b"/**/"]) + text[at:],
            b"{" + json.dumps(key).encode() + b":1," + text[1:],
            text[:-1] + b"," + json.dumps(key).encode() + b":1}",
            text.replace(nonce, b"".join(b"\\u%04x" % byte for byte in nonce), 1),
            text.replace(b"/", b"\\/", chance.randint(1, 3)),
            b"\xef\xbb\xbf" + text,
            text.decode().encode(chance.choice(["utf-16", "utf-16-le", "utf-32", "utf-7"])),
            text.replace(b'"approve"', chance.choice([b"true", b"NaN", b"-0", b"1e999", b"1.0"])),
        ]
    )
    return good, _anew(good, data if data != text else text + b" ")


_VALUES: Sequence[object] = (
    None, True, False, 0, -1, 2**53, 10**400, "", " ", "approve", "reject", "registry", "test",
    "production", "prod", "*", "r-" + "0" * 12, "0" * 64, "A" * 64, "0" * 63, "0" * 65,
    "2026-06-01T12:00:00Z", "9999-12-31T23:59:59Z", "0000-00-00T00:00:00Z", "\x1b[2J\x1b[H", "a\nb",
    "\u202eevorppa", "\ud800", "approve\u200b", [], {}, [[]], {"sha256": "0" * 64}, ["approve"],
    "../../etc/passwd", "x" * 100_000,
)  # fmt: skip


def change_field(chance: random.Random, asked: Sequence[Asked]) -> Pair:
    """One or two fields hold another value, another statement's, nothing, or a field is added."""
    good = accepted(chance.choice(asked))
    other = json.loads(accepted(chance.choice(asked)).data)
    document = json.loads(good.data)
    for _ in range(chance.randint(1, 2)):
        path = chance.choice(list(_paths(document)) or [()])
        if not path:
            break
        place = _at(document, path[:-1])
        match chance.randrange(5):
            case 0:
                del place[path[-1]]
            case 1:
                place[path[-1]] = chance.choice(_VALUES)
            case 2:
                place[path[-1]] = _text_changed(chance, place[path[-1]])
            case 3:
                place[path[-1]] = _at(other, path)
            case _ if isinstance(place, list):
                place.insert(chance.randrange(len(place) + 1), chance.choice(_VALUES))
            case _:
                place[chance.choice(["extra", "signed_at", "", "__proto__", "Nonce"])] = 1
    try:
        data = canonical_json(document)
    except ValueError:
        data = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    return good, _anew(good, data)


def _paths(value: object, before: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    if isinstance(value, dict):
        items: Sequence[tuple[object, object]] = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    else:
        return []
    found = []
    for key, inner in items:
        found += [(*before, key), *_paths(inner, (*before, key))]
    return found


def _at(value: object, path: Sequence[object]) -> object:
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _text_changed(chance: random.Random, value: object) -> object:
    if not isinstance(value, str) or not value:
        return chance.choice(_VALUES)
    at = chance.randrange(len(value))
    return chance.choice(
        [
            value[:at] + value[at + 1 :],
            value[:at] + chance.choice("0aZ/ \n\u0430\u200b\0") + value[at:],
            value.swapcase(),
            f" {value}",
            f"{value}\n",
            value[::-1],
        ]
    )


def rename(chance: random.Random, asked: Sequence[Asked]) -> Pair:
    """A subject or the approver gets a name that looks, sorts, folds or resolves like the right."""
    good = accepted(chance.choice(asked))
    document = json.loads(good.data)
    if chance.random() < 0.7:
        item = chance.choice(document["subject"])
        item["name"] = a_name(chance, item["name"])
    else:
        document["predicate"]["approver"] = a_principal(chance, document["predicate"]["approver"])
    return good, _anew(good, canonical_json(document))


def replay(chance: random.Random, asked: Sequence[Asked]) -> Pair:
    """A paper that counted for one request is handed in for another."""
    one, other = chance.sample(asked, 2)
    good = accepted(one)
    return good, elsewhere(good, other)


def transplant(chance: random.Random, asked: Sequence[Asked]) -> Pair:
    """The signature of one statement under another one, of the same or another person."""
    one, other = (accepted(each) for each in chance.sample(asked, 2))
    return one, replace(one, armored=other.armored)


def sign_for_another(chance: random.Random, asked: Sequence[Asked]) -> Pair:
    """Somebody signs the statement that was issued to somebody else, or one of their own."""
    request = chance.choice(asked)
    good = accepted(request)
    person = chance.choice([each for each in ANYBODY if each != _signer(good)])
    if chance.random() < 0.5:
        return good, replace(good, armored=signed(good.data, person))
    if request.request.stage == "production" and person != AUTHOR and _may(person):
        person = AUTHOR
    data = statement(request, person, "approve")
    return good, replace(good, data=data, armored=signed(data, person, chance.randrange(2)))


def _may(person: str) -> bool:
    return bool(TRUST.roles(person) & {"ml_engineer", "engineering_manager"})


def wrong_hour(chance: random.Random, asked: Sequence[Asked]) -> Pair:
    """The right paper at or after its last second."""
    good = accepted(chance.choice(asked))
    late = timedelta(seconds=chance.choice([0, 1, 60, chance.randrange(10**8)]))
    return good, replace(good, now=good.asked.request.expires_at + late)


def other_world(chance: random.Random, asked: Sequence[Asked]) -> Pair:
    """What is stored changed since the signature: evidence, base, content, nonce, window."""
    good = accepted(chance.choice(asked))
    now, request = good.asked, good.asked.request
    kind = chance.choice(sorted(now.evidence))
    digest = f"{chance.getrandbits(256):064x}"
    hours = timedelta(hours=chance.choice([-1, 1, 2, 24]))
    changed = chance.choice(
        [
            replace(now, evidence={**now.evidence, kind: digest}),
            replace(now, evidence={**now.evidence, "more": digest}),
            replace(now, evidence={k: v for k, v in now.evidence.items() if k != kind}),
            replace(now, previous=digest),
            replace(now, manifest=replace(now.manifest, attempt=chance.randint(3, 10**6))),
            replace(now, request=replace(request, nonce=digest)),
            replace(now, request=replace(request, requested_at=request.requested_at - hours)),
            replace(now, request=replace(request, expires_at=request.expires_at + hours)),
        ]
    )
    return good, replace(good, asked=changed)


def other_people(chance: random.Random, asked: Sequence[Asked]) -> Pair:
    """The signer wrote a part, asked for it, lost the role or the key; or an author is unknown."""
    good = accepted(chance.choice(asked))
    who, request = _signer(good), good.asked.request
    person = TRUST.people[who]
    fewer = [role for role in ROLES if role in {"viewer", "reviewer"}]
    sleeping = [signer(each) for each in (who,)]
    mallory = Authors(unmapped=frozenset({a_principal(chance, who)}))
    key = signer(who)
    name = _fingerprint(key.key)
    since = NOW + timedelta(days=chance.randint(-900, 900))
    days = timedelta(days=chance.randint(1, 900))
    changed = chance.choice(
        [
            replace(good, authors=Authors(people=frozenset({who, AUTHOR}))),
            replace(good, authors=mallory),
            replace(good, asked=replace(good.asked, request=replace(request, requester=who))),
            _trusting(good, people={**TRUST.people, who: replace(person, roles=tuple(fewer))}),
            _trusting(good, people={k: v for k, v in TRUST.people.items() if k != who}),
            _trusting(good, signers={k: v for k, v in TRUST.signers.items() if v.principal != who}),
            _trusting(good, signers={key.key: replace(key, valid_before=NOW - days)}),
            _trusting(good, signers={key.key: replace(key, valid_after=NOW + days)}),
            _trusting(good, signers={sleeping[0].key: replace(sleeping[0], principal=AUTHOR)}),
            _trusting(
                good,
                revoked={name: Revocation(fingerprint=name, since=since, reason="lost")},
            ),
            _trusting(good, people={who: Person(email=who, roles=(), git_emails=())}),
        ]
    )
    if changed.asked != good.asked and chance.random() < 0.5:
        return good, _anew(changed, statement(changed.asked, who, "approve"))
    return good, changed


def _trusting(good: Attempt, **changed: object) -> Attempt:
    return replace(good, trust=replace(TRUST, **changed))


def _fingerprint(key: bytes) -> str:
    from mlops_assets.domain.signature import fingerprint

    return fingerprint(key)


def bend_trust(chance: random.Random, asked: Sequence[Asked]) -> Pair:
    """The trust root's own files are bent; whatever still reads accepts no stranger."""
    from mlops_assets_tests.attacks.names import bent_root

    good = accepted(chance.choice(asked))
    root = bent_root(chance)
    stranger = "stranger@co.example"
    data = statement(good.asked, chance.choice([stranger, _signer(good)]), "approve")
    return good, replace(good, data=data, armored=signed(data, stranger), trust=root)


def _bend(bend: Callable[[random.Random, bytes], bytes]) -> Family:
    def family(chance: random.Random, asked: Sequence[Asked]) -> Pair:
        good = accepted(chance.choice(asked))
        while (bent := bend(chance, good.armored)) == good.armored:
            continue
        return good, replace(good, armored=bent)

    return family


FAMILIES: dict[str, Family] = {
    "statement: bit": flip_statement,
    "statement: bit, signed anew": flip_and_sign,
    "statement: spliced, signed anew": splice,
    "statement: other JSON, signed anew": rewrite,
    "statement: fields, signed anew": change_field,
    "statement: names, signed anew": rename,
    **{name: _bend(bend) for name, bend in BENDS.items()},
    "replay for another request": replay,
    "signature of another statement": transplant,
    "signature of another person": sign_for_another,
    "after its window": wrong_hour,
    "what is stored has changed": other_world,
    "what people are has changed": other_people,
    "trust root: bent files": bend_trust,
}

__all__ = ["FAMILIES", "Family", "TrustRoot", "keys_of"]
