"""Events of a large fleet: above 2,000 circuits at once, a day is told plant by plant.

Dagster keeps an event as a row of some kilobytes and writes it in some milliseconds: 20,000
circuits told three times a day would be minutes of every run and gigabytes of every year. What is
wrong with a circuit is told all the same, in its plant's event and by its check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_assets.assets.events import Fact
from mlops_assets.domain.identifiers import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MOST_CIRCUITS = 2_000
# Circuits that one plant's event names; how many there are is told beside them.
_NAMED = 20
_SUMS = ("rows", "quarantined", "restated")
_DAY = len("2024-06-29")


def at_most_a_plant(facts: Iterable[Fact]) -> list[Fact]:
    """Return the day's facts of circuits as they are, or of more than 2,000 one of each plant.

    A plant's fact has the plant's id as its partition, which is no partition of the graph: the
    circuits' own show what they showed last. Every fact's version begins with its day.
    """
    every = list(facts)
    if len(every) <= MOST_CIRCUITS:
        return every
    plants: dict[str, list[Fact]] = {}
    for fact in every:
        plants.setdefault((fact.partition or "").partition("/")[0], []).append(fact)
    return [_told(plant, circuits) for plant, circuits in sorted(plants.items())]


def _told(plant: str, circuits: Sequence[Fact]) -> Fact:
    """Tell one plant: sums, and the circuits that somebody should look at."""
    odd = {str(fact.partition): said for fact in circuits if (said := _oddity(fact.metadata))}
    versions = sorted((str(fact.partition), fact.version) for fact in circuits)
    day = max(fact.version[:_DAY] for fact in circuits)
    sums = {
        name: sum(int(fact.metadata.get(name) or 0) for fact in circuits)
        for name in _SUMS
        if any(name in fact.metadata for fact in circuits)
    }
    return Fact(
        asset=circuits[0].asset,
        partition=plant,
        version=f"{day}:{digest_of(versions)[:16]}",
        metadata={
            "plant": plant,
            "circuits": len(circuits),
            **sums,
            "odd": len(odd),
            "odd_circuits": dict(sorted(odd.items())[:_NAMED]) or None,
        },
        follows=circuits[0].follows,
    )


def _oddity(metadata: Mapping[str, Any]) -> str:
    """Say what is wrong with a circuit by its own fact; nothing where all is well."""
    if metadata.get("fallback", "none") != "none":
        return f"{metadata['fallback']}: {metadata.get('fallback_reason')}"
    if metadata.get("degraded") or metadata.get("drifted"):
        return str(metadata.get("says"))
    state = metadata.get("state", "reporting")
    return "" if state == "reporting" else str(state)
