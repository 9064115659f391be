"""Tools to examine a trained network: measurements, and pictures of them."""

from sklearn_eqprop.diagnostics._alignment import (
    BlockAlignment,
    GradientAlignment,
    gradient_alignment,
)
from sklearn_eqprop.diagnostics._displays.alignment import (
    GradientAlignmentDisplay,
    JacobianSymmetryDisplay,
)
from sklearn_eqprop.diagnostics._displays.energy import EnergyDisplay
from sklearn_eqprop.diagnostics._displays.health import HealthReportDisplay
from sklearn_eqprop.diagnostics._displays.processes import (
    ErrorProcessesDisplay,
    GoodParameterDisplay,
)
from sklearn_eqprop.diagnostics._displays.training import LossCurveDisplay, RelaxationCurveDisplay
from sklearn_eqprop.diagnostics._displays.weights import WeightsDisplay
from sklearn_eqprop.diagnostics._energy import Energy, energy
from sklearn_eqprop.diagnostics._good_parameter import GoodParameter, good_parameter
from sklearn_eqprop.diagnostics._health import HealthReport, health_report
from sklearn_eqprop.diagnostics._processes import ErrorProcesses, error_processes
from sklearn_eqprop.diagnostics._results import HealthCheck
from sklearn_eqprop.diagnostics._symmetry import JacobianSymmetry, jacobian_symmetry

__all__ = [
    "BlockAlignment",
    "Energy",
    "EnergyDisplay",
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
    "energy",
    "error_processes",
    "good_parameter",
    "gradient_alignment",
    "health_report",
    "jacobian_symmetry",
]
