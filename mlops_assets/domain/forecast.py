"""Forecasts: rows of the predictions table and what one daily batch did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from mlops_assets.domain.identifiers import CircuitKey

Fallback = Literal["none", "previous_model", "seasonal_naive"]

PREDICTION_KEY = ("plant_id", "circuit_id", "issued_for", "timestamp")


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitForecast:
    """What the batch did for one circuit, with the numbers a person looks for."""

    circuit: CircuitKey
    issued_for: date
    release: str
    model_version: int
    data_version: str
    delta_version: int
    fallback: Fallback
    fallback_reason: str
    rows: int
    kept: bool
    hindcast: bool
    mean: float
    minimum: float
    maximum: float
    plot_svg: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastReport:
    """One daily batch. ``rows`` counts rows written by this call only."""

    issued_for: date
    delta_version: int
    circuits: Mapping[CircuitKey, CircuitForecast] = field(default_factory=dict)
    failed: Mapping[CircuitKey, str] = field(default_factory=dict)
    rows: int = 0
