"""A home is made, or brought to this version's format, whatever backend it is for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlops_assets.domain.errors import HomeError, UsageError
from mlops_assets.resources import azure_stores, config_repository, landing_zone
from mlops_assets.settings import WATCHED_REF

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.adapters.local.config import GitConfigRepository
    from mlops_assets.domain.circuit import Config, Effort
    from mlops_assets.flows.home import NewHome
    from mlops_assets.ports import Clock, LandingZone, Progress
    from mlops_assets.settings import Settings

# Throw-away people of a demo and their roles.
DEMO_PEOPLE: Mapping[str, Sequence[str]] = {
    "engineer@demo.example": ("ml_engineer",),
    "manager@demo.example": ("engineering_manager",),
    "reviewer@demo.example": ("reviewer",),
}


def initialise(
    settings: Settings,
    *,
    readings: Path | None = None,
    features: Sequence[str] = (),
    horizon: int = 24,
    effort: Effort = "balanced",
    four_eyes: Literal["required", "off"] = "required",
    clock: Clock | None = None,
) -> dict[str, Any]:
    """Make a home; returns plants, circuits and the most frequent interval.

    Without readings it watches the config folder that is there, where that lies in a git
    repository and is not the shipped one, and else begins with a copy of the shipped config.
    """
    from mlops_assets.adapters.local.clock import SystemClock
    from mlops_assets.flows import home

    if four_eyes == "off" and settings.backend.kind == "azure":
        raise UsageError("four_eyes: off is for trying it out on one machine, never on Azure")
    now = (clock or SystemClock()).now()
    new = _new_home(settings)
    if readings is None:
        wish = home.Wish(kind="init", four_eyes=four_eyes)
        existing = config_repository(settings)
        own = settings.config.resolve() not in (settings.layout.config.resolve(), _shipped_folder())
        if own and existing.exists():
            return home.adopt(new, wish, existing, now=now)
        return home.initialise(new, wish, template=shipped_config(), now=now)
    wish = home.Wish(
        kind="init", four_eyes=four_eyes, features=tuple(features), horizon=horizon, effort=effort
    )
    return home.initialise(
        new, wish, template=shipped_config(), readings=landing_zone(readings), now=now
    )


def initialise_demo(
    settings: Settings,
    *,
    people: Mapping[str, Sequence[str]] = DEMO_PEOPLE,
    readings: Path | None = None,
    circuits: int | None = None,
    horizon: int | None = None,
    effort: Effort | None = None,
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> dict[str, Any]:
    """Make a home for a demo: ``people`` maps each throw-away person's e-mail to roles.

    Their keys lie in the home; without readings, a simulated company's raw files are sent.
    """
    from mlops_assets.adapters.local.clock import SystemClock
    from mlops_assets.adapters.local.home import LocalHome
    from mlops_assets.domain.signature import public_key_of
    from mlops_assets.domain.trust import Person, Signer
    from mlops_assets.flows import home
    from mlops_assets.flows.simulation import send

    place = LocalHome(settings.layout)

    def trusted() -> tuple[list[Person], list[Signer]]:
        return (
            [Person(email=each, roles=tuple(people[each]), git_emails=(each,)) for each in people],
            [Signer(principal=each, key=public_key_of(place.key(each))) for each in people],
        )

    def simulate(landing: LandingZone, config: Config) -> None:
        send(landing, config, progress=progress)

    return home.initialise(
        _new_home(settings),
        home.Wish(kind="demo", horizon=horizon, effort=effort, circuits=circuits),
        template=shipped_config(),
        now=(clock or SystemClock()).now(),
        readings=landing_zone(readings) if readings else None,
        people=trusted,
        simulate=simulate,
        progress=progress,
    )


def migrate_home(settings: Settings) -> list[str]:
    """Bring a home to this version's format; returns what was done, nothing where it has it."""
    layout = settings.layout
    if layout.home_format() == 0:
        raise HomeError(
            f"{layout.root}: home format 0 was never released: make a new home with `mlops init` "
            f"and the files of {layout.raw}"
        )
    layout.kind()
    return []


def shipped_config() -> Mapping[str, bytes]:
    """Return the config that comes with the project: what a new home begins with."""
    from mlops_assets.adapters.local.config import GitConfigRepository

    return GitConfigRepository(_shipped_folder()).working_files()


def _shipped_folder() -> Path:
    package = Path(__file__).resolve().parents[1]
    inside = package / "shipped_config"
    return inside if inside.is_dir() else package.parent / "config"


def _new_home(settings: Settings) -> NewHome:
    from mlops_assets.adapters.local.config import GitConfigRepository
    from mlops_assets.adapters.local.home import LocalHome
    from mlops_assets.adapters.local.ledger import LocalLedger
    from mlops_assets.flows.home import NewHome

    layout = settings.layout

    def made() -> GitConfigRepository:
        return GitConfigRepository.create(layout.config, WATCHED_REF)

    if settings.backend.kind == "local":
        return NewHome(
            place=LocalHome(layout),
            config=made,
            ledger=lambda config: LocalLedger(layout.ledger, config.anchor, config.anchored),
            landing=landing_zone(layout.raw),
        )
    azure = azure_stores(settings, settings.backend)

    def made_for_azure() -> GitConfigRepository:
        made()
        return azure.config(layout.config, WATCHED_REF)

    return NewHome(
        place=LocalHome(layout), config=made_for_azure, ledger=azure.ledger, landing=azure.landing
    )
