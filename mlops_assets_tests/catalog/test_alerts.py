"""What the policy may say about alerts, and what is wrong with the rest."""

from __future__ import annotations

import pytest

from mlops_assets.domain.circuit import AlertPolicy
from mlops_assets_tests.catalog.files import FILES, loaded, problems


def policy(*lines):
    """The policy with these lines about alerts."""
    return FILES["release_policy.yml"] + "\n".join(["alerts:", *(f"  {one}" for one in lines), ""])


def test_without_a_word_alerts_stay_in_the_home():
    assert loaded().policy.alerts == AlertPolicy()


def test_receivers_and_the_people_behind_a_team_are_read():
    alerts = loaded(
        policy=policy(
            "webhook: https://alerts.example/mlops",
            "webhook_severity: critical",
            "smtp: mail.example:587",
            "sender: mlops@co.example",
            "owners:",
            "  team:works: [ann@co.example, bob@co.example]",
        )
    ).policy.alerts
    assert alerts == AlertPolicy(
        webhook="https://alerts.example/mlops",
        webhook_severity="critical",
        smtp="mail.example:587",
        sender="mlops@co.example",
        owners={"team:works": ("ann@co.example", "bob@co.example")},
    )


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["webhook: https://me:secret@alerts.example"], "without user, password or query"),
        (["webhook: https://alerts.example/?token=secret"], "without user, password or query"),
        (["webhook: file:///etc/passwd"], "write https://HOST/PATH"),
        (["smtp: mail.example"], "write HOST:PORT"),
        (["smtp: mail.example:25"], "alerts.sender: missing beside smtp"),
        (["sender: nobody"], "write an e-mail address"),
        (["owners:", "  works: [ann@co.example]"], "write team:NAME"),
        (["owners:", "  team:works: [ann]"], "alerts.owners.team:works[0]: ann: write an e-mail"),
        (["mail_severity: loud"], "write one of critical, notice, warning"),
        (["forecast_deadline_hours: 30"], "write 1 to 23"),
        (["password: secret"], "unknown key"),
    ],
)
def test_a_mistake_names_file_line_and_field(lines, says):
    (problem,) = problems(policy=policy(*lines))
    assert problem.startswith("release_policy.yml:")
    assert says in problem
