"""A home in memory, as a sensor, a run of Dagster or the terminal sees it."""

from __future__ import annotations

from mlops_assets.assets.home import Home
from mlops_assets.settings.azure import ROLES


class WatchedHome(Home):
    """Gives assets and sensors the platform of a `ReleaseHome`."""

    def __init__(self, made, roles=ROLES):
        super().__init__()
        self.made = made
        self._roles = roles
        self.published = []

    @property
    def platform(self):
        return self.made.platform

    @property
    def roles(self):
        return self._roles

    def publish(self, config, release):
        self.published.append(release)

    def config(self):
        return self.made.config
