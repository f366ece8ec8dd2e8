"""A terminal tells of a release what its page tells, outliers first."""

from __future__ import annotations

from dataclasses import replace

from mlops_assets.domain.gates import Verdict
from mlops_assets.domain.page import Signature, render
from mlops_assets.domain.page_text import document, lines
from mlops_assets_tests.domain.test_page import page, part

REFUSED = Verdict("skill", passed=False, reason="below the floor")
WARNED = Verdict("coverage", passed=False, reason="too narrow", blocking=False)
SIGNED = Signature(
    stage="registry",
    principal="ann@example.com",
    decision="approve",
    at="2026-11-23T17:00:00Z",
    statement="e" * 64,
    comment="looks good",
)


def text(made, *unfolded):
    return "\n".join(lines(made, unfolded))


def test_what_the_page_says_the_terminal_says():
    made = page(
        part("P001/C001", verdicts=[REFUSED], diff=["- horizon: 24", "+ horizon: 48"]),
        part("P001/C002", incumbent=0.04),
        signatures=[SIGNED],
        reason="broke: the disk is full",
        signers="May sign: bob@example.com.",
        reviewed=False,
    )
    html, said = render(made).decode(), text(made)
    for fact in (
        made.release,
        made.digest,
        made.state,
        made.created_at,
        made.config_commit,
        made.waits_for,
        made.reason,
        made.signers,
        made.rollback_command,
        made.commands[0][1],
        "UNREVIEWED",
        "Longer horizon",
        "missing: lineage",
        "below the floor",
        "+ horizon: 48",
        "Delta version 4",
        "stays live",
        "4.00 %",
        "10.00 %",
        "ann@example.com",
        "2026-11-23T17:00:00Z",
        "looks good",
    ):
        assert fact in html, fact
        assert fact in said, fact


def test_circuits_that_need_a_look_come_first_and_in_full():
    made = page(part("P001/C001"), part("P001/C002", verdicts=[WARNED]), part("P001/C003"))
    said = text(made)
    table = said.split("those that need a look first")[1]
    assert table.index("P001/C002") < table.index("P001/C001")
    assert "warning  coverage: too narrow" in said
    assert "P001/C002: model version 2" in said
    assert "P001/C003: model version 2" not in said
    assert "P001/C003: model version 2" in text(made, "P001/C003")


def test_what_nobody_has_signed_yet_waits():
    said = text(page(verdicts=[Verdict("registry_approval", passed=False, reason="by nobody")]))
    assert "waits    registry_approval: by nobody" in said
    assert "REFUSED" not in said


def test_one_circuit_alone_is_told_in_full():
    said = text(page(part("P001/C001", incumbent=0.06)))
    assert "readings Delta version 4 -> model version 2" in said
    assert "live now: mae 1, rmse 1, mase 1, wape 0.06" in said


def test_what_is_not_there_is_said_so():
    bare = replace(
        part("P001/C001"), action="retire", model=None, floor=None, chain=[], rollback=""
    )
    said = text(page(bare, verdicts=[], commits=[], commands=[]))
    assert "none is due in this state" in said
    assert "the config of these circuits is as it was released before" in said
    assert "planned and tried out before production is requested" in said
    assert "nobody has signed yet" in said
    assert "to sign" not in said
    assert document(page(bare))["circuits"][0]["model"] is None


def test_tools_get_figures_of_each_circuit():
    (one,) = document(page(part("P001/C001", incumbent=0.06)))["circuits"]
    assert (one["model"]["wape"], one["floor"]["wape"], one["incumbent"]["wape"]) == (
        0.05,
        0.1,
        0.06,
    )
    assert one["skill"] == 0.5
    assert one["lineage"] == {"readings": "Delta version 4", "model": "version 2"}
    assert one["verdicts"][0]["gate"] == "skill"
