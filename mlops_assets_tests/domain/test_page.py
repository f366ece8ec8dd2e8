"""The page of a release: whole in itself, safe, outliers first, plain about what is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.evaluation import Metrics
from mlops_assets.domain.gates import Verdict
from mlops_assets.domain.page import CircuitPart, ReleasePage, Signature, render


def metrics(wape):
    return Metrics(
        mae=1.0,
        rmse=1.0,
        mase=1.0,
        wape=wape,
        r2=0.9,
        coverage_80=0.8,
        coverage_95=0.95,
        points=10,
    )


def part(circuit, *, wape=0.05, floor=0.1, incumbent=None, **changes):
    made = CircuitPart(
        circuit=circuit,
        action="deploy",
        changes="model version 2 (auto_ets), the first deployment",
        chain=[("readings", "Delta version 4"), ("model", "version 2")],
        model=metrics(wape),
        floor=metrics(floor),
        incumbent=None if incumbent is None else metrics(incumbent),
        verdicts=[Verdict("skill", passed=True, reason="fine")],
        rollback="stays live",
    )
    return replace(made, **changes)


def page(*circuits, **changes):
    made = ReleasePage(
        release="r-0123456789ab",
        digest="d" * 64,
        state="candidate",
        waits_for="a registry request",
        reason="",
        created_at="2024-07-01T08:00:00Z",
        attempt=1,
        config_commit="c" * 40,
        reviewed=True,
        commits=[{"commit": "cccccccccccc", "subject": "Longer horizon", "review": "none"}],
        verdicts=[Verdict("evidence", passed=False, reason="missing: lineage")],
        signatures=[],
        circuits=circuits or (part("P001/C001"),),
        rollback_command="mlops rollback --circuit KEY",
        commands=[("To sign:", "mlops release approve r-0123456789ab --stage registry")],
    )
    return replace(made, **changes)


def text(made):
    return render(made).decode()


def order(html):
    return re.findall(r"<summary><strong>([^<]*)</strong>", html)


def test_it_needs_nothing_else():
    html = text(page())
    assert "http:" not in html.replace("http://www.w3.org/2000/svg", "")
    assert "<script" not in html
    assert not re.search(r"(src|href)=", html)


def test_it_says_what_to_type_what_is_refused_and_how_to_go_back():
    html = text(page())
    assert "mlops release approve r-0123456789ab --stage registry" in html
    assert '<span class="no">refused</span></td><td>evidence</td><td>missing: lineage' in html
    assert "mlops rollback --circuit KEY" in html
    assert "Nobody has signed yet" in html
    assert "waits for a registry request" in html


def test_signatures_are_listed():
    signed = Signature(
        stage="registry",
        principal="eve@co.example",
        decision="approve",
        at="2024-07-01T09:00:00Z",
        statement="f" * 64,
        comment="looks right",
    )
    html = text(page(signatures=[signed], commands=()))
    assert "eve@co.example" in html
    assert "looks right" in html
    assert "<h2>To sign</h2>" not in html


def test_an_unreviewed_release_says_so_loudly():
    assert "UNREVIEWED" not in text(page())
    assert "UNREVIEWED" in text(page(reviewed=False))


def test_circuits_that_need_a_look_come_first():
    refused = part("P9/Z1", verdicts=[Verdict("skill", passed=False, reason="x")])
    warned = part("P9/Z2", verdicts=[Verdict("coverage", passed=False, reason="x", blocking=False)])
    loses = part("P9/Z3", incumbent=0.04)
    close = part("P9/Z4", wape=0.099)
    good = part("P1/A1")
    assert order(text(page(good, close, loses, warned, refused))) == [
        "P9/Z1",
        "P9/Z2",
        "P9/Z3",
        "P9/Z4",
        "P1/A1",
    ]


def test_only_what_needs_a_look_is_unfolded():
    refused = part("P1/A1", verdicts=[Verdict("skill", passed=False, reason="x")])
    html = text(page(refused, part("P1/A2"), part("P1/A3")))
    assert html.count("<details open>") == 1
    assert html.count("<details>") == 2
    assert "<details open>" in text(page(part("P1/A1")))


def test_a_retired_circuit_has_no_figures():
    gone = CircuitPart(circuit="P1/A1", action="retire", changes="is no longer forecast")
    html = text(page(gone))
    assert "is no longer forecast" in html
    assert "<td>retire</td><td>-</td>" in html


def test_comparisons_without_a_divisor_are_no_comparisons():
    assert part("P1/A1", floor=0.0).skill == 0.0
    assert part("P1/A1", incumbent=0.0).against_incumbent != 0.0
    assert part("P1/A1", incumbent=0.1).against_incumbent == pytest.approx(-0.5)


@given(st.text(), st.text())
def test_texts_from_outside_are_text_and_no_markup(said, subject):
    hostile = f"<script>{said}</script>"
    html = text(
        page(
            part("P1/A1", verdicts=[Verdict(hostile, passed=False, reason=hostile)]),
            reason=hostile,
            commits=[{"commit": "c", "subject": f"<img src=x>{subject}"}],
        )
    )
    assert "<script" not in html
    assert "<img" not in html


def test_tags_are_closed():
    open_tags = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag != "meta":
                open_tags.append(tag)

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

    Checker().feed(text(page(part("P1/A1", incumbent=0.1), part("P1/A2"), reviewed=False)))
    assert open_tags == []


def test_the_same_release_gives_the_same_page():
    assert render(page()) == render(page())


@pytest.mark.parametrize(
    ("reason", "mark"),
    [
        ("signed by nobody, 0 of 1 needed", "waits"),
        ("signed by nobody, 0 of 1 needed; does not count: no request is open", "waits"),
        ("signed by nobody, 0 of 1 needed; does not count: b@co.example: E_ROLE x", "refused"),
    ],
)
def test_what_nobody_has_signed_yet_waits_and_a_signature_that_is_void_is_refused(reason, mark):
    html = text(page(verdicts=[Verdict("registry_approval", passed=False, reason=reason)]))
    assert f">{mark}</span></td><td>registry_approval</td>" in html
