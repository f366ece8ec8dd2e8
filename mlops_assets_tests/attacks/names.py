"""Names that look, sort, fold or resolve like another one, and trust roots that are bent."""

from __future__ import annotations

import random
from collections.abc import Sequence

from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.signature import NAMESPACE, public_line
from mlops_assets.domain.trust import Signer, TrustRoot, read_trust
from mlops_assets_tests.fakes.release import PEOPLE, STRANGER, VIEWER, signer

# Letters of other alphabets, digits and widths that a reader takes for the first.
LOOKALIKES = {
    "A": "\u0410\u0391\uff21", "B": "\u0412\u0392\uff22", "C": "\u0421\u03f9\uff23",
    "P": "\u0420\u03a1\uff30", "a": "\u0430\u0251", "c": "\u0441\u03f2", "e": "\u0435\u212f",
    "g": "\u0261", "i": "\u0456\u0131", "m": "\uff4d", "n": "\u0578", "o": "\u043e\u03bf",
    "p": "\u0440\u03c1", "r": "\u0433", "t": "\u0442", "x": "\u0445", "0": "O\u041e\uff10\u0660",
    "1": "lI\uff11\u0661", "2": "\u0662\uff12", "3": "\u0417\uff13", "/": "\u2215\u2044\uff0f\\",
    "@": "\uff20", ".": "\uff0e\u2024", "-": "\u2010\u2212",
}  # fmt: skip
_HIDDEN = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u202e\u202d\u0301\u0000\n\r\t\x1b\x7f\u0085\u2028"
_CLIMBS = (
    "../", "..", "./", "/", "//", "\\", "..\\", "%2e%2e%2f", "%2F", "....//", "~/", "C:\\",
    "\\\\?\\", "file:///", "CON/", "NUL", "..;/", "$HOME/", "`id`", "$(id)",
    "-rf ", "--", "|", "; ", "'", '"',
)  # fmt: skip


def a_name(chance: random.Random, name: str) -> str:
    """A subject's name that is not the right one, however near it comes."""
    while (bent := _bent(chance, name)) == name:
        continue
    return bent


def a_principal(chance: random.Random, principal: str) -> str:
    """An e-mail address that is not the right one."""
    local, _, domain = principal.partition("@")
    near = [
        principal.upper(),
        principal.title(),
        f"{local}+x@{domain}",
        f"{local}.@{domain}",
        f"{principal}.",
        f"*@{domain}",
        "*",
        f"!{principal}",
        f"{principal},{STRANGER}",
        f"<{principal}>",
        f"{local} <{principal}>",
        f'"{local}"@{domain}',
        f"{local}@{domain}:22",
        f"{local}@xn--{domain}",
    ]
    return chance.choice(near) if chance.random() < 0.4 else a_name(chance, principal)


def _bent(chance: random.Random, name: str) -> str:
    at = chance.randrange(len(name) + 1)
    similar = [place for place, letter in enumerate(name) if letter in LOOKALIKES] or [0]
    place = chance.choice(similar)
    forms: list[Sequence[str]] = [
        [name[:place] + chance.choice(LOOKALIKES.get(name[place], "x")) + name[place + 1 :]],
        [name[:at] + chance.choice(_HIDDEN) + name[at:]],
        [name[:at] + chance.choice(_CLIMBS) + name[at:]],
        [name.lower(), name.upper(), name.swapcase(), name.casefold()],
        [f" {name}", f"{name} ", f"{name}.", f"{name}/", f"{name}\0.json"],
        [name + chance.choice("0aZ") * chance.choice([1, 31, 64, 5000])],
        [name[:at] + name[at + 1 :]],
    ]
    return chance.choice(chance.choice(forms))


def bent_root(chance: random.Random) -> TrustRoot:
    """A trust root whose files somebody bent, where it still reads; the stranger has no role."""
    lines = [signer(person.email).line for person in PEOPLE]
    people = {
        person.email: {"roles": list(person.roles), "git_emails": list(person.git_emails)}
        for person in PEOPLE
    }
    while True:
        text, roles = "\n".join(lines) + "\n", dict(people)
        match chance.randrange(5):
            case 0:
                data = bytearray(text.encode())
                bit = chance.randrange(len(data) * 8)
                data[bit // 8] ^= 1 << bit % 8
                text = data.decode("latin-1")
            case 1:
                text += _smuggled(chance)
            case 2:
                name = a_name(chance, chance.choice(PEOPLE).email)
                roles[name] = {"roles": ["ml_engineer", "engineering_manager"], "git_emails": []}
                text += _smuggled(chance, name)
            case 3:
                chosen = chance.choice(PEOPLE)
                roles[chosen.email] = {
                    "roles": list(chosen.roles),
                    "git_emails": [a_name(chance, person.email) for person in PEOPLE[:2]],
                }
            case _:
                # A key of the stranger for somebody who may look and nothing else.
                text += Signer(principal=VIEWER, key=signer(STRANGER).key).line + "\n"
        try:
            return read_trust(
                text.encode("utf-8", "surrogateescape"),
                {"format": 1, "people": roles},
                {"format": 1, "keys": []},
                commit="c" * 40,
            )
        except RefusedError:
            # A root that is refused opens nothing for anybody; those that read are the danger.
            if chance.random() < 0.2:
                return TrustRoot(commit="c" * 40, signers={}, people={}, revoked={})


def _smuggled(chance: random.Random, principal: str | None = None) -> str:
    """A line by which the stranger's key would speak for somebody, in a form that may be taken."""
    wanted = principal or chance.choice([person.email for person in PEOPLE])
    key = public_line(signer(STRANGER).key)
    return chance.choice(
        [
            f'*@co.example namespaces="{NAMESPACE}" {key}\n',
            f'{wanted} cert-authority,namespaces="{NAMESPACE}" {key}\n',
            f'{wanted},{STRANGER} namespaces="{NAMESPACE}" {key}\n',
            f'{wanted} namespaces="*" {key}\n',
            f'{wanted}\tnamespaces="{NAMESPACE}" {key}\n',
            f'{STRANGER} namespaces="{NAMESPACE}" {key}\n',
            f'# x\r{wanted} namespaces="{NAMESPACE}" {key}\n',
            f'{wanted} namespaces="{NAMESPACE}",valid-before="99991231235959Z" {key} \u0000\n',
            f'"{wanted}" namespaces="{NAMESPACE}" {key}\n',
        ]
    )
