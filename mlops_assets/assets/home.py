"""The home that a Dagster process works on, opened when something first needs it."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.domain.errors import MlopsError
from mlops_assets.domain.identifiers import checked_release, sha256
from mlops_assets.domain.progress import Count
from mlops_assets.settings import Settings
from mlops_assets.settings.azure import ROLES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from pyspark.sql import SparkSession

    from mlops_assets.domain.circuit import Config
    from mlops_assets.ports import (
        Alerting,
        DrillFiles,
        LandingZone,
        Monitoring,
        Platform,
        Progress,
        Storage,
    )
    from mlops_assets.settings.azure import Role


_FRAME = "border:0;width:100%;height:95vh"


def page_copy(release: str) -> str:
    """Return where Dagster finds its copy of a release's page, from its own folder."""
    return f"pages/{release}.ipynb"


def _notebook(html: bytes) -> bytes:
    """Return a notebook whose one output is a page, in a frame that keeps the page's own style."""
    frame = f'<iframe srcdoc="{escape(html.decode())}" style="{_FRAME}"></iframe>'
    shown = {"output_type": "display_data", "metadata": {}, "data": {"text/html": frame}}
    cell: dict[str, Any] = {
        "cell_type": "code",
        "id": "page",
        "execution_count": None,
        "metadata": {},
        "source": "",
        "outputs": [shown],
    }
    whole = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}
    return json.dumps(whole).encode()


class Home:
    """One home's ports, and what its assets hand back to whoever runs them in this process.

    ``answers`` holds what each flow returned, by asset; ``error`` why a step could not be done.
    ``raw`` is a folder that only the command line can name: run config holds no path, because
    whoever reaches the UI writes it.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        progress: Progress | None = None,
        *,
        raw: Path | None = None,
    ) -> None:
        self._settings = settings
        self._raw = raw
        self._platform: Platform | None = None
        self.progress = progress
        self.answers: dict[str, Any] = {}
        self.error: BaseException | None = None

    @property
    def settings(self) -> Settings:
        """Where this process works: what it was given, else what the environment says."""
        if self._settings is None:
            config = os.environ.get("MLOPS_CONFIG")
            self._settings = Settings.find(
                None, Path(config) if config else None, os.environ, Path.cwd()
            )
        return self._settings

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles of this host: every one, but on Azure those that $MLOPS_ROLE names."""
        backend = self.settings.backend
        return ROLES if backend.kind == "local" else backend.roles

    @property
    def keeps_all(self) -> bool:
        """Whether this host may remove whatever a home holds."""
        return {"etl", "release", "test", "prod"} <= {*self.roles}

    @property
    def platform(self) -> Platform:
        """The ports; HomeError in one line when there is no home."""
        if self._platform is None:
            from mlops_assets.resources import open_platform

            self._platform = open_platform(self.settings, spark=_pyspark_session)
        return self._platform

    @property
    def alerting(self) -> Alerting:
        """How people are told."""
        from mlops_assets.resources import open_alerting

        return open_alerting(self.settings, os.environ)

    @property
    def monitoring(self) -> Monitoring | None:
        """Who takes the figures, if anybody."""
        from mlops_assets.resources import open_monitoring

        return open_monitoring(self.settings, os.environ)

    def config(self) -> Config:
        """Return what the config repository wants at the watched ref."""
        from mlops_assets.flows.plan import config_at

        return config_at(self.platform)

    def landing(self) -> LandingZone | None:
        """Return the folder of raw files that is read instead of the landing zone, if any."""
        from mlops_assets.resources import landing_zone

        return landing_zone(self._raw.expanduser().absolute()) if self._raw else None

    def drills(self) -> DrillFiles:
        """Return where rollback drills are kept."""
        from mlops_assets.resources import drill_files

        return drill_files(self.settings)

    def storage(self) -> Storage:
        """Return what the home holds, as things that may be removed."""
        from mlops_assets.resources import storage

        return storage(self.settings)

    def now(self) -> datetime:
        """Return the present."""
        return self.platform.clock.now()

    def data_now(self) -> datetime:
        """Return the present as the data see it."""
        from mlops_assets.flows.readings import data_now

        return data_now(self.platform.kind, self.platform.lake, self.now())

    def publish(self, config: Config, release: str) -> None:
        """Write a release's page as it stands now, and a copy that Dagster can open.

        Its web server serves notebooks from below its own folder and no other files, so the copy is
        one.
        """
        from mlops_assets.adapters.local.files import write_atomic
        from mlops_assets.flows.evidence import page

        html = page(self.platform, config, release, now=self.now())
        write_atomic(
            self.settings.layout.dagster / page_copy(checked_release(release)), _notebook(html)
        )

    @contextmanager
    def alone(self, backfill: str | None) -> Iterator[bool]:
        """Hold off the other runs of a backfill; true for the first, which does all of it."""
        if backfill is None:
            yield True
            return
        from mlops_assets.adapters.local.files import locked

        # The id comes from a tag, which anybody may write: it is no part of a path.
        lock = self.settings.layout.locks / f"backfill-{sha256(backfill.encode())[:16]}.lock"
        done = lock.with_suffix(".done")
        with locked(lock):
            yield not done.exists()
            done.touch()

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what cannot be done into a failed step that says why in one line."""
        try:
            yield
        except (MlopsError, OSError) as error:
            self.error = error
            raise dg.Failure(description=str(error), allow_retries=False) from error


def _pyspark_session(configuration: dict[str, str]) -> SparkSession:
    """Start Spark as Dagster does; whoever works on the session stops it."""
    from dagster_pyspark import PySparkResource

    resource = PySparkResource(spark_config=configuration)
    resource.setup_for_execution(dg.build_init_resource_context())
    session: SparkSession = resource.spark_session
    return session


class RunProgress:
    """Progress of long work in a run's log, and in the terminal where there is one."""

    def __init__(self, context: dg.AssetExecutionContext, also: Progress | None) -> None:
        self._context = context
        self._also = also
        self._count = Count("", 0)

    def begin(self, what: str, total: int) -> None:
        """Start a new count."""
        self._count = Count(what, total)
        self._context.log.info("%s: %s", what, total)
        if self._also is not None:
            self._also.begin(what, total)

    def advance(self, label: str = "") -> None:
        """One more is done; the log hears of each tenth part."""
        if line := self._count.advance(label):
            self._context.log.info(line)
        if self._also is not None:
            self._also.advance(label)

    def say(self, line: str) -> None:
        """One line for whoever watches."""
        self._context.log.info(line)
        if self._also is not None:
            self._also.say(line)
