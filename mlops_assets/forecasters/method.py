"""From a label of the catalogue to a method fitted to a window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlops_assets.domain.errors import ModelError
from mlops_assets.forecasters.catalogue import (
    MedianSettings,
    RidgeSettings,
    SeasonalNaiveSettings,
    WeightedSettings,
    settings_of,
)
from mlops_assets.forecasters.cold_start import ColdStart
from mlops_assets.forecasters.median import Median, Single
from mlops_assets.forecasters.ridge import Ridge
from mlops_assets.forecasters.seasonal_naive import SeasonalNaive
from mlops_assets.forecasters.structured import Structured
from mlops_assets.forecasters.weighted import Weighted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.forecasters.window import Window

Method = Single | Median | Weighted
_NO_MODEL = "no model able to be fitted"


def fit_method(
    label: str,
    window: Window,
    fitted: dict[str, Single],
    weights: Mapping[str, np.ndarray],
    variants: Mapping[str, str],
) -> Method:
    """Fit one label, taking members that were fitted to the same window from ``fitted``.

    Of a weighted mean those members are fitted that ``weights`` names, all of them where it names
    none; one that cannot be fitted leaves its weight to the others. What ``variants`` does not name
    is chosen.
    """
    _, settings = settings_of(label)
    if isinstance(settings, WeightedSettings):
        labels = [member for member in settings.labels() if not weights or member in weights]
        members = fit_members(labels, window, fitted, variants)[0]
        if not members:
            raise ModelError("no member of the mean can be fitted to these readings")
        share = np.stack([weights.get(member, np.ones(1)) for member in members])
        # Where all that had weight at a step could not be fitted, the others share it.
        share[:, ~share.any(axis=0)] = 1.0
        return Weighted(tuple(members.values()), share / share.sum(axis=0))
    if isinstance(settings, MedianSettings):
        parts = [fit_single(member, window, fitted, variants) for member in settings.labels()]
        return Median(tuple(parts))
    return fit_single(label, window, fitted, variants)


def fit_members(
    labels: Sequence[str],
    window: Window,
    fitted: dict[str, Single],
    variants: Mapping[str, str],
) -> tuple[dict[str, Single], list[str]]:
    """Fit what can be fitted; the lines say of the others why not."""
    members: dict[str, Single] = {}
    lines = []
    for label in labels:
        try:
            members[label] = fit_single(label, window, fitted, variants)
        except ModelError as error:
            lines.append(f"candidate {label}: left out, {error}")
    return members, lines


def fit_single(
    label: str, window: Window, fitted: dict[str, Single], variants: Mapping[str, str]
) -> Single:
    """Fit a label that is no combination, once a window."""
    if label not in fitted:
        fitted[label] = _fit_single(label, window, variants.get(label))
    return fitted[label]


def _fit_single(label: str, window: Window, variant: str | None) -> Single:
    failure: Exception | None = None
    name, settings = settings_of(label)
    if isinstance(settings, SeasonalNaiveSettings):
        return SeasonalNaive(max(1, settings.season_hours * window.day // 24))
    if name == "cold_start":
        return ColdStart(window.day)
    if isinstance(settings, RidgeSettings):
        return Ridge.fit(settings, window)
    # A known form that does not fit newer readings is chosen anew.
    for form in dict.fromkeys((variant, None)):
        try:
            return Structured.fit(name, settings, window, form)
        except ModelError:
            raise
        except (ValueError, ArithmeticError, IndexError, np.linalg.LinAlgError) as error:
            failure = error
        except Exception as error:
            # The library has no class of its own for it.
            if str(error) != _NO_MODEL:
                raise
            failure = error
    text = " ".join(str(failure).split()) or type(failure).__name__
    raise ModelError(f"{name}: cannot be fitted to these readings ({text})") from failure
