"""Stochastic gradient descent, with or without momentum."""

from collections.abc import Sequence

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._training.updates import Optimizer


class SGD(Optimizer):
    """velocity <- momentum · velocity + rate · direction; the step is the velocity.

    The parameters are those of `Optimizer`. Without momentum the step is rate · direction, and no
    velocity is kept.
    """

    name = "sgd"

    def remembers(self) -> tuple[str, ...]:
        return ("velocities",) if self._momentum else ()

    def step(self, memory: Sequence[Array], direction: Array, rate: float) -> Array:
        direction *= rate
        if not memory:
            return direction
        [velocity] = memory
        velocity *= self._momentum
        velocity += direction
        return velocity
