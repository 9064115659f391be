"""Credit rules: from two equilibria to a change of every parameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_eqprop.backend.array_backend import Array
from sklearn_eqprop.learning.costs import Cost
from sklearn_eqprop.learning.nudging import Nudging
from sklearn_eqprop.learning.substrate import FreePhase, Substrate
from sklearn_eqprop.relaxation import Result


@dataclass
class Credit:
    """What one minibatch says about the parameters.

    Attributes
    ----------
    changes : list of array
        Direction in which each block of parameters should move, the weighted mean over the
        samples; what plain SGD multiplies by the learning rate.
    free : FreePhase
    nudged : list of Result
    """

    changes: list[Array]
    free: FreePhase
    nudged: list[Result]


class VectorFieldRule:
    """The paper's rule, Δθ ∝ (∂μ/∂θ(s^0))^T ds^β/dβ (Eqs. 18-19, Scellier et al. 2018).

    Parameters
    ----------
    nudging : Nudging
        How ds^β/dβ is estimated.
    beta : float
        Influence parameter.
    """

    def __init__(self, nudging: Nudging, beta: float) -> None:
        self._nudging = nudging
        self._beta = beta

    def credit(
        self,
        substrate: Substrate,
        inputs: Array,
        target: Array,
        cost: Cost,
        weights: Array,
        rng: np.random.RandomState,
    ) -> Credit:
        """Run both phases on a minibatch.

        Parameters
        ----------
        substrate : Substrate
        inputs, target : arrays of shape (n_samples, n_features), (n_samples, n_outputs)
        cost : Cost
        weights : array of shape (n_samples, 1) or float
            Share of each sample in the mean; they sum to 1.
        rng : RandomState
            For nudging that draws.

        Returns
        -------
        Credit
        """
        free = substrate.settle(inputs)
        strengths = self._nudging.strengths(self._beta, rng)
        nudged = substrate.settle_nudged(free, cost, target, strengths)
        deltas = []
        for layer, state in enumerate(free.result.states):
            phases = [result.states[layer] for result in nudged]
            delta: Any = self._nudging.displacement(state, phases, strengths)
            delta *= weights
            deltas.append(delta)
        return Credit(substrate.local_change(free, deltas), free, nudged)
