"""A network that need not settle: averages along trajectories in place of equilibria.

Where the dynamics oscillate or are chaotic, the objective is the average of the loss along the
trajectory (footnote 1, Scellier et al. 2018). The rule stays the paper's, with averages <.> over
time where it has equilibria: Δθ ∝ <ρ_pre>^T (<s>_β - <s>_0) / β. Averages do not know the phase of
an oscillation. The average of the product, <ρ_pre(t)^T (s_t^β - s_t^0)>, does: a nudge changes the
period too, the two runs fall out of step, and their difference at equal times grows without end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._losses.base import Loss
from sklearn_eqprop._network import Network
from sklearn_eqprop._relaxation import (
    RUNAWAY,
    Average,
    FreeField,
    Push,
    Result,
    trajectory,
)
from sklearn_eqprop._substrates.probes import local_asymmetries
from sklearn_eqprop._substrates.pushes import ConstantPush, Nudge, stacked_strengths
from sklearn_eqprop._substrates.seam import FreePhase


@dataclass(frozen=True)
class RunLengths:
    """How many steps a trajectory has; none of them is left out, whatever the states do.

    Attributes
    ----------
    transient : int
        Steps from rest, without a nudge, before nudged and free run part.
    run : int
        Steps of each run from there.
    """

    transient: int
    run: int

    @property
    def averaged(self) -> int:
        """Steps that count: the second half of a run. In the first a nudge makes its way."""
        return (self.run + 1) // 2


@dataclass
class AveragedPhase(FreePhase):
    """A free run; the states of its `result` are averages.

    Attributes
    ----------
    start : list of array
        States at the end of the transient, where all runs start.
    shift : list of array
        Average states less `start`.
    rates : list of array
        Average rates of layers 1..L.
    slopes : list of array or None
        Average ρ'(s) of layers 1..L; None: 1 for every unit, or not recorded.
    outputs : list of array
        Output in every step that counts. Only the average one if not recorded.
    """

    start: list[Array]
    shift: list[Array]
    rates: list[Array]
    slopes: list[Array | None]
    outputs: list[Array]

    def average(self, measure: Callable[[Array], Array]) -> Array:
        """Average along the run of something that depends on the output."""
        average = Average()
        for output in self.outputs:
            average.add([measure(output)])
        return average.mean()[0]

    def loss(self, xp: Any, loss: Loss, target: Array) -> Array:
        """See `FreePhase.loss`; the average along the run, not the loss of the average."""
        return self.average(lambda output: loss.value(xp, output, target))


class AveragingNetwork:
    """A simulated network that is watched along its trajectory instead of at rest.

    At a fixed point averages are equilibria, and it is a `SimulatedNetwork` that settles in Euler
    steps. It can do what needs no fixed point: the two verbs of a `Substrate`, and the pushes of
    a `ProbedSubstrate`.

    Parameters
    ----------
    network : Network
    step_size : float
        Euler's ε.
    lengths : RunLengths
    records : bool, default=True
        Whether free runs keep what only learning needs: every output, and average slopes.
    feedback_learns : sequence of bool or None, default=None
        Which untied feedback connections learn from their own local change; None: all.
    rate_coordinates : bool, default=False
        Whether synapses see displacements as changes of the rate, <ρ'(s)> Δ.
    """

    #: See `SimulatedNetwork.reads_sparse`.
    reads_sparse = True

    def __init__(
        self,
        network: Network,
        step_size: float,
        lengths: RunLengths,
        *,
        records: bool = True,
        feedback_learns: Sequence[bool] | None = None,
        rate_coordinates: bool = False,
    ) -> None:
        self.network = network
        self._step_size = step_size
        self._lengths = lengths
        self._records = records
        self._feedback_learns = feedback_learns
        self._rate_coordinates = rate_coordinates

    def settle(self, inputs: Array) -> AveragedPhase:
        """See `Substrate.settle`; the free run, from rest through the transient."""
        network, lengths = self.network, self._lengths
        field = FreeField(network, network.clamp(inputs), inputs.shape[0])
        states = field.zero_states()
        for _ in islice(trajectory(field, states, self._step_size), lengths.transient):
            pass
        start = [state.copy() for state in states]
        shifts, rates, slopes = Average(start), Average(), Average()
        outputs = []
        for now, signals in self._steps_that_count(field, states):
            shifts.add(now)
            rates.add(signals)
            if self._records:
                slopes.add(self._slopes(now))
                outputs.append(now[-1].copy())
        result = self._result(field, states, shifts, lengths.transient + lengths.run)
        shift = result.states
        result.states = [at + moved for at, moved in zip(start, shift, strict=True)]
        curved = iter(slopes.mean())
        return AveragedPhase(
            inputs,
            result,
            start,
            shift,
            rates.mean(),
            [next(curved, None) for _ in range(network.n_layers)],
            outputs or result.states[-1:],
        )

    def settle_nudged(
        self, free: FreePhase, loss: Loss, target: Array, strengths: Sequence[float]
    ) -> list[Result]:
        """See `Substrate.settle_nudged`; runs from the end of the transient, side by side."""
        free = cast("AveragedPhase", free)
        network, xp = self.network, self.network.backend.xp
        n_samples, n_phases = target.shape[0], len(strengths)

        def stacked(array: Array) -> Array:
            return xp.concatenate([array] * n_phases) if array.ndim > 1 else array

        beta = stacked_strengths(network, strengths, n_samples)
        push: Push
        if min(strengths) < 0 and math.isinf(loss.curvature):
            # Pushed away under a loss of unbounded curvature no β is stable for certain.
            held = free.average(lambda output: loss.force(xp, output, target))
            push = ConstantPush(beta * stacked(held))
        else:
            push = Nudge(loss, stacked(target), beta, 0.0, xp)
        clamped = [stacked(drive) for drive in network.clamp(free.inputs)]
        field = FreeField(network, clamped, n_phases * n_samples, push)
        start = [stacked(state) for state in free.start]
        states = [state.copy() for state in start]
        shifts = Average(start)
        for now, _ in self._steps_that_count(field, states):
            shifts.add(now)
        result = self._result(field, states, shifts, self._lengths.run)
        for moved, of_free in zip(result.states, free.shift, strict=True):
            moved -= stacked(of_free)
        return [
            self._part(result, slice(phase * n_samples, (phase + 1) * n_samples))
            for phase in range(n_phases)
        ]

    def local_change(self, free: FreePhase, deltas: Sequence[Array]) -> list[Array]:
        """See `Substrate.local_change`; with average rates."""
        free = cast("AveragedPhase", free)
        if self._rate_coordinates:
            deltas = [
                delta if activation.transmits_state else slope * delta
                for activation, slope, delta in zip(
                    self.network.activations, free.slopes, deltas, strict=True
                )
            ]
        return self.network.local_products(
            free.inputs, free.rates, deltas, feedback_learns=self._feedback_learns
        )

    def local_asymmetry(
        self, free: FreePhase, probes: Sequence[Array], gains: Sequence[float], weights: Any
    ) -> list[Array]:
        """See `ProbedSubstrate.local_asymmetry`; with average slopes."""
        slopes = cast("AveragedPhase", free).slopes
        return local_asymmetries(self.network, slopes, probes, gains, weights)

    def _steps_that_count(self, field: FreeField, states: list[Array]) -> Any:
        """The second half of a run, which changes `states` in place."""
        lengths = self._lengths
        steps = trajectory(field, states, self._step_size)
        return islice(steps, lengths.run - lengths.averaged, lengths.run)

    def _slopes(self, states: Sequence[Array]) -> list[Array]:
        """ρ'(s) of the hidden layers; the output is linear."""
        hidden = zip(self.network.activations[:-1], states[:-1], strict=True)
        return [activation.slope(self.network.backend.xp, state) for activation, state in hidden]

    def _result(
        self, field: FreeField, states: list[Array], shifts: Average, n_steps: int
    ) -> Result:
        """What is known of a run that has ended in `states`; its own are the shifts.

        Swinging is what averages are for; what grows without end has none. NaN is no swing either.
        """
        xp = field.backend.xp
        residual, _ = field.full_residual(states)
        return self._described(
            shifts.mean(), xp.full(residual.shape[0], n_steps), residual, residual <= RUNAWAY
        )

    def _part(self, result: Result, rows: slice) -> Result:
        return self._described(
            [state[rows] for state in result.states],
            result.n_steps[rows],
            result.residual[rows],
            result.converged[rows],
        )

    def _described(
        self, states: list[Array], n_steps: Array, residual: Array, converged: Array
    ) -> Result:
        n_averaged = self._lengths.averaged
        return Result(states, n_steps, residual, converged, n_averaged=n_averaged)
