"""Infinite β: the output is held at its target in the second phase."""

from __future__ import annotations

from typing import Any

import numpy as np

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._losses.classification import Loss, SquaredError
from sklearn_eqprop._rules.two_phase import Credit
from sklearn_eqprop._substrates.seam import ClampableSubstrate


class ClampedRule:
    """GeneRec (O'Reilly 1996), and with tied weights contrastive Hebbian learning.

    The limit β → ∞ of the nudged phase under the squared error, which Scellier et al. (2018) leave
    aside: the output is displaced by y - s_L^0 exactly. Nothing is divided by β. GeneRec
    changes a weight by its presynaptic free rate times the displacement of its postsynaptic
    rate; contrastive Hebbian learning (Movellan 1991) by the difference of the products of
    the two rates in the two phases.
    """

    attenuated = True
    needs: tuple[str, ...] = ("settle_clamped", "local_contrast")
    losses: tuple[type, ...] | None = (SquaredError,)

    def credit(
        self,
        substrate: ClampableSubstrate,
        inputs: Array,
        target: Array,
        loss: Loss,
        weights: Any,
        rng: np.random.RandomState,
    ) -> Credit:
        """See `CreditRule.credit`; the loss, the squared error, only reports."""
        free = substrate.settle(inputs)
        clamped = substrate.settle_clamped(free, target)
        return Credit(substrate.local_contrast(free, clamped.states, weights), free, [clamped])
