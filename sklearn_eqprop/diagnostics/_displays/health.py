"""The health report at a glance."""

from __future__ import annotations

import textwrap
from typing import Any

from sklearn_eqprop.diagnostics._displays.base import Display
from sklearn_eqprop.diagnostics._health import HealthReport, health_report

#: Colour and sign of each verdict: not by colour alone.
_LOOKS = {"good": ("tab:green", "o"), "watch": ("tab:orange", "^"), "bad": ("tab:red", "X")}
#: Characters a line of a finding.
_WIDTH = 110


class HealthReportDisplay(Display):
    """The checks of a health report, each with its verdict, finding and remedy.

    Parameters
    ----------
    report : HealthReport
        From `health_report`.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn; set by `plot`.
    """

    def __init__(self, report: HealthReport) -> None:
        self.report = report

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, ax: Any = None
    ) -> HealthReportDisplay:
        """Measure and draw.

        Parameters
        ----------
        estimator, X, y
            As for `health_report`.
        ax : matplotlib Axes, default=None
            Where to draw, about 10 by 6 inches; None: a figure of its own.

        Returns
        -------
        HealthReportDisplay
        """
        return cls(health_report(estimator, X, y)).plot(ax)

    def plot(self, ax: Any = None) -> HealthReportDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None: a figure of its own.

        Returns
        -------
        HealthReportDisplay
            Itself.
        """
        texts = [_text(check.finding, check.remedy) for check in self.report.checks]
        # Each check takes as many lines as its text, and a little space.
        heights = [text.count("\n") + 1 + 0.9 for text in texts]
        ax = self._axes(ax, (9.5, 0.5 + 0.2 * sum(heights)))
        top = 0.0
        for check, text, height in zip(self.report.checks, texts, heights, strict=True):
            colour, marker = _LOOKS[check.verdict]
            middle = top + height / 2
            ax.plot(0.02, middle, marker, color=colour, markersize=11, clip_on=False)
            ax.text(0.05, middle, check.name, va="center", weight="bold")
            ax.text(0.23, middle, text, va="center", fontsize="small")
            top += height
            ax.axhline(top, color="lightgrey", linewidth=0.8)
        ax.set(xlim=(0, 1), ylim=(top, 0), xticks=[], yticks=[])
        ax.set_title(f"{self.report.verdict}, {self.report.n_samples} samples", loc="left")
        ax.spines[:].set_visible(False)
        return self


def _text(finding: str, remedy: str) -> str:
    lines = textwrap.wrap(finding, _WIDTH)
    if remedy:
        lines += textwrap.wrap(f"→ {remedy}", _WIDTH, subsequent_indent="   ")
    return "\n".join(lines)
