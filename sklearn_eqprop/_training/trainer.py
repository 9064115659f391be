"""The training step: credit for a minibatch, one update of every parameter, the loop-gain guard."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._feedback.base import FEEDBACK_RATE, FeedbackLearning
from sklearn_eqprop._losses import LABEL_LOSSES, MULTILABEL_LOSSES, NUMBER_LOSSES, Loss
from sklearn_eqprop._network import LoopGainGuard, Network, attenuations, feedback_gains
from sklearn_eqprop._rules.base import Credit, CreditRule, Minibatch
from sklearn_eqprop._substrates.seam import FreePhase, Substrate
from sklearn_eqprop._training.sgd import SGD
from sklearn_eqprop._training.updates import BlockUpdate, Optimizer, apply_updates
from sklearn_eqprop.exceptions import DivergenceError

#: Largest gain, layer by layer, of the loop between the states and weights that move within a
#: phase. With a gain above 1 they would drive each other away.
PLASTICITY_GAIN = 0.25

#: Methods of a substrate beyond the two verbs that some rules need, and what each requires.
ABILITIES = {
    "settle_corrected": "connections that can also be used in reverse",
    "settle_adjoint": "connections that can also be used in reverse",
    "flow": "synapses that can be watched while it settles",
    "settle_clamped": "an output that can be held at its target",
    "local_contrast": "synapses that compare two equilibria",
    "local_asymmetry": "units that can be pushed a little and watched",
    "slopes": "units whose slopes can be read",
}


@dataclass(frozen=True)
class LearningSettings:
    """How parameters move.

    Attributes
    ----------
    learning_rates : tuple of float
        Learning rates of layers 1..L: of the biases of a layer and of all weights that drive it.
    alpha : float
        Strength of the L2 penalty α/2 ||W||² on all weights, "synaptic depression" (appendix A).
    feedback_learning : FeedbackLearning
        How untied feedback weights move.
    layerwise_rescale : bool
        Whether the attenuation of the error signal is undone layer by layer.
    substrate_rescales : bool, default=False
        Whether the substrate does that itself, see `DeepNetwork`.
    """

    learning_rates: tuple[float, ...]
    alpha: float
    feedback_learning: FeedbackLearning
    layerwise_rescale: bool
    substrate_rescales: bool = False


class Trainer:
    """Changes a network's parameters in place, one minibatch at a time.

    Parameters
    ----------
    substrate : Substrate
        The system that settles. The trainer calls only its methods, never its dynamics.
    network : Network
        The learner's own record of the parameters, in full precision. Updates accumulate here, and
        the strength of feedback is measured here. A simulated network settles with these very
        arrays. A device copies from them, whenever it settles, as much as its synapses can hold.
    rule : CreditRule
    loss : Loss
    optimizer : Optimizer
        Made for the arrays of `trained_parameters`.
    guard : LoopGainGuard or None
        Bounds the loop gain after every update.
    settings : LearningSettings
    probe_rng : RandomState or None, default=None
        Random numbers for feedback learning that draws them ('homeostasis').

    Attributes
    ----------
    attenuated : bool
        Whether the substrate's error signal is attenuated by the feedback weights that it passes
        through.

    Raises
    ------
    TypeError
        If the substrate or the loss lacks something that the rule or feedback learning needs.
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
        name, feedback = type(rule).__name__, settings.feedback_learning
        check_abilities(substrate, rule.needs, name, "VectorFieldRule")
        check_loss(loss, rule.losses, name, "VectorFieldRule")
        if not network.tied:
            name = f"feedback_learning={feedback.name!r}"
            check_abilities(substrate, feedback.needs, name, "'kolen_pollack'")
            if feedback.draws and probe_rng is None:
                msg = (
                    f"{name} draws probes, but probe_rng is None. Pass a RandomState as probe_rng."
                )
                raise TypeError(msg)
        self.substrate = substrate
        self.network = network
        self.loss = loss
        self.optimizer = optimizer
        self.guard = guard
        self.attenuated = rule.attenuated and not settings.substrate_rescales
        self._take_update = getattr(substrate, "take_update", None)
        self._rule = rule
        self._settings = settings
        self._learns = feedback.own_change(network.wiring)
        self._probe_rng = probe_rng

    def train_on(
        self,
        inputs: Array,
        target: Array,
        sample_weight: np.ndarray | None,
        rate_factor: float,
        rng: np.random.RandomState,
    ) -> tuple[float, Credit]:
        """Learn from one minibatch: one update of all parameters.

        Parameters
        ----------
        inputs, target : arrays of shape (n_samples, n_features), (n_samples, n_outputs)
        sample_weight : ndarray of shape (n_samples,) or None
            Positive weights, on the host.
        rate_factor : float
            Factor of the learning-rate schedule.
        rng : RandomState
            For nudging that draws random numbers.

        Returns
        -------
        loss : float
            Weighted mean loss of the free phases before the update, without the penalty.
        credit : Credit

        Raises
        ------
        DivergenceError
            If the loss is not finite. The parameters are then unchanged.
        """
        total, shares = self._shares(inputs.shape[0], sample_weight)
        gains = feedback_gains(self.network)
        credit = self._credit(inputs, target, shares, gains, rate_factor, rng)
        loss = self._mean_loss(credit.free, target, shares)
        if not math.isfinite(loss):
            msg = "the loss is not finite"
            raise DivergenceError(msg)
        feedback = self._settings.feedback_learning
        if feedback.adjusts and not self.network.tied:
            feedback.adjust(
                self.substrate,
                self.network,
                credit.free,
                shares,
                gains,
                rate_factor,
                self._probe_rng,
            )
        self._update(credit.changes, gains, rate_factor, self._settings.alpha / total)
        if self.guard is not None:
            self.guard.enforce()
        if self._take_update is not None:
            self._take_update()
        return loss, credit

    def loss_of(self, inputs: Array, target: Array, sample_weight: np.ndarray | None) -> float:
        """Weighted mean loss of the free phases, without learning; arguments as `train_on`."""
        _, shares = self._shares(inputs.shape[0], sample_weight)
        return self._mean_loss(self.substrate.settle(inputs), target, shares)

    def _shares(self, n_samples: int, sample_weight: np.ndarray | None) -> tuple[float, Any]:
        """Total weight of the samples, and the share of each sample in it."""
        if sample_weight is None:
            return n_samples, 1 / n_samples
        total = float(sample_weight.sum())
        # Divided before the cast, because large weights may overflow in float32 and shares cannot.
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
        """Credit for a minibatch; if the rule moves weights in its phases, they are moved back."""
        batch = Minibatch(inputs, target, self.loss, shares, rng, xp=self.network.backend.xp)
        if not self._rule.moves_weights:
            return self._rule.credit(self.substrate, batch)
        # Within the phase, weights move at the plain learning rate. Then they are set back, and the
        # total change goes through the optimiser. For SGD without momentum the result is the same.
        # (At Adam's rates, which grow as gradients fade, weights and states would diverge.)
        start = [parameter.array.copy(order="K") for parameter in self.network.parameters()]

        def move(changes: list[Array], leverages: list[float]) -> None:
            self._update(changes, gains, rate_factor, 0.0, leverages)

        batch.move = move
        credit = self._rule.credit(self.substrate, batch)
        for parameter, array in zip(self.network.parameters(), start, strict=True):
            parameter.array[...] = array
        return credit

    def _mean_loss(self, free: FreePhase, target: Array, shares: Any) -> float:
        """Weighted mean loss of a free phase."""
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
        """Move every parameter by a step of the optimiser.

        If leverages are given, take a plain step within a phase, with rates that they bound.
        """
        network, settings = self.network, self._settings
        feedback = settings.feedback_learning
        scales = [1.0] * network.n_layers
        if settings.layerwise_rescale and self.attenuated:
            scales = attenuations(network.wiring, gains)
        updates = []
        gain_of_feedback = iter(gains)
        learns = iter(self._learns)
        for parameter, change in zip(network.parameters(), changes, strict=True):
            rate = rate_factor * settings.learning_rates[parameter.layer - 1]
            scale = scales[parameter.layer - 1]
            if parameter.role == "feedback":
                gain = next(gain_of_feedback)
                if not next(learns):
                    continue
                if settings.layerwise_rescale:
                    # The scale brings B's signal to the size of F's, but B is γ times smaller.
                    rate *= FEEDBACK_RATE * gain
            if leverages is not None:
                rate = min(rate, PLASTICITY_GAIN * scale / leverages[parameter.layer - 1])
            fading = 0.0 if parameter.role == "bias" else decay
            updates.append(BlockUpdate(parameter.array, change, rate, scale, fading))
        if feedback.follows and not network.tied:
            # Forward weights come first, so their index is that of their update.
            rates, decay = settings.learning_rates, rate_factor * decay
            for index, follower in feedback.followers(network, gains, rates, decay).items():
                updates[index].follower = follower
        optimizer = self.optimizer
        if leverages is not None:
            optimizer = SGD([update.array for update in updates], network.backend)
        apply_updates(updates, optimizer, whole=network.backend.is_device)


def trained_parameters(network: Network, feedback_learning: FeedbackLearning) -> list[Array]:
    """Arrays that the optimiser moves, in the order of `Network.parameters`.

    These are all, except feedback that does not learn from its own local change.
    """
    learns = iter(feedback_learning.own_change(network.wiring))
    return [
        parameter.array
        for parameter in network.parameters()
        if parameter.role != "feedback" or next(learns)
    ]


def check_abilities(substrate: Any, needs: Sequence[str], who: str, instead: str) -> None:
    """Raise TypeError if the substrate lacks a method that `who` needs; suggest `instead`."""
    for need in needs:
        if not callable(getattr(substrate, need, None)):
            msg = (
                f"{who} does not go with {type(substrate).__name__}: it needs "
                f"{ABILITIES.get(need, 'another ability')}, and there is no method {need}. Write "
                f"this method, or use {instead}."
            )
            raise TypeError(msg)


def check_loss(loss: Loss, fact: str | None, who: str, instead: str) -> None:
    """Raise TypeError if a fact that `who` needs is not true of the loss; suggest `instead`."""
    if fact is None or getattr(loss, fact):
        return
    registries = (LABEL_LOSSES, MULTILABEL_LOSSES, NUMBER_LOSSES)
    kinds = [kind for registry in registries for kind in registry.values() if getattr(kind, fact)]
    names = " or ".join(dict.fromkeys(kind.__name__ for kind in kinds))
    msg = f"{who} does not go with {type(loss).__name__}: use {names}, or {instead}."
    raise TypeError(msg)
