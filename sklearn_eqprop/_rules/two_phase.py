"""Credit rules: from settled states to a change of every parameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._losses.classification import Loss
from sklearn_eqprop._relaxation import Result
from sklearn_eqprop._rules.nudging import Nudging
from sklearn_eqprop._substrates.seam import FreePhase, Substrate, TransposableSubstrate


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


class CreditRule(Protocol):
    """How a minibatch turns into a change of every parameter.

    Attributes
    ----------
    attenuated : bool
        Whether its error signal passes through the feedback weights, and is attenuated there.

    Notes
    -----
    A rule may also declare what it cannot do without, and a trainer refuses what lacks it:
    ``needs``, the methods of the substrate beyond those of `Substrate`, and ``losses``, a
    tuple of the types of loss it is about.
    """

    attenuated: bool

    def credit(
        self,
        substrate: Any,
        inputs: Array,
        target: Array,
        loss: Loss,
        weights: Any,
        rng: np.random.RandomState,
    ) -> Credit:
        """Settle a minibatch as often as the rule needs.

        Parameters
        ----------
        substrate : Substrate
        inputs, target : arrays of shape (n_samples, n_features), (n_samples, n_outputs)
        loss : Loss
        weights : array of shape (n_samples, 1) or float
            Share of each sample in the mean; they sum to 1.
        rng : RandomState
            For nudging that draws.

        Returns
        -------
        Credit
        """
        ...


class VectorFieldRule:
    """The paper's rule, Δθ ∝ (∂μ/∂θ(s^0))^T ds^β/dβ (Eqs. 18-19, Scellier et al. 2018).

    Parameters
    ----------
    nudging : Nudging
        How ds^β/dβ is estimated.
    beta : float
        Influence parameter.
    """

    attenuated = True
    needs: tuple[str, ...] = ()
    losses: tuple[type, ...] | None = None

    def __init__(self, nudging: Nudging, beta: float) -> None:
        self._nudging = nudging
        self._beta = beta

    def credit(
        self,
        substrate: Substrate,
        inputs: Array,
        target: Array,
        loss: Loss,
        weights: Any,
        rng: np.random.RandomState,
    ) -> Credit:
        """See `CreditRule.credit`."""
        free = substrate.settle(inputs)
        strengths = self._nudging.strengths(self._beta, rng)
        nudged = self._settle(substrate, free, loss, target, strengths)
        deltas = []
        for layer in range(len(free.result.states)):
            displacements = [result.states[layer] for result in nudged]
            deltas.append(self._nudging.slope(displacements, strengths, weights))
        return Credit(substrate.local_change(free, deltas), free, nudged)

    def _settle(
        self,
        substrate: Any,
        free: FreePhase,
        loss: Loss,
        target: Array,
        strengths: tuple[float, ...],
    ) -> list[Result]:
        nudged: list[Result] = substrate.settle_nudged(free, loss, target, strengths)
        return nudged


class AsymmetricRule(VectorFieldRule):
    """Two settlings of a corrected field: the exact gradient with any feedback weights.

    Scurria et al. 2026, "Equilibrium Propagation for Non-Conservative Systems",
    arXiv:2602.03670. The error is O(β) one-sided, and O(β²) centred where no unit crosses a kink of
    its activation within the nudge. Nothing attenuates the displacement on its way to lower layers,
    so a β that is small enough for the vector field need not be for this (docs/learning_rules.md).
    """

    attenuated = False
    needs: tuple[str, ...] = ("settle_corrected",)

    def _settle(
        self,
        substrate: Any,
        free: FreePhase,
        loss: Loss,
        target: Array,
        strengths: tuple[float, ...],
    ) -> list[Result]:
        nudged: list[Result] = substrate.settle_corrected(free, loss, target, strengths)
        return nudged


class RecurrentBackpropRule:
    """Almeida (1987) and Pineda (1987): the exact gradient from a linear system (Theorem 3).

    Parameters
    ----------
    xp : module
        Array module.
    """

    attenuated = False
    needs: tuple[str, ...] = ("settle_adjoint",)
    losses: tuple[type, ...] | None = None

    def __init__(self, xp: Any) -> None:
        self._xp = xp

    def credit(
        self,
        substrate: TransposableSubstrate,
        inputs: Array,
        target: Array,
        loss: Loss,
        weights: Any,
        rng: np.random.RandomState,
    ) -> Credit:
        """See `CreditRule.credit`."""
        free = substrate.settle(inputs)
        output = free.result.states[-1]
        force = loss.force(self._xp, output, target)
        adjoint = substrate.settle_adjoint(free, force)
        deltas = [state * weights for state in adjoint.states]
        return Credit(substrate.local_change(free, deltas), free, [adjoint])
