"""The contract of a loss: its value, its force on the output, and how a nudged output moves."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from sklearn_eqprop._backend.array_backend import Array

#: Bisections of the interval that contains the best constant output.
BISECTIONS = 60


class Loss(ABC):
    """Loss C(s_L, y) of each sample (Eq. 12, Scellier et al. 2018).

    A new loss is a subclass with `value` and `force`, imported in `sklearn_eqprop._losses`. The
    attributes are facts about the loss. Estimators read them instead of its name.

    Attributes
    ----------
    name : str
        Value of the parameter ``loss`` that chooses it.
    targets : tuple of {'labels', 'multilabel', 'numbers'}, default=('numbers',)
        Targets that it can judge: one class per sample, any number of labels, or numbers.
    curvature : float
        Upper bound of the eigenvalues of ∂²C/∂s_L². A nudge of -β is stable only if
        β · curvature < 1. Infinity: there is no bound, or it is not known.
    analytic : bool, default=False
        Whether `force` and `resolve` also take complex outputs. If not, N-point nudging holds the
        force of the free equilibrium.
    clampable : bool, default=False
        Whether ``beta=inf`` may be used. It displaces the output by y - s_L, which is the force of
        the squared error.
    bounded_outputs : bool, default=False
        Whether outputs may be kept in a range. The loss must then compare each output with its
        target, and be a sum over the outputs.
    predicts_log : bool, default=False
        Whether the output is the logarithm of the prediction. Targets must then be >= 0, and they
        are divided by their mean instead of standardised.
    label_threshold : float, default=nan
        For multilabel targets: a label is predicted if its output is larger than this.
    """

    name: str
    targets: tuple[str, ...] = ("numbers",)
    curvature: float
    analytic: bool = False
    clampable: bool = False
    bounded_outputs: bool = False
    predicts_log: bool = False
    label_threshold: float = float("nan")

    @abstractmethod
    def value(self, xp: Any, output: Array, target: Array) -> Array:
        """C of each sample, shape (n_samples,)."""

    @abstractmethod
    def force(self, xp: Any, output: Array, target: Array) -> Array:
        """-∂C/∂s_L, a new array of shape (n_samples, n_outputs)."""

    def constant_loss(self, target: np.ndarray, weight: np.ndarray | None) -> float:
        """Mean loss of the best constant output, computed on the host.

        This default finds the output by bisection. The loss must be convex, and a sum over the
        outputs.

        Parameters
        ----------
        target : ndarray of shape (n_samples, n_outputs)
        weight : ndarray of shape (n_samples,) or None
            Sample weights. None: all samples weigh the same.
        """
        target = target.astype(np.float64)
        low, high = target.min(axis=0), target.max(axis=0)
        for _ in range(BISECTIONS):
            middle = 0.5 * (low + high)
            upwards = np.average(self.force(np, middle, target), axis=0, weights=weight) > 0
            low, high = np.where(upwards, middle, low), np.where(upwards, high, middle)
        losses = self.value(np, np.broadcast_to(low, target.shape), target)
        return float(np.average(losses, weights=weight))

    def velocity(
        self, xp: Any, drive: Array, displacement: Array, origin: Array, target: Array, beta: Array
    ) -> Array:
        """Velocity of a nudged output, ``drive + β force(origin + d) - d``, as a new array.

        The parameters are those of `resolve`.
        """
        velocity = beta * self.force(xp, origin + displacement, target)
        velocity += drive
        velocity -= displacement
        return velocity

    def resolve(
        self, xp: Any, drive: Array, displacement: Array, origin: Array, target: Array, beta: Array
    ) -> Array:
        """Displacement d that is closer to a zero of ``drive + β force(origin + d) - d``.

        This default takes one damped step. It leaves at most ``|β|`` curvature / (2 + β curvature)
        of the error. Losses with a closed form return the exact solution.

        Parameters
        ----------
        xp : module
            Array module.
        drive : array of shape (n_samples, n_outputs)
            Input to the output layer, without the nudge.
        displacement : array of shape (n_samples, n_outputs)
            Start of the step.
        origin : array of shape (n_samples, n_outputs) or float
            Output from which displacements are measured.
        target : array of shape (n_samples, n_outputs)
        beta : float or array of shape (n_samples, 1)
        """
        step = self.velocity(xp, drive, displacement, origin, target, beta)
        step *= 1 / (1 + beta * (self.curvature / 2))
        step += displacement
        return step


class HeldForce(Loss):
    """C = -target · s_L: the target of each sample is a force that is the same at every output."""

    curvature = 0.0
    analytic = True

    def value(self, xp: Any, output: Array, target: Array) -> Array:
        return -(target * output).sum(axis=1)

    def force(self, xp: Any, output: Array, target: Array) -> Array:
        return target.copy()

    def resolve(
        self, xp: Any, drive: Array, displacement: Array, origin: Array, target: Array, beta: Array
    ) -> Array:
        """The exact solution drive + β target, see `Loss.resolve`."""
        return drive + beta * target


class ClassificationLoss(Loss):
    """A loss whose output can be read as probabilities of classes or labels."""

    @abstractmethod
    def probabilities(self, xp: Any, output: Array) -> Array:
        """Probabilities of the classes or labels, shape (n_samples, n_outputs)."""
