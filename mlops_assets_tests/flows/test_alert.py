"""Which incidents are open over a whole release's life, and that each is told once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from mlops_assets.domain.circuit import AlertPolicy, Plant
from mlops_assets.domain.errors import DataError, MlopsError, RefusedError
from mlops_assets.domain.occasion import FailedRun
from mlops_assets.domain.quality import DayQuality, quality_frame
from mlops_assets.flows import alert
from mlops_assets_tests.fakes.alert import fake_alerting
from mlops_assets_tests.fakes.forecast import FORECASTING
from mlops_assets_tests.fakes.release import (
    AUTHOR,
    C1,
    C2,
    ENGINEER,
    MANAGER,
    ReleaseHome,
)
from mlops_assets_tests.fakes.serving import DAY, MIDNIGHT

POLICY = AlertPolicy(
    webhook="https://hook.example",
    smtp="mail.example:25",
    sender="mlops@co.example",
    owners={"team:works": ("works@co.example",)},
)
PLANTS = {
    "P001": Plant(plant_id="P001", name="Works", owners=("team:works",), circuits=("C001", "C002"))
}


class Watched(ReleaseHome):
    """A home whose incidents are looked for."""

    def __init__(self, *circuits, **options):
        self.log, self.receivers, self.alerting = fake_alerting()
        self.alert_policy = POLICY
        super().__init__(*circuits, **options)

    @property
    def config(self):
        policy = replace(super().config.policy, alerts=self.alert_policy)
        return replace(super().config, plants=PLANTS, policy=policy)

    def watch(self):
        return alert.watch(
            self.platform,
            self.alerting,
            self.config,
            now=self.now,
            data_now=self.now,
            forecasting=FORECASTING,
        )

    def raised(self, *kinds):
        """What a look raises now, of some kinds; a second look raises nothing."""
        raised = self.watch().raised
        assert self.watch().raised == ()
        return [one for one in raised if not kinds or one.kind in kinds]

    def report(self, run):
        return alert.report_failed_run(self.platform, self.alerting, self.config, run, now=self.now)

    def spoil(self, release, *, wape, days=4):
        """Score days of a live release."""
        records = self.registry.models.records
        for name, record in records.items():
            records[name] = replace(record, tags={**record.tags, "wape": "0.05"})
        self.production.lake.quality.replace(
            quality_frame(
                DayQuality(
                    circuit=C1,
                    issued_for=DAY - timedelta(days=number),
                    release=release,
                    model_version=1,
                    fallback="none",
                    rows=24,
                    mae=wape * 100,
                    mase=1.0,
                    wape=wape,
                    bias=0.0,
                    coverage_80=0.8,
                    coverage_95=0.95,
                    absolute_error=wape * 2400,
                    absolute_actual=2400.0,
                )
                for number in range(days)
            )
        )


@pytest.fixture
def home():
    return Watched()


def test_a_home_where_nothing_is_wrong_tells_nothing(home):
    assert home.watch().raised == ()
    home.deployed()
    found = alert.open_incidents(
        home.platform, home.config, now=home.now, data_now=home.now, forecasting=FORECASTING
    )
    assert (found.alerts, found.problems) == ((), ())


def test_a_request_goes_to_those_who_may_sign_with_the_one_command(home):
    made = home.tested()
    home.request(made, "production", ENGINEER)
    (told,) = home.raised()
    assert told.kind == "approval_requested"
    assert told.owners == (AUTHOR, MANAGER)
    assert told.command == (
        f"mlops release approve {made} --stage production --key ~/.ssh/id_ed25519"
    )
    assert told.says.startswith(
        f"{ENGINEER} asks for the production approval of {made} with 2 circuits "
        "(P001/C001, P001/C002). It needs 1, has 0, and expires at 2024-06-21T06:00:00Z"
    )


def test_who_wrote_the_change_is_not_asked_to_sign_it(home):
    home.deployed()
    home.edit(C1, author=AUTHOR)
    home.request(home.tested(C1), "production")
    assert home.raised()[0].owners == (ENGINEER, MANAGER)


def test_with_four_eyes_off_who_asked_may_sign_too():
    home = Watched(four_eyes="off")
    home.request(home.create(), "registry", ENGINEER)
    assert ENGINEER in home.raised()[0].owners


def test_a_lost_key_is_not_asked_for(home):
    home.request(home.create(), "registry")
    home.revoke(ENGINEER)
    assert home.raised()[0].owners == (AUTHOR,)


def test_with_four_eyes_off_authors_are_asked_too():
    home = Watched(four_eyes="off")
    home.deployed()
    home.edit(C1, author=AUTHOR)
    home.request(home.tested(C1), "production")
    assert AUTHOR in home.raised()[0].owners


def test_where_nobody_can_sign_the_owners_of_the_plant_hear_it(home):
    home.request(home.create(), "registry")
    home.policy = replace(home.policy, registry=replace(home.policy.registry, roles=("nobody",)))
    assert home.raised()[0].owners == ("team:works",)


def test_of_a_quorum_of_two_the_second_is_reminded_and_the_first_is_not():
    home = Watched(quorum=2)
    made = home.tested()
    assert home.approve(made, "production", MANAGER).accepted
    (told,) = home.raised()
    assert told.owners == (AUTHOR, ENGINEER)
    assert "It needs 2, has 1" in told.says


def test_twelve_hours_before_the_end_there_is_one_reminder(home):
    made = home.create()
    home.request(made, "registry")
    home.raised()
    home.tick(hours=11, minutes=59)
    assert home.raised("approval_reminder") == []
    home.tick(minutes=1)
    (told,) = home.raised("approval_reminder")
    assert told.severity == "warning"
    assert "expires at 2024-06-21T06:00:00Z" in told.subject
    assert told.command == f"mlops release approve {made} --stage registry --key ~/.ssh/id_ed25519"
    home.tick(hours=11)
    assert home.raised("approval_reminder") == []


def test_a_window_of_few_hours_needs_no_reminder(home):
    home.policy = replace(home.policy, registry=replace(home.policy.registry, expires_hours=6))
    home.request(home.create(), "registry")
    home.tick(hours=5)
    assert [one.kind for one in home.raised()] == ["approval_requested"]


def test_a_request_that_ran_out_is_told_once_whether_recorded_or_not(home):
    made = home.create()
    home.request(made, "registry")
    home.tick(hours=24)
    (told,) = home.raised("approval_expired")
    assert told.command == f"mlops release request {made} --stage registry"
    assert told.owners == ("team:works",)
    from mlops_assets.flows.approval import expire

    assert expire(home.platform, now=home.now) == (made,)
    assert home.raised("approval_expired") == []
    home.request(made, "registry")
    home.tick(hours=24)
    assert len(home.raised("approval_expired")) == 1


def test_a_signed_request_waits_for_nobody(home):
    made = home.create()
    home.approve(made, "registry", ENGINEER)
    assert home.raised() == []


def test_a_release_that_failed_names_its_circuits_and_the_way_on(home):
    home.train(C2, spec="3", error="no convergence")
    made = home.registered()
    home.promote(made, "test")
    (told,) = home.raised()
    assert (told.kind, told.severity, told.cause) == ("release_failed", "critical", made)
    assert told.command == "mlops release create --without P001/C002"
    assert "no convergence" in told.says
    assert told.owners == ("team:works",)


def test_a_release_of_which_everything_failed_is_shown(home):
    home.train(C2, spec="3", error="no convergence")
    made = home.registered(C2)
    home.promote(made, "test")
    assert home.raised()[0].command == f"mlops release show {made}"


def test_what_failed_long_ago_is_no_news(home):
    home.train(C2, spec="3", error="no convergence")
    home.promote(home.registered(), "test")
    home.tick(days=3)
    assert home.raised("release_failed") == []


def test_a_stage_that_broke_can_be_tried_again_by_the_command(home):
    made = home.registered()

    def broken(**_):
        raise MlopsError("no space left: free some")

    table = home.production.lake.readings
    whole, table.summary = table.summary, broken
    with pytest.raises(MlopsError):
        home.promote(made, "test")
    table.summary = whole
    (told,) = home.raised()
    assert told.kind == "release_errored"
    assert told.command == f"mlops release promote {made} --stage test"
    assert "no space left" in told.subject
    run = FailedRun(run_id="1", job="test", reason="no space left", release=made)
    assert not home.report(run)


@pytest.mark.parametrize(
    ("run", "command"),
    [
        ({"job": "etl"}, "mlops ingest"),
        ({"job": "daily", "partition": "2024-06-20"}, "mlops predict --date 2024-06-20"),
        ({"job": "training", "partition": "P001/C001"}, "mlops train --circuit P001/C001"),
        ({"job": "test", "release": "r-1"}, "mlops release promote r-1 --stage test"),
        ({"job": "prune"}, "mlops ui"),
    ],
)
def test_a_failed_run_is_told_with_what_repeats_it(home, run, command):
    failed = FailedRun(run_id="abc", reason="the disk\nis full", **run)
    assert home.report(failed)
    assert not home.report(failed)
    home.watch()
    ((_, letter), *_) = home.receivers.got
    assert letter.alert.command == command
    assert letter.alert.owners == ("team:works",)
    assert letter.alert.subject.endswith("failed: the disk is full")


def test_a_failed_run_is_told_where_the_ledger_is_broken(home):
    home.ledger.log = home.ledger.log[:-2]
    assert home.report(FailedRun(run_id="1", job="test", reason="E_CHAIN", release="r-1"))


def test_a_silent_plant_is_one_alert_and_another_when_it_falls_silent_again(home):
    home.tick(hours=17)
    assert home.raised() == []
    home.tick(hours=1)
    (told,) = home.raised()
    assert (told.kind, told.plants) == ("plant_silent", ("P001",))
    assert told.subject == "P001 is silent since 2024-06-19T23:00:00Z"
    assert "Works (P001): none of its 2 reporting circuits" in told.says
    home.production.send(C1, until=MIDNIGHT + timedelta(days=1), days=1)
    assert [one.says for one in home.raised() if "P001/C002" not in one.says] == []
    home.tick(days=2)
    assert [one.kind for one in home.raised()] == ["plant_silent"]


def test_circuits_that_fall_silent_together_are_one_alert_until_their_whole_plant_is(home):
    home.production.send(C1, until=MIDNIGHT + timedelta(days=1), days=1)
    home.tick(hours=18)
    (told,) = home.raised()
    assert (told.kind, told.cause) == ("circuits_silent", "P001:2024-06-19T23:00:00Z")
    assert told.subject == "silent since 2024-06-19T23:00:00Z: P001/C002"
    assert told.command.endswith("--since 2024-06-19T23:00:00Z --circuit P001/C002")
    home.tick(days=1)
    assert [one.kind for one in home.raised()] == ["plant_silent"]
    home.production.send(C1, until=MIDNIGHT + timedelta(days=2), days=1)
    assert home.raised() == [], "the other one was told"
    home.production.send(C2, until=MIDNIGHT + timedelta(days=2), days=1)
    home.tick(hours=12)
    assert home.raised() == []
    home.production.send(C1, until=MIDNIGHT + timedelta(days=3), days=1)
    home.tick(days=1)
    assert [one.cause for one in home.raised()] == ["P001:2024-06-21T23:00:00Z"]


def test_a_dead_circuit_is_told_when_it_falls_silent_and_never_by_an_old_home(home):
    home.production.send(C1, until=MIDNIGHT + timedelta(days=40), days=1)
    home.tick(days=39)
    assert home.raised() == []


def test_a_demo_stands_still_so_nothing_is_late(home):
    home.deployed()
    found = alert.open_incidents(
        home.platform,
        home.config,
        now=home.now + timedelta(days=300),
        data_now=MIDNIGHT,
        forecasting=FORECASTING,
    )
    assert found.alerts == ()


def test_live_circuits_without_forecast_at_the_deadline_are_named_together(home):
    home.deployed()
    assert home.raised() == [], "they went live after the day began"
    home.tick(hours=19, minutes=59)
    assert home.raised("no_forecast") == []
    home.tick(minutes=1)
    (told,) = home.raised("no_forecast")
    assert told.subject == "no forecast for 2024-06-21: P001/C001, P001/C002"
    assert told.command == "mlops predict --date 2024-06-21"
    home.tick(days=1)
    assert [one.cause for one in home.raised("no_forecast")] == ["2024-06-22"]


def test_a_forecast_in_time_is_enough(home):
    made = home.deployed()
    home.tick(hours=18)
    from mlops_assets.flows.forecast import predict

    predict(
        home.platform.lake,
        home.platform.prod,
        home.platform.registry,
        day=home.now.date(),
        circuits=[C1],
        now=home.now,
        data_now=home.now,
        forecasting=FORECASTING,
    )
    home.tick(hours=3)
    assert home.live(C1) == made
    assert home.raised("no_forecast")[0].subject == "no forecast for 2024-06-21: P001/C002"


def test_a_degraded_release_is_told_until_it_is_well_and_told_again(home):
    made = home.deployed()
    home.spoil(made, wape=0.5)
    (told,) = home.raised()
    assert (told.kind, told.cause) == ("degraded", made)
    assert "P001/C001: WAPE 50.0% over 4 days" in told.says
    assert told.command == "mlops refresh --cutoff DATE --circuit P001/C001"
    home.spoil(made, wape=0.05)
    assert home.raised() == []
    home.spoil(made, wape=0.5)
    assert [one.kind for one in home.raised()] == ["degraded"]


def test_a_source_that_cannot_be_read_silences_no_other(home):
    home.request(home.create(), "registry")

    def broken():
        raise DataError("lake/readings: cannot be read")

    home.production.lake.readings.summary = broken
    report = home.watch()
    assert [one.kind for one in report.raised] == ["approval_requested"]
    assert report.problems == (
        "circuits_silent, plant_silent cannot be told: lake/readings: cannot be read",
        "cold_start_over cannot be told: lake/readings: cannot be read",
    )


# --- sending --------------------------------------------------------------------------------


def test_each_channel_gets_an_alert_once_however_often_it_is_asked(home):
    home.request(home.create(), "registry")
    for _ in range(5):
        home.watch()
        home.tick(minutes=1)
    assert [channel for channel, _ in home.receivers.got] == ["file", "webhook", "mail"]
    assert home.receivers.got[0][1].route.mail == (AUTHOR, ENGINEER)


def test_a_receiver_that_was_down_gets_it_when_it_is_back_and_the_others_at_once(home):
    home.request(home.create(), "registry")
    home.receivers.down["webhook"] = DataError("webhook hook.example cannot be reached")
    report = home.watch()
    assert (report.sending.sent, report.sending.waiting) == (2, 1)
    assert report.problems == ("webhook hook.example cannot be reached",)
    home.receivers.down.clear()
    assert home.watch().sending.sent == 1
    assert [channel for channel, _ in home.receivers.got] == ["file", "mail", "webhook"]
    assert home.watch().sending == alert.Sending()


def test_what_is_over_before_its_receiver_is_back_is_told_all_the_same(home):
    made = home.create()
    home.request(made, "registry")
    home.receivers.down["mail"] = DataError("down")
    home.watch()
    home.approve(made, "registry", ENGINEER)
    home.receivers.down.clear()
    home.watch()
    assert home.receivers.kinds("mail") == ["approval_requested"]


def test_an_alert_that_a_receiver_refuses_stops_no_other(home):
    home.receivers.refuses["webhook", "run_failed"] = RefusedError("E_RECEIVER", "answers 400")
    for number in range(3):
        home.report(FailedRun(run_id=str(number), job="etl", reason="full"))
    home.request(home.create(), "registry")
    report = home.watch()
    assert home.receivers.kinds("webhook") == ["approval_requested"]
    assert report.sending.waiting == 3


def test_a_receiver_that_stays_down_for_a_week_is_given_up(home):
    home.receivers.down["webhook"] = DataError("down")
    home.report(FailedRun(run_id="1", job="etl", reason="full"))
    home.tick(days=7)
    home.watch()
    home.receivers.down.clear()
    home.watch()
    assert "run_failed" not in home.receivers.kinds("webhook")
    assert "run_failed" in home.receivers.kinds("mail")


def test_a_slow_receiver_is_not_given_everything_at_once(home):
    for number in range(30):
        home.report(FailedRun(run_id=str(number), job="etl", reason="full"))
    assert home.watch().sending.waiting == 20
    assert len(home.receivers.kinds("file")) == 30
    home.watch()
    home.watch()
    assert len(home.receivers.kinds("webhook")) == len(home.receivers.kinds("mail")) == 30


def test_severity_decides_who_is_woken(home):
    home.alert_policy = replace(POLICY, webhook_severity="critical", mail_severity="warning")
    home.request(home.create(), "registry")
    home.watch()
    assert [channel for channel, _ in home.receivers.got] == ["file"]
    home.tick(hours=12)
    home.watch()
    assert home.receivers.kinds("mail") == ["approval_reminder"]
    home.report(FailedRun(run_id="1", job="etl", reason="full"))
    home.watch()
    assert home.receivers.kinds("webhook") == ["run_failed"]


def test_a_damaged_record_is_named_and_stops_nothing(home):
    home.log.put("raised", "no_forecast.0.0", b"{}")
    home.request(home.create(), "registry")
    report = home.watch()
    assert report.problems == (
        "alerts/raised/no_forecast.0.0: is not what was raised; restore or delete it",
    )
    assert home.receivers.kinds("mail") == ["approval_requested"]


def test_a_sending_that_was_killed_sends_the_rest(home):
    home.request(home.create(), "registry")
    home.receivers.down["mail"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        home.watch()
    home.receivers.down.clear()
    home.watch()
    assert [channel for channel, _ in home.receivers.got] == ["file", "webhook", "mail"]
