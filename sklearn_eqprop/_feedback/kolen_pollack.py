"""Kolen-Pollack learning: feedback copies the steps of the forward weights."""

from collections.abc import Sequence
from dataclasses import dataclass

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._feedback.base import FeedbackLearning
from sklearn_eqprop._network import Network, Wiring

#: A slower decay waits for the end of a round, and is then applied for all of its updates at once.
#: The sum is still small. In float32, fewer and larger decays lose less by rounding.
SLOW_DECAY = 1e-6


@dataclass
class Follower:
    """Feedback B that follows γ F^T (Kolen & Pollack 1994; Akrout et al. 2019)."""

    #: B, in the shape of its forward partner F. For convolutions: the kernels of the feedback.
    array: Array
    #: γ.
    gain: float
    #: Learning rate times weight decay of F.
    decay: float

    def decay_due(self, round_done: int) -> float:
        """Decay to apply in this update: a slow one is applied once per round."""
        return self.decay if self.decay > SLOW_DECAY else round_done * self.decay

    def follow(self, array: Array, forward: Array, step: Array, decay: float) -> None:
        """Move B by γ times the step of F; the difference B - γ F shrinks by 1 - decay.

        Parameters
        ----------
        array : array
            B or a piece of it, changed in place.
        forward, step : array
            F before its step, and the step, of the same shape.
        decay : float
        """
        if decay:
            apart = self.gain * forward
            apart -= array
            apart *= decay
            array += apart
        array += self.gain * step


class KolenPollack(FeedbackLearning):
    """Feedback with a forward partner follows it; other feedback learns from its own ΔB."""

    name = "kolen_pollack"
    aligns = True
    follows = True

    def own_change(self, wiring: Wiring) -> list[bool]:
        return [partner is None for partner in wiring.partners]

    def followers(
        self,
        network: Network,
        gains: Sequence[float],
        learning_rates: Sequence[float],
        decay: float,
    ) -> dict[int, Follower]:
        found = {}
        for feedback, partner, gain in zip(
            network.feedback, network.wiring.partners, gains, strict=True
        ):
            if partner is not None:
                fading = decay * learning_rates[network.forward[partner].target - 1]
                found[partner] = Follower(feedback.mirror(feedback.weights), gain, fading)
        return found
