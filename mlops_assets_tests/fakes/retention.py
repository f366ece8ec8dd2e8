"""What a home in memory holds, as things that may be removed."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta

from mlops_assets.domain.retention import Stored


class FakeStorage:
    """The stores of a `ReleaseHome`; a thing is as old as its first sight by `look`.

    ``crash_after`` raises once that many more things were removed, as a killed process would.
    """

    def __init__(self, home):
        self.home = home
        self.first = {}
        self.crash_after = None
        self.swept = 0

    def look(self):
        """Remember when things that are new were first seen."""
        for thing in self._things():
            self.first.setdefault(thing, self.home.now)

    def items(self):
        self.look()
        for thing in sorted(self._things()):
            yield Stored(kind=thing[0], name=thing[1], at=self.first[thing], bytes=1)

    def remove(self, item):
        if self.crash_after == 0:
            raise KeyboardInterrupt
        store, key = self._things().get(item.thing, (None, None))
        if store is not None:
            del store[key]
            for other in self._beside(item.kind):
                other.pop(key, None)
        if self.crash_after is not None:
            self.crash_after -= 1

    def sweep(self, now):
        assert now - timedelta(days=1) < now
        self.swept += 1
        return 0

    @contextmanager
    def lock(self):
        yield

    def names(self, kind):
        return {name for found, name in self._things() if found == kind}

    def _beside(self, kind):
        home = self.home
        models = {"dev_model": home.dev.models, "registry_model": home.registry.models}
        return (models[kind].bytes, models[kind].proofs) if kind in models else ()

    def _things(self):
        home = self.home
        found = {}

        def add(kind, store, named):
            found.update({(kind, named(key)): (store, key) for key in store})

        add("training_data", home.dev.training_data.assets, _pair)
        add("dev_model", home.dev.models.records, _pair)
        add("registry_model", home.registry.models.records, _pair)
        add("evidence", home.dev.evidence.bundles, _pair)
        add("page", home.dev.evidence.pages, str)
        add("dev_environment", home.dev.environments.known, str)
        add("registry_environment", home.registry.environments.known, str)
        add("test_predictions", home.production.test.predictions.files, _pair)
        add("prod_predictions", home.production.prod.predictions.files, _pair)
        return found


def _pair(key):
    return f"{key[0]}/{key[1]}"
