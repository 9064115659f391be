"""Picture of the energy along a relaxation."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_eqprop.diagnostics._displays.base import ResultDisplay
from sklearn_eqprop.diagnostics._energy import Energy, energy

#: Differences below this share of the largest energy are rounding, and are not drawn.
_ROUNDING = 1e-14


@dataclass(eq=False)
class EnergyDisplay(ResultDisplay):
    """How far the energy of each sample is above its last value, sweep by sweep.

    Parameters
    ----------
    result : Energy
        From `energy`.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        One thin line per sample, then the mean over the samples.
    """

    result: Energy

    _measure = staticmethod(energy)

    def _draw(self, ax: Any) -> None:
        curve = self.result.curve
        above, steps = curve - curve[-1], np.arange(len(curve))
        rounding = _ROUNDING * np.abs(curve).max()

        def visible(values: Any) -> Any:
            return np.where(values > rounding, values, np.nan)

        self.lines_ = ax.plot(steps, visible(above), color="C0", linewidth=0.6, alpha=0.4)
        self.lines_ += ax.plot(steps, visible(above.mean(axis=1)), color="black", label="mean")
        nudge = f" + c β C, β = {self.result.beta:g}" if self.result.beta else ""
        ax.set(yscale="log", xlabel="sweeps or steps", ylabel=f"E{nudge}, above its last value")
        ax.legend()
