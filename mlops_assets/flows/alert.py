"""Alerts: which incidents are open, raised once each, and sent until every receiver has them.

Raising writes a record; sending goes by the records alone. So an incident that is over before its
receiver is back is told all the same, and nothing waits for a receiver but the next sending.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING

from mlops_assets.domain import alert as rules
from mlops_assets.domain import lifecycle, occasion
from mlops_assets.domain.alert import Alert, Letter
from mlops_assets.domain.canonical import whole_second
from mlops_assets.domain.errors import DataError, MlopsError, RefusedError
from mlops_assets.domain.identifiers import CircuitKey, canonical_json
from mlops_assets.domain.ledger import check_clock
from mlops_assets.domain.readings import DEAD_AFTER
from mlops_assets.flows.cold_start import proposals
from mlops_assets.flows.ledger import authors_of, four_eyes, manifest_of, trust_at
from mlops_assets.flows.refusal import refused_config, rejected_releases
from mlops_assets.flows.restatement import alerts as restatements
from mlops_assets.flows.signed import stage_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mlops_assets.domain.alert import Channel, Kind
    from mlops_assets.domain.circuit import AlertPolicy, Config
    from mlops_assets.domain.occasion import FailedRun
    from mlops_assets.domain.release import OpenRequest, ReleaseView
    from mlops_assets.flows.ladder import Forecasting
    from mlops_assets.ports import Alerting, AlertLog, Platform

# What ended longer ago is history, not news: an old home that gets its first receiver stays quiet.
RECENT = timedelta(days=3)
REMINDER = timedelta(hours=12)
# Sent at one time, so that a slow receiver cannot hold the sensor for long.
AT_ONCE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The incidents that are open; ``asked`` are the kinds that could be looked for."""

    alerts: tuple[Alert, ...]
    asked: frozenset[Kind]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """What one sending did: ``waiting`` alerts are tried again, ``problems`` say why."""

    sent: int = 0
    waiting: int = 0
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertReport:
    """What was raised now, and what was sent."""

    raised: tuple[Alert, ...]
    sending: Sending
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """What every question is asked about."""

    platform: Platform
    config: Config
    now: datetime
    data_now: datetime
    forecasting: Forecasting | None = None


def watch(
    platform: Platform,
    alerting: Alerting,
    config: Config,
    *,
    now: datetime,
    data_now: datetime,
    forecasting: Forecasting | None = None,
) -> AlertReport:
    """Find what is open, raise what is new, send what waits; asking again changes nothing."""
    found = open_incidents(platform, config, now=now, data_now=data_now, forecasting=forecasting)
    raised = announce(alerting, config.policy.alerts, found, now=now)
    sending = send(alerting, config.policy.alerts, now=now)
    return AlertReport(
        raised=raised, sending=sending, problems=(*found.problems, *sending.problems)
    )


def report_failed_run(
    platform: Platform, alerting: Alerting, config: Config, run: FailedRun, *, now: datetime
) -> bool:
    """Raise a failed run; false where its release's own alert says it, or it was raised before."""
    # A ledger that cannot be read is no reason to keep quiet.
    with suppress(MlopsError):
        views = lifecycle.fold(platform.ledger.entries(), now)
        state = next((view.state for view in views if view.release == run.release), None)
        if state in ("failed", "errored"):
            return False
    found = Findings(alerts=(occasion.run_failed(run, config.plants),), asked=frozenset())
    return bool(announce(alerting, config.policy.alerts, found, now=now))


def open_incidents(
    platform: Platform,
    config: Config,
    *,
    now: datetime,
    data_now: datetime,
    forecasting: Forecasting | None = None,
) -> Findings:
    """Say which incidents are open; one source that cannot be read silences no other."""
    state = _State(
        platform=platform, config=config, now=now, data_now=data_now, forecasting=forecasting
    )
    alerts: list[Alert] = []
    asked: set[Kind] = set()
    problems: list[str] = []
    for source, kinds in _SOURCES:
        try:
            alerts += source(state)
            asked |= kinds
        except (MlopsError, OSError) as error:
            problems.append(f"{', '.join(sorted(kinds))} cannot be told: {error}")
    return Findings(alerts=tuple(alerts), asked=frozenset(asked), problems=tuple(problems))


def announce(
    alerting: Alerting, policy: AlertPolicy, found: Findings, *, now: datetime
) -> tuple[Alert, ...]:
    """Write down what is new and what is over; the file and the terminal get it by `send`."""
    log = alerting.log
    raised, over = frozenset(log.names("raised")), frozenset(log.names("over"))
    fresh = []
    at = whole_second(now)
    for name, alert in rules.news(found.alerts, raised=raised, over=over).items():
        letter = Letter(name=name, at=at, alert=alert, route=rules.route(alert, policy))
        if log.put("raised", name, letter.to_bytes()):
            fresh.append(alert)
    for name in rules.ended(found.alerts, asked=found.asked, raised=raised, over=over):
        log.put("over", name, b"")
    return tuple(fresh)


def send(alerting: Alerting, policy: AlertPolicy, *, now: datetime) -> Sending:
    """Send what was raised to those who have not got it; a receiver that is down stops itself."""
    log = alerting.log
    with log.lock():
        done = frozenset(log.names("done"))
        names = [name for name in log.names("raised") if name not in done]
        if not names:
            return Sending()
        sent_before = frozenset(log.names("sent"))
        letters, problems = _letters(log, names)
        mail = _Mail(alerting, policy, now)
        for letter in letters:
            mail.send(letter, sent_before)
    return Sending(
        sent=mail.sent, waiting=mail.waiting, problems=(*problems, *mail.problems.values())
    )


class _Mail:
    """One sending: what it did, and which receivers turned out to be down."""

    def __init__(self, alerting: Alerting, policy: AlertPolicy, now: datetime) -> None:
        self._log = alerting.log
        self._receivers = alerting.receivers(policy)
        self._now = now
        self._left = AT_ONCE
        self._down: set[Channel] = set()
        self.sent = self.waiting = 0
        self.problems: dict[str, str] = {}

    def send(self, letter: Letter, sent_before: frozenset[str]) -> None:
        """Send one alert over each channel that lacks it, and close it when none does."""
        given_up = self._now - letter.at >= rules.GIVE_UP
        open_channels = [
            channel
            for channel in letter.route.channels
            if f"{letter.name}.{channel}" not in sent_before and not self._try(letter, channel)
        ]
        if open_channels and not given_up:
            self.waiting += 1
            return
        self._log.put("done", letter.name, canonical_json({"without": list(open_channels)}))

    def _try(self, letter: Letter, channel: Channel) -> bool:
        if channel in self._down or (channel != "file" and self._left == 0):
            return False
        self._left -= channel != "file"
        try:
            self._receivers.send(letter, channel)
        except RefusedError as error:
            self.problems[f"{letter.name}.{channel}"] = f"{letter.alert.subject}: {error}"
            return False
        except DataError as error:
            self._down.add(channel)
            self.problems[channel] = str(error)
            return False
        self._log.put("sent", f"{letter.name}.{channel}", b"")
        self.sent += 1
        return True


def _letters(log: AlertLog, names: Iterable[str]) -> tuple[list[Letter], list[str]]:
    """Read what was raised, oldest first; a damaged record is told and stops nothing."""
    letters, problems = [], []
    for name in names:
        try:
            letters.append(Letter.from_bytes(log.get("raised", name) or b"", name))
        except DataError as error:
            problems.append(str(error))
    return sorted(letters, key=lambda letter: (letter.at, letter.name)), problems


# --- what may be open -----------------------------------------------------------------------


def _config(state: _State) -> Iterator[Alert]:
    """The config at the watched ref, where it is refused."""
    return refused_config(state.platform, state.config)


def _rejected(state: _State) -> Iterator[Alert]:
    """Releases that people rejected lately."""
    moment = check_clock(state.platform.ledger.entries(), state.now)
    plants = state.config.plants
    return rejected_releases(state.platform, plants, since=moment - RECENT, now=moment)


def _releases(state: _State) -> Iterator[Alert]:
    """Releases that failed lately or are broken, and requests that ran out lately."""
    entries = state.platform.ledger.entries()
    moment = check_clock(entries, state.now)
    views = {view.release: view for view in lifecycle.fold(entries, moment)}
    plants = state.config.plants
    for view in views.values():
        if view.state == "errored":
            yield occasion.release_errored(view, plants)
        if view.lapsed is not None:
            stage = "registry" if view.state == "candidate" else "production"
            yield occasion.approval_expired(view, stage, view.lapsed, plants)
    for entry in entries:
        if entry.at <= moment - RECENT:
            continue
        if entry.event == "failed":
            yield occasion.release_failed(views[entry.data["release"]], plants)
        elif entry.event == "expired":
            view, data = views[entry.data["release"]], entry.data
            yield occasion.approval_expired(view, data["stage"], data["nonce"], plants)


def _approvals(state: _State) -> Iterator[Alert]:
    """Requests that wait for people, told to those who may sign, and once more near the end."""
    entries = state.platform.ledger.entries()
    moment = check_clock(entries, state.now)
    for view in lifecycle.fold(entries, moment):
        request = view.open_request
        if request is None or view.begun is not None:
            continue
        quorum = stage_policy(state.config, request.stage).quorum
        if len(request.approvals) >= quorum:
            continue
        people = signers(state.platform, state.config, view, request, now=moment)
        people = people or rules.owners_of(state.config.plants, occasion.plants_of(view.circuits))
        yield occasion.approval_requested(view, request, signers=people, quorum=quorum)
        # A window shorter than that was announced late enough.
        remind_at = request.expires_at - REMINDER
        if request.requested_at < remind_at <= moment:
            yield occasion.approval_reminder(view, request, signers=people, quorum=quorum)


def signers(
    platform: Platform, config: Config, view: ReleaseView, request: OpenRequest, *, now: datetime
) -> tuple[str, ...]:
    """Return who may still sign: by role, with a valid key, and neither its author nor asker."""
    trust = trust_at(platform.config)
    manifest = manifest_of(platform.ledger, view)
    with_key = set()
    for key in trust.signers:
        with suppress(RefusedError):
            with_key.add(trust.signer(key, now).principal)
    wrote: frozenset[str] = frozenset()
    wrote_counts = four_eyes(platform.ledger.entries(), config.policy) == "required"
    if wrote_counts:
        wrote = authors_of(platform, manifest, trust).people
    asked = {request.requester} if wrote_counts else set()
    roles = set(stage_policy(config, request.stage).roles)
    return tuple(
        sorted(
            person
            for person in with_key - wrote - set(request.approvals) - asked
            if trust.roles(person) & roles
        )
    )


def _degraded(state: _State) -> Iterator[Alert]:
    """Live releases that are clearly worse than signed."""
    from mlops_assets.flows.degradation import incidents

    found = incidents(state.platform, state.config, now=state.now, forecasting=state.forecasting)
    for incident in found:
        yield occasion.degraded(incident, state.config.plants)


def _silences(state: _State) -> Iterator[Alert]:
    """Plants of which no circuit that ever reported still does, and circuits of the others.

    Circuits that fell silent with the same reading are one incident. Dead ones are left out: they
    were told when they fell silent, and an old home would tell nothing else.
    """
    last: dict[str, dict[CircuitKey, datetime]] = {}
    rows = state.platform.lake.readings.summary()
    columns = ("plant_id", "circuit_id", "last_timestamp")
    for plant, circuit, newest in rows.select(columns).iter_rows():
        key = CircuitKey(plant, circuit)
        if key in state.config.circuits and newest is not None:
            last.setdefault(plant, {})[key] = newest
    for plant, stamps in sorted(last.items()):
        silent = {key: newest for key, newest in stamps.items() if _silent(state, key, newest)}
        if len(silent) == len(stamps):
            yield occasion.plant_silent(plant, stamps, state.config.plants)
            continue
        since: dict[datetime, list[CircuitKey]] = {}
        for key, newest in sorted(silent.items()):
            if state.data_now - newest <= DEAD_AFTER:
                since.setdefault(newest, []).append(key)
        for newest, circuits in sorted(since.items()):
            yield occasion.circuits_silent(circuits, newest, state.config.plants)


def _silent(state: _State, key: CircuitKey, newest: datetime) -> bool:
    longest = state.config.circuits[key].spec.limits.maximum_gap_hours
    return state.data_now - newest > timedelta(hours=longest)


def _missing_forecasts(state: _State) -> Iterator[Alert]:
    """Circuits that were live when the day began and have no forecast by its deadline."""
    from mlops_assets.flows.deployment import live_deployments

    day = state.data_now.date()
    midnight = datetime.combine(day, time(), state.data_now.tzinfo)
    hours = state.config.policy.alerts.forecast_deadline_hours
    deadline = midnight + timedelta(hours=hours)
    if state.data_now < deadline:
        return
    since = _first_deployed(state)
    live = live_deployments(state.platform.prod)
    due = {key for key in live if since.get(key, midnight) <= midnight}
    rows = state.platform.lake.predictions.read(issued_for=day, circuits=sorted(due))
    names = rows.select("plant_id", "circuit_id").unique().iter_rows()
    missing = sorted(due - {CircuitKey(plant, circuit) for plant, circuit in names})
    if missing:
        yield occasion.no_forecast(day, missing, deadline, state.config.plants)


def _first_deployed(state: _State) -> Mapping[CircuitKey, datetime]:
    """Since when each circuit has been live at all."""
    since: dict[CircuitKey, datetime] = {}
    for entry in state.platform.ledger.entries():
        if entry.event == "deployed":
            for key in entry.data["circuits"]:
                since.setdefault(CircuitKey.parse(key), entry.at)
    return since


def _restated(state: _State) -> Iterator[Alert]:
    """Slices that changed what a serving or a wanted model learned, each told once."""
    return restatements(state.platform, state.config, data_now=state.data_now)


def _cold_starts(state: _State) -> Iterator[Alert]:
    """Circuits that were trained on too few readings and have enough now."""
    return proposals(state.platform.lake, state.config, data_now=state.data_now)


_SOURCES: tuple[tuple[Callable[[_State], Iterable[Alert]], frozenset[Kind]], ...] = (
    (_config, frozenset({"config_refused"})),
    (_releases, frozenset({"release_failed", "release_errored", "approval_expired"})),
    (_rejected, frozenset({"release_rejected"})),
    (_approvals, frozenset({"approval_requested", "approval_reminder"})),
    (_degraded, frozenset({"degraded"})),
    (_silences, frozenset({"plant_silent", "circuits_silent"})),
    (_missing_forecasts, frozenset({"no_forecast"})),
    (_restated, frozenset({"restated"})),
    (_cold_starts, frozenset({"cold_start_over"})),
)
