"""How a network settles: three methods, one contract, one Result."""

from sklearn_eqprop.relaxation.anderson import Anderson
from sklearn_eqprop.relaxation.euler import Euler
from sklearn_eqprop.relaxation.field import Field, Push
from sklearn_eqprop.relaxation.gauss_seidel import GaussSeidel
from sklearn_eqprop.relaxation.result import Result
from sklearn_eqprop.relaxation.settling import Relaxation, describe

#: Every method by the name the user chooses it by.
RELAXATIONS: dict[str, type[Euler] | type[GaussSeidel] | type[Anderson]] = {
    "euler": Euler,
    "gauss_seidel": GaussSeidel,
    "anderson": Anderson,
}

__all__ = [
    "RELAXATIONS",
    "Anderson",
    "Euler",
    "Field",
    "GaussSeidel",
    "Push",
    "Relaxation",
    "Result",
    "describe",
]
