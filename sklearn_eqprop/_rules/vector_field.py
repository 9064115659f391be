"""The paper's rule: two phases of the vector field."""

from __future__ import annotations

from typing import Any, ClassVar

from sklearn_eqprop._relaxation import Result
from sklearn_eqprop._rules.base import Coordinates, Credit, CreditRule, Minibatch
from sklearn_eqprop._substrates.seam import FreePhase, Substrate


class VectorFieldRule(CreditRule):
    """The paper's rule, Δθ ∝ (∂μ/∂θ(s^0))^T ds^β/dβ (Eqs. 18-19, Scellier et al. 2018).

    ds^β/dβ is estimated from a free phase and one or two nudged phases.
    """

    name = "vector_field"
    attenuated = True
    nudged = True
    fixed_point_only = False
    clampable = True
    auto_coordinates: ClassVar[Coordinates] = "rate_if_aligned"
    swept_tolerance = True

    def credit(self, substrate: Substrate, batch: Minibatch) -> Credit:
        """Local change for ds^β/dβ, see `CreditRule.credit`."""
        free = substrate.settle(batch.inputs)
        strengths = self.nudging.strengths(self.beta, batch.rng)
        nudged = self._settle(substrate, free, batch, strengths)
        deltas = []
        for layer in range(len(free.result.states)):
            displacements = [result.states[layer] for result in nudged]
            deltas.append(self.nudging.slope(displacements, strengths, batch.weights))
        return Credit(substrate.local_change(free, deltas), free, nudged)

    def _settle(
        self, substrate: Any, free: FreePhase, batch: Minibatch, strengths: tuple[float, ...]
    ) -> list[Result]:
        """Displacements at each strength of the nudge."""
        nudged: list[Result] = substrate.settle_nudged(free, batch.loss, batch.target, strengths)
        return nudged
