"""The simulated network as a substrate: its two phases, and the changes its synapses measure."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

from sklearn_eqprop._backend.array_backend import Array, ArrayBackend
from sklearn_eqprop._losses import Loss
from sklearn_eqprop._network import Network, arrival_scales
from sklearn_eqprop._relaxation import (
    AdjointField,
    CorrectedField,
    DisplacementField,
    Enough,
    Field,
    FreeField,
    Origin,
    Relaxation,
    Result,
    SettleOptions,
    origin_of,
)
from sklearn_eqprop._relaxation.device_samples import Pacing
from sklearn_eqprop._substrates.flow import EulerFlow
from sklearn_eqprop._substrates.limits import ROUNDING_UNITS, SettlingLimits, above_rounding
from sklearn_eqprop._substrates.phases import (
    FreePhase,
    Habit,
    Nudge,
    SimulatedFreePhase,
    held_push,
    network_at,
    relative_tolerance,
    stacked,
    stacked_strengths,
)
from sklearn_eqprop._substrates.probes import local_asymmetries

#: Pushed away from the target, the force grows with the displacement. It counts as grown by at most
#: this factor; with a larger one, a phase that runs away would count as settled.
MOST_GROWTH = 2.0
#: If rates are bounded, larger numbers in one layer do not loosen the tolerance of the others.
LARGEST_BOUNDED = 100.0


class SimulatedNetwork:
    """A network whose dynamics are simulated by one of the relaxations.

    It has the two verbs of a `Substrate` and all further abilities that `seam` describes.

    Parameters
    ----------
    network : Network
    relaxation : Relaxation
    limits : SettlingLimits
    feedback_learns : sequence of bool or None, default=None
        Which untied feedback connections learn from their own local change; None: all.
    rate_coordinates : bool, default=False
        Whether synapses measure displacements as changes of the rate, D Δ with D = diag(ρ'(s^0)).
        The output transmits its state, so that its nudge D^{-1} C_s is C_s.
    output_only : bool, default=False
        Whether free phases keep the states of the output only. No second phase can then follow.
    attenuated : bool, default=False
        Whether feedback attenuates what tied weights learn from, see `Network.local_products`.
    enough : callable or None, default=None
        Samples that may stop their free phase early, see `Enough`. For `output_only`.
    lead : float, default=0.1
        Relative change of the output that feedback is expected to bring, see `SettleOptions.lead`.
    repeats : bool, default=False
        Whether most free and nudged phases are not measured, see `Habit`. Only for relaxations that
        solve layers, and not on a device.

    Attributes
    ----------
    reads_sparse : bool
        Whether inputs may be CSR arrays. Without this attribute, a substrate gets dense inputs.
    """

    reads_sparse = True

    def __init__(
        self,
        network: Network,
        relaxation: Relaxation,
        limits: SettlingLimits,
        *,
        feedback_learns: Sequence[bool] | None = None,
        rate_coordinates: bool = False,
        output_only: bool = False,
        attenuated: bool = False,
        enough: Enough | None = None,
        lead: float = 0.1,
        repeats: bool = False,
    ) -> None:
        self.network = network
        self.relaxation = relaxation
        self.limits = limits
        self.feedback_learns = feedback_learns
        self.rate_coordinates = rate_coordinates
        self.attenuated = attenuated
        is_device, freezes = network.backend.is_device, limits.literal
        repeats = repeats and relaxation.solves_layers and not is_device
        self.habits = [Habit(), Habit()] if repeats else [None, None]
        self._free_options = SettleOptions(
            freezes=freezes,
            keeps="output" if output_only else "drives",
            enough=enough,
            lead=lead,
            pacing=Pacing() if is_device else None,
        )
        self._second_options = SettleOptions(
            freezes=freezes, pacing=Pacing() if is_device else None
        )

    def settle(self, inputs: Array) -> FreePhase:
        """Free phase: clamp the inputs and settle from zero states."""
        clamped, driven = self.network.clamp_and_hold(inputs)
        field, options = FreeField(self.network, clamped, inputs.shape[0]), self._free_options
        habit = self.habits[0]
        result = self._repeated(habit, field, options)
        if result is None:
            by_input = [drive if drive.ndim > 1 else None for drive in clamped]
            tolerance, field.allowances = self.tolerances(self.limits.free_tolerance, by_input)
            most = self.limits.max_free
            result = self.relaxation.settle(field, None, tolerance, most, options=options)
            if habit is not None:
                habit.learn(result)
        return SimulatedFreePhase(inputs, result, driven)

    def settle_nudged(
        self, free: FreePhase, loss: Loss, target: Array, strengths: Sequence[float]
    ) -> list[Result]:
        """Nudged phases of all strengths, settled together as one batch; displacements."""
        options: Any = {"scaled": True, "habit": self.habits[1]}
        origin = self.origin(free)
        return self._displace(DisplacementField, free, origin, loss, target, strengths, **options)

    def local_change(self, free: FreePhase, deltas: Sequence[Array]) -> list[Array]:
        return self.measured_change(free, free.result.states, deltas)

    def settle_corrected(
        self, free: FreePhase, loss: Loss, target: Array, strengths: Sequence[float]
    ) -> list[Result]:
        """Nudged phases in the field corrected by (A^T - A) d, for exact gradients."""
        origin = self.origin(free, with_slopes=True)
        return self._displace(CorrectedField, free, origin, loss, target, strengths)

    def settle_adjoint(self, free: FreePhase, force: Array) -> Result:
        """Solution λ of A^T λ + force = 0, to a residual relative to each sample's force."""
        origin = self.origin(free, with_slopes=True)
        slope = origin.slopes[-1]
        force = force if slope is None else slope * force  # an output at a bound does not move
        push = held_push(force, self.network.backend.xp)
        field = AdjointField(network_at(free), origin, force.shape[0], push)
        tolerance = relative_tolerance(self.network.backend, self.limits.nudged_tolerance, force)
        return self.settle_second(field, None, tolerance)

    def slopes(self, free: FreePhase) -> list[Array | None]:
        return self.origin(free, with_slopes=True).slopes

    def settle_clamped(self, free: FreePhase, target: Array) -> Result:
        limits, network, origin = self.limits, network_at(free), self.origin(free)
        error = target - origin.states[-1]
        # The range of the output is the one displacement that leads to the target.
        lower, upper = [*origin.lower[:-1], error], [*origin.upper[:-1], error]
        origin = replace(origin, lower=lower, upper=upper)
        n_samples, scales, allowances = target.shape[0], None, None
        if limits.literal:
            tolerance, allowances = self.tolerances(limits.nudged_tolerance, origin.states)
        else:
            scales = arrival_scales(self.network)
            tolerance = relative_tolerance(network.backend, limits.nudged_tolerance, error)
        field = DisplacementField(
            network, origin, n_samples, None, scales=scales, allowances=allowances
        )
        start = [*field.zero_states()[:-1], error.copy()]
        return self.settle_second(field, start, tolerance)

    def local_contrast(
        self, free: FreePhase, displacements: Sequence[Array], weights: Any
    ) -> list[Array]:
        network, states = network_at(free), free.result.states
        rates, moved = network.rates(states), list(displacements)
        if self.rate_coordinates:
            layers = range(1, network.n_layers + 1)
            moved = [
                network.rate_change(layer, state, displacement)
                for layer, state, displacement in zip(layers, states, displacements, strict=True)
            ]
        if network.tied:
            # a' b' - a b = ½ (a + a') (b' - b) + ½ (b + b') (a' - a): one half per direction.
            rates = [rate + 0.5 * change for rate, change in zip(rates, moved, strict=True)]
        deltas = [change * weights for change in moved]
        return network.local_products(
            free.inputs,
            rates,
            deltas,
            feedback_learns=self.feedback_learns,
            attenuated=self.attenuated,
        )

    def flow(
        self, free: FreePhase, loss: Loss, target: Array, strength: float, weights: Any
    ) -> EulerFlow:
        """Nudged phase step by step, in Euler steps whatever the relaxation."""
        return EulerFlow(self, free, loss, target, strength, weights)

    def local_asymmetry(
        self, free: FreePhase, probes: Sequence[Array], gains: Sequence[float], weights: Any
    ) -> list[Array]:
        slopes = self.origin(free, with_slopes=True).slopes
        return local_asymmetries(network_at(free), slopes, probes, gains, weights)

    def origin(self, free: FreePhase, *, with_slopes: bool = False) -> Origin:
        """A free equilibrium as displacements from it need it."""
        drives = free.result.drives
        assert drives is not None  # kept, unless `output_only`
        return origin_of(
            self.network,
            free.result.states,
            drives,
            literal=self.limits.literal,
            with_slopes=with_slopes,
        )

    def measured_change(
        self, free: FreePhase, states: Sequence[Array], deltas: Sequence[Array]
    ) -> list[Array]:
        """(∂μ/∂θ)^T Δ for each block of parameters, at any states of a phase after `free`."""
        if self.rate_coordinates:
            layers = range(1, self.network.n_layers + 1)
            deltas = [
                self.network.in_rates(layer, state, delta)
                for layer, state, delta in zip(layers, states, deltas, strict=True)
            ]
        network = network_at(free)
        return network.local_products(
            free.inputs,
            network.rates(states),
            deltas,
            feedback_learns=self.feedback_learns,
            attenuated=self.attenuated,
        )

    def settle_second(self, field: Field, start: list[Array] | None, tolerance: Array) -> Result:
        """Settle a second phase, from `start` or from displacements of zero."""
        return self.relaxation.settle(
            field,
            start,
            tolerance,
            self.limits.max_nudged,
            downward=True,
            options=self._second_options,
        )

    def tolerances(
        self, tolerance: float, numbers: Sequence[Array | None]
    ) -> tuple[Array, list[Array | None]]:
        """Tolerance of each sample, and the rounding that each layer may have beyond it, or None.

        Unbounded rates carry large numbers, and their rounding, to every layer. So does an output
        that the input drives. With bounded rates, only layers that have large numbers themselves
        are allowed more. `numbers` are known numbers of each layer: its states, or the constant
        part of its drive.
        """
        network, xp = self.network, self.network.backend.xp
        own = [
            None if part is None else _above_rounding_of_layer(network.backend, tolerance, part)
            for part in numbers
        ]
        total = reduce(xp.maximum, [each for each in own if each is not None])
        output_is_driven = (0, network.n_layers) in network.wiring.pairs
        if output_is_driven or not network.activations[0].rate_is_bounded:
            return total, [None] * network.n_layers
        rounding = ROUNDING_UNITS * float(xp.finfo(network.dtype).eps)
        allowances = [
            None if each is None or activation.lower is not None else each - tolerance
            for activation, each in zip(network.activations, own, strict=True)
        ]
        return xp.minimum(total, max(tolerance, rounding * LARGEST_BOUNDED)), allowances

    def _repeated(self, habit: Habit | None, field: Field, options: SettleOptions) -> Result | None:
        """Settle by the number of steps of an earlier phase; None if this one must be measured."""
        n_steps = 0 if habit is None else habit.known_steps(field)
        return self.relaxation.repeat(field, n_steps, options) if n_steps else None

    def _displace(
        self,
        kind: type[DisplacementField],
        free: FreePhase,
        origin: Origin,
        loss: Loss,
        target: Array,
        strengths: Sequence[float],
        *,
        scaled: bool = False,
        habit: Habit | None = None,
    ) -> list[Result]:
        """Displacements by nudges of all strengths in one kind of field.

        If `scaled`, residuals count in units of the size of a displacement in their layer.
        """
        xp, n_samples, n_phases = self.network.backend.xp, target.shape[0], len(strengths)
        beta: Any = float(strengths[0])
        network = network_at(free)
        if n_phases > 1:
            beta = stacked_strengths(self.network, strengths, n_samples)
            target = xp.concatenate([target] * n_phases)
            origin, network = stacked(free, origin, n_phases)
        output, pulls_only = origin.states[-1], min(strengths) >= 0
        push = Nudge(loss, target, beta, output, xp)
        field = kind(network, origin, n_phases * n_samples, push, n_phases)
        result = self._repeated(habit, field, self._second_options)
        if result is None:
            limits = self.limits
            if limits.literal:
                nudge = limits.nudged_tolerance * abs(strengths[0])
                tolerance, field.allowances = self.tolerances(nudge, origin.states)
            else:
                if scaled:
                    field.scales = arrival_scales(self.network)
                force = _force(push, origin, target, network.backend, pulls_only=pulls_only)
                tolerance = relative_tolerance(
                    network.backend, limits.nudged_tolerance, force, strengths[0]
                )
            result = self.settle_second(field, None, tolerance)
            if habit is not None:
                habit.learn(result)
        return [result] if n_phases == 1 else result.phases(n_samples)


def _force(
    push: Nudge, origin: Origin, target: Array, backend: ArrayBackend, *, pulls_only: bool
) -> Array:
    """How far the nudge alone moves the outputs, which stay within their bounds."""
    bounds, offset = (origin.lower[-1], origin.upper[-1]), origin.offsets[-1]
    nothing = backend.xp.zeros_like(target)
    drive = nothing if offset is None else offset
    by = push.velocity(drive, nothing)
    force = backend.xp.abs(backend.project(by, *bounds, out=by))
    if pulls_only:
        return force
    # Pushed away from the target, the force grows with the displacement.
    by = push.resolve(drive, nothing)
    moved = backend.xp.abs(backend.project(by, *bounds, out=by))
    return backend.xp.clip(moved, force, MOST_GROWTH * force)


def _above_rounding_of_layer(backend: ArrayBackend, tolerance: float, numbers: Array) -> Array:
    """Tolerance of each sample, never below the rounding of one layer's numbers.

    On the host, the smallest and the largest of all numbers usually show that it need not be
    raised.
    """
    bound = tolerance / (ROUNDING_UNITS * float(backend.xp.finfo(numbers.dtype).eps))
    looks = not backend.is_device and numbers.size > 0
    if looks and -bound <= numbers.min() and numbers.max() <= bound:  # False for NaN
        return backend.xp.full(numbers.shape[0], tolerance, dtype=numbers.dtype)
    return above_rounding(backend, tolerance, [numbers])
