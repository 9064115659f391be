"""The exact gradient by recurrent backpropagation."""

from sklearn_eqprop._rules.base import Credit, CreditRule, Minibatch
from sklearn_eqprop._substrates.seam import TransposableSubstrate


class RecurrentBackpropRule(CreditRule):
    """Almeida (1987) and Pineda (1987): the exact gradient from a linear system (Theorem 3).

    The second phase settles the adjoint system instead of a nudged one.
    """

    name = "recurrent_backprop"
    exact = True
    in_states_only = True
    needs = ("settle_adjoint",)
    # As for `AsymmetricRule`.
    free_tolerance = 1e-5
    nudged_tolerance = 1e-4

    def credit(self, substrate: TransposableSubstrate, batch: Minibatch) -> Credit:
        free = substrate.settle(batch.inputs)
        xp, output = substrate.network.backend.xp, free.result.states[-1]
        adjoint = substrate.settle_adjoint(free, batch.loss.force(xp, output, batch.target))
        deltas = [state * batch.weights for state in adjoint.states]
        return Credit(substrate.local_change(free, deltas), free, [adjoint])
