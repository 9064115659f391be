"""Feedback that does not learn."""

from sklearn_eqprop._feedback.base import FeedbackLearning
from sklearn_eqprop._network import Wiring


class Fixed(FeedbackLearning):
    """Feedback keeps its initial weights, as in feedback alignment (Lillicrap et al. 2016)."""

    name = "fixed"

    def own_change(self, wiring: Wiring) -> list[bool]:
        return [False] * len(wiring.feedback)
