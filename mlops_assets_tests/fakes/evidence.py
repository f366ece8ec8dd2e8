"""An evidence store in memory, and a renderer that runs nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlops_assets.domain.errors import DataError, StaleError
from mlops_assets.domain.evidence import FILES, Evidence, digests_by_kind
from mlops_assets.domain.identifiers import checked_release, sha256
from mlops_assets.domain.scoring_notebook import filled
from mlops_assets.ports import RenderedNotebook

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.domain.identifiers import CircuitKey


class FakeEvidenceStore:
    def __init__(self) -> None:
        self.bundles: dict[tuple[CircuitKey, int], dict[str, bytes]] = {}
        self.runs: dict[tuple[CircuitKey, int], bytes] = {}
        self.releases: dict[tuple[str, str], bytes] = {}
        self.pages: dict[str, bytes] = {}

    def put(
        self, circuit: CircuitKey, model_version: int, files: Mapping[str, bytes], run: bytes
    ) -> Evidence:
        stored = self.bundles.setdefault((circuit, model_version), dict(files))
        if stored != dict(files):
            raise StaleError(
                f"evidence of {circuit} version {model_version} is written once, "
                "and what is stored differs"
            )
        self.runs.setdefault((circuit, model_version), run)
        found = self.get(circuit, model_version)
        assert found is not None
        return found

    def get(self, circuit: CircuitKey, model_version: int) -> Evidence | None:
        files = self.bundles.get((circuit, model_version))
        if files is None:
            return None
        digests = {name: sha256(data) for name, data in files.items()}
        return Evidence(
            circuit=circuit, model_version=model_version, digests=digests_by_kind(digests)
        )

    def read(self, circuit: CircuitKey, model_version: int, kind: str) -> bytes:
        files = self.bundles.get((circuit, model_version), {})
        name = FILES.get(kind, kind)
        if name not in files:
            raise DataError(f"evidence of {circuit} version {model_version}: has no {name}")
        return files[name]

    def folder(self, circuit: CircuitKey, model_version: int) -> str:
        return f"workspaces/dev/evidence/{circuit}/v{model_version}"

    def put_release(self, release: str, kind: str, data: bytes) -> str:
        if self.releases.setdefault((checked_release(release), kind), data) != data:
            raise StaleError(f"{release}/{kind}: is written once and holds other content")
        return sha256(data)

    def replace_release(self, release: str, kind: str, data: bytes) -> str:
        self.releases[checked_release(release), kind] = data
        return sha256(data)

    def read_release(self, release: str, kind: str) -> bytes | None:
        return self.releases.get((checked_release(release), kind))

    def publish_page(self, release: str, html: bytes) -> str:
        self.pages[checked_release(release)] = html
        return f"workspaces/dev/evidence/releases/{release}/page.html"

    def page(self, release: str) -> str | None:
        known = release in self.pages
        return f"workspaces/dev/evidence/releases/{release}/page.html" if known else None


class FakeNotebookRenderer:
    """Fills parameters in and executes nothing; fails for the circuits it is told to."""

    def __init__(self, errors: Mapping[str, str] | None = None) -> None:
        self.errors = dict(errors or {})
        self.rendered: list[str] = []
        self.closed = 0

    def render(self, notebook: bytes, parameters: Mapping[str, Any]) -> RenderedNotebook:
        circuit = str(parameters.get("CIRCUIT"))
        self.rendered.append(circuit)
        text = filled(notebook, parameters)
        html = f"<html><body>{json.loads(text)['metadata'].get('title')}</body></html>"
        return RenderedNotebook(ipynb=text, html=html.encode(), error=self.errors.get(circuit))

    def close(self) -> None:
        self.closed += 1
