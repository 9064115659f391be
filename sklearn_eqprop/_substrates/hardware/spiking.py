"""A network whose units send spikes. Its states settle although every message is an integer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._losses.base import Loss
from sklearn_eqprop._network import Network, PooledConvolution
from sklearn_eqprop._relaxation import Result
from sklearn_eqprop._sklearn_compat import Interval
from sklearn_eqprop._substrates.phases import FreePhase

_STEPS = [Interval(Integral, 2, None, closed="left")]


@dataclass(kw_only=True, repr=False)
class SpikingNetwork(BaseEstimator):
    """A network whose units communicate by spikes.

    It is a value of the parameter `substrate` of an estimator. A unit is a leaky integrator of the
    spikes that it receives. It sends its rate by sigma-delta modulation, as in O'Connor, Gavves &
    Welling (2019). In every step it adds λ ρ(s) to a sum, sends the nearest whole number of spikes,
    and subtracts this number from the sum. Spikes may be negative. Inputs, biases and the nudge are
    currents. States are averages over the second half of a phase. Synapses learn from the counts of
    spikes in this time.

    Parameters
    ----------
    spikes_per_step : float, default=1.0
        λ, > 0: the number of spikes per step of a unit with the rate 1. More are more exact.
    free_steps, nudged_steps : int, default=120 and 80
        Steps of a free and of a nudged phase, at least 2.
    step_size : float, default=0.15
        Share of a state that leaks in a step, in (0, 1].
    """

    spikes_per_step: float = 1.0
    free_steps: int = 120
    nudged_steps: int = 80
    step_size: float = 0.15

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "spikes_per_step": [Interval(Real, 0, None, closed="neither")],
        "free_steps": _STEPS,
        "nudged_steps": _STEPS,
        "step_size": [Interval(Real, 0, 1, closed="right")],
    }

    def connect(self, record: Network) -> SpikingUnits:
        """Return units and synapses with the shape of a network.

        Parameters
        ----------
        record : Network
            The parameters that the learner has set.

        Returns
        -------
        SpikingUnits

        Raises
        ------
        ValueError
            If a parameter is not usable, or if the network pools by the maximum.
        """
        self._validate_params()
        if any(isinstance(each.pool, PooledConvolution) for each in record.forward):
            msg = "Spikes have no maximum. Use Conv2D(..., pooling='average')."
            raise ValueError(msg)
        lengths = self.free_steps, self.nudged_steps
        return SpikingUnits(record, self.spikes_per_step, self.step_size, lengths)


@dataclass
class Course:
    """The end of a run: states, unsent rests of the sums, and averages over the second half."""

    states: list[Array]
    unsent: list[Array]
    means: list[Array]
    rates: list[Array]
    n_spikes: Array


@dataclass
class SpikingPhase(FreePhase):
    """A free phase, and the end of its run."""

    course: Course


class SpikingUnits:
    """The network that `SpikingNetwork` describes: a `Substrate`.

    Attributes
    ----------
    network : Network
        The record.
    n_spikes : ndarray of shape (n_samples,)
        Spikes of all units in the last free phase, per sample.
    """

    n_spikes: Array

    def __init__(
        self, record: Network, spikes_per_step: float, step_size: float, lengths: tuple[int, int]
    ) -> None:
        self.network = record
        self._scale, self._step_size, self._lengths = spikes_per_step, step_size, lengths

    def settle(self, inputs: Array) -> SpikingPhase:
        """Run from rest."""
        rest = self.network.zero_states(inputs.shape[0])
        nothing = [np.zeros_like(state) for state in rest]
        course = self._run(self.network.clamp(inputs), rest, nothing, self._lengths[0])
        self.n_spikes = course.n_spikes
        result = Result(course.means, np.full(inputs.shape[0], self._lengths[0]))
        return SpikingPhase(inputs, result, course)

    def settle_nudged(
        self, free: Any, loss: Loss, target: Array, strengths: Sequence[float]
    ) -> list[Result]:
        """Continue from the end of the free run, once without a push and once for each strength.

        The displacement is the difference of both runs. Both start alike, so it has less noise than
        the difference from the free states.
        """
        clamped, results = self.network.clamp(free.inputs), []
        start = (clamped, free.course.states, free.course.unsent, self._lengths[1])
        unpushed = self._run(*start).means
        for beta in strengths:
            course = self._run(*start, (beta, loss, target))
            moved = [s - s0 for s, s0 in zip(course.means, unpushed, strict=True)]
            results.append(Result(moved, np.full(target.shape[0], self._lengths[1])))
        return results

    def local_change(self, free: Any, deltas: Sequence[Array]) -> list[Array | None]:
        """Counts of presynaptic spikes times the deltas, summed over the samples."""
        rates = free.course.rates
        return self.network.local_products(free.inputs, rates, deltas, attenuated=True)

    def slopes(self, free: FreePhase) -> list[Array]:
        """ρ'(s) of each layer at the free states."""
        layers = zip(self.network.activations, free.result.states, strict=True)
        return [activation.slope(np, state) for activation, state in layers]

    def _run(
        self,
        clamped: list[Array],
        states: list[Array],
        unsent: list[Array],
        n_steps: int,
        push: tuple[float, Loss, Array] | None = None,
    ) -> Course:
        """Let units integrate and send for some steps."""
        network, scale = self.network, self._scale
        layers = range(1, network.n_layers + 1)
        unsent = [rest.copy() for rest in unsent]
        means, rates = ([np.zeros_like(state) for state in states] for _ in range(2))
        n_read = n_steps // 2
        n_spikes = np.zeros(states[0].shape[0])
        for step in range(n_steps):
            messages = []
            for layer, state in zip(layers, states, strict=True):
                rest = unsent[layer - 1]
                rest += scale * network.rate(layer, state)
                spikes = np.rint(rest)
                rest -= spikes
                n_spikes += np.abs(spikes).sum(axis=1)
                messages.append(spikes / scale)
            moved = []
            for layer, state in zip(layers, states, strict=True):
                velocity = clamped[layer - 1] - state
                inflow = network.inflow(layer, messages, layers)
                if inflow is not None:
                    velocity += inflow
                if push is not None and layer == network.n_layers:
                    beta, loss, target = push
                    velocity += beta * loss.force(np, state, target)
                velocity *= self._step_size
                velocity += state
                moved.append(network.project(layer, velocity))
            states = moved
            if step >= n_steps - n_read:
                for mean, rate, state, message in zip(means, rates, states, messages, strict=True):
                    mean += state / n_read
                    rate += message / n_read
        return Course(states, unsent, means, rates, n_spikes)
