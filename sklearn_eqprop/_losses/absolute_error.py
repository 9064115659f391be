"""Absolute error, for regression with outliers."""

from typing import Any

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._losses.base import Loss


class AbsoluteError(Loss):
    """C = Σ |y - s_L|: the force on an output has the same size at every distance.

    The force jumps at the target, where any force in [-β, β] can hold the output. For this
    reason every relaxation moves the output by the exact proximal step, a soft threshold.
    """

    name = "absolute_error"
    # The loss has no curvature next to its kink. The force is bounded: every negative β is stable.
    curvature = 0.0
    bounded_outputs = True

    def value(self, xp: Any, output: Array, target: Array) -> Array:
        return xp.abs(target - output).sum(axis=1)

    def force(self, xp: Any, output: Array, target: Array) -> Array:
        return xp.sign(target - output)

    def velocity(
        self, xp: Any, drive: Array, displacement: Array, origin: Array, target: Array, beta: Array
    ) -> Array:
        """Distance to the proximal point; 0 at the equilibrium."""
        moved = self.resolve(xp, drive, displacement, origin, target, beta)
        moved -= displacement
        return moved

    def resolve(
        self, xp: Any, drive: Array, displacement: Array, origin: Array, target: Array, beta: Array
    ) -> Array:
        """The soft threshold ``y + S_β(drive - y)`` if β > 0, see `Loss.resolve`.

        If β < 0, the output moves away from the target, on the side where its drive is.
        """
        beyond = drive + (origin - target)
        pull = xp.clip(beyond, -abs(beta), abs(beta))
        away = beta * xp.sign(beyond)
        if isinstance(beta, float):
            return drive - (pull if beta > 0 else away)
        return drive - xp.where(beta > 0, pull, away)
