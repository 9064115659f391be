"""The training step: credit for a minibatch, one update of every parameter, the safeguard."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_eqprop.backend.array_backend import Array
from sklearn_eqprop.exceptions import DivergenceError
from sklearn_eqprop.learning.costs import Cost
from sklearn_eqprop.learning.credit import Credit, VectorFieldRule
from sklearn_eqprop.learning.feedback import FEEDBACK_RATE, attenuations, kolen_pollack_steps
from sklearn_eqprop.learning.optimizers import Optimizer
from sklearn_eqprop.learning.substrate import SimulatedNetwork
from sklearn_eqprop.network import LoopGainGuard, Parameter, feedback_gains


@dataclass(frozen=True)
class LearningSettings:
    """How parameters move.

    Attributes
    ----------
    learning_rates : tuple of float
        Rate of layers 1..L: of F_l, b_l and B_l.
    alpha : float
        Strength of the L2 penalty α/2 ||W||² on all weights, "synaptic depression" (appendix A).
    feedback_learning : {'local', 'kolen_pollack', 'fixed'}
        How B_l moves.
    layerwise_rescale : bool
        Undo the attenuation of the error signal layer by layer.
    """

    learning_rates: tuple[float, ...]
    alpha: float
    feedback_learning: str
    layerwise_rescale: bool


class Trainer:
    """Changes a network's parameters in place, one minibatch at a time.

    Parameters
    ----------
    substrate : SimulatedNetwork
    rule : VectorFieldRule
    cost : Cost
    optimizer : Optimizer
        Made for the arrays of `trained_parameters`.
    guard : LoopGainGuard or None
    settings : LearningSettings
    """

    def __init__(
        self,
        substrate: SimulatedNetwork,
        rule: VectorFieldRule,
        cost: Cost,
        optimizer: Optimizer,
        guard: LoopGainGuard | None,
        settings: LearningSettings,
    ) -> None:
        self.substrate = substrate
        self.cost = cost
        self.optimizer = optimizer
        self.guard = guard
        self._rule = rule
        self._settings = settings

    def train_on(
        self,
        inputs: Array,
        target: Array,
        sample_weight: np.ndarray | None,
        rate_factor: float,
        rng: np.random.RandomState,
    ) -> tuple[float, Credit]:
        """One update.

        Parameters
        ----------
        inputs, target : arrays of shape (n_samples, n_features), (n_samples, n_outputs)
        sample_weight : ndarray of shape (n_samples,) or None
            On the host, positive.
        rate_factor : float
            Of the learning-rate schedule.
        rng : RandomState
            For nudging that draws.

        Returns
        -------
        loss : float
            Weighted mean cost of the free equilibria, before the update, without penalty.
        credit : Credit

        Raises
        ------
        DivergenceError
            If the loss is not finite; the parameters are then left as they were.
        """
        total: float = inputs.shape[0]
        shares: Any = 1 / total
        if sample_weight is not None:
            total = float(sample_weight.sum())
            # Divided before the cast: weights of any size become shares that fit any type.
            backend, dtype = self.substrate.network.backend, self.substrate.network.dtype
            shares = backend.from_host(sample_weight / total, dtype)[:, None]
        credit = self._rule.credit(self.substrate, inputs, target, self.cost, shares, rng)
        loss = self._mean_cost(credit, target, shares)
        if not math.isfinite(loss):
            msg = "the loss is not finite"
            raise DivergenceError(msg)
        self._update(credit.changes, rate_factor, self._settings.alpha / total)
        return loss, credit

    def _mean_cost(self, credit: Credit, target: Array, shares: Any) -> float:
        xp = self.substrate.network.backend.xp
        value = self.cost.value(xp, credit.free.result.states[-1], target)
        return float((value[:, None] * shares).sum())

    def _update(self, changes: list[Array], rate_factor: float, decay: float) -> None:
        network, settings = self.substrate.network, self._settings
        gains = feedback_gains(network)
        scales = attenuations(gains) if settings.layerwise_rescale else [1.0] * network.n_layers
        directions, rates, blocks = [], [], []
        for parameter, change in zip(network.parameters(), changes, strict=True):
            if parameter.role == "feedback" and settings.feedback_learning != "local":
                continue
            change /= scales[parameter.layer - 1]
            if decay and parameter.role != "bias":
                change -= decay * parameter.array
            directions.append(change)
            rates.append(rate_factor * self._rate(parameter, gains))
            blocks.append(parameter)
        steps = self.optimizer.steps(directions, rates)
        if settings.feedback_learning == "kolen_pollack" and not network.tied:
            self._couple_feedback(steps, gains, rate_factor * decay)
        for parameter, step in zip(blocks, steps, strict=True):
            parameter.array += step
        if self.guard is not None:
            self.guard.enforce()

    def _rate(self, parameter: Parameter, gains: list[float]) -> float:
        rate = self._settings.learning_rates[parameter.layer - 1]
        if parameter.role == "feedback" and self._settings.layerwise_rescale:
            # B's signal is brought to the scale of F's, B itself is γ_l times smaller.
            return rate * FEEDBACK_RATE * gains[parameter.layer - 1]
        return rate

    def _couple_feedback(self, steps: list[Array], gains: list[float], decay: float) -> None:
        network = self.substrate.network
        decays = [decay * rate for rate in self._settings.learning_rates[1:]]
        forward_steps = steps[1 : network.n_layers]
        changes = kolen_pollack_steps(network, forward_steps, gains, decays)
        for feedback, change in zip(network.feedback, changes, strict=True):
            feedback.weights += change


def trained_parameters(parameters: list[Parameter], feedback_learning: str) -> list[Array]:
    """Arrays an optimiser moves: all, less feedback that follows a rule of its own."""
    return [
        parameter.array
        for parameter in parameters
        if parameter.role != "feedback" or feedback_learning == "local"
    ]
