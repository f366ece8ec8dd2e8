"""The named attacks on single papers, from the tests of what reads them, as one table.

Statements that say something else, texts that are not canonical, bent signatures, trust roots and
manifests: each with the code that refuses it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from mlops_assets.domain.approval import _PREDICATE_FIELDS
from mlops_assets.domain.manifest import Manifest
from mlops_assets.domain.signature import read_public_line, verify
from mlops_assets_tests.domain import test_approval as statements
from mlops_assets_tests.domain import test_manifest as manifests
from mlops_assets_tests.domain import test_signature as signatures
from mlops_assets_tests.domain import test_trust as roots

NAMED: dict[str, tuple[str, Callable[[], Any]]] = {}


def _add(kind: str, name: str, code: str, attempt: Callable[[], Any]) -> None:
    full = f"{kind}: {name}"
    if full in NAMED:
        raise ValueError(f"there are two attacks named {full!r}")
    NAMED[full] = (code, attempt)


def _bent(path: tuple[Any, ...], value: object) -> Any:
    return statements.judge(statements.bent(path, value))


for _name, (_path, _value, _code) in statements.FORGED.items():
    _add("statement with", _name, _code, partial(_bent, _path, _value))
for _field in sorted(_PREDICATE_FIELDS):
    for _value in (..., None, [], 7, True):
        _what = "nothing" if _value is ... else json.dumps(_value)
        _add(f"statement whose {_field} is", _what, "E_STATEMENT",
             partial(_bent, ("predicate", _field), _value))  # fmt: skip
for _name, _text in statements.TEXTS.items():
    _add("statement that is", _name, "E_STATEMENT", partial(statements.judge, _text))
for _name, (_signature, _code) in signatures.ATTACKS.items():
    _add("signature with", _name, _code, partial(verify, _signature, signatures.MESSAGE))
for _name, _line in signatures.LINES.items():
    _add("public key with", _name, "E_KEY_TYPE", partial(read_public_line, _line))
for _name, _signers in roots.SIGNERS.items():
    _add("allowed_signers with", _name, "E_TRUST", partial(roots.read, _signers))
for _name, _roles in roots.PEOPLE.items():
    _add("roles with", _name, "E_TRUST", partial(roots.read, roles=_roles))
for _name, _revoked in roots.KEYS.items():
    _add("revocations with", _name, "E_TRUST", partial(roots.read, revoked=_revoked))


def _manifest(path: tuple[Any, ...], value: object) -> Manifest:
    return Manifest.from_bytes(manifests.changed(path, value))


for _name, (_path, _value, _) in manifests.REFUSED.items():
    _add("manifest with", _name, "IdentifierError", partial(_manifest, _path, _value))
for _name, _text in manifests.TEXTS_REFUSED.items():
    _add("manifest that is", _name, "IdentifierError", partial(Manifest.from_bytes, _text))
