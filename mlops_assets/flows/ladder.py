"""The fallback ladder: the live model, the previous one, the seasonal naive, each as signed.

A rung's bytes are read once, checked against the digest in the deployment, and parsed; a model that
does not reproduce its golden forecast here is not used. Stepping down is declared, never silent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import MlopsError, ModelError
from mlops_assets.domain.forecast import Issue, gap_reason, gap_steps, stored_part

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date

    from mlops_assets.domain.deployment import Deployment
    from mlops_assets.domain.forecast import Fallback, Window
    from mlops_assets.domain.model import FittedModel, ForecastValues
    from mlops_assets.domain.readings import Series
    from mlops_assets.ports import RegisteredModels


@dataclass(frozen=True, slots=True)
class Forecasting:
    """What serving needs of the forecasters; passed in, so that it loads when it is used.

    ``proven`` holds the digests of models whose golden forecast this process has reproduced: that
    takes as long as a forecast, and neither the bytes nor the environment change in between.
    """

    load: Callable[[Mapping[str, bytes]], FittedModel]
    seasonal_naive: Callable[[Series, int, int], ForecastValues]
    proven: set[str] = field(default_factory=set)

    @staticmethod
    @cache
    def installed() -> Forecasting:
        """The forecasters of this installation."""
        from mlops_assets.forecasters import seasonal_naive, serialization

        return Forecasting(load=serialization.load, seasonal_naive=seasonal_naive.forecast)


def said(error: Exception) -> str:
    """One line about any failure; its kind is named where it is none of ours."""
    text = str(error) if isinstance(error, MlopsError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())


class Ladder:
    """One deployment's rungs for one day, loaded as they are needed.

    ``kept`` holds files of models by their digest, which they were checked against.
    """

    def __init__(
        self,
        deployment: Deployment,
        models: RegisteredModels,
        forecasting: Forecasting,
        day: date,
        *,
        kept: Mapping[str, Mapping[str, bytes]] | None = None,
    ) -> None:
        self.deployment = deployment
        self.reasons: list[str] = []
        self._models = models
        self._forecasting = forecasting
        self._day = day
        self._kept = kept or {}
        self._loaded: dict[Fallback, FittedModel] = {}
        self._left: list[Fallback] = list(self.rungs)

    @property
    def rungs(self) -> tuple[Fallback, ...]:
        """The rungs this deployment was signed with, highest first."""
        if self.deployment.previous_model_digest is None:
            return ("none", "seasonal_naive")
        return ("none", "previous_model", "seasonal_naive")

    def context_steps(self) -> int:
        """How far back the highest usable rung looks, after stepping down from unusable ones."""
        while (rung := self._left[0]) != "seasonal_naive":
            try:
                return self.model(rung).context_steps
            except Exception as error:  # noqa: BLE001 whatever a model does, the next rung serves
                self._step_down(error)
        return timedelta(hours=self.deployment.seasonal_naive_hours) // timedelta(minutes=15)

    def version(self, rung: Fallback) -> int:
        """The model version a rung serves, 0 for the seasonal naive."""
        match rung:
            case "none":
                return self.deployment.model_version
            case "previous_model":
                return self.deployment.previous_model_version or 0
            case "seasonal_naive":
                return 0

    def model(self, rung: Fallback) -> FittedModel:
        """A rung's model, checked on the way.

        Raises:
            ModelError: it is not what was signed, not for this day, or not reproduced here.
        """
        if rung not in self._loaded:
            self._loaded[rung] = self._load(rung)
        return self._loaded[rung]

    def apply(self, rung: Fallback, series: Series, steps: int) -> ForecastValues:
        """One rung's forecast of the steps that follow the series."""
        if rung == "seasonal_naive":
            hours = self.deployment.seasonal_naive_hours
            return self._forecasting.seasonal_naive(series, steps, hours)
        return self.model(rung).apply(series, steps)

    def issue(self, series: Series, window: Window) -> Issue:
        """The forecast of the highest rung that gives one.

        Raises:
            ModelError: no rung does.
        """
        serving = self.deployment.serving
        if too_old := gap_reason(series, window, serving):
            self.reasons.append(too_old)
            self._left = ["seasonal_naive"]
        while self._left:
            rung = self._left[0]
            try:
                values = self.apply(rung, series, gap_steps(series, window) + window.rows)
                values = stored_part(values, window, serving)
            except Exception as error:  # noqa: BLE001 whatever a model does, the next rung serves
                self._step_down(error)
                continue
            return Issue(
                circuit=self.deployment.circuit,
                release=self.deployment.release,
                model_version=self.version(rung),
                fallback=rung,
                fallback_reason="; ".join(self.reasons),
                values=values,
            )
        raise ModelError("; ".join(self.reasons))

    def _step_down(self, error: Exception) -> None:
        rung = self._left.pop(0)
        name = {"none": "live model", "previous_model": "previous model"}.get(rung, rung)
        self.reasons.append(f"{name}: {said(error)}")

    def _load(self, rung: Fallback) -> FittedModel:
        deployment, version = self.deployment, self.version(rung)
        digest = (
            deployment.model_digest if rung == "none" else deployment.previous_model_digest or ""
        )
        # The live model's cutoff is part of what was signed, another's is in its record alone.
        files = self._kept.get(digest) if rung == "none" else None
        if files is None or deployment.serving.cutoff_date >= self._day.isoformat():
            files = self._registered(version, digest)
        model = self._forecasting.load(files)
        if digest not in self._forecasting.proven and not model.reproduces_golden():
            raise ModelError(
                f"environment mismatch: version {version} does not give its golden forecast here; "
                f"install {deployment.environment}"
            )
        self._forecasting.proven.add(digest)
        return model

    def _registered(self, version: int, digest: str) -> Mapping[str, bytes]:
        """Return a model's files from the registry."""
        deployment = self.deployment
        record = self._models.get(deployment.circuit, version)
        if record.digest != digest:
            raise ModelError(
                f"version {version} in the registry has digest {record.digest[:12]}, but "
                f"{deployment.release} was signed with {digest[:12]}"
            )
        if record.data_version.cutoff_date >= self._day:
            raise ModelError(
                f"version {version} learned from {record.data_version.cutoff_date}, which is not "
                f"before {self._day}"
            )
        return self._models.files(record)
