"""The contract of a credit rule: from settled states to a change of every parameter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._losses.base import HeldForce, Loss
from sklearn_eqprop._relaxation import Result
from sklearn_eqprop._substrates.seam import FreePhase

if TYPE_CHECKING:
    from sklearn_eqprop._rules.vector_field import Nudging

#: Coordinates of the displacements that synapses read, see `CreditRule.auto_coordinates`.
Coordinates = Literal["state", "rate_if_aligned", "rate"]


@dataclass
class Minibatch:
    """Samples to learn from, and all that a rule needs besides the substrate."""

    inputs: Array
    target: Array
    loss: Loss
    #: Weight of each sample in the mean, shape (n_samples, 1), or of every sample. The sum is 1.
    weights: Any
    #: For nudging that draws random numbers.
    rng: np.random.RandomState
    #: For rules with `CreditRule.moves_weights`. ``move(changes, leverages)`` moves the weights by
    #: the changes measured in one step, which it overwrites; see `Flow` for the leverages.
    move: Callable[[list[Array], list[float]], None] | None = None
    #: Array module of the loss.
    xp: Any = np

    def holding_force(self, free: FreePhase) -> Minibatch:
        """The same samples, pushed in every state by their force at a free equilibrium."""
        force = free.force(self.xp, self.loss, self.target)
        return replace(self, loss=HeldForce(), target=force)


@dataclass
class Credit:
    """What a credit rule computes from one minibatch."""

    #: Direction in which each block of parameters should move, the weighted mean over the samples.
    #: Plain SGD multiplies it by the learning rate. None for a block that does not learn from its
    #: own local change.
    changes: list[Array]
    free: FreePhase
    #: Results of the second phases; empty for a rule without a second phase.
    nudged: list[Result]


@dataclass
class CreditRule(ABC):
    """How a minibatch becomes a change of every parameter.

    A new rule is a subclass with `credit`, imported in `sklearn_eqprop._rules`. The class
    attributes are facts about the rule. Estimators and `Trainer` read them instead of its name.

    Parameters
    ----------
    nudging : Nudging
        How ds^β/dβ is estimated. A rule that is not nudged ignores it.
    beta : float
        Influence parameter β. A rule that is not nudged ignores it.

    Attributes
    ----------
    name : str
        Value of the parameter ``gradient`` that chooses it.
    exact : bool, default=False
        Whether it follows the exact gradient for any feedback weights (perhaps only for β -> 0).
    attenuated : bool, default=False
        Whether its error signal passes through the feedback weights, and is attenuated there.
    nudged : bool, default=False
        Whether β and nudging matter.
    explicit_steps : bool, default=False
        Whether its second phase takes Euler steps with every relaxation.
    fixed_point_only : bool, default=True
        Whether it needs equilibria. False: it can also use averages along trajectories.
    clampable : bool, default=False
        Whether it may be combined with ``beta=inf``, which replaces it by `ClampedRule`.
    moves_weights : bool, default=False
        Whether weights move during the second phase, by `Minibatch.move`.
    in_states_only : bool, default=False
        Whether displacements of rates (``credit_coordinates='rate'``) make no sense for it.
    auto_coordinates : {'state', 'rate_if_aligned', 'rate'}, default='state'
        Displacements that ``credit_coordinates='auto'`` stands for. 'rate_if_aligned': those of
        rates if the activation is smooth and feedback aligned or tied. Otherwise those of states.
    needs : tuple of str, default=()
        Methods that the substrate must have, besides those of `Substrate`.
    losses : str or None, default=None
        Fact that must be true of the loss, such as 'clampable'. None: any loss.
    auto_beta : float, default=0.5
        The β that ``beta='auto'`` stands for.
    free_tolerance, nudged_tolerance : float, default=1e-2
        Tolerances while training with ``relax_tol='auto'``. That of the nudged phase is relative
        to the force on each sample.
    swept_tolerance : bool, default=False
        Whether a relaxation that solves layer by layer may use a larger tolerance in the nudged
        phase. Its first sweep already carries the nudge to every layer.
    """

    nudging: Nudging
    beta: float

    name: ClassVar[str]
    exact: ClassVar[bool] = False
    attenuated: ClassVar[bool] = False
    nudged: ClassVar[bool] = False
    explicit_steps: ClassVar[bool] = False
    fixed_point_only: ClassVar[bool] = True
    clampable: ClassVar[bool] = False
    moves_weights: ClassVar[bool] = False
    in_states_only: ClassVar[bool] = False
    auto_coordinates: ClassVar[Coordinates] = "state"
    needs: ClassVar[tuple[str, ...]] = ()
    losses: ClassVar[str | None] = None
    auto_beta: ClassVar[float] = 0.5
    free_tolerance: ClassVar[float] = 1e-2
    nudged_tolerance: ClassVar[float] = 1e-2
    swept_tolerance: ClassVar[bool] = False

    @abstractmethod
    def credit(self, substrate: Any, batch: Minibatch) -> Credit:
        """Settle a minibatch as often as the rule needs, and compute the changes.

        The substrate has the methods named in `needs`.
        """
