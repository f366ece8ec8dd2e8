"""Alerts to a terminal and a file, a webhook, and a mail server; what was sent is written once.

A receiver that cannot be reached raises DataError: nothing can be sent there now. One that was
reached and wants this alert never raises RefusedError: others may still be sent there.
"""

from __future__ import annotations

import http.client
import json
import re
import smtplib
import ssl
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from typing import TYPE_CHECKING, TextIO
from urllib.parse import urlsplit

from mlops_assets.domain.errors import DataError, RefusedError, StaleError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from mlops_assets.adapters.tree import Tree
    from mlops_assets.domain.alert import Channel, Letter
    from mlops_assets.domain.circuit import AlertPolicy

TIMEOUT_SECONDS = 5
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", re.ASCII)
_KINDS = ("raised", "sent", "done", "over")
_LATER = frozenset({408, 425, 429})
_TLS_PORT = 465


@dataclass(frozen=True, slots=True)
class Secrets:
    """What receivers ask for, from the environment alone."""

    token: str = ""
    user: str = ""
    password: str = ""


class TreeAlertLog:
    """``alerts/KIND/NAME``: each file is written once."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def put(self, kind: str, name: str, data: bytes) -> bool:
        """Write a file once; False when the name is taken already."""
        try:
            return self._tree.write_once(_path(kind, name), data)
        except StaleError:
            return False

    def get(self, kind: str, name: str) -> bytes | None:
        """Read such a file."""
        return self._tree.read(_path(kind, name))

    def names(self, kind: str) -> Sequence[str]:
        """Names of a kind, sorted."""
        _path(kind, "any")
        return [name for name in self._tree.names(kind) if _NAME.fullmatch(name)]

    def lock(self) -> AbstractContextManager[None]:
        """Hold the sending against other senders of this home."""
        return self._tree.locked(".lock")


class TreeAlerts:
    """The receivers that a policy names, and the file that is always there."""

    def __init__(
        self,
        tree: Tree,
        file: str,
        policy: AlertPolicy,
        secrets: Secrets | None = None,
        terminal: TextIO | None = None,
    ) -> None:
        self._tree = tree
        self._file = file
        self._policy = policy
        self._secrets = secrets or Secrets()
        self._terminal = terminal

    def send(self, letter: Letter, channel: Channel) -> None:
        """Hand one alert over."""
        match channel:
            case "file":
                self._write(letter)
            case "webhook":
                self._post(letter)
            case "mail":
                self._mail(letter)

    def _write(self, letter: Letter) -> None:
        """Add a line, once for each alert, and say it to whoever watches."""
        line = letter.to_bytes() + b"\n"
        with self._tree.locked(f".{self._file}.lock"):
            known = self._tree.read_log(self._file)
            whole = known.rfind(b"\n") + 1
            if line in known[:whole].splitlines(keepends=True):
                return
            # A killed writer's torn line goes before the next one comes.
            self._tree.append(self._file, line, at=whole)
        alert = letter.alert
        shown = f"{alert.severity}: {alert.subject}: `{alert.command}`\n"
        (self._terminal or sys.stderr).write(shown)

    def _post(self, letter: Letter) -> None:
        url = self._policy.webhook
        address = urlsplit(url)
        place = f"webhook {address.hostname}"
        if not address.hostname:
            raise DataError("alerts.webhook: no webhook is named in the policy any more")
        headers = {"Content-Type": "application/json", "Idempotency-Key": letter.name}
        if self._secrets.token:
            if address.scheme != "https":
                raise DataError(f"{place}: MLOPS_ALERT_TOKEN is sent over https only: mend the URL")
            headers["Authorization"] = f"Bearer {self._secrets.token}"
        data = json.dumps(letter.document()).encode()
        request = urllib.request.Request(url, data=data, headers=headers, method="POST")  # noqa: S310 the catalog lets http and https through
        try:
            with _OPENER.open(request, timeout=TIMEOUT_SECONDS) as answer:
                answer.read(1024)
        except urllib.error.HTTPError as error:
            error.close()
            says = f"{place} answers {error.code} {error.reason}"
            if 400 <= error.code < 500 and error.code not in _LATER:  # noqa: PLR2004 HTTP's own
                raise RefusedError("E_RECEIVER", says) from error
            raise DataError(says) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            raise DataError(f"{place} cannot be reached: {_said(reason)}") from error

    def _mail(self, letter: Letter) -> None:
        place = f"mail server {self._policy.smtp}"
        try:
            message = self._message(letter)
            with self._server() as server:
                server.send_message(message, self._policy.sender, list(letter.route.mail))
        except (smtplib.SMTPRecipientsRefused, smtplib.SMTPNotSupportedError) as error:
            raise RefusedError("E_RECEIVER", f"{place} refuses: {_said(error)}") from error
        except smtplib.SMTPResponseException as error:
            says = f"{place} answers {error.smtp_code} {_said(error.smtp_error)}"
            if isinstance(error, smtplib.SMTPDataError) and error.smtp_code >= 500:  # noqa: PLR2004 SMTP's own
                raise RefusedError("E_RECEIVER", says) from error
            raise DataError(says) from error
        except UnicodeError as error:
            raise RefusedError("E_RECEIVER", f"{place}: an address is not ASCII") from error
        except OSError as error:
            raise DataError(f"{place} cannot be reached: {_said(error)}") from error

    def _message(self, letter: Letter) -> EmailMessage:
        alert = letter.alert
        message = EmailMessage()
        message["Subject"] = f"[{alert.severity}] {alert.subject}"
        message["From"] = self._policy.sender
        message["To"] = ", ".join(letter.route.mail)
        message["Date"] = letter.at
        # A mail that is sent twice because its receipt was lost is shown once.
        message["Message-ID"] = f"<{letter.name}@mlops-assets>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(alert.text)
        return message

    @contextmanager
    def _server(self) -> Iterator[smtplib.SMTP]:
        host, _, port = self._policy.smtp.rpartition(":")
        if not host:
            raise DataError("alerts.smtp: no mail server is named in the policy any more")
        context = ssl.create_default_context()
        server = (
            smtplib.SMTP_SSL(host, int(port), timeout=TIMEOUT_SECONDS, context=context)
            if int(port) == _TLS_PORT
            else smtplib.SMTP(host, int(port), timeout=TIMEOUT_SECONDS)
        )
        with server:
            safe = int(port) == _TLS_PORT
            server.ehlo()
            if not safe and server.has_extn("starttls"):
                server.starttls(context=context)
                server.ehlo()
                safe = True
            if self._secrets.user:
                if not safe:
                    raise DataError(f"mail server {self._policy.smtp}: no login without TLS")
                server.login(self._secrets.user, self._secrets.password)
            yield server


def _path(kind: str, name: str) -> str:
    if kind not in _KINDS or not _NAME.fullmatch(name):
        raise DataError(f"alerts/{kind}/{name}: is not a name that alerts are kept under")
    return f"{kind}/{name}"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would turn the alert into a question without content."""

    def redirect_request(self, *_: object, **__: object) -> None:
        """Follow nothing."""


_OPENER = urllib.request.build_opener(_NoRedirect)


def _said(error: object) -> str:
    """What another system says, in one short line."""
    text = error.decode(errors="replace") if isinstance(error, bytes) else str(error)
    return " ".join(text.split())[:200] or type(error).__name__
