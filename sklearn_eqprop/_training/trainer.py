"""The training step: credit for a minibatch, one update of every parameter, the safeguard."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._feedback.following import FEEDBACK_RATE, learns_from_own_change
from sklearn_eqprop._feedback.homeostasis import draw_probes, homeostatic_shares, homeostatic_steps
from sklearn_eqprop._losses.classification import Loss
from sklearn_eqprop._network import LoopGainGuard, Network, attenuations, feedback_gains
from sklearn_eqprop._rules.continual import ContinualRule
from sklearn_eqprop._rules.needs import check_abilities, check_loss
from sklearn_eqprop._rules.two_phase import Credit, CreditRule
from sklearn_eqprop._substrates.seam import FlowingSubstrate, FreePhase, ProbedSubstrate, Substrate
from sklearn_eqprop._training.optimizers import Optimizer, PlainSteps
from sklearn_eqprop._training.updates import BlockUpdate, Follower, apply_updates
from sklearn_eqprop.exceptions import DivergenceError

#: Most that weights moving within a phase may amplify what moves them, layer by layer: beyond 1
#: they and the states drive each other away.
PLASTICITY_GAIN = 0.25


@dataclass(frozen=True)
class LearningSettings:
    """How parameters move.

    Attributes
    ----------
    learning_rates : tuple of float
        Rate of layers 1..L: of the biases of each and of all weights that drive it.
    alpha : float
        Strength of the L2 penalty α/2 ||W||² on all weights, "synaptic depression" (appendix A).
    feedback_learning : {'local', 'kolen_pollack', 'homeostasis', 'fixed'}
        How feedback weights move, see `learns_from_own_change`.
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
    substrate : Substrate
        What settles. The trainer asks it for nothing but the two verbs.
    network : Network
        The learner's own record of the parameters: what it has set them to, in full precision.
        It is where updates accumulate and where the strength of feedback is read off. A
        simulated network settles with these very arrays; a device takes from them, whenever it
        settles, as much as its synapses can hold.
    rule : CreditRule
    loss : Loss
    optimizer : Optimizer
        Made for the arrays of `trained_parameters`.
    guard : LoopGainGuard or None
    settings : LearningSettings
    probe_rng : RandomState or None, default=None
        Source of the probes that 'homeostasis' needs.

    Raises
    ------
    TypeError
        If the substrate or the loss is not what the rule, or the way feedback learns, needs.
    """

    def __init__(
        self,
        substrate: Substrate,
        network: Network,
        rule: CreditRule,
        loss: Loss,
        optimizer: Optimizer,
        guard: LoopGainGuard | None,
        settings: LearningSettings,
        probe_rng: np.random.RandomState | None = None,
    ) -> None:
        name = type(rule).__name__
        check_abilities(substrate, getattr(rule, "needs", ()), name, "VectorFieldRule")
        check_loss(loss, getattr(rule, "losses", None), name, "VectorFieldRule")
        if settings.feedback_learning == "homeostasis" and not network.tied:
            name = "feedback_learning='homeostasis'"
            check_abilities(substrate, ["local_asymmetry"], name, "'kolen_pollack'")
            if probe_rng is None:
                msg = f"{name} draws probes: give the trainer a probe_rng."
                raise TypeError(msg)
        self.substrate = substrate
        self.network = network
        self.loss = loss
        self.optimizer = optimizer
        self.guard = guard
        self._rule = rule
        self._settings = settings
        self._probe_rng = probe_rng

    @property
    def attenuated(self) -> bool:
        """Whether the error signal is weakened by the feedback weights it passes through."""
        return self._rule.attenuated

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
            Weighted mean loss of the free phases, before the update, without penalty.
        credit : Credit

        Raises
        ------
        DivergenceError
            If the loss is not finite; the parameters are then left as they were.
        """
        total, shares = self._shares(inputs.shape[0], sample_weight)
        gains = feedback_gains(self.network)
        credit = self._credit(inputs, target, shares, gains, rate_factor, rng)
        loss = self._mean_loss(credit.free, target, shares)
        if not math.isfinite(loss):
            msg = "the loss is not finite"
            raise DivergenceError(msg)
        if self._settings.feedback_learning == "homeostasis" and not self.network.tied:
            self._balance_feedback(credit.free, shares, gains, rate_factor)
        self._update(credit.changes, gains, rate_factor, self._settings.alpha / total)
        if self.guard is not None:
            self.guard.enforce()
        return loss, credit

    def loss_of(self, inputs: Array, target: Array, sample_weight: np.ndarray | None) -> float:
        """Weighted mean loss of the free phases, and nothing learned; arguments as `train_on`."""
        _, shares = self._shares(inputs.shape[0], sample_weight)
        return self._mean_loss(self.substrate.settle(inputs), target, shares)

    def _shares(self, n_samples: int, sample_weight: np.ndarray | None) -> tuple[float, Any]:
        """Total weight of some samples, and the share of each in it."""
        if sample_weight is None:
            return n_samples, 1 / n_samples
        total = float(sample_weight.sum())
        # Divided before the cast: weights of any size become shares that fit any type.
        backend, dtype = self.network.backend, self.network.dtype
        return total, backend.from_host(sample_weight / total, dtype)[:, None]

    def _credit(
        self,
        inputs: Array,
        target: Array,
        shares: Any,
        gains: list[float],
        rate_factor: float,
        rng: np.random.RandomState,
    ) -> Credit:
        what = (inputs, target, self.loss, shares, rng)
        if not isinstance(self._rule, ContinualRule):
            return self._rule.credit(self.substrate, *what)
        # Weights move along with the phase at the plain learning rate; the total then goes through
        # the optimiser from where they started, which for SGD without momentum comes to the same.
        # (At Adam's rates, which grow as gradients fade, they would run away with the states.)
        start = [parameter.array.copy(order="K") for parameter in self.network.parameters()]

        def move(changes: list[Array], leverages: list[float]) -> None:
            self._update(changes, gains, rate_factor, 0.0, leverages)

        substrate = cast("FlowingSubstrate", self.substrate)
        credit = self._rule.credit(substrate, *what, move=move)
        for parameter, array in zip(self.network.parameters(), start, strict=True):
            parameter.array[...] = array
        return credit

    def _mean_loss(self, free: FreePhase, target: Array, shares: Any) -> float:
        value = free.loss(self.network.backend.xp, self.loss, target)
        [loss] = self.network.backend.numbers([(value[:, None] * shares).sum()])
        return loss

    def _update(
        self,
        changes: list[Array],
        gains: list[float],
        rate_factor: float,
        decay: float,
        leverages: list[float] | None = None,
    ) -> None:
        """Move every parameter: by a step of the optimiser or, given leverages, within a phase."""
        network, settings = self.network, self._settings
        scales = [1.0] * network.n_layers
        if settings.layerwise_rescale and self._rule.attenuated:
            scales = attenuations(network.wiring, gains)
        updates = []
        gain_of_feedback = iter(gains)
        learns = iter(learns_from_own_change(network.wiring, settings.feedback_learning))
        for parameter, change in zip(network.parameters(), changes, strict=True):
            rate = rate_factor * settings.learning_rates[parameter.layer - 1]
            scale = scales[parameter.layer - 1]
            if parameter.role == "feedback":
                gain = next(gain_of_feedback)
                if not next(learns):
                    continue
                if settings.layerwise_rescale:
                    # B's signal is brought to the scale of F's, B itself is γ times smaller.
                    rate *= FEEDBACK_RATE * gain
            if leverages is not None:
                rate = min(rate, PLASTICITY_GAIN * scale / leverages[parameter.layer - 1])
            fading = 0.0 if parameter.role == "bias" else decay
            updates.append(BlockUpdate(parameter.array, change, rate, scale, fading))
        if settings.feedback_learning == "kolen_pollack" and not network.tied:
            self._couple_feedback(updates, gains, rate_factor * decay)
        optimizer = self.optimizer if leverages is None else PlainSteps()
        apply_updates(updates, optimizer, whole=network.backend.is_device)

    def _couple_feedback(
        self, updates: list[BlockUpdate], gains: list[float], decay: float
    ) -> None:
        """Let feedback follow the forward weights beside it, whose updates come first."""
        network, learning_rates = self.network, self._settings.learning_rates
        for feedback, partner, gain in zip(
            network.feedback, network.wiring.partners, gains, strict=True
        ):
            if partner is not None:
                fading = decay * learning_rates[network.forward[partner].target - 1]
                weights = feedback.mirror(feedback.weights)
                updates[partner].follower = Follower(weights, gain, fading)

    def _balance_feedback(
        self, free: FreePhase, shares: Any, gains: list[float], rate_factor: float
    ) -> None:
        assert self._probe_rng is not None
        network, substrate = self.network, cast("ProbedSubstrate", self.substrate)
        n_samples = free.inputs.shape[0]
        probes = draw_probes(network, n_samples, self._probe_rng)
        asymmetries = substrate.local_asymmetry(free, probes, gains, shares)
        parts = homeostatic_shares(network, n_samples, rate_factor)
        steps = homeostatic_steps(network, asymmetries, gains, parts)
        for feedback, partner, step in zip(
            network.feedback, network.wiring.partners, steps, strict=True
        ):
            if partner is not None:  # there is something to face
                feedback.weights += step


def trained_parameters(network: Network, feedback_learning: str) -> list[Array]:
    """Arrays an optimiser moves: all, less feedback that follows a rule of its own."""
    learns = iter(learns_from_own_change(network.wiring, feedback_learning))
    return [
        parameter.array
        for parameter in network.parameters()
        if parameter.role != "feedback" or next(learns)
    ]
