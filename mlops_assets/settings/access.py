"""Which identity may do what with which container; `infra/access.json` gives exactly this.

Only the ETL writes readings. Production reads lake and registry and writes its own deployments and
forecasts: it can change nothing that a model learned from. Whoever decides appends to the ledger,
and anchors its head where nobody can remove it. A pull request's pipeline runs what anybody may have
written: `review` reads what it compares with, and writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from mlops_assets.settings.azure import Container, Role

Right = Literal["read", "write"]

ACCESS: Mapping[Role, Mapping[Container, Right]] = {
    "etl": {
        "raw": "write",
        "lake": "write",
        "dev": "read",  # until when each circuit is trained: rows before it are restatements
        "ledger": "read",
        "anchors": "read",
    },
    "dev": {
        "raw": "read",
        "lake": "read",
        "forecasts": "read",
        "dev": "write",
        "registry": "read",
        "prod": "read",
        "ledger": "write",
        "anchors": "write",
    },
    "release": {
        "raw": "read",
        "lake": "read",
        "forecasts": "read",
        "dev": "write",
        "registry": "write",
        "test": "read",
        "prod": "read",
        "ledger": "write",
        "anchors": "write",
    },
    "test": {
        "lake": "read",
        "registry": "read",
        "test": "write",
        "ledger": "read",
        "anchors": "read",
    },
    "prod": {
        "lake": "read",
        "forecasts": "write",
        "registry": "read",
        "prod": "write",
        "ledger": "write",
        "anchors": "write",
    },
    "review": {
        "raw": "read",
        "lake": "read",
        "forecasts": "read",
        "dev": "read",
        "registry": "read",
        "prod": "read",
        "ledger": "read",
        "anchors": "read",
    },
}
