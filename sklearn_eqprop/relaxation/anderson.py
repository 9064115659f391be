"""Anderson acceleration: each sample extrapolates from its own last few steps."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from sklearn_eqprop.backend.array_backend import Array, ArrayBackend
from sklearn_eqprop.relaxation.euler import flow
from sklearn_eqprop.relaxation.field import Field
from sklearn_eqprop.relaxation.result import Result
from sklearn_eqprop.relaxation.settling import active_samples

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
    sample forgets its history and goes on, at first from the best state it has seen. That is also
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
            states = field.zero_states()
        active = active_samples(field, states, tolerance)
        xp, sizes = field.backend.xp, field.network.layer_sizes
        history = _History(field.backend)
        for n_steps in itertools.count():
            residual, drives, velocities = flow(active.field, active.states)
            here = _side_by_side(xp, active.states)
            history.record(here, self._step(active.field, active.states, velocities), residual)
            exhausted = n_steps == max_iter
            if exhausted:
                active.states = _split(history.best_state, sizes)
                residual, drives = active.field.full_residual(active.states)
            else:
                # An extrapolation that overflowed is no reason to give a sample up.
                residual = xp.where(xp.isfinite(residual), residual, history.best_residual)
            left = active.put_aside(residual, n_steps, drives, everything=exhausted)
            if active.is_empty:
                break
            if left is not None:
                history.take(left)
            active.states = [
                active.field.project(layer, state, out=state)
                for layer, state in enumerate(_split(history.extrapolate(), sizes), start=1)
            ]
        return active.result()

    def _step(self, field: Field, states: list[Array], velocities: list[Array]) -> Array:
        """g(s) of all layers side by side, shape (n_samples, n_units)."""
        moved = [
            field.project(layer, state + self.step_size * velocity)
            for layer, (state, velocity) in enumerate(zip(states, velocities, strict=True), start=1)
        ]
        return _side_by_side(field.backend.xp, moved)


class _History:
    """The last steps of every active sample, and the best state each has seen.

    Parameters
    ----------
    backend : ArrayBackend
    """

    def __init__(self, backend: ArrayBackend) -> None:
        self._xp = backend.xp
        self._backend = backend
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
        # Whether a sample has been sent back to its best state since that was found.
        self._sent_back: Array = None

    def record(self, state: Array, image: Array, residual: Array) -> None:
        """Take in a step from `state` to `image`; samples gone astray go back to their best."""
        xp = self._xp
        change = image - state
        if self._image is None:
            self.best_state, self.best_image = state.copy(), image.copy()
            self.best_residual = residual.copy()
            self._reference = residual.copy()
            self._sent_back = xp.zeros(residual.shape[0], dtype=bool)
        else:
            self._image_differences.append(image - self._image)
            self._change_differences.append(change - self._change)
            del self._image_differences[:-MEMORY], self._change_differences[:-MEMORY]
            better = residual < self.best_residual
            copy_rows = self._backend.copy_rows
            copy_rows(self.best_state, state, better)
            copy_rows(self.best_image, image, better)
            copy_rows(self.best_residual, residual, better)
            self._sent_back &= ~better
            # "not <=" rather than ">": a residual that is not a number went astray too.
            astray = ~(residual <= RESTART_FACTOR * self._reference)
            self._reference = xp.minimum(self._reference, residual)
            if self._backend.is_device or astray.any():  # on a device asking is what would cost
                self._forget(astray)
                self._reference = xp.where(astray, xp.inf, self._reference)
                # As if the step had been taken from the best state: one that overflowed
                # must not enter the next difference. A sample that has been sent back to that very
                # state before must pass through larger residuals, and goes on without history.
                back = astray & ~(self._sent_back & xp.isfinite(residual))
                copy_rows(image, self.best_image, back)
                copy_rows(change, self.best_image - self.best_state, back)
                self._sent_back |= back
        self._image, self._change = image, change

    def _forget(self, astray: Array) -> None:
        # Not "difference[astray] = 0": a mask is an index that CuPy waits for.
        nothing = self._xp.zeros_like(self._image)
        for difference in (*self._image_differences, *self._change_differences):
            self._backend.copy_rows(difference, nothing, astray)

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
        self._sent_back = self._sent_back[rows]


def _side_by_side(xp: Any, parts: Sequence[Array]) -> Array:
    """All layers in one array, (n_samples, n_units).

    Copied one by one: CuPy's `concatenate` sends the addresses of many layers across the bus.
    """
    n_units = sum(part.shape[1] for part in parts)
    flat, start = xp.empty((parts[0].shape[0], n_units), dtype=parts[0].dtype), 0
    for part in parts:
        flat[:, start : start + part.shape[1]] = part
        start += part.shape[1]
    return flat


def _split(flat: Array, sizes: Sequence[int]) -> list[Array]:
    """One array a layer again, each contiguous."""
    parts, start = [], 0
    for size in sizes:
        parts.append(flat[:, start : start + size].copy())
        start += size
    return parts
