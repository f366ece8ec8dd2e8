"""Receivers on the loopback get what is sent, and say so in one line when they do not."""

from __future__ import annotations

import email
import email.policy
import io
import json

import pytest

from mlops_assets.adapters.local.alert import LocalAlertLog, LocalAlerts, Secrets
from mlops_assets.domain.circuit import AlertPolicy
from mlops_assets.domain.errors import DataError, RefusedError
from mlops_assets_tests.fakes.alert import a_letter, mail_server, safe_mail_server, webhook_server


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")


@pytest.fixture
def send(tmp_path):
    terminal = io.StringIO()

    def sending(letter, channel, secrets=None, **policy):
        LocalAlerts(
            tmp_path / "alerts.jsonl",
            AlertPolicy(sender="mlops@co.example", **policy),
            secrets,
            terminal,
        ).send(letter, channel)
        return terminal.getvalue()

    return sending


def test_the_webhook_gets_the_alert_as_json(send):
    with webhook_server() as hook:
        send(a_letter(), "webhook", webhook=hook.url)
    ((headers, body),) = hook.got
    assert headers["Idempotency-Key"] == body["incident"] == "no_forecast.0.0"
    assert headers["Content-Type"] == "application/json"
    assert body == a_letter().document()
    assert "mlops predict --date 2024-06-20" in body["text"]


def test_the_mail_server_gets_one_mail_for_all_owners(send):
    letter = a_letter(mail=("ann@co.example", "bob@co.example"), says="Nothing came.\nGrüße")
    with mail_server() as server:
        send(letter, "mail", smtp=server.place)
    (got,) = server.got
    assert (got["from"], got["to"]) == ("mlops@co.example", ["ann@co.example", "bob@co.example"])
    mail = email.message_from_bytes(got["data"], policy=email.policy.default)
    assert mail["Subject"] == "[critical] no forecast for 2024-06-20: P001/C001"
    assert mail["Message-ID"] == "<no_forecast.0.0@mlops-assets>"
    assert mail.get_content().splitlines() == letter.alert.text.splitlines()


def test_an_alert_is_a_line_of_the_file_and_of_the_terminal_once(send, tmp_path):
    send(a_letter(), "file")
    shown = send(a_letter(), "file")
    line = (tmp_path / "alerts.jsonl").read_text()
    assert json.loads(line) == a_letter().document()
    assert shown == (
        "critical: no forecast for 2024-06-20: P001/C001: `mlops predict --date 2024-06-20`\n"
    )


def test_a_torn_line_goes_before_the_next_comes(send, tmp_path):
    send(a_letter(), "file")
    with (tmp_path / "alerts.jsonl").open("a") as file:
        file.write('{"torn')
    send(a_letter(name="b.0"), "file")
    lines = (tmp_path / "alerts.jsonl").read_text().splitlines()
    assert [json.loads(line)["incident"] for line in lines] == ["no_forecast.0.0", "b.0"]


@pytest.mark.parametrize("answer", [500, 503, 429, 302])
def test_a_webhook_in_trouble_is_tried_again(send, answer):
    with webhook_server() as hook:
        hook.answer = answer
        with pytest.raises(DataError, match=f"webhook 127.0.0.1 answers {answer}"):
            send(a_letter(), "webhook", webhook=hook.url)
    assert len(hook.got) == 1


def test_a_webhook_that_refuses_this_alert_is_no_outage(send):
    with webhook_server() as hook:
        hook.answer = 400
        with pytest.raises(RefusedError, match="answers 400"):
            send(a_letter(), "webhook", webhook=hook.url)


def test_receivers_that_are_not_there_are_named_in_one_line(send):
    with webhook_server() as hook, mail_server() as server:
        url, place = hook.url, server.place
    with pytest.raises(DataError, match=r"webhook 127.0.0.1 cannot be reached: .*refused"):
        send(a_letter(), "webhook", webhook=url)
    with pytest.raises(DataError, match=r"mail server 127.0.0.1:\d+ cannot be reached: .*refused"):
        send(a_letter(), "mail", smtp=place)


def test_a_receiver_that_left_the_policy_is_said_so(send):
    with pytest.raises(DataError, match="no webhook is named"):
        send(a_letter(), "webhook")
    with pytest.raises(DataError, match="no mail server is named"):
        send(a_letter(), "mail")


def test_one_unknown_address_stops_no_other_and_all_unknown_refuse(send):
    with mail_server() as server:
        server.refuses = ("gone@",)
        send(a_letter(mail=("ann@co.example", "gone@co.example")), "mail", smtp=server.place)
        assert [mail["to"] for mail in server.got] == [["ann@co.example"]]
        with pytest.raises(RefusedError, match="unknown here"):
            send(a_letter(mail=("gone@co.example",)), "mail", smtp=server.place)
        with pytest.raises(RefusedError):
            send(a_letter(mail=("grüße@co.example",)), "mail", smtp=server.place)


def test_secrets_never_leave_without_tls(send):
    with webhook_server() as hook, mail_server() as server:
        with pytest.raises(DataError, match="https only"):
            send(a_letter(), "webhook", Secrets(token="t"), webhook=hook.url)  # noqa: S106 a test's
        with pytest.raises(DataError, match="no login without TLS"):
            send(a_letter(), "mail", Secrets(user="u", password="p"), smtp=server.place)  # noqa: S106 a test's
    assert (hook.got, server.got) == ([], [])


ANN = Secrets(user="ann", password="sesame")  # noqa: S106 a test's


def test_a_login_goes_over_starttls_to_a_server_that_is_believed(send, tmp_path, monkeypatch):
    with safe_mail_server(tmp_path, login=("ann", "sesame")) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.trusted))
        send(a_letter(), "mail", ANN, smtp=server.place)
    assert server.logins == [(["ann", "sesame"], True)]
    assert [mail["to"] for mail in server.got] == [["ann@co.example"]]


def test_without_a_login_the_mail_still_goes_over_tls_where_the_server_can(
    send, tmp_path, monkeypatch
):
    with safe_mail_server(tmp_path) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.trusted))
        send(a_letter(), "mail", smtp=server.place)
    assert (len(server.got), server.logins) == (1, [])


def test_a_wrong_password_is_said_and_sends_nothing(send, tmp_path, monkeypatch):
    with safe_mail_server(tmp_path, login=("ann", "other")) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.trusted))
        with pytest.raises(DataError, match="answers 535 wrong user or password"):
            send(a_letter(), "mail", ANN, smtp=server.place)
    assert server.got == []


@pytest.mark.parametrize(
    ("name", "trusted"), [("127.0.0.1", False), ("127.0.0.9", True)], ids=["unknown", "another"]
)
def test_neither_mail_nor_password_goes_to_a_server_that_is_not_believed(
    send, tmp_path, monkeypatch, name, trusted
):
    with safe_mail_server(tmp_path, login=("ann", "sesame"), name=name) as server:
        if trusted:
            monkeypatch.setenv("SSL_CERT_FILE", str(server.trusted))
        with pytest.raises(DataError, match=r"cannot be reached: .*CERTIFICATE_VERIFY_FAILED"):
            send(a_letter(), "mail", ANN, smtp=server.place)
    assert (server.got, server.logins) == ([], [])


def test_a_log_keeps_names_inside_its_folder(tmp_path):
    log = LocalAlertLog(tmp_path / "alerts")
    for kind, name in (("raised", "../x"), ("raised", ".hidden"), ("other", "a")):
        with pytest.raises(DataError, match="is not a name"):
            log.put(kind, name, b"")
