"""Block Gauss-Seidel sweeps: layers solved one after the other, each from the newest others."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from sklearn_eqprop.backend.array_backend import Array
from sklearn_eqprop.relaxation.field import Field
from sklearn_eqprop.relaxation.result import Result
from sklearn_eqprop.relaxation.settling import ActiveSamples


class GaussSeidel:
    """One pass through the layers, then odd and even layers in turn.

    The first pass goes from the input up (free phase: from zero states it is the feedforward
    pass) or from the output down (nudged phase: the push reaches every layer at once).
    Layers of one parity do not drive each other, so after half a sweep the
    residual of that half is known and the change the other half is about to make is its
    exact residual: stopping needs no product of its own.

    Parameters
    ----------
    step_size : float
        Damping in (0, 1]: s <- s + step_size (rest state - s). 1 solves each layer.
    """

    def __init__(self, step_size: float) -> None:
        self.step_size = step_size

    def settle(
        self,
        field: Field,
        states: Sequence[Array] | None,
        tolerance: Array,
        max_iter: int,
        *,
        downward: bool = False,
    ) -> Result:
        """See `Relaxation.settle`."""
        n_layers = field.network.n_layers
        states = self._pass_through(field, states, downward=downward)
        active = ActiveSamples(field, states, tolerance)
        # The layer solved last is at rest; the other parity moves next.
        solved_last = 1 if downward else n_layers
        halves = [range(start, n_layers + 1, 2) for start in (1, 2)]
        parity = solved_last % 2
        left_over = self._left_over_after_pass(field, states, solved_last)
        for n_half_sweeps in itertools.count():
            exhausted = n_half_sweeps >= 2 * (max_iter - 1)
            half = halves[parity]
            drives, rests, residual, moving = self._evaluate(active, half, left_over)
            if exhausted and n_half_sweeps == 0:
                residual = active.field.full_residual(active.states)
            n_sweeps = 1 + (n_half_sweeps + 1) // 2
            keep = active.put_aside(residual, n_sweeps, everything=exhausted)
            if active.is_empty:
                break
            if keep is not None:
                drives = [drive[keep] for drive in drives]
                rests = [rest[keep] for rest in rests]
                moving = moving[keep]
            left_over = self._move(active, half, drives, rests, moving)
            parity = 1 - parity
        return active.result()

    def _pass_through(
        self, field: Field, states: Sequence[Array] | None, *, downward: bool
    ) -> list[Array]:
        """States after every layer has been solved once, in order."""
        network = field.network
        rates: list[Array | None] = [None] * network.n_layers
        if states is None:
            # Silent layers: going up, feedback costs nothing yet.
            states = network.zero_states(field.n_samples)
        else:
            rates = list(network.rates(states))
        passed = list(states)
        layers = range(1, network.n_layers + 1)
        for layer in reversed(layers) if downward else layers:
            state = passed[layer - 1]
            rest = field.rest_state(layer, field.drive(layer, rates), state)
            passed[layer - 1] = self._moved(state, rest)
            rates[layer - 1] = network.rate(layer, passed[layer - 1])
        return passed

    def _moved(self, state: Array, rest: Array) -> Array:
        if self.step_size == 1:
            return rest
        return state + self.step_size * (rest - state)

    def _left_over_after_pass(self, field: Field, states: list[Array], solved_last: int) -> Array:
        """Residual of the half with the layer solved last; the largest number if not known."""
        xp, dtype = field.backend.xp, states[0].dtype
        n_layers = field.network.n_layers
        solved = n_layers <= 2 and self.step_size == 1 and not field.is_pushed(solved_last)
        unknown = float(xp.finfo(dtype).max)  # not infinity: that would mean divergence
        return xp.full(field.n_samples, 0.0 if solved else unknown, dtype=dtype)

    def _evaluate(
        self, active: ActiveSamples, half: range, left_over: Array
    ) -> tuple[list[Array], list[Array], Array, Array]:
        """Where one half would move to, and the residual of each sample.

        Returns
        -------
        drives, rests : lists of array
            Of the layers in this half.
        residual : array
            Over both halves.
        moving : array
            Over this half's layers without a push.
        """
        field, states, xp = active.field, active.states, active.field.backend.xp
        rates = field.network.rates(states)
        drives, rests, moving = [], [], xp.zeros_like(left_over)
        residual = left_over
        for layer in half:
            state, drive = states[layer - 1], field.drive(layer, rates)
            rest = field.rest_state(layer, drive, state)
            if field.is_pushed(layer):
                residual = xp.maximum(residual, field.residual(layer, drive, state))
            else:
                moving = xp.maximum(moving, field.backend.row_max_abs(rest - state))
            drives.append(drive)
            rests.append(rest)
        return drives, rests, xp.maximum(residual, moving), moving

    def _move(
        self,
        active: ActiveSamples,
        half: range,
        drives: list[Array],
        rests: list[Array],
        moving: Array,
    ) -> Array:
        """Update one half; return the residual left in it, its drives being unchanged."""
        field, states = active.field, active.states
        left_over = (1 - self.step_size) * moving
        for layer, drive, rest in zip(half, drives, rests, strict=True):
            states[layer - 1] = self._moved(states[layer - 1], rest)
            if field.is_pushed(layer):
                in_layer = field.residual(layer, drive, states[layer - 1])
                left_over = field.backend.xp.maximum(left_over, in_layer)
        return left_over
