"""A trial: how well a changed spec would do, beside what it would replace and beside the floor.

All are scored on the same steps of the same origins: those that each of them forecast and that
none learned from.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from mlops_assets.domain.conformal import earlier_widths
from mlops_assets.domain.evaluation import (
    Backtest,
    metrics,
    paired_bound,
    skill,
)
from mlops_assets.domain.evidence import on_one_axis
from mlops_assets.domain.page import whole
from mlops_assets.domain.plot import Line, chart
from mlops_assets.domain.scoring import figure, share, table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    import numpy as np

    from mlops_assets.domain.evaluation import Comparison, Metrics
    from mlops_assets.domain.gates import Verdict
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.model import CandidateScore
    from mlops_assets.domain.plot import Role

Name = Literal["proposed", "live", "configured", "seasonal_naive"]

_ROLE: dict[Name, Role] = {
    "proposed": "forecast",
    "live": "incumbent",
    "configured": "incumbent",
    "seasonal_naive": "floor",
}
_SHOWN_ORIGINS = 7


@dataclass(frozen=True, slots=True)
class Contestant:
    """One row of the table: ``forecast`` has a row an origin and a column a step, NaN for none."""

    name: Name
    what: str
    forecast: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one contestant did; ``skill`` is over the seasonal naive."""

    candidate: Name
    what: str
    mae: float
    wape: float
    skill: float
    coverage_80: float
    coverage_95: float
    points: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Everything that one trial found; ``notes`` say what could not be compared, and why.

    ``tried`` are the candidates of the proposed spec and ``verdicts`` what the gates would say,
    both over all its origins, as in training.
    """

    circuit: CircuitKey
    cutoff_date: date
    step: timedelta
    unit: str
    origins: tuple[datetime, ...]
    actual: np.ndarray
    contestants: tuple[Contestant, ...]
    tried: tuple[CandidateScore, ...]
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]

    @property
    def incumbent(self) -> Contestant | None:
        """What the proposed spec would replace, where that could be scored."""
        return next((c for c in self.contestants if c.name in {"live", "configured"}), None)

    def standings(self) -> tuple[Standing, ...]:
        """Score every contestant where all of them can be scored."""
        import numpy as np

        common = ~np.isnan(self.actual)
        for each in self.contestants:
            common &= ~np.isnan(each.forecast)
        truth = np.where(common, self.actual, np.nan)
        scored = {each.name: self._metrics(truth, each) for each in self.contestants}
        floor = scored["seasonal_naive"].wape
        return tuple(
            Standing(
                candidate=each.name,
                what=each.what,
                mae=found.mae,
                wape=found.wape,
                skill=skill(found.wape, floor),
                coverage_80=found.coverage_80,
                coverage_95=found.coverage_95,
                points=found.points,
            )
            for each in self.contestants
            for found in (scored[each.name],)
        )

    def _metrics(self, truth: np.ndarray, of: Contestant) -> Metrics:
        # Widths come of all errors that the contestant made, as in training.
        width_80, width_95 = earlier_widths(
            abs(self.actual - of.forecast), timedelta(days=1) // self.step
        )
        said = of.forecast
        return metrics(
            truth,
            said,
            said - width_80,
            said + width_80,
            said - width_95,
            said + width_95,
            float("nan"),
        )

    def comparison(self) -> Comparison | None:
        """The proposed spec's error less the incumbent's, by origin, with its 90 % bounds."""
        incumbent = self.incumbent
        if incumbent is None:
            return None
        proposed, floor = self.contestants[0], self.contestants[-1]
        backtest = Backtest(
            self.origins, self.actual, proposed.forecast, floor.forecast, incumbent.forecast
        )
        return paired_bound(backtest)

    def sentence(self) -> str:
        """Say whether the difference is more than chance."""
        found, incumbent = self.comparison(), self.incumbent
        if found is None or incumbent is None or not found.origins:
            return "compared with the seasonal naive alone"
        if found.lower <= 0 <= found.upper:
            verdict = "no difference that chance would not make"
        else:
            verdict = "better" if found.upper < 0 else "worse"
        return (
            f"proposed against {incumbent.name}: {verdict}; MAE {found.difference:+.4g}, with 90 % "
            f"confidence {found.lower:+.4g} to {found.upper:+.4g}, over {found.origins} origins"
        )

    def document(self) -> dict[str, Any]:
        """Return the trial as one document."""
        found = self.comparison()
        return {
            "circuit": self.circuit,
            "cutoff_date": self.cutoff_date,
            "origins": len(self.origins),
            "first_origin": self.origins[0] if self.origins else None,
            "last_origin": self.origins[-1] if self.origins else None,
            "candidates": [
                {
                    "candidate": each.candidate,
                    "what": each.what,
                    "mae": each.mae,
                    "wape": each.wape,
                    "skill": each.skill,
                    "coverage_80": each.coverage_80,
                    "coverage_95": each.coverage_95,
                    "points": each.points,
                }
                for each in self.standings()
            ],
            "difference": None
            if found is None
            else {"mae": found.difference, "lower": found.lower, "upper": found.upper},
            "says": self.sentence(),
            "tried": [
                {"forecaster": each.forecaster, "mae": each.mae, "wape": each.wape}
                for each in self.tried
            ],
            "gates": [
                {"gate": each.gate, "passed": each.passed, "reason": each.reason}
                for each in self.verdicts
            ],
            "notes": list(self.notes),
        }

    def page(self) -> bytes:
        """Return one HTML file that needs nothing else: table, chart and what was found."""
        title = f"Trial of {self.circuit}, cutoff date {self.cutoff_date}"
        body = [
            f"<h1>{escape(title)}</h1><p>{escape(self.sentence())}</p>",
            table(
                ("candidate", "", "MAE", "WAPE", "skill", "in 80 %", "in 95 %", "steps scored"),
                [_row(each) for each in self.standings()],
            ),
            self._chart(),
            "<h2>Candidates of the proposed spec</h2>",
            table(
                ("forecaster", "MAE", "WAPE"),
                [(each.forecaster, figure(each.mae), share(each.wape)) for each in self.tried],
            ),
            "<h2>What the gates would say</h2>",
            table(
                ("gate", "passed", "why"),
                [(v.gate, "yes" if v.passed else "NO", v.reason) for v in self.verdicts],
            ),
            *(f"<p>{escape(note)}</p>" for note in self.notes),
        ]
        return whole(title, "\n".join(body))

    def _chart(self) -> str:
        shown: Sequence[datetime] = self.origins[-_SHOWN_ORIGINS:]
        if not shown:
            return "<p>No origin could be scored.</p>"
        lines = [Line("actual", self._axis(self.actual, shown), "actual")]
        lines += [
            Line(each.name.replace("_", " "), self._axis(each.forecast, shown), _ROLE[each.name])
            for each in reversed(self.contestants)
        ]
        return chart(
            lines,
            title=f"{self.circuit}: the last {len(shown)} origins of the backtest",
            start=shown[0],
            step=self.step,
            unit=self.unit,
        )

    def _axis(self, rows: np.ndarray, shown: Sequence[datetime]) -> list[float | None]:
        return on_one_axis(rows[-_SHOWN_ORIGINS:].tolist(), shown, self.step)


def _row(each: Standing) -> tuple[str, ...]:
    return (
        each.candidate.replace("_", " "),
        each.what,
        figure(each.mae),
        share(each.wape),
        figure(each.skill),
        share(each.coverage_80),
        share(each.coverage_95),
        str(each.points),
    )
