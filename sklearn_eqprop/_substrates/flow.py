"""The nudged phase of a simulated network, one Euler step after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._network import Network
from sklearn_eqprop._relaxation import FreeField, Push, Result, flow
from sklearn_eqprop._substrates.seam import FreePhase


class EulerFlow:
    """s <- clip(s + ε μ^β(s)) with the weights as they are at every step (Eq. 77).

    States are absolute: whatever the free phase has left unsettled goes into what the synapses
    measure, as it would in a physical network.

    Parameters
    ----------
    network : Network
        Its parameters may change between two steps.
    free : FreePhase
    push : Push
    step_size : float
        ε.
    tolerance : array of shape (n_samples,)
        Residual at which a sample counts as settled; the flow ends when all have.
    max_steps : int
    leverages : list of float
        See `Flow`.
    local_change : callable
        ``local_change(states, increments)``, what the synapses measure.
    """

    def __init__(
        self,
        network: Network,
        free: FreePhase,
        push: Push,
        *,
        step_size: float,
        tolerance: Array,
        max_steps: int,
        leverages: list[float],
        local_change: Callable[[Sequence[Array], list[Array]], list[Array]],
    ) -> None:
        self.leverages = leverages
        self._network = network
        self._free = free
        self._push = push
        self._step_size = step_size
        self._tolerance = tolerance
        self._max_steps = max_steps
        self._local_change = local_change
        self._states = list(free.result.states)
        self._n_steps = 0
        self._residual: Array = None

    def __iter__(self) -> Iterator[list[Array]]:
        """See `Flow.__iter__`."""
        while True:
            field = self._field()
            self._residual, _, velocities = flow(field, self._states)
            finite = field.backend.xp.isfinite(self._residual)
            settled = self._residual <= self._tolerance
            if self._n_steps == self._max_steps:
                return
            [n_moving] = field.backend.numbers([(~(settled | ~finite)).sum()])
            if not n_moving:
                return
            moved = []
            for layer, (state, velocity) in enumerate(
                zip(self._states, velocities, strict=True), start=1
            ):
                velocity *= self._step_size
                velocity += state
                moved.append(field.project(layer, velocity, out=velocity))
            increments = [new - old for new, old in zip(moved, self._states, strict=True)]
            before, self._states = self._states, moved
            self._n_steps += 1
            yield self._local_change(before, increments)

    def result(self) -> Result:
        """See `Flow.result`."""
        xp = self._network.backend.xp
        n_steps = xp.full(self._residual.shape[0], self._n_steps)
        converged = self._residual <= self._tolerance
        start = self._free.result.states
        return Result(
            states=[end - begin for end, begin in zip(self._states, start, strict=True)],
            n_steps=n_steps,
            residual=self._residual,
            converged=converged,
        )

    def _field(self) -> FreeField:
        # The clamped input's drive is worked out anew: its weights may have moved.
        inputs = self._free.inputs
        return FreeField(self._network, self._network.clamp(inputs), inputs.shape[0], self._push)
