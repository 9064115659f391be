"""Pictures of what the diagnostics find; matplotlib is imported when one is drawn."""

from sklearn_eqprop.diagnostics._displays.alignment import (
    GradientAlignmentDisplay,
    JacobianSymmetryDisplay,
)
from sklearn_eqprop.diagnostics._displays.health import HealthReportDisplay
from sklearn_eqprop.diagnostics._displays.processes import (
    ErrorProcessesDisplay,
    GoodParameterDisplay,
)
from sklearn_eqprop.diagnostics._displays.training import LossCurveDisplay, RelaxationCurveDisplay
from sklearn_eqprop.diagnostics._displays.weights import WeightsDisplay

__all__ = [
    "ErrorProcessesDisplay",
    "GoodParameterDisplay",
    "GradientAlignmentDisplay",
    "HealthReportDisplay",
    "JacobianSymmetryDisplay",
    "LossCurveDisplay",
    "RelaxationCurveDisplay",
    "WeightsDisplay",
]
