"""Picture of the health report."""

import textwrap
from dataclasses import dataclass
from typing import Any

from sklearn_eqprop.diagnostics._displays.base import ResultDisplay
from sklearn_eqprop.diagnostics._health import HealthReport, health_report
from sklearn_eqprop.diagnostics._results import HealthCheck

#: Colour and marker of each verdict. Colour alone would not be accessible.
_LOOKS = {"good": ("tab:green", "o"), "watch": ("tab:orange", "^"), "bad": ("tab:red", "X")}
#: Width of a new figure in inches.
_WIDTH = 8.0
#: Characters of the small font per inch.
_PER_INCH = 14


@dataclass(eq=False)
class HealthReportDisplay(ResultDisplay):
    """The checks of a health report, each with its verdict, finding and remedy.

    Axes of your own should be about 8 inches high.

    Parameters
    ----------
    report : HealthReport
        From `health_report`.
    """

    report: HealthReport

    _measure = staticmethod(health_report)

    def __post_init__(self) -> None:
        heights = [_height(_text(check, _WIDTH)) for check in self.report.checks]
        self._size = (_WIDTH, 0.5 + 0.2 * sum(heights))

    def _draw(self, ax: Any) -> None:
        ax.set(xticks=[], yticks=[])
        ax.figure.draw_without_rendering()  # the layout decides how wide the axes are
        width, top = ax.get_window_extent().width / ax.figure.dpi, 0.0
        for check in self.report.checks:
            text, (colour, marker) = _text(check, width), _LOOKS[check.verdict]
            ax.plot(0.02, top + 0.9, marker, color=colour, markersize=9, clip_on=False)
            ax.text(0.06, top + 0.9, check.name, va="center", weight="bold")
            ax.text(0.06, top + 1.6, text, va="top", fontsize="small")
            top += _height(text)
            ax.axhline(top, color="lightgrey", linewidth=0.8)
        ax.set(xlim=(0, 1), ylim=(top, 0))
        ax.set_title(f"{self.report.verdict}, {self.report.n_samples} samples", loc="left")
        ax.set_xlabel(_wrapped(self.report.note, width), loc="left")
        ax.spines[:].set_visible(False)


def _text(check: HealthCheck, width: float) -> str:
    """Finding and remedy, broken into lines for axes of a width in inches."""
    lines = [_wrapped(check.finding, width)]
    if check.remedy:
        lines.append(_wrapped(f"→ {check.remedy}", width))
    return "\n".join(lines)


def _wrapped(text: str, width: float) -> str:
    return textwrap.fill(text, max(20, int(_PER_INCH * 0.94 * width)))


def _height(text: str) -> float:
    """Height of a check in lines: its name, its text, and some space."""
    return text.count("\n") + 3.2
