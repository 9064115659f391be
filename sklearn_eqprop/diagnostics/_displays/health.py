"""Picture of the health report."""

import textwrap
from typing import Any, Self

from sklearn_eqprop.diagnostics._displays.base import Display
from sklearn_eqprop.diagnostics._health import HealthReport, health_report
from sklearn_eqprop.diagnostics._results import HealthCheck

#: Colour and marker of each verdict. Colour alone would not be accessible.
_LOOKS = {"good": ("tab:green", "o"), "watch": ("tab:orange", "^"), "bad": ("tab:red", "X")}
#: Characters per line of a finding.
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
        The axes of the picture, and their figure. Set by `plot`.
    """

    def __init__(self, report: HealthReport) -> None:
        self.report = report
        self._texts = [_text(check) for check in report.checks]
        #: In lines: those of the text, and some space.
        self._heights = [text.count("\n") + 1.9 for text in self._texts]
        self._size = (9.5, 0.5 + 0.2 * sum(self._heights))

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        X_test: Any = None,
        y_test: Any = None,
        ax: Any = None,
    ) -> Self:
        """Measure and draw the result.

        Parameters
        ----------
        estimator, X, y, X_test, y_test
            As for `health_report`.
        ax : matplotlib Axes, default=None
            Axes to draw in, about 10 by 6 inches. None: a new figure.

        Returns
        -------
        HealthReportDisplay
        """
        return cls(health_report(estimator, X, y, X_test=X_test, y_test=y_test)).plot(ax)

    def _draw(self, ax: Any) -> None:
        top = 0.0
        rows = zip(self.report.checks, self._texts, self._heights, strict=True)
        for check, text, height in rows:
            colour, marker = _LOOKS[check.verdict]
            middle = top + height / 2
            ax.plot(0.02, middle, marker, color=colour, markersize=11, clip_on=False)
            ax.text(0.05, middle, check.name, va="center", weight="bold")
            ax.text(0.23, middle, text, va="center", fontsize="small")
            top += height
            ax.axhline(top, color="lightgrey", linewidth=0.8)
        ax.set(xlim=(0, 1), ylim=(top, 0), xticks=[], yticks=[])
        ax.set_title(f"{self.report.verdict}, {self.report.n_samples} samples", loc="left")
        ax.set_xlabel(self.report.note)
        ax.spines[:].set_visible(False)


def _text(check: HealthCheck) -> str:
    """Finding and remedy, broken into lines."""
    lines = textwrap.wrap(check.finding, _WIDTH)
    if check.remedy:
        lines += textwrap.wrap(f"→ {check.remedy}", _WIDTH, subsequent_indent="   ")
    return "\n".join(lines)
