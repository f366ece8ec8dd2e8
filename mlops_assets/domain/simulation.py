"""A simulated company: what its meters would have read, and what goes wrong on the way.

Everything follows from a seed and a circuit's key, so adding a circuit changes no other. Rates of
defects are those measured on real feeds; the newest `CALM_DAYS` hold only short gaps, so that the
days that are forecast and scored are worth looking at.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import numpy as np

    from mlops_assets.domain.circuit import Circuit, Spec
    from mlops_assets.domain.identifiers import CircuitKey

FIRST_DAY = date(2026, 3, 3)
LAST_DAY = date(2026, 6, 30)
CALM_DAYS = 10

# Shares of readings, and of runs. Of what is missing, 22 % is missing in the whole plant.
MISSING, STUCK, SPIKE, STEP, ZERO = 0.004 * 0.78, 0.003, 0.0004, 0.0003, 0.0002
PLANT_WIDE_STUCK = 0.05
OUTAGES_PER_DAY = 1 / 182
# Share of missing runs, shortest and longest hours.
MISSING_RUNS = ((0.37, 1, 1), (0.07, 2, 5), (0.42, 6, 24), (0.14, 25, 60))
SPIKE_FACTORS = (10.0, 0.1, 1000.0, 1e6)
DUPLICATED, LATE, REVISED = 0.01, 0.003, 0.005

# Days on which plants work as on a Sunday, by the country of the plant's zone.
HOLIDAYS: Mapping[str, frozenset[date]] = {
    "Europe": frozenset(
        {date(2026, 4, 3), date(2026, 4, 6), date(2026, 5, 1), date(2026, 5, 14), date(2026, 5, 25)}
    ),
    "America": frozenset({date(2026, 4, 3), date(2026, 5, 25), date(2026, 6, 19)}),
}


@dataclass(frozen=True, slots=True)
class Meter:
    """One circuit's readings on a regular grid.

    ``truth`` is what was measured; ``recorded`` what the meter reports in the end, NaN where it
    reported nothing; ``first`` what it reported at first, before revisions.
    """

    key: CircuitKey
    start: datetime
    step: timedelta
    truth: np.ndarray
    recorded: np.ndarray
    first: np.ndarray
    revised: np.ndarray
    late: np.ndarray
    duplicated: np.ndarray

    def moment(self, place: int) -> datetime:
        """The time of one reading."""
        return self.start + place * self.step


def simulate(
    circuits: Iterable[Circuit],
    *,
    seed: int = 0,
    first: date = FIRST_DAY,
    last: date = LAST_DAY,
) -> dict[CircuitKey, Meter]:
    """Return every circuit's meter over whole UTC days, first to last."""
    days = (last - first).days + 1
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    plants: dict[str, _Plant] = {}
    meters = {}
    for circuit in sorted(circuits, key=lambda each: each.key):
        plant_id = circuit.key.plant_id
        if plant_id not in plants:
            plants[plant_id] = _plant(_generator(seed, plant_id), days)
        meters[circuit.key] = _meter(circuit, plants[plant_id], start, days, seed)
    return meters


@dataclass(frozen=True, slots=True)
class _Plant:
    """What all circuits of a plant share: outside temperature by hour, and silent hours."""

    temperature: np.ndarray
    silent: np.ndarray
    frozen: np.ndarray


def _generator(seed: int, name: str) -> np.random.Generator:
    import numpy as np

    words = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return np.random.default_rng(list(words))


def _plant(random: np.random.Generator, days: int) -> _Plant:
    import numpy as np

    hours = days * 24
    daily = _autoregressive(random, days, 0.8, 2.4)
    season = np.linspace(4.0, 21.0, days)
    hour = np.arange(hours) % 24
    swing = 5.0 * np.sin(2 * np.pi * (hour - 9) / 24)
    temperature = np.repeat(season + daily, 24) + swing + _autoregressive(random, hours, 0.9, 0.4)
    silent = _runs(random, hours, random.poisson(days * OUTAGES_PER_DAY), lambda: (1, 24))
    wide = days * 24 * STUCK * PLANT_WIDE_STUCK / 12
    frozen = _runs(random, hours, random.poisson(wide), lambda: (6, 24))
    for mask in (silent, frozen):
        mask[-CALM_DAYS * 24 :] = False
    return _Plant(temperature, silent, frozen)


def _meter(circuit: Circuit, plant: _Plant, start: datetime, days: int, seed: int) -> Meter:
    import numpy as np

    spec = circuit.spec
    random = _generator(seed, str(circuit.key))
    per_hour = timedelta(hours=1) // spec.step
    truth = _truth(random, spec, plant, start, days)
    calm = np.zeros(len(truth), dtype=bool)
    calm[-CALM_DAYS * spec.steps_per_day :] = True
    recorded = _recorded(random, truth, plant, per_hour, calm)
    revised = (random.random(len(truth)) < REVISED) & ~np.isnan(recorded)
    first = np.where(
        revised, np.round(recorded * random.uniform(0.95, 1.05, len(truth)), 2), recorded
    )
    return Meter(
        key=circuit.key,
        start=start,
        step=spec.step,
        truth=truth,
        recorded=recorded,
        first=first,
        revised=revised,
        late=random.random(len(truth)) < LATE,
        duplicated=random.random(len(truth)) < DUPLICATED,
    )


def _truth(
    random: np.random.Generator, spec: Spec, plant: _Plant, start: datetime, days: int
) -> np.ndarray:
    """What the circuit really used: local day and week, weather, trend, holidays, noise."""
    import numpy as np

    per_hour = timedelta(hours=1) // spec.step
    count = days * spec.steps_per_day
    hour, weekday = _local_clock(spec, start, days)
    level = random.uniform(0.42, 0.55) * (spec.limits.maximum or 100.0)
    peak, width = random.uniform(11, 15), random.uniform(3.5, 5.0)
    shift = np.exp(-0.5 * ((hour - peak) / width) ** 2)
    morning = np.exp(-0.5 * ((hour - random.uniform(7, 9)) / 1.6) ** 2)
    daily = random.uniform(0.25, 0.45) * shift + random.uniform(0.05, 0.15) * morning
    weekend = np.where(weekday == 6, random.uniform(0.45, 0.7), 1.0)  # noqa: PLR2004 Sunday
    weekend = np.where(weekday == 5, (1 + weekend.min()) / 2 + 0.05, weekend)  # noqa: PLR2004
    temperature = np.repeat(plant.temperature, per_hour)
    cooling = random.uniform(0.004, 0.012) * np.maximum(temperature - 16.0, 0.0)
    heating = random.uniform(0.002, 0.008) * np.maximum(12.0 - temperature, 0.0)
    trend = np.linspace(0.0, random.uniform(-0.05, 0.08), count)
    noise = _autoregressive(random, count, 0.7 ** (1 / per_hour), 0.018 / per_hour**0.5)
    shape = 0.7 + daily * weekend - 0.12 * (1 - weekend) + cooling + heating + trend + noise
    truth: np.ndarray = np.round(np.maximum(level * shape, 0.01 * level), 2)
    return truth


def _local_clock(spec: Spec, start: datetime, days: int) -> tuple[np.ndarray, np.ndarray]:
    """Local hour of the day as a number, and weekday with holidays as Sundays."""
    import numpy as np

    zone = ZoneInfo(spec.timezone)
    holidays = HOLIDAYS.get(spec.timezone.partition("/")[0], frozenset())
    per_hour = timedelta(hours=1) // spec.step
    moments = [(start + timedelta(hours=each)).astimezone(zone) for each in range(days * 24)]
    whole = np.array([moment.hour + moment.minute / 60 for moment in moments], dtype=float)
    sundays = [6 if each.date() in holidays else each.weekday() for each in moments]
    parts = np.tile(np.arange(per_hour) / per_hour, len(moments))
    return np.repeat(whole, per_hour) + parts, np.repeat(np.array(sundays), per_hour)


def _recorded(
    random: np.random.Generator,
    truth: np.ndarray,
    plant: _Plant,
    per_hour: int,
    calm: np.ndarray,
) -> np.ndarray:
    """What the meter reports of it."""
    import numpy as np

    count = len(truth)
    recorded = truth.copy()
    stuck = _runs(
        random,
        count,
        random.poisson(count * STUCK / (12 * per_hour)),
        lambda: (6 * per_hour, 18 * per_hour),
    )
    stuck = (stuck | np.repeat(plant.frozen, per_hour)) & ~calm
    places = np.maximum.accumulate(np.where(stuck, 0, np.arange(count)))
    recorded = recorded[places]
    spikes = random.random(count) < SPIKE
    recorded[spikes] *= random.choice(SPIKE_FACTORS, spikes.sum())
    steps = random.random(count) < STEP
    recorded[steps] *= 2
    zeros = random.random(count) < ZERO
    recorded[zeros] = random.choice([0.0, -1.0], zeros.sum()) * truth[zeros]
    recorded[_missing(random, count, per_hour, calm) | np.repeat(plant.silent, per_hour)] = np.nan
    return np.round(recorded, 2)


def _missing(
    random: np.random.Generator, count: int, per_hour: int, calm: np.ndarray
) -> np.ndarray:
    import numpy as np

    shares = np.array([share for share, _, _ in MISSING_RUNS])
    hours = [(low, high) for _, low, high in MISSING_RUNS]
    mean = sum(share * (low + high) / 2 for share, low, high in MISSING_RUNS)

    def length() -> tuple[int, int]:
        low, high = hours[random.choice(len(hours), p=shares / shares.sum())]
        return low * per_hour, high * per_hour

    missing = _runs(random, count, random.poisson(count * MISSING / (mean * per_hour)), length)
    short = _runs(
        random, count, random.poisson(calm.sum() / per_hour / 240), lambda: (1, 3 * per_hour)
    )
    mask: np.ndarray = (missing & ~calm) | (short & calm)
    return mask


def _runs(
    random: np.random.Generator, count: int, runs: int, length: Callable[[], tuple[int, int]]
) -> np.ndarray:
    """A mask with this many runs of random length at random places."""
    import numpy as np

    mask = np.zeros(count, dtype=bool)
    for _ in range(runs):
        low, high = length()
        start = int(random.integers(0, count))
        mask[start : start + int(random.integers(low, high + 1))] = True
    return mask


def _autoregressive(
    random: np.random.Generator, count: int, memory: float, scale: float
) -> np.ndarray:
    """Noise that remembers: each value is ``memory`` of the one before and something new."""
    import numpy as np

    fresh = random.normal(0.0, scale, count)
    values = np.empty(count)
    before = 0.0
    for place in range(count):
        before = memory * before + fresh[place]
        values[place] = before
    return values
