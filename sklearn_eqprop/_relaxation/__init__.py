"""How a network settles: three methods, one contract, one Result."""

from sklearn_eqprop._relaxation.anderson import Anderson
from sklearn_eqprop._relaxation.displacement import (
    AdjointField,
    CorrectedField,
    DisplacementField,
    Origin,
    clamped_origin,
    origin_of,
)
from sklearn_eqprop._relaxation.euler import Euler, flow
from sklearn_eqprop._relaxation.field import Enough, Field, FreeField, Push
from sklearn_eqprop._relaxation.gauss_seidel import GaussSeidel
from sklearn_eqprop._relaxation.pacing import Pacing
from sklearn_eqprop._relaxation.result import RUNAWAY, Result
from sklearn_eqprop._relaxation.settling import Relaxation
from sklearn_eqprop._relaxation.trajectory import Average, trajectory

#: Every method by the name the user chooses it by.
RELAXATIONS: dict[str, type[Euler] | type[GaussSeidel] | type[Anderson]] = {
    "euler": Euler,
    "gauss_seidel": GaussSeidel,
    "anderson": Anderson,
}

__all__ = [
    "RELAXATIONS",
    "RUNAWAY",
    "AdjointField",
    "Anderson",
    "Average",
    "CorrectedField",
    "DisplacementField",
    "Enough",
    "Euler",
    "Field",
    "FreeField",
    "GaussSeidel",
    "Origin",
    "Pacing",
    "Push",
    "Relaxation",
    "Result",
    "clamped_origin",
    "flow",
    "origin_of",
    "trajectory",
]
