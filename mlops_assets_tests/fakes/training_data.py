"""Training-data assets in memory."""

from __future__ import annotations

from dataclasses import replace

from mlops_assets.domain.errors import DataError, StaleError
from mlops_assets.domain.training_data import content_digest


class FakeTrainingDataStore:
    def __init__(self):
        self.assets = {}

    def register(self, data, rows):
        if content_digest(rows) != data.content_digest or len(rows) != data.rows:
            raise DataError(f"{data.circuit} {data.version}: the rows are not those of its digest")
        name = (data.circuit, data.version)
        known = self.assets.get(name)
        if known is None:
            path = f"memory/{data.circuit}/{data.version}"
            self.assets[name] = (replace(data, path=path), rows)
        elif known[0].content_digest != data.content_digest:
            raise StaleError(f"{data.circuit}: training data {data.version} holds other rows")
        return self.assets[name][0]

    def show(self, data):
        """Nothing else names it."""

    def get(self, circuit, version):
        if (circuit, version) not in self.assets:
            raise DataError(f"{circuit}: there is no training data {version}; train it again")
        return self.assets[circuit, version][0]

    def versions(self, circuit):
        found = [data for (key, _), (data, _) in self.assets.items() if key == circuit]
        return tuple(sorted(found, key=lambda data: data.version))

    def rows(self, data):
        rows = self.assets[data.circuit, data.version][1]
        if content_digest(rows) != data.content_digest:
            raise DataError(f"{data.circuit} {data.version}: has another digest than is pinned")
        return rows
