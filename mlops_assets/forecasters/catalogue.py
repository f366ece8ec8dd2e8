"""The catalogue: every forecaster a spec may name, with the settings it takes.

Config reads this without loading a model library. A forecaster or a variant of one is written as a
label: its name, then flags after colons: ``mstl_arima:daily:log``. ``log`` models logarithms,
``daily`` leaves out the weekly season. Combinations list labels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from mlops_assets.domain.circuit import Algorithm, Hyperparameter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.domain.circuit import Spec

MINIMUM_MEMBERS, MAXIMUM_MEMBERS = 2, 16


def _within(default: int, doc: str, minimum: int, maximum: int) -> Any:  # noqa: ANN401 a field
    text = f"{doc}, {minimum} to {maximum}"
    return field(default=default, metadata={"doc": text, "minimum": minimum, "maximum": maximum})


def _one_of(default: str, doc: str, *choices: str) -> Any:  # noqa: ANN401 a field
    return field(default=default, metadata={"doc": f"{doc}: {', '.join(choices)}", "in": choices})


def _flag(doc: str) -> Any:  # noqa: ANN401 a field
    return field(default=False, metadata={"doc": doc})


def _window(least: int = 7) -> Any:  # noqa: ANN401 a field
    return _within(91, "days before the cutoff that it learns from", least, 730)


def _season() -> Any:  # noqa: ANN401 a field
    return _within(24, "hours after which the pattern repeats", 1, 168)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of one forecaster; a value outside its range is refused when it is made."""

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            low, high = item.metadata.get("minimum"), item.metadata.get("maximum")
            if low is not None and high is not None and not low <= value <= high:
                raise ValueError(f"{item.name}: {value} is not within {low} to {high}")
            choices = item.metadata.get("in")
            if choices is not None and value not in choices:
                raise ValueError(f"{item.name}: {value!r} is none of {', '.join(choices)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSettings(Settings):
    """Nothing can be set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeasonalNaiveSettings(Settings):
    """The value one season before."""

    season_hours: int = _season()


@dataclass(frozen=True, slots=True, kw_only=True)
class EtsSettings(Settings):
    """Exponential smoothing with additive errors and a seasonal part."""

    window_days: int = _window()
    season_hours: int = _season()
    trend: str = _one_of("auto", "trend", "auto", "none", "additive", "damped")
    log: bool = _flag("model logarithms: multiplicative seasons; needs positive readings")


@dataclass(frozen=True, slots=True, kw_only=True)
class SmoothingSettings(Settings):
    """Theta and complex exponential smoothing."""

    window_days: int = _window()
    season_hours: int = _season()
    log: bool = _flag("model logarithms; needs positive readings")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArimaSettings(Settings):
    """Seasonal ARIMA, its orders chosen by AIC."""

    window_days: int = _within(56, "days before the cutoff that it learns from", 7, 730)
    season_hours: int = _season()
    log: bool = _flag("model logarithms; needs positive readings")


@dataclass(frozen=True, slots=True, kw_only=True)
class MstlSettings(Settings):
    """Daily and weekly seasons by STL, and a model of the rest."""

    window_days: int = _window()
    daily: bool = _flag("the daily season alone, without the weekly one")
    log: bool = _flag("model logarithms: multiplicative seasons; needs positive readings")


@dataclass(frozen=True, slots=True, kw_only=True)
class RidgeSettings(Settings):
    """Lags of the readings and the spec's features, by ridge regression."""

    window_days: int = _window(21)
    penalty: int = _within(300, "rows' worth of doubt that anything has an effect", 1, 100_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinationSettings(Settings):
    """What several forecasters say, put together step by step."""

    members: str = field(
        default="seasonal_naive, mstl_arima, mstl_arima:log",
        metadata={"doc": "two to sixteen labels, separated by commas"},
    )

    def __post_init__(self) -> None:
        labels = self.labels()
        if not MINIMUM_MEMBERS <= len(labels) <= MAXIMUM_MEMBERS or len(set(labels)) < len(labels):
            raise ValueError(f"members: {self.members!r} is not two to sixteen different labels")
        for label in labels:
            if re.split(r"[:(]", label)[0] in {*_COMBINATIONS, "auto"}:
                raise ValueError(f"members: {label!r} cannot be a member of a combination")
            settings_of(label)

    def labels(self) -> tuple[str, ...]:
        """The members' labels in order."""
        return tuple(part.strip() for part in self.members.split(","))


@dataclass(frozen=True, slots=True, kw_only=True)
class MedianSettings(CombinationSettings):
    """The middle of what several forecasters say, step by step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedSettings(CombinationSettings):
    """The mean of what several forecasters say, each weighted by how well it did in backtest."""


_COMBINATIONS: Mapping[str, type[CombinationSettings]] = {
    "median": MedianSettings,
    "weighted": WeightedSettings,
}
_CATALOGUE: tuple[tuple[str, int, type[Settings]], ...] = (
    ("seasonal_naive", 2, SeasonalNaiveSettings),
    ("cold_start", 2, NoSettings),
    ("auto_ets", 3, EtsSettings),
    ("auto_theta", 3, SmoothingSettings),
    ("auto_ces", 3, SmoothingSettings),
    ("auto_arima", 3, ArimaSettings),
    ("mstl_arima", 3, MstlSettings),
    ("mstl_ets", 3, MstlSettings),
    ("ridge", 2, RidgeSettings),
    ("median", 3, MedianSettings),
    ("weighted", 5, WeightedSettings),
)
# CPU seconds of a training with the settings' defaults, backtest included, on 173 days of hourly
# readings: medians of three real circuits. They order a fleet's trainings, nothing else.
_SECONDS: Mapping[str, float] = {
    "seasonal_naive": 0.01,
    "cold_start": 0.01,
    "auto_ets": 0.56,
    "auto_theta": 0.45,
    "auto_ces": 0.13,
    "auto_arima": 0.07,
    "mstl_arima": 0.2,
    "mstl_ets": 0.14,
    "ridge": 0.11,
}
# Raise with any change of what `auto` tries or of how it chooses.
_AUTO_VERSION = 5

ALGORITHMS: Mapping[str, Algorithm] = {
    "auto": Algorithm(
        name="auto",
        version=_AUTO_VERSION + sum(version for _, version, _ in _CATALOGUE),
        hyperparameters=NoSettings,
    ),
    **{
        name: Algorithm(name=name, version=version, hyperparameters=settings)
        for name, version, settings in _CATALOGUE
    },
}

_FLOOR = "seasonal_naive"
_READS_FEATURES = "ridge"
_ETS = ("mstl_ets", "mstl_ets:log", "mstl_ets:daily", "mstl_ets:daily:log")
_ARIMA = ("mstl_arima", "mstl_arima:log", "mstl_arima:daily", "mstl_arima:daily:log")


_EFFORTS: Mapping[str, tuple[str, ...]] = {
    "fast": (_FLOOR, *_ETS),
    "balanced": (_FLOOR, *_ARIMA),
    "best": (_FLOOR, *_ARIMA, *_ETS, "auto_ets", "auto_ces", "auto_theta"),
}


def candidates(spec: Spec) -> tuple[str, ...]:
    """Return the labels that a spec lets compete, the floor first where it may win.

    `auto` weighs the forecasters of its effort by backtest; `cold_start` competes with the floor,
    so that a young circuit is never served below it. With features `auto` also tries the one that
    reads them.
    """
    if spec.forecaster == "cold_start":
        return (_FLOOR, "cold_start")
    if spec.forecaster != "auto":
        return (label_of(spec.forecaster, spec.hyperparameters),)
    reading = (_READS_FEATURES,) if spec.features else ()
    return (_FLOOR, combination_of("weighted", *_EFFORTS[spec.effort], *reading))


def seconds_of(spec: Spec) -> float:
    """Return what a training by this spec costs beside others on as many readings.

    What members share is counted for each: `fast` takes 0.5 s, `balanced` 0.7 s, `best` 2.0 s.
    """
    return sum(_SECONDS[label.partition(":")[0]] for label in _members(spec))


def combination_of(name: str, *labels: str) -> str:
    """Return the label of a combination.

    >>> combination_of("median", "seasonal_naive", "mstl_ets:log")
    'median(seasonal_naive, mstl_ets:log)'
    """
    return f"{name}({', '.join(labels)})"


def label_of(name: str, hyperparameters: Mapping[str, Hyperparameter]) -> str:
    """Return how a forecaster with these settings is written.

    >>> label_of("mstl_arima", {"log": True, "window_days": 60})
    'mstl_arima:log:window_days=60'
    """
    if name in _COMBINATIONS:
        settings = _COMBINATIONS[name](**_texts(name, hyperparameters))
        return combination_of(name, *settings.labels())
    flags = [
        key if value is True else f"{key}={value}"
        for key, value in sorted(hyperparameters.items())
        if value is not False
    ]
    return ":".join([name, *flags])


def settings_of(label: str) -> tuple[str, Settings]:
    """Return name and settings of a label; ValueError says what is wrong with it."""
    found = re.fullmatch(r"(\w+)\((.*)\)", label)
    if found and found[1] in _COMBINATIONS:
        return found[1], _COMBINATIONS[found[1]](members=found[2])
    name, *flags = label.split(":")
    kinds = {known: settings for known, _, settings in _CATALOGUE}
    if name not in kinds:
        raise ValueError(f"{name!r} is no forecaster; there are {', '.join(kinds)}")
    types = {item.name: item.default for item in fields(kinds[name])}
    given: dict[str, Any] = {}
    for flag in flags:
        key, _, text = flag.partition("=")
        if key not in types:
            raise ValueError(f"{name} has no setting {key!r}; it has {', '.join(types) or 'none'}")
        given[key] = _read(types[key], text, flag)
    return name, kinds[name](**given)


def _read(default: object, text: str, flag: str) -> Hyperparameter:
    if isinstance(default, bool):
        if text not in {"", "True"}:
            raise ValueError(f"{flag!r}: a switch takes no value")
        return True
    if isinstance(default, int):
        if not text.isdecimal():
            raise ValueError(f"{flag!r}: {text!r} is not a whole number")
        return int(text)
    return text


def _texts(name: str, hyperparameters: Mapping[str, Hyperparameter]) -> dict[str, str]:
    unknown = sorted(set(hyperparameters) - {"members"})
    if unknown:
        raise ValueError(f"{name} has no setting {unknown[0]!r}; it has members")
    return {key: str(value) for key, value in hyperparameters.items()}


def refused_features(spec: Spec) -> str | None:
    """Say why a spec's features cannot be used, if it names any."""
    labels = _members(spec)
    if not spec.features or any(label.split(":")[0] == _READS_FEATURES for label in labels):
        return None
    names = ", ".join(spec.features)
    return (
        f"features {names}: {spec.forecaster} reads none; leave them out, or name "
        f"{_READS_FEATURES} or auto"
    )


def _members(spec: Spec) -> list[str]:
    """Return the labels of all that a spec lets compete, combinations taken apart."""
    labels: list[str] = []
    for label in candidates(spec):
        _, settings = settings_of(label)
        labels += settings.labels() if isinstance(settings, CombinationSettings) else (label,)
    return labels
