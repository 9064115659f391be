"""The exact gradient from two phases of a corrected vector field."""

from typing import Any

from sklearn_eqprop._relaxation import Result
from sklearn_eqprop._rules.base import Minibatch
from sklearn_eqprop._rules.vector_field import VectorFieldRule
from sklearn_eqprop._substrates.seam import FreePhase


class AsymmetricRule(VectorFieldRule):
    """The vector field rule in a corrected field: the exact gradient with any feedback weights.

    Scurria et al. 2026, "Equilibrium Propagation for Non-Conservative Systems",
    arXiv:2602.03670. The error is O(β) with one-sided nudging. With centred nudging it is O(β²) if
    no unit crosses a kink of its activation.
    """

    name = "asymmetric"
    exact = True
    attenuated = False
    fixed_point_only = True
    clampable = False
    in_states_only = True
    auto_coordinates = "state"
    needs = ("settle_corrected",)
    # So small a nudge hardly ever takes a unit across a kink. It costs no precision, because the
    # nudged phase settles as a displacement.
    auto_beta = 1e-8
    # Late in training the gradients of the samples almost cancel in their mean. With these
    # tolerances the cosine with the mean is above 0.9999 in every layer (benchmarks/exactness.py).
    free_tolerance = 1e-5
    nudged_tolerance = 1e-4
    swept_tolerance = False

    def _settle(
        self, substrate: Any, free: FreePhase, batch: Minibatch, strengths: tuple[float, ...]
    ) -> list[Result]:
        nudged: list[Result] = substrate.settle_corrected(free, batch.loss, batch.target, strengths)
        return nudged
