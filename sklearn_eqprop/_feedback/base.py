"""The contract of a way in which untied feedback weights learn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sklearn_eqprop._network import Network, Wiring
from sklearn_eqprop._substrates.seam import FreePhase

if TYPE_CHECKING:
    from sklearn_eqprop._feedback.kolen_pollack import Follower

#: With layerwise rescaling, feedback that learns from its own ΔB moves at this fraction of the
#: forward rate, times its gain γ. The steps of Adam do not scale with the weights, and B is
#: γ times smaller than F.
FEEDBACK_RATE = 0.1


class FeedbackLearning(ABC):
    """How untied feedback weights learn.

    A new way is a subclass with `own_change`, imported in `sklearn_eqprop._feedback`. The class
    attributes are facts about it. Estimators and `Trainer` read them instead of its name.
    """

    #: Value of the parameter ``feedback_learning`` that chooses it.
    name: ClassVar[str]
    #: Whether feedback becomes the transpose of the forward weights, up to a factor.
    aligns: ClassVar[bool] = False
    #: Whether feedback moves together with forward weights, see `followers`.
    follows: ClassVar[bool] = False
    #: Whether `adjust` is called before every update.
    adjusts: ClassVar[bool] = False
    #: Whether `adjust` draws random numbers.
    draws: ClassVar[bool] = False
    #: Methods that the substrate must have, besides those of `Substrate`.
    needs: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def own_change(self, wiring: Wiring) -> list[bool]:
        """For each feedback connection, whether it learns from its own local change ΔB."""

    def followers(
        self,
        network: Network,
        gains: Sequence[float],
        learning_rates: Sequence[float],
        decay: float,
    ) -> dict[int, Follower]:
        """Feedback that moves together with forward weights, if `follows`.

        Parameters
        ----------
        network : Network
        gains : sequence of float
            γ of each feedback connection, see `network.feedback_gains`.
        learning_rates : sequence of float
            Learning rates of layers 1..L.
        decay : float
            Weight decay per unit of the learning rate.

        Returns
        -------
        dict of int to Follower
            The key is the index of the forward connection.
        """
        raise NotImplementedError

    def adjust(
        self,
        substrate: Any,
        network: Network,
        free: FreePhase,
        weights: Any,
        gains: Sequence[float],
        rate_factor: float,
        rng: np.random.RandomState | None,
    ) -> None:
        """Change the feedback weights in place after the phases of a minibatch, if `adjusts`.

        Parameters
        ----------
        substrate : Substrate
            With the methods named in `needs`.
        network : Network
        free : FreePhase
        weights : array of shape (n_samples, 1) or float
            Weight of each sample in the mean.
        gains : sequence of float
            γ of each feedback connection, see `network.feedback_gains`.
        rate_factor : float
            Factor of the learning-rate schedule.
        rng : RandomState or None
            Given if `draws`.
        """
        raise NotImplementedError
