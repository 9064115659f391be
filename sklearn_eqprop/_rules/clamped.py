"""Infinite β: the output is held at its target in the second phase."""

from sklearn_eqprop._rules.base import Credit, CreditRule, Minibatch
from sklearn_eqprop._substrates.seam import ClampableSubstrate


class ClampedRule(CreditRule):
    """GeneRec (O'Reilly 1996), and with tied weights contrastive Hebbian learning.

    It is the limit β → ∞ of the nudged phase under the squared error, which Scellier et al. (2018)
    leave aside. The output is displaced by exactly y - s_L^0, and nothing is divided by β. GeneRec
    changes a weight by its presynaptic free rate times the displacement of its postsynaptic
    rate. Contrastive Hebbian learning (Movellan 1991) changes it by the difference between the
    products of the two rates in the two phases. The parameter ``beta=inf`` chooses this rule.
    """

    name = "clamped"
    attenuated = True
    auto_coordinates = "rate"
    needs = ("settle_clamped", "local_contrast")
    losses = "clampable"
    swept_tolerance = True

    def credit(self, substrate: ClampableSubstrate, batch: Minibatch) -> Credit:
        """Local contrast of the two phases. The loss is not used, it only reports."""
        free = substrate.settle(batch.inputs)
        clamped = substrate.settle_clamped(free, batch.target)
        changes = substrate.local_contrast(free, clamped.states, batch.weights)
        return Credit(changes, free, [clamped])
