"""The page of a release: what it changes, how good it is, who signed, and how to go back.

One HTML file that needs nothing else: no script, no address to fetch from. It is written for
somebody who has to sign, or to understand years later, and who never saw Dagster.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from mlops_assets.domain.scoring import figure, share, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlops_assets.domain.evaluation import Metrics
    from mlops_assets.domain.gates import Verdict

_STYLE = """\
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:68rem;margin:2rem auto;padding:0 1rem}
h1{margin-bottom:0}h2{margin-top:2.2rem;border-bottom:1px solid #7f7f7f55}
table{border-collapse:collapse;margin:.6rem 0}
th,td{border-bottom:1px solid #7f7f7f44;padding:.25rem .7rem;text-align:left}
th{white-space:nowrap}th,td{vertical-align:top}td{overflow-wrap:break-word;max-width:44rem}
table{display:block;overflow-x:auto}
code,pre{font:13px/1.45 ui-monospace,monospace;background:#7f7f7f1f;padding:.1rem .3rem}
pre{padding:.6rem .8rem;overflow-x:auto}
.yes{color:#2a9d5c}.no{color:#e5534b;font-weight:bold}.warn{color:#c77c02;font-weight:bold}
.quiet{color:#7f7f7f}.banner{border:3px solid #e5534b;padding:.6rem 1rem;margin:1rem 0}
.chain{display:flex;flex-wrap:wrap;align-items:stretch;gap:.3rem;margin:.6rem 0}
.chain div{border:1px solid #7f7f7f;border-radius:5px;padding:.3rem .6rem}
.chain div small{display:block;color:#7f7f7f}.chain span{align-self:center;color:#7f7f7f}
summary{cursor:pointer;padding:.35rem 0}details{border-bottom:1px solid #7f7f7f33}
svg{max-width:100%;height:auto}"""

# A signature that does not count, with the code that says why.
_VOID = re.compile(r": E_[A-Z]")
_OUTLIERS = """\
Circuits that need a look come first: those with a refusal or a warning, then those that lose
against what is live now, then those closest to the seasonal naive (yesterday's values again)."""

_FIGURES = """\
All figures are of the backtest: days that the model had not learned from. WAPE is the sum of all
errors as a share of the sum of all readings: 5 % is a good forecast, 100 % a useless one. Skill is
the share of the seasonal naive's error that the model saves: 0 saves nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitPart:
    """One circuit of a release, as the page shows it.

    ``diff`` are the fields of its spec that differ from what it replaces. ``chain`` holds pairs of
    what and which, from readings to deployment; ``facts`` further ones.
    """

    circuit: str
    action: str
    changes: str
    diff: Sequence[str] = ()
    chain: Sequence[tuple[str, str]] = ()
    facts: Sequence[tuple[str, str]] = ()
    model: Metrics | None = None
    floor: Metrics | None = None
    incumbent: Metrics | None = None
    plot: str = ""
    verdicts: Sequence[Verdict] = ()
    rollback: str = ""

    @property
    def skill(self) -> float:
        """What share of the floor's WAPE the model saves."""
        if self.model is None or self.floor is None or not self.floor.wape > 0:
            return 0.0
        return 1 - self.model.wape / self.floor.wape

    @property
    def against_incumbent(self) -> float:
        """Relative change of WAPE against what is live; negative is better, NaN without one."""
        if self.model is None or self.incumbent is None or not self.incumbent.wape > 0:
            return math.nan
        return self.model.wape / self.incumbent.wape - 1

    @property
    def strangeness(self) -> tuple[int, int, float, float]:
        """Sorts what a person must see first to the front."""
        refused = sum(verdict.refuses for verdict in self.verdicts)
        warned = sum(not verdict.passed for verdict in self.verdicts)
        worse = self.against_incumbent if math.isfinite(self.against_incumbent) else 0.0
        return (-refused, -warned, -max(worse, 0.0), self.skill)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One person's recorded decision."""

    stage: str
    principal: str
    decision: str
    at: str
    statement: str
    comment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasePage:
    """Everything that the page of a release says."""

    release: str
    digest: str
    state: str
    waits_for: str
    reason: str
    created_at: str
    attempt: int
    config_commit: str
    reviewed: bool
    commits: Sequence[Mapping[str, str]]
    verdicts: Sequence[Verdict]
    signatures: Sequence[Signature]
    circuits: Sequence[CircuitPart]
    rollback_command: str
    commands: Sequence[tuple[str, str]] = field(default=())
    signers: str = ""

    @property
    def parts(self) -> list[CircuitPart]:
        """The circuits, those first that a person must look at."""
        return sorted(self.circuits, key=lambda part: (part.strangeness, part.circuit))


def render(page: ReleasePage) -> bytes:
    """Return the page; the same release in the same state gives the same bytes."""
    parts = page.parts
    body = "\n".join(
        [
            _head(page),
            _to_sign(page),
            "<h2>Checks</h2>",
            _verdicts(page.verdicts, "No check is due in this state."),
            "<h2>What changes</h2>",
            _commits(page.commits),
            f'<h2>Circuits</h2><p>{_OUTLIERS}</p><p class="quiet">{_FIGURES}</p>',
            _overview(parts),
            *(_circuit(part, unfolded=len(parts) == 1) for part in parts),
            "<h2>The way back</h2>",
            _rollback(page, parts),
            "<h2>Signatures</h2>",
            _signatures(page.signatures),
        ]
    )
    return whole(f"Release {page.release}", body)


def whole(title: str, body: str) -> bytes:
    """Return a page around a body of HTML, in the style of every page that the platform writes."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title>"
        '<meta name="viewport" content="width=device-width">'
        f"<style>\n{_STYLE}\n</style></head><body>\n{body}\n</body></html>\n"
    ).encode()


def _head(page: ReleasePage) -> str:
    count = len(page.circuits)
    waits = f", waits for {_code(page.waits_for)}" if page.waits_for else ""
    reason = f'<p class="no">{escape(page.reason)}</p>' if page.reason else ""
    banner = (
        ""
        if page.reviewed
        else '<p class="banner"><strong>UNREVIEWED.</strong> This home was made with four eyes '
        "off: whoever wrote a change may also sign for it.</p>"
    )
    return (
        f"<h1>Release {escape(page.release)}</h1>"
        f"<p>{count} circuit{'s' if count != 1 else ''}, <strong>{escape(page.state)}</strong>"
        f"{waits}.</p>{reason}{banner}"
        "<p>A release carries forecasting models of circuits (sensor loops of plants) to "
        "production together: first into the shared registry, after one signature; then onto the "
        "test endpoints, where they forecast the newest readings; then, after a second signature, "
        "live. Signatures are for exactly the digest below.</p>"
        + _pairs(
            [
                ("manifest", page.digest),
                ("created", page.created_at),
                ("attempt", str(page.attempt)),
                ("config commit", page.config_commit),
            ]
        )
    )


def _to_sign(page: ReleasePage) -> str:
    if not page.commands:
        return ""
    steps = "".join(
        f"<p>{escape(what)}</p><pre>{escape(command)}</pre>" for what, command in page.commands
    )
    who = f"<p>{escape(page.signers)}</p>" if page.signers else ""
    return f"<h2>To sign</h2>{who}{steps}"


def _code(text: str) -> str:
    """Return text with what stands between backticks as code."""
    pieces = [escape(piece) for piece in text.split("`")]
    return "".join(
        f"<code>{piece}</code>" if number % 2 else piece for number, piece in enumerate(pieces)
    )


def _verdicts(verdicts: Sequence[Verdict], none: str) -> str:
    if not verdicts:
        return f'<p class="quiet">{none}</p>'
    rows = "".join(
        f"<tr><td>{_mark(verdict)}</td><td>{escape(verdict.gate)}</td>"
        f"<td>{escape(verdict.reason)}</td></tr>"
        for verdict in verdicts
    )
    return f"<table><tbody>{rows}</tbody></table>"


def waits(verdict: Verdict) -> bool:
    """Whether nothing is wrong but that people have not signed."""
    return verdict.gate.endswith("_approval") and not _VOID.search(verdict.reason)


def _mark(verdict: Verdict) -> str:
    if verdict.passed:
        return '<span class="yes">passed</span>'
    if waits(verdict):
        return '<span class="warn">waits</span>'
    if verdict.blocking:
        return '<span class="no">refused</span>'
    return '<span class="warn">warning</span>'


def _commits(commits: Sequence[Mapping[str, str]]) -> str:
    if not commits:
        return '<p class="quiet">The config of these circuits is as it was released before.</p>'
    names = ("commit", "subject", "author", "review", "pull request", "circuits")
    return table(names, [[commit.get(name, "") for name in names] for commit in commits])


def overview_row(part: CircuitPart) -> tuple[str, ...]:
    """Return what the overview of a release says of one circuit, on the page and in a terminal."""
    refused = dict.fromkeys(verdict.gate for verdict in part.verdicts if not verdict.passed)
    return (
        part.circuit,
        part.action,
        share(part.model.wape) if part.model else "-",
        share(part.floor.wape) if part.floor else "-",
        share(part.incumbent.wape) if part.incumbent else "-",
        figure(part.skill) if part.model else "-",
        share(part.model.coverage_95) if part.model else "-",
        ", ".join(refused) or "-",
    )


def _overview(parts: Sequence[CircuitPart]) -> str:
    header = (
        "circuit",
        "action",
        "WAPE",
        "seasonal naive",
        "live now",
        "skill",
        "in the 95 % interval",
        "look at",
    )
    return table(header, [overview_row(part) for part in parts])


def _circuit(part: CircuitPart, *, unfolded: bool) -> str:
    strange = part.strangeness[:2] != (0, 0)
    metrics = "" if part.model is None else _metrics(part)
    chain = "<span>&rarr;</span>".join(
        f"<div><small>{escape(what)}</small>{escape(which)}</div>" for what, which in part.chain
    )
    return (
        f"<details{' open' if unfolded or strange else ''}>"
        f"<summary><strong>{escape(part.circuit)}</strong> {escape(part.changes)}</summary>"
        f"{_diff(part)}{part.plot}{metrics}"
        f'<div class="chain">{chain}</div>'
        f"{_pairs(part.facts)}{_verdicts(part.verdicts, 'No check of this circuit is due.')}"
        "</details>"
    )


def _diff(part: CircuitPart) -> str:
    return f"<pre>{escape(chr(10).join(part.diff))}</pre>" if part.diff else ""


def _metrics(part: CircuitPart) -> str:
    columns = [("model", part.model), ("seasonal naive", part.floor), ("live now", part.incumbent)]
    known = [(name, metrics) for name, metrics in columns if metrics is not None]
    rows: Iterable[Sequence[str]] = [
        ("MAE", *(figure(metrics.mae) for _, metrics in known)),
        ("RMSE", *(figure(metrics.rmse) for _, metrics in known)),
        ("MASE", *(figure(metrics.mase) for _, metrics in known)),
        ("WAPE", *(share(metrics.wape) for _, metrics in known)),
        ("R2", *(figure(metrics.r2) for _, metrics in known)),
        ("in the 80 % interval", *(share(metrics.coverage_80) for _, metrics in known)),
        ("in the 95 % interval", *(share(metrics.coverage_95) for _, metrics in known)),
    ]
    return table(("backtest", *(name for name, _ in known)), rows)


def _rollback(page: ReleasePage, parts: Sequence[CircuitPart]) -> str:
    rows = [(part.circuit, part.rollback) for part in parts if part.rollback]
    plan = (
        table(("circuit", "goes back to"), rows)
        if rows
        else '<p class="quiet">It is planned and tried out before production is requested.</p>'
    )
    return (
        "<p>Going back needs no new approval, only a name and a reason:</p>"
        f"<pre>{escape(page.rollback_command)}</pre>{plan}"
    )


def _signatures(signatures: Sequence[Signature]) -> str:
    if not signatures:
        return '<p class="quiet">Nobody has signed yet.</p>'
    return table(
        ("stage", "who", "decision", "when", "comment", "statement"),
        [
            (each.stage, each.principal, each.decision, each.at, each.comment, each.statement)
            for each in signatures
        ],
    )


def _pairs(pairs: Sequence[tuple[str, str]]) -> str:
    rows = "".join(
        f'<tr><td class="quiet">{escape(what)}</td><td>{escape(which)}</td></tr>'
        for what, which in pairs
    )
    return f"<table><tbody>{rows}</tbody></table>" if rows else ""
