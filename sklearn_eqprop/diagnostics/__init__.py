"""Looking inside a trained network."""

from sklearn_eqprop.diagnostics._alignment import (
    BlockAlignment,
    GradientAlignment,
    gradient_alignment,
)
from sklearn_eqprop.diagnostics._displays import (
    ErrorProcessesDisplay,
    GoodParameterDisplay,
    GradientAlignmentDisplay,
    HealthReportDisplay,
    JacobianSymmetryDisplay,
    LossCurveDisplay,
    RelaxationCurveDisplay,
    WeightsDisplay,
)
from sklearn_eqprop.diagnostics._error_processes import ErrorProcesses, error_processes
from sklearn_eqprop.diagnostics._good_parameter import GoodParameter, good_parameter
from sklearn_eqprop.diagnostics._health import HealthReport, health_report
from sklearn_eqprop.diagnostics._symmetry import JacobianSymmetry, jacobian_symmetry
from sklearn_eqprop.diagnostics._verdicts import HealthCheck

__all__ = [
    "BlockAlignment",
    "ErrorProcesses",
    "ErrorProcessesDisplay",
    "GoodParameter",
    "GoodParameterDisplay",
    "GradientAlignment",
    "GradientAlignmentDisplay",
    "HealthCheck",
    "HealthReport",
    "HealthReportDisplay",
    "JacobianSymmetry",
    "JacobianSymmetryDisplay",
    "LossCurveDisplay",
    "RelaxationCurveDisplay",
    "WeightsDisplay",
    "error_processes",
    "good_parameter",
    "gradient_alignment",
    "health_report",
    "jacobian_symmetry",
]
