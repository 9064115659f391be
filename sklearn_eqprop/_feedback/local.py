"""Feedback that learns by the paper's own rule."""

from sklearn_eqprop._feedback.base import FeedbackLearning
from sklearn_eqprop._network import Wiring


class Local(FeedbackLearning):
    """Each feedback weight learns from its own local change ΔB, as in the paper (Eq. 18)."""

    name = "local"

    def own_change(self, wiring: Wiring) -> list[bool]:
        return [True] * len(wiring.feedback)
