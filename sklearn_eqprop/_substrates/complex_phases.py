"""The simulated network under nudges of complex strength, for N-point nudging.

A complex displacement is kept as two real rows: first the real parts of all rows, then the
imaginary parts. Connections are linear, so they treat the rows as they always do, and so do
backends, and relaxations that do not extrapolate. Only activations and the nudge put the two parts
together.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._losses import Loss
from sklearn_eqprop._losses.base import HeldForce
from sklearn_eqprop._network import Activation, arrival_scales
from sklearn_eqprop._relaxation import DisplacementField, Origin, Result
from sklearn_eqprop._substrates.phases import (
    FreePhase,
    Habit,
    Nudge,
    relative_tolerance,
    stacked,
)
from sklearn_eqprop._substrates.simulated import MOST_GROWTH, SimulatedNetwork


class ComplexPhases(SimulatedNetwork):
    """A simulated network whose nudged phases have complex strengths, and complex displacements.

    The force of a loss that is not analytic is held at the free equilibrium.
    """

    def _displace(
        self,
        kind: type[DisplacementField],
        free: FreePhase,
        origin: Origin,
        loss: Loss,
        target: Array,
        strengths: Sequence[complex],
        *,
        scaled: bool = False,
        habit: Habit | None = None,
    ) -> list[Result]:
        backend, n_phases, n_samples = self.network.backend, len(strengths), target.shape[0]
        xp = backend.xp
        if not loss.analytic:
            loss, target = HeldForce(), free.force(xp, loss, target)

        origin, network = stacked(free, origin, 2 * n_phases)
        network = copy.copy(network)
        network.activations = tuple(
            each if each.transmits_state else OnTwoRows(each) for each in network.activations
        )
        beta = xp.concatenate([xp.zeros_like(target[:, :1]) + each for each in strengths])
        targets = xp.concatenate([target] * n_phases)
        outputs = origin.states[-1][: n_phases * n_samples]
        nudge = Nudge(loss, targets, beta, outputs, xp)
        nothing = xp.zeros_like(targets)
        force = xp.abs(nudge.velocity(nothing, nothing))
        # Pushed away from the target, the force grows with the displacement.
        force = xp.clip(xp.abs(nudge.resolve(nothing, nothing)), force, MOST_GROWTH * force)
        nudged, size = self.limits.nudged_tolerance, abs(strengths[0])
        tolerance = relative_tolerance(backend, nudged, force, size)
        n_rows = 2 * n_phases * n_samples
        scales = arrival_scales(self.network) if scaled and not self.limits.literal else None
        field = kind(network, origin, n_rows, TwoRowNudge(nudge, xp), 2 * n_phases, scales)
        result = self.settle_second(field, None, xp.concatenate([tolerance] * 2))
        half = n_phases * n_samples
        real, imaginary = result.take(slice(half)), result.take(slice(half, None))
        found = replace(
            real,
            states=[_whole(state) for state in result.states],
            residual=xp.maximum(real.residual, imaginary.residual),
            converged=real.converged & imaginary.converged,
        )
        return found.phases(n_samples)


class OnTwoRows(Activation):
    """An activation of complex states, the parts of which are rows of their own."""

    def __init__(self, activation: Activation) -> None:
        self.name, self._activation = activation.name, activation

    def rate(self, xp: Any, s: Array) -> Array:
        return self._activation.rate(xp, s)

    def slope(self, xp: Any, s: Array) -> Array:
        return self._activation.slope(xp, s)

    def rate_change(self, xp: Any, s: Array, d: Array) -> Array:
        """ρ(s + d) - ρ(s) for a real s, which all rows repeat, and a complex d."""
        change = self._activation.rate_change(xp, s[: s.shape[0] // 2], _whole(d))
        return xp.concatenate([change.real, change.imag])


@dataclass(eq=False)
class TwoRowNudge:
    """A nudge of complex strength on outputs, the parts of which are rows of their own."""

    nudge: Nudge
    xp: Any

    def velocity(self, drive: Array, output: Array) -> Array:
        velocity = self.nudge.velocity(_whole(drive), _whole(output))
        return self.xp.concatenate([velocity.real, velocity.imag])

    def resolve(self, drive: Array, output: Array) -> Array:
        state = self.nudge.resolve(_whole(drive), _whole(output))
        return self.xp.concatenate([state.real, state.imag])

    def take(self, rows: Array) -> TwoRowNudge:
        """The nudge on some samples; the phases of a sample stay together, so half is enough."""
        return TwoRowNudge(self.nudge.take(rows[: rows.shape[0] // 2]), self.xp)


def _whole(rows: Array) -> Array:
    """Complex numbers whose real and imaginary parts are the two halves of the rows."""
    half = rows.shape[0] // 2
    return rows[:half] + 1j * rows[half:]
