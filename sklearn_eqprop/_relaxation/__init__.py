"""Relaxations: how a network settles. One file per method, one contract, one `Result`.

To add a relaxation, write one file with a subclass of `Relaxation` and import the class below.
"""

from sklearn_eqprop._registry import named_classes
from sklearn_eqprop._relaxation.anderson import Anderson
from sklearn_eqprop._relaxation.euler import Euler, euler_step, flow, trajectory
from sklearn_eqprop._relaxation.exact_fields import AdjointField, CorrectedField
from sklearn_eqprop._relaxation.fields import (
    DisplacementField,
    Field,
    FreeField,
    Origin,
    Push,
    origin_of,
)
from sklearn_eqprop._relaxation.gauss_seidel import GaussSeidel
from sklearn_eqprop._relaxation.relaxation import (
    Batch,
    Enough,
    Relaxation,
    SettleOptions,
    is_small,
)
from sklearn_eqprop._relaxation.result import RUNAWAY, Result

#: Every relaxation by the name that users choose it by.
RELAXATIONS: dict[str, type[Relaxation]] = {
    relaxation.name: relaxation for relaxation in named_classes(Relaxation, globals())
}
