"""The paper's rule: two phases of the vector field."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._losses.base import Loss
from sklearn_eqprop._relaxation import Result
from sklearn_eqprop._rules.base import Coordinates, Credit, CreditRule
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

    def credit(
        self,
        substrate: Substrate,
        inputs: Array,
        target: Array,
        loss: Loss,
        weights: Any,
        rng: np.random.RandomState,
    ) -> Credit:
        """Local change for ds^β/dβ, see `CreditRule.credit`."""
        free = substrate.settle(inputs)
        strengths = self.nudging.strengths(self.beta, rng)
        nudged = self._settle(substrate, free, loss, target, strengths)
        deltas = []
        for layer in range(len(free.result.states)):
            displacements = [result.states[layer] for result in nudged]
            deltas.append(self.nudging.slope(displacements, strengths, weights))
        return Credit(substrate.local_change(free, deltas), free, nudged)

    def _settle(
        self,
        substrate: Any,
        free: FreePhase,
        loss: Loss,
        target: Array,
        strengths: tuple[float, ...],
    ) -> list[Result]:
        """Displacements at each strength of the nudge."""
        nudged: list[Result] = substrate.settle_nudged(free, loss, target, strengths)
        return nudged
