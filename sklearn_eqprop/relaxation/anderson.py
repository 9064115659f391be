"""Anderson acceleration: each sample extrapolates from its own last few steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn_eqprop.backend.array_backend import Array
from sklearn_eqprop.network import Network
from sklearn_eqprop.relaxation.euler import residual_and_velocities
from sklearn_eqprop.relaxation.field import Field
from sklearn_eqprop.relaxation.result import Result
from sklearn_eqprop.relaxation.settling import ActiveSamples

#: How many earlier differences are combined.
MEMORY = 6
#: Ridge on the least-squares problem, relative to its own scale.
RIDGE = 1e-4
#: A sample whose residual exceeds its best since its last restart by this factor starts again.
RESTART_FACTOR = 2.0


class Anderson:
    """Anderson acceleration of the Euler step, per sample and safeguarded.

    With g(s) = clip(s + ε μ^β(s)) and f = g - s, the next state is g minus the combination
    of the last differences of g whose differences of f best explain f (Anderson 1965; Walker
    & Ni 2011). Clipping makes g non-smooth and extrapolation can then go astray: such a
    sample forgets its history and goes on from the best state it has seen, which is also
    what is returned when the limit of steps is reached.

    Parameters
    ----------
    step_size : float
        ε, in (0, 1].
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
        """See `Relaxation.settle`; `downward` makes no difference here."""
        if states is None:
            states = field.network.zero_states(field.n_samples)
        active = ActiveSamples(field, states, tolerance)
        network, xp = field.network, field.backend.xp
        history = _History(xp)
        n_steps = 0
        while True:
            residual, velocities = residual_and_velocities(active.field, active.states)
            here = xp.concatenate(active.states, axis=1)
            there = self._step(network, active.states, velocities)
            history.record(here, there, residual)
            exhausted = n_steps == max_iter
            if exhausted:
                active.states = _split(history.best_state, network.layer_sizes)
                residual = history.best_residual
            else:
                # An extrapolation that overflowed is no reason to give a sample up.
                residual = xp.where(xp.isfinite(residual), residual, history.best_residual)
            keep = active.put_aside(residual, n_steps, everything=exhausted)
            if active.is_empty:
                return active.result()
            if keep is not None:
                history.take(keep)
            target = history.extrapolate()
            active.states = [
                network.project(layer, state)
                for layer, state in enumerate(_split(target, network.layer_sizes), start=1)
            ]
            n_steps += 1

    def _step(self, network: Network, states: list[Array], velocities: list[Array]) -> Array:
        """g(s) of all layers side by side, shape (n_samples, n_units)."""
        moved = [
            network.project(layer, state + self.step_size * velocity)
            for layer, (state, velocity) in enumerate(zip(states, velocities, strict=True), start=1)
        ]
        return network.backend.xp.concatenate(moved, axis=1)


class _History:
    """The last steps of every active sample, and the best state each has seen.

    Parameters
    ----------
    xp : module
        Array module.
    """

    def __init__(self, xp: Any) -> None:
        self._xp = xp
        self._image: Array = None
        self._change: Array = None
        # Differences between successive images g and changes f, newest last; each of shape
        # (n_samples, n_units). A forgotten one is zero, which leaves it without weight.
        self._image_differences: list[Array] = []
        self._change_differences: list[Array] = []
        self.best_state: Array = None
        self.best_image: Array = None
        self.best_residual: Array = None
        # Smallest residual since the last restart. Judged by its best ever, a sample that must
        # pass through larger residuals would be sent back to the same state for ever.
        self._reference: Array = None

    def record(self, state: Array, image: Array, residual: Array) -> None:
        """Take in a step from `state` to `image`; samples gone astray go back to their best."""
        xp = self._xp
        change = image - state
        if self._image is None:
            self.best_state, self.best_image = state.copy(), image.copy()
            self.best_residual = residual.copy()
            self._reference = residual.copy()
        else:
            self._image_differences.append(image - self._image)
            self._change_differences.append(change - self._change)
            del self._image_differences[:-MEMORY], self._change_differences[:-MEMORY]
            better = residual < self.best_residual
            self.best_state[better] = state[better]
            self.best_image[better] = image[better]
            self.best_residual[better] = residual[better]
            # "not <=" rather than ">": a residual that is not a number went astray too.
            astray = ~(residual <= RESTART_FACTOR * self._reference)
            self._reference = xp.minimum(self._reference, residual)
            if astray.any():
                self._forget(astray)
                self._reference[astray] = xp.inf
                # As if the step had been taken from the best state: one that overflowed
                # must not enter the next difference.
                image[astray] = self.best_image[astray]
                change[astray] = (self.best_image - self.best_state)[astray]
        self._image, self._change = image, change

    def _forget(self, rows: Array) -> None:
        for difference in (*self._image_differences, *self._change_differences):
            difference[rows] = 0

    def extrapolate(self) -> Array:
        """Next state of every sample, before it is kept in range."""
        if not self._change_differences:
            return self._image.copy()
        xp = self._xp
        differences = xp.stack(self._change_differences, axis=1)
        gram = differences @ differences.transpose(0, 2, 1)
        size = gram.shape[1]
        scale = xp.trace(gram, axis1=1, axis2=2)[:, None, None] / size
        tiny = xp.finfo(gram.dtype).tiny
        ridge = (RIDGE * scale + tiny) * xp.eye(size, dtype=gram.dtype)
        weights = xp.linalg.solve(gram + ridge, differences @ self._change[:, :, None])
        images = xp.stack(self._image_differences, axis=1)
        return self._image - (weights * images).sum(axis=1)

    def take(self, rows: Array) -> None:
        """Keep some of the samples only."""
        self._image, self._change = self._image[rows], self._change[rows]
        self._image_differences = [part[rows] for part in self._image_differences]
        self._change_differences = [part[rows] for part in self._change_differences]
        self.best_state, self.best_image = self.best_state[rows], self.best_image[rows]
        self.best_residual = self.best_residual[rows]
        self._reference = self._reference[rows]


def _split(flat: Array, sizes: Sequence[int]) -> list[Array]:
    """One array a layer again, each contiguous."""
    parts, start = [], 0
    for size in sizes:
        parts.append(flat[:, start : start + size].copy())
        start += size
    return parts
