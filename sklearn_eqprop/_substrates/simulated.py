"""The simulated network as a substrate: how it settles, and what its synapses measure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._losses.base import Loss
from sklearn_eqprop._network import Network
from sklearn_eqprop._network import arrival_scales
from sklearn_eqprop._relaxation import (
    AdjointField,
    CorrectedField,
    DisplacementField,
    Enough,
    Field,
    FreeField,
    Origin,
    Pacing,
    Relaxation,
    Result,
    clamped_origin,
    origin_of,
)
from sklearn_eqprop._substrates.flow import EulerFlow
from sklearn_eqprop._substrates.limits import SettlingLimits, above_rounding, tolerances
from sklearn_eqprop._substrates.phases import SettledPhase, held_at, part_of
from sklearn_eqprop._substrates.probes import local_asymmetries
from sklearn_eqprop._substrates.pushes import (
    ConstantPush,
    Nudge,
    size_of,
    stacked_strengths,
    without_faint,
)
from sklearn_eqprop._substrates.seam import FreePhase

#: A push away from the target counts as grown by at most this factor: more, and a phase that runs
#: away would pass for one that settles.
MOST_GROWTH = 2.0


class SimulatedNetwork:
    """A network whose dynamics are simulated by one of the relaxations.

    Parameters
    ----------
    network : Network
    relaxation : Relaxation
    limits : SettlingLimits
    feedback_learns : sequence of bool or None, default=None
        Which untied feedback connections learn from their own local change; None: all.
    rate_coordinates : bool, default=False
        Whether synapses see displacements as changes of the rate, D Δ with D = diag(ρ'(s^0)).
        The output is linear, so that the nudge D^{-1} C_s that belongs to it is C_s.
    enough : callable or None, default=None
        Which samples need not go on with their free phase; no second phase then starts from it.
    lead : float, default=0.1
        Where free phases go on from after a feedforward pass, see `Field.lead`.
    """

    #: Whether inputs may be CSR arrays; where a substrate does not say so, they are made dense.
    reads_sparse = True

    def __init__(
        self,
        network: Network,
        relaxation: Relaxation,
        limits: SettlingLimits,
        *,
        feedback_learns: Sequence[bool] | None = None,
        rate_coordinates: bool = False,
        enough: Enough | None = None,
        lead: float = 0.1,
    ) -> None:
        self.network = network
        self._lead = lead
        self._enough = enough
        self._feedback_learns = feedback_learns
        self._rate_coordinates = rate_coordinates
        self._relaxation = relaxation
        self._limits = limits
        self._free_pacing, self._nudged_pacing = Pacing(), Pacing()

    def settle(self, inputs: Array) -> FreePhase:
        """See `Substrate.settle`."""
        clamped, settled = self.network.clamp_and_hold(inputs)
        field = FreeField(self.network, clamped, inputs.shape[0])
        field.freezes = self._limits.literal
        field.lead = self._lead
        field.pacing = self._free_pacing
        field.enough = self._enough
        field.keeps_drives = self._enough is None
        driven = [drive if drive.ndim > 1 else None for drive in clamped]  # by the input
        tolerance, field.allowances = tolerances(self.network, self._limits.free_tolerance, driven)
        result = self._relaxation.settle(field, None, tolerance, self._limits.max_free)
        return SettledPhase(inputs, result, settled)

    def settle_nudged(
        self, free: FreePhase, loss: Loss, target: Array, strengths: Sequence[float]
    ) -> list[Result]:
        """See `Substrate.settle_nudged`; all strengths settle side by side, as one batch."""
        scales = None if self._limits.literal else arrival_scales(self.network)
        origin = self._origin(free)
        return self._displace(DisplacementField, free, origin, loss, target, strengths, scales)

    def settle_corrected(
        self, free: FreePhase, loss: Loss, target: Array, strengths: Sequence[float]
    ) -> list[Result]:
        """See `TransposableSubstrate.settle_corrected`."""
        origin = self._origin(free, with_slopes=True)
        return self._displace(CorrectedField, free, origin, loss, target, strengths, None)

    def flow(
        self, free: FreePhase, loss: Loss, target: Array, strength: float, weights: Any
    ) -> EulerFlow:
        """See `FlowingSubstrate.flow`; Euler steps, whatever the relaxation.

        A loss of unbounded curvature, too steep for some explicit steps, has its force held.
        """
        states, backend = free.result.states, self.network.backend
        push = self._push(loss, target, strength, states[-1], 0.0, held=True)
        nudge: Any = self._limits.nudged_tolerance * abs(strength)
        if not self._limits.literal:
            force = push.velocity(states[-1], states[-1])
            nudge = self._limits.relative(backend, force, strength)

        def local_change(states: Sequence[Array], increments: list[Array]) -> list[Array]:
            return self._local_change(free, states, [part * weights for part in increments])

        network = held_at(free)
        return EulerFlow(
            network,
            free,
            push,
            step_size=self._relaxation.step_size,
            tolerance=above_rounding(backend, nudge, states),
            max_steps=self._limits.max_nudged,
            leverages=network.leverages(free.inputs, states, weights),
            local_change=local_change,
        )

    def settle_clamped(self, free: FreePhase, target: Array) -> Result:
        """See `ClampableSubstrate.settle_clamped`."""
        origin = self._origin(free)
        error = target - origin.states[-1]
        scales = None if self._limits.literal else arrival_scales(self.network)
        field = DisplacementField(
            held_at(free), clamped_origin(origin, error), target.shape[0], None, scales=scales
        )
        if self._limits.literal:
            nudged = self._limits.nudged_tolerance
            tolerance, field.allowances = tolerances(self.network, nudged, origin.states)
        else:
            tolerance = self._limits.relative(self.network.backend, error)
        start = [*field.zero_states()[:-1], error.copy()]
        return self._settle(field, start, tolerance)

    def local_contrast(
        self, free: FreePhase, displacements: Sequence[Array], weights: Any
    ) -> list[Array]:
        """See `ClampableSubstrate.local_contrast`; states are displaced, or rates."""
        network = held_at(free)
        rates, moved = network.rates(free.result.states), list(displacements)
        if self._rate_coordinates:
            layers = range(1, network.n_layers + 1)
            states = free.result.states
            moved = [
                network.rate_change(layer, state, displacement)
                for layer, state, displacement in zip(layers, states, displacements, strict=True)
            ]
        if network.tied:
            # a' b' - a b = ½ (a + a') (b' - b) + ½ (b + b') (a' - a): one half a direction.
            rates = [rate + 0.5 * change for rate, change in zip(rates, moved, strict=True)]
        deltas = [change * weights for change in moved]
        return network.local_products(
            free.inputs, rates, deltas, feedback_learns=self._feedback_learns
        )

    def settle_adjoint(self, free: FreePhase, force: Array) -> Result:
        """See `TransposableSubstrate.settle_adjoint`; to a residual relative to each force."""
        origin = self._origin(free, with_slopes=True)
        push = ConstantPush(without_faint(self.network.backend.xp, force))
        field = AdjointField(held_at(free), origin, force.shape[0], push)
        return self._settle(field, None, self._limits.relative(self.network.backend, force))

    def slopes(self, free: FreePhase) -> list[Array | None]:
        """Slopes of all units at the free equilibrium, see `SlopedSubstrate.slopes`."""
        return self._origin(free, with_slopes=True).slopes

    def local_change(self, free: FreePhase, deltas: Sequence[Array]) -> list[Array]:
        """See `Substrate.local_change`."""
        return self._local_change(free, free.result.states, deltas)

    def _local_change(
        self, free: FreePhase, states: Sequence[Array], deltas: Sequence[Array]
    ) -> list[Array]:
        if self._rate_coordinates:
            layers = range(1, self.network.n_layers + 1)
            deltas = [
                self.network.in_rates(layer, state, delta)
                for layer, state, delta in zip(layers, states, deltas, strict=True)
            ]
        return held_at(free).local_change(
            free.inputs, states, deltas, feedback_learns=self._feedback_learns
        )

    def local_asymmetry(
        self, free: FreePhase, probes: Sequence[Array], gains: Sequence[float], weights: Any
    ) -> list[Array]:
        """See `ProbedSubstrate.local_asymmetry`."""
        slopes = self._origin(free, with_slopes=True).slopes
        return local_asymmetries(held_at(free), slopes, probes, gains, weights)

    def _origin(self, free: FreePhase, *, with_slopes: bool = False) -> Origin:
        drives = free.result.drives
        assert drives is not None  # kept, unless the free phase may stop early
        return origin_of(
            self.network,
            free.result.states,
            drives,
            literal=self._limits.literal,
            with_slopes=with_slopes,
        )

    def _displace(
        self,
        kind: type[DisplacementField],
        free: FreePhase,
        origin: Origin,
        loss: Loss,
        target: Array,
        strengths: Sequence[float],
        scales: Sequence[float] | None,
    ) -> list[Result]:
        xp, n_samples, n_phases = self.network.backend.xp, target.shape[0], len(strengths)
        beta: Any = float(strengths[0])
        network = held_at(free)
        if n_phases > 1:
            beta = stacked_strengths(self.network, strengths, n_samples)
            target = xp.concatenate([target] * n_phases)

            def stacked(array: Array) -> Array:
                return xp.concatenate([array] * n_phases)

            origin, network = origin.each(stacked), network.each(stacked)
        output = origin.states[-1]
        push = self._push(loss, target, beta, output, output, held=min(strengths) < 0)
        field = kind(network, origin, n_phases * n_samples, push, n_phases, scales)
        if self._limits.literal:
            nudge = self._limits.nudged_tolerance * abs(strengths[0])
            tolerance, field.allowances = tolerances(self.network, nudge, origin.states)
        else:
            nothing = xp.zeros_like(target)
            force = xp.abs(push.velocity(nothing, nothing))
            if min(strengths) < 0:
                # Away from the target the push grows with what it has moved.
                moved = xp.abs(push.resolve(nothing, nothing))
                force = xp.clip(moved, force, MOST_GROWTH * force)
            tolerance = self._limits.relative(self.network.backend, force, strengths[0])
        result = self._settle(field, None, tolerance)
        return [
            part_of(result, slice(phase * n_samples, (phase + 1) * n_samples))
            for phase in range(n_phases)
        ]

    def _push(
        self, loss: Loss, target: Array, beta: Any, output: Array, origin: Any, *, held: bool
    ) -> Nudge | ConstantPush:
        """The push of a nudged phase that starts at `output`; `origin` is that of its states.

        Away from the target, a loss of unbounded curvature would let no β be stable for certain.
        Its force at the free equilibrium is then held instead: ds/dβ at β = 0 is the same.
        """
        xp = self.network.backend.xp
        if held and math.isinf(loss.curvature):
            force = beta * loss.force(xp, output, target)
            return ConstantPush(without_faint(xp, force, size_of(xp, beta)))
        return Nudge(loss, target, beta, origin, xp)

    def _settle(self, field: Field, start: list[Array] | None, tolerance: Array) -> Result:
        """A second phase, from `start` or from displacements of zero."""
        field.freezes = self._limits.literal
        field.pacing = self._nudged_pacing
        return self._relaxation.settle(
            field, start, tolerance, self._limits.max_nudged, downward=True
        )
