"""Continual plasticity: weights move while the network settles."""

import math

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._rules.base import Credit, CreditRule, Minibatch
from sklearn_eqprop._substrates.seam import FlowingSubstrate


class ContinualRule(CreditRule):
    """dθ/dt ∝ (∂μ/∂θ)^T ds/dt along the nudged phase (Eqs. 2 and 5, Scellier et al. 2018).

    A synapse changes by ρ(s_j) ds_i in every step, as in spike-timing dependent plasticity, and
    the next step uses the new weight. If the weights move little, the changes integrated over the
    phase and divided by β are the two-phase rule (section 5). Centred nudging runs one phase for
    each sign, both from the free equilibrium, and each with half of the plasticity. The force of a
    loss of unbounded curvature is held at the free equilibrium.
    """

    name = "continual"
    attenuated = True
    nudged = True
    explicit_steps = True
    moves_weights = True
    needs = ("flow",)
    # An error of the free equilibrium would go into the weights. A β below 0.5 lowers it further.
    free_tolerance = 5e-6

    def credit(self, substrate: FlowingSubstrate, batch: Minibatch) -> Credit:
        """Sum of the local changes over the steps; `batch.move` moves the weights in each step."""
        free = substrate.settle(batch.inputs)
        if math.isinf(batch.loss.curvature):
            batch = batch.holding_force(free)
        strengths = self.nudging.strengths(self.beta, batch.rng)
        totals: list[Array] = []
        nudged = []
        for strength in strengths:
            share = batch.weights * (1 / (len(strengths) * strength))
            steps = substrate.flow(free, batch.loss, batch.target, strength, share)
            for changes in steps:
                _accumulate(totals, changes)
                if batch.move is not None:
                    batch.move(changes, steps.leverages)
            nudged.append(steps.result())
        if not totals:  # every sample was settled from the start
            totals = substrate.local_change(free, [0 * state for state in free.result.states])
        return Credit(totals, free, nudged)


def _accumulate(totals: list[Array], changes: list[Array]) -> None:
    """Add changes to the totals, block by block; a block that does not learn is None."""
    if not totals:
        totals += [None if change is None else change.copy() for change in changes]
        return
    for total, change in zip(totals, changes, strict=True):
        if total is not None:
            total += change
