"""Pictures of what the diagnostics find; matplotlib is imported when one is drawn."""

from sklearn_eqprop.diagnostics.displays.alignment import (
    GradientAlignmentDisplay,
    JacobianSymmetryDisplay,
)
from sklearn_eqprop.diagnostics.displays.health import HealthReportDisplay
from sklearn_eqprop.diagnostics.displays.processes import (
    ErrorProcessesDisplay,
    GoodParameterDisplay,
)
from sklearn_eqprop.diagnostics.displays.training import LossCurveDisplay, RelaxationCurveDisplay
from sklearn_eqprop.diagnostics.displays.weights import WeightsDisplay

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
