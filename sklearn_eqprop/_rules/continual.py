"""Continual plasticity: weights that move while the network settles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._losses.classification import Loss
from sklearn_eqprop._rules.nudging import Nudging
from sklearn_eqprop._rules.two_phase import Credit
from sklearn_eqprop._substrates.seam import FlowingSubstrate


class ContinualRule:
    """dθ/dt ∝ (∂μ/∂θ)^T ds/dt along the nudged phase (Eqs. 2 and 5, Scellier et al. 2018).

    A synapse changes by ρ(s_j) ds_i in every step, as spike-timing dependent plasticity has
    it, and the next step uses the weight as it then is. Integrated over the phase and divided by
    β, with weights that move little, this is the two-phase rule (section 5). Centred nudging runs
    a phase with each sign in turn, both from the free equilibrium, and halves the plasticity.

    Parameters
    ----------
    nudging : Nudging
        Which strengths of β are run.
    beta : float
        Influence parameter.
    """

    attenuated = True
    needs: tuple[str, ...] = ("flow",)
    losses: tuple[type, ...] | None = None

    def __init__(self, nudging: Nudging, beta: float) -> None:
        self._nudging = nudging
        self._beta = beta

    def credit(
        self,
        substrate: FlowingSubstrate,
        inputs: Array,
        target: Array,
        loss: Loss,
        weights: Any,
        rng: np.random.RandomState,
        move: Callable[[list[Array], list[float]], None] | None = None,
    ) -> Credit:
        """See `CreditRule.credit`.

        `move`, if given, is called in every step with what has been measured in it and the
        leverages of the flow, to move the weights; it may work in the arrays.
        """
        free = substrate.settle(inputs)
        strengths = self._nudging.strengths(self._beta, rng)
        totals: list[Array] = []
        nudged = []
        for strength in strengths:
            share = weights * (1 / (len(strengths) * strength))
            steps = substrate.flow(free, loss, target, strength, share)
            for changes in steps:
                _accumulate(totals, changes)
                if move is not None:
                    move(changes, steps.leverages)
            nudged.append(steps.result())
        if not totals:  # at rest from the start
            totals = substrate.local_change(free, [0 * state for state in free.result.states])
        return Credit(totals, free, nudged)


def _accumulate(totals: list[Array], changes: list[Array]) -> None:
    """Add to the totals, block by block; a block that does not learn is None."""
    if not totals:
        totals += [None if change is None else change.copy() for change in changes]
        return
    for total, change in zip(totals, changes, strict=True):
        if total is not None:
            total += change
