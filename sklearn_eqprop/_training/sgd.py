"""Stochastic gradient descent, with or without momentum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn_eqprop._backend.array_backend import Array, ArrayBackend
from sklearn_eqprop._training.updates import Optimizer


class SGD(Optimizer):
    """velocity <- momentum · velocity + rate · direction; the step is the velocity.

    The parameters are those of `Optimizer`. Without momentum the step is rate · direction, and no
    velocity is kept.
    """

    name = "sgd"
    uses_momentum = True

    def __init__(
        self,
        blocks: Sequence[Array],
        backend: ArrayBackend,
        memory: dict[str, Any] | None = None,
        *,
        momentum: float = 0.0,
    ) -> None:
        self.remembers = () if momentum == 0 else ("velocities",)
        super().__init__(blocks, backend, memory, momentum=momentum)

    def step(self, memory: Sequence[Array], direction: Array, rate: float) -> Array:
        """Step of a block or a piece: its velocity, or the array of the direction."""
        direction *= rate
        if not memory:
            return direction
        [velocity] = memory
        velocity *= self._momentum
        velocity += direction
        return velocity
