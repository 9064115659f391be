"""The nudged phase of a simulated network, one Euler step after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._losses import Loss
from sklearn_eqprop._relaxation import FreeField, Result, euler_step, flow
from sklearn_eqprop._substrates.limits import above_rounding
from sklearn_eqprop._substrates.phases import FreePhase, Nudge, network_at, relative_tolerance

if TYPE_CHECKING:
    from sklearn_eqprop._substrates.simulated import SimulatedNetwork


@dataclass(eq=False)
class EulerFlow:
    """s <- clip(s + ε μ^β(s)), with the weights of the moment in every step (Eq. 77).

    States are absolute. If the free phase is not settled, the synapses measure the rest of its
    movement too, as in a physical network. The parameters are those of `FlowingSubstrate.flow`.
    Those of the substrate's network may change between two steps.
    """

    substrate: SimulatedNetwork
    free: FreePhase
    loss: Loss
    target: Array
    strength: float
    weights: Any

    def __post_init__(self) -> None:
        states, limits, beta = self.free.result.states, self.substrate.limits, self.strength
        self._network = network = network_at(self.free)
        self._push = Nudge(self.loss, self.target, beta, 0.0, network.backend.xp)
        nudge: Any = limits.nudged_tolerance * abs(beta)
        if not limits.literal:
            force = self._push.velocity(states[-1], states[-1])
            nudge = relative_tolerance(network.backend, limits.nudged_tolerance, force, beta)
        self._tolerance = above_rounding(network.backend, nudge, states)
        self.leverages = network.leverages(self.free.inputs, states, self.weights)
        self._states = list(states)
        self._n_steps = 0
        self._residual: Array = None

    def __iter__(self) -> Iterator[list[Array]]:
        """Change that each block measures in every step, until all samples have settled."""
        while True:
            field = self._field()
            self._residual, _, velocities = flow(field, self._states)
            finite = field.backend.xp.isfinite(self._residual)
            settled = self._residual <= self._tolerance
            if self._n_steps == self.substrate.limits.max_nudged:
                return
            [n_moving] = field.backend.numbers([(~(settled | ~finite)).sum()])
            if not n_moving:
                return
            before, step_size = self._states, self.substrate.relaxation.step_size
            self._states = euler_step(field, before, velocities, step_size)
            self._n_steps += 1
            increments = [
                (new - old) * self.weights for new, old in zip(self._states, before, strict=True)
            ]
            yield self.substrate.measured_change(self.free, before, increments)

    def result(self) -> Result:
        xp, start = self._network.backend.xp, self.free.result.states
        return Result(
            states=[end - begin for end, begin in zip(self._states, start, strict=True)],
            n_steps=xp.full(self._residual.shape[0], self._n_steps),
            residual=self._residual,
            converged=self._residual <= self._tolerance,
        )

    def _field(self) -> FreeField:
        # The drive of the clamped input is computed anew, because its weights may have moved.
        inputs = self.free.inputs
        return FreeField(self._network, self._network.clamp(inputs), inputs.shape[0], self._push)
