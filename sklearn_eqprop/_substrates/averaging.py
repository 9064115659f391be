"""A network that does not have to settle: averages along trajectories replace equilibria.

If the dynamics oscillate or are chaotic, the objective is the average of the loss along the
trajectory (footnote 1, Scellier et al. 2018). The rule stays the paper's, with averages <.> over
time in place of equilibria: Δθ ∝ <ρ_pre>^T (<s>_β - <s>_0) / β. Averages do not depend on the phase
of an oscillation. The average of the product, <ρ_pre(t)^T (s_t^β - s_t^0)>, does: a nudge also
changes the period, the two runs lose step, and their difference at equal times grows.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._losses.base import Loss
from sklearn_eqprop._network import Network
from sklearn_eqprop._relaxation import RUNAWAY, FreeField, Result, flow, trajectory
from sklearn_eqprop._substrates.phases import FreePhase, Nudge, stacked_strengths
from sklearn_eqprop._substrates.probes import local_asymmetries


@dataclass(frozen=True)
class RunLengths:
    """Numbers of steps of a trajectory. Every step is taken, whatever the states do."""

    #: Steps from rest, without a nudge, before the free and the nudged runs separate.
    transient: int
    #: Steps of each run from there.
    run: int

    @property
    def averaged(self) -> int:
        """Steps that are averaged: the second half of a run. The first lets a nudge spread."""
        return (self.run + 1) // 2


@dataclass
class AveragedPhase(FreePhase):
    """A free run; the states of its `result` are averages."""

    #: States at the end of the transient, where all runs start.
    start: list[Array]
    #: Average states minus `start`.
    shift: list[Array]
    #: Average rates of layers 1..L.
    rates: list[Array]
    #: Average ρ'(s) of layers 1..L; empty if not recorded.
    slopes: list[Array]
    #: Output in every averaged step. If not recorded: the average output only.
    outputs: list[Array]

    def average(self, measure: Callable[[Array], Array]) -> Array:
        """Average along the run of a function of the output."""
        average = _Average()
        for output in self.outputs:
            average.add([measure(output)])
        return average.mean()[0]

    def loss(self, xp: Any, loss: Loss, target: Array) -> Array:
        """Average of C along the run, which is not C of the average output."""
        return self.average(lambda output: loss.value(xp, output, target))

    def force(self, xp: Any, loss: Loss, target: Array) -> Array:
        """Average of the force along the run."""
        return self.average(lambda output: loss.force(xp, output, target))


@dataclass(eq=False)
class AveragingNetwork:
    """A simulated network that is averaged along its trajectory.

    At a fixed point averages are equilibria, and it equals a `SimulatedNetwork` that settles in
    Euler steps. It can do everything that needs no fixed point: the verbs of a `Substrate`, and
    the pushes of a `ProbedSubstrate`.

    The last three fields and `reads_sparse` are as in `SimulatedNetwork`.
    """

    network: Network
    #: Euler's ε.
    step_size: float
    lengths: RunLengths
    #: Whether free runs record every output and average slopes, which only learning needs.
    records: bool = True
    feedback_learns: Sequence[bool] | None = None
    rate_coordinates: bool = False
    attenuated: bool = False

    reads_sparse = True

    def settle(self, inputs: Array) -> AveragedPhase:
        """The free run, from rest through the transient."""
        network, lengths = self.network, self.lengths
        field = FreeField(network, network.clamp(inputs), inputs.shape[0])
        start = field.zero_states()
        for states, _ in islice(trajectory(field, start, self.step_size), lengths.transient):
            start = states
        shifts, rates, slopes = _Average(start), _Average(), _Average()
        outputs = []
        now = start
        for now, signals in self._averaged_steps(field, start):
            shifts.add(now)
            rates.add(signals)
            if self.records:
                slopes.add(self._slopes(now))
                outputs.append(now[-1])
        shift = shifts.mean()
        states = [at + moved for at, moved in zip(start, shift, strict=True)]
        result = self._result(field, now, states, lengths.transient + lengths.run)
        return AveragedPhase(
            inputs,
            result,
            start,
            shift,
            rates.mean(),
            slopes.mean(),
            outputs or result.states[-1:],
        )

    def settle_nudged(
        self, free: FreePhase, loss: Loss, target: Array, strengths: Sequence[float]
    ) -> list[Result]:
        """Nudged runs from the end of the transient, as one batch; average displacements."""
        free = cast("AveragedPhase", free)
        network, xp = self.network, self.network.backend.xp
        n_samples, n_phases = target.shape[0], len(strengths)

        def stacked(array: Array) -> Array:
            return xp.concatenate([array] * n_phases) if array.ndim > 1 else array

        beta = stacked_strengths(network, strengths, n_samples)
        push = Nudge(loss, stacked(target), beta, 0.0, xp)
        clamped = [stacked(drive) for drive in network.clamp(free.inputs)]
        field = FreeField(network, clamped, n_phases * n_samples, push)
        start = [stacked(state) for state in free.start]
        shifts = _Average(start)
        now = start
        for now, _ in self._averaged_steps(field, start):
            shifts.add(now)
        moved = [
            shift - stacked(of_free)
            for shift, of_free in zip(shifts.mean(), free.shift, strict=True)
        ]
        return self._result(field, now, moved, self.lengths.run).phases(n_samples)

    def local_change(self, free: FreePhase, deltas: Sequence[Array]) -> list[Array]:
        """(∂μ/∂θ)^T Δ for each block of parameters, with average rates."""
        free = cast("AveragedPhase", free)
        if self.rate_coordinates:
            deltas = [
                delta if activation.transmits_state else slope * delta
                for activation, slope, delta in zip(
                    self.network.activations, free.slopes, deltas, strict=True
                )
            ]
        return self.network.local_products(
            free.inputs,
            free.rates,
            deltas,
            feedback_learns=self.feedback_learns,
            attenuated=self.attenuated,
        )

    def local_asymmetry(
        self, free: FreePhase, probes: Sequence[Array], gains: Sequence[float], weights: Any
    ) -> list[Array]:
        """Asymmetry that feedback synapses measure under random pushes, with average slopes."""
        slopes = cast("AveragedPhase", free).slopes
        return local_asymmetries(self.network, slopes, probes, gains, weights)

    def _averaged_steps(
        self, field: FreeField, start: list[Array]
    ) -> Iterator[tuple[list[Array], list[Any]]]:
        """States and signals in the second half of a run."""
        lengths = self.lengths
        steps = trajectory(field, start, self.step_size)
        return islice(steps, lengths.run - lengths.averaged, lengths.run)

    def _slopes(self, states: Sequence[Array]) -> list[Array]:
        """ρ'(s) of every layer."""
        layers = zip(self.network.activations, states, strict=True)
        return [activation.slope(self.network.backend.xp, state) for activation, state in layers]

    def _result(
        self, field: FreeField, end: list[Array], averages: list[Array], n_steps: int
    ) -> Result:
        """The result of a run that ended in the states `end`.

        Averages are meaningful if states oscillate, but not if they grow without bound or are NaN.
        """
        residual, _, _ = flow(field, end)
        return Result(
            averages,
            field.backend.xp.full(residual.shape[0], n_steps),
            residual,
            residual <= RUNAWAY,
            n_averaged=self.lengths.averaged,
        )


class _Average:
    """Mean of lists of arrays, one array per layer.

    It is computed relative to a reference, so that constant states average to exactly themselves,
    and two runs that differ little are compared without the rounding of long sums.

    Parameters
    ----------
    reference : list of array or None, default=None
        None: all zero.
    """

    def __init__(self, reference: Sequence[Array] | None = None) -> None:
        self._reference = reference
        self._totals: list[Array] = []
        self._count = 0

    def add(self, arrays: Sequence[Array]) -> None:
        """Add one list; the arrays may change afterwards."""
        self._count += 1
        if self._reference is not None:
            arrays = [array - at for array, at in zip(arrays, self._reference, strict=True)]
        if not self._totals:
            self._totals = [array.copy() for array in arrays]
            return
        for total, array in zip(self._totals, arrays, strict=True):
            total += array

    def mean(self) -> list[Array]:
        """Mean of all lists added, minus the reference."""
        return [total / self._count for total in self._totals]
