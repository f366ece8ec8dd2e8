"""Laws of alerts: one for each incident, everybody concerned, and nothing lost on the way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain import alert as rules
from mlops_assets.domain.alert import RECURRING, SEVERITY, Letter
from mlops_assets.domain.circuit import AlertPolicy, Plant
from mlops_assets.domain.errors import DataError
from mlops_assets_tests.fakes.alert import a_letter, an_alert

alerts = st.builds(an_alert, kind=st.sampled_from(sorted(SEVERITY)), cause=st.text(max_size=9))
looks = st.lists(st.lists(alerts, max_size=6), max_size=6)
PLANTS = {
    name: Plant(plant_id=name, name=name, owners=owners, circuits=("C1",))
    for name, owners in {"P1": ("team:one", "ann@co.example"), "P2": ("team:two",)}.items()
}
POLICY = AlertPolicy(
    webhook="https://hook.example",
    smtp="mail.example:25",
    sender="mlops@co.example",
    owners={"team:one": ("bob@co.example", "ann@co.example")},
)


class Watched:
    """What a watch keeps between two looks."""

    def __init__(self):
        self.raised, self.over = {}, set()

    def look(self, found, asked=frozenset(SEVERITY)):
        fresh = rules.news(found, raised=self.raised, over=self.over)
        gone = rules.ended(found, asked=asked, raised=self.raised, over=self.over)
        self.raised |= fresh
        self.over |= set(gone)
        return fresh


@given(looks)
def test_a_second_look_at_the_same_incidents_raises_nothing(history):
    watched = Watched()
    for found in history:
        watched.look(found)
        assert watched.look(found) == {}


@given(looks)
def test_an_incident_that_does_not_recur_is_raised_once_for_good(history):
    watched = Watched()
    for found in history:
        watched.look(found)
    kinds = [(one.kind, one.cause) for one in watched.raised.values() if one.kind not in RECURRING]
    assert len(kinds) == len(set(kinds))
    assert set(kinds) == {
        (one.kind, one.cause) for found in history for one in found if one.kind not in RECURRING
    }


@given(looks)
def test_a_recurring_incident_is_raised_once_for_each_time_it_comes(history):
    watched, came = Watched(), []
    before = set()
    for found in history:
        watched.look(found)
        there = {(one.kind, one.cause) for one in found if one.kind in RECURRING}
        came += sorted(there - before)
        before = there
    raised = [(one.kind, one.cause) for one in watched.raised.values() if one.kind in RECURRING]
    assert sorted(raised) == sorted(came)


def test_an_incident_that_could_not_be_looked_for_has_not_ended():
    watched = Watched()
    silent = an_alert(kind="plant_silent", cause="P1")
    assert watched.look([silent])
    assert not watched.look([], asked={"no_forecast"})
    assert not watched.look([silent])


@given(alerts, alerts)
def test_two_incidents_share_a_name_only_if_they_are_one(one, other):
    same = rules.name_of(one, ()) == rules.name_of(other, ())
    assert same == ((one.kind, one.cause) == (other.kind, other.cause))


@given(alerts, st.text(max_size=60), st.booleans())
def test_a_letter_survives_being_written(one, says, webhook):
    letter = a_letter(kind=one.kind, cause=one.cause, says=says, webhook=webhook)
    assert Letter.from_bytes(letter.to_bytes(), letter.name) == letter


@given(st.data())
def test_a_letter_with_any_byte_changed_is_refused_or_the_same(data):
    whole = a_letter().to_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:place] + bytes([data.draw(st.integers(0, 255))]) + whole[place + 1 :]
    try:
        letter = Letter.from_bytes(changed, "no_forecast.0.0")
    except DataError:
        return
    assert letter.to_bytes() == changed


def test_what_is_no_letter_is_refused_in_one_line():
    for data in (b"", b"{}", b"[]", b"null", b'{"incident":"x"}', b"\xff"):
        with pytest.raises(DataError, match="restore or delete it"):
            Letter.from_bytes(data, "x")


@given(st.sampled_from(sorted(SEVERITY)), *[st.sampled_from(["notice", "warning", "critical"])] * 2)
def test_a_stricter_limit_never_tells_more_people(kind, one, other):
    order = ["notice", "warning", "critical"]
    low, high = sorted([one, other], key=order.index)
    routes = [
        rules.route(
            an_alert(kind=kind, owners=("team:one",)),
            AlertPolicy(
                webhook=POLICY.webhook,
                smtp=POLICY.smtp,
                sender=POLICY.sender,
                owners=POLICY.owners,
                webhook_severity=limit,
                mail_severity=limit,
            ),
        )
        for limit in (low, high)
    ]
    assert set(routes[1].channels) <= set(routes[0].channels)
    assert set(routes[1].mail) <= set(routes[0].mail)


def test_a_team_is_its_addresses_and_a_person_is_told_once():
    route = rules.route(an_alert(owners=("team:one", "ann@co.example")), POLICY)
    assert route.mail == ("ann@co.example", "bob@co.example")
    assert route.channels == ("file", "webhook", "mail")


def test_a_team_without_address_is_named():
    route = rules.route(an_alert(owners=("team:two",)), POLICY)
    assert (route.mail, route.unreached) == ((), ("team:two",))


def test_without_receivers_there_is_the_file():
    assert rules.route(an_alert(), AlertPolicy()).channels == ("file",)


def test_owners_are_those_of_the_plants_and_everybody_where_that_is_nobody():
    assert rules.owners_of(PLANTS, ["P2"]) == ("team:two",)
    everybody = ("ann@co.example", "team:one", "team:two")
    assert rules.owners_of(PLANTS, ["P1", "P2"]) == everybody
    assert rules.owners_of(PLANTS, []) == everybody
    assert rules.owners_of(PLANTS, ["GONE"]) == everybody


def test_a_subject_is_one_line_that_fits():
    assert rules.subject_of("two\nlines") == "two lines"
    assert len(rules.subject_of("x" * 999)) == 150


def test_many_names_are_counted():
    assert rules.some(["b", "a"]) == "a, b"
    assert rules.some([f"C{number:03d}" for number in range(23)]).endswith("C019 and 3 more")
