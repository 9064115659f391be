"""Anderson acceleration: each sample extrapolates from its own last few steps, under safeguard."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from sklearn_eqprop._backend.array_backend import Array, ArrayBackend
from sklearn_eqprop._relaxation.euler import flow
from sklearn_eqprop._relaxation.field import Field
from sklearn_eqprop._relaxation.result import Result
from sklearn_eqprop._relaxation.settling import active_samples

#: How many earlier differences are combined.
MEMORY = 6
#: Ridge on the least-squares problem, once all differences are brought to length 1.
RIDGE = 1e-4
#: Steps before the first extrapolation. Far from a fixed point an extrapolation leads astray, into
#: the reach of another fixed point or of a cycle, from where plain steps need not find back.
PLAIN_STEPS = 10
#: After so many steps a sample whose residual is above its first one counts as wild, one that plain
#: steps do not settle; earlier if its residual is so many times as large.
PATIENCE, FAR = 50, 1e3
#: Residual that is allowed a wild sample, as a multiple of the least since its last failure.
GROWTH = 2.0


class Anderson:
    """Anderson acceleration of the Euler step, per sample and safeguarded.

    With g(s) = clip(s + ε μ^β(s)) and f = g - s, the next state is g minus the combination
    of the last differences of g whose differences of f best explain f (Anderson 1965; Walker
    & Ni 2011). Clipping makes g non-smooth, and extrapolation can then stall or go astray where
    plain steps settle. So it is tried and judged (safeguarded as in Zhang, O'Donoghue & Boyd
    2020): an extrapolation that leaves a residual above the least so far is taken back, and the
    sample takes the plain step instead, without a history, and more of them after every further
    failure. Samples that plain steps do not settle either go back to their best state and go on
    under a looser rule. If the limit of steps is reached, the best state seen is returned.

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
        path = _Path(field.backend, _side_by_side(xp, active.states))
        for n_steps in itertools.count():
            residual, drives, velocities = flow(active.field, active.states)
            here = _side_by_side(xp, active.states)
            path.record(here, self._image(active.field, active.states, velocities), residual)
            exhausted = n_steps == max_iter
            if exhausted:
                active.states = _split(path.best_state, sizes)
                residual, drives = active.field.full_residual(active.states)
            else:
                # An extrapolation that overflowed is no reason to give a sample up.
                residual = xp.where(xp.isfinite(residual), residual, path.best_residual)
            left = active.put_aside(residual, n_steps, drives, everything=exhausted)
            if active.is_empty:
                break
            if left is not None:
                path.take(left)
            active.states = [
                active.field.project(layer, state, out=state)
                for layer, state in enumerate(_split(path.next_state(), sizes), start=1)
            ]
        return active.result()

    def _image(self, field: Field, states: list[Array], velocities: list[Array]) -> Array:
        """g(s) of all layers side by side, shape (n_samples, n_units)."""
        moved = [
            field.project(layer, state + self.step_size * velocity)
            for layer, (state, velocity) in enumerate(zip(states, velocities, strict=True), start=1)
        ]
        return _side_by_side(field.backend.xp, moved)


class _Path:
    """Where every active sample stands, the best state it has seen, and what it may do next.

    A sample stands where its last step ended that was not taken back.

    Parameters
    ----------
    backend : ArrayBackend
    start : array of shape (n_samples, n_units)

    Attributes
    ----------
    best_state, best_residual : array
    """

    def __init__(self, backend: ArrayBackend, start: Array) -> None:
        xp, n_samples = backend.xp, start.shape[0]
        self._backend = backend
        self._n_recorded = 0
        self._image = self._change = start  # g and f where the sample stands
        self._secants: _Secants | None = None
        self.best_state, self._best_image = start.copy(), start.copy()
        self.best_residual = xp.full(n_samples, xp.inf, dtype=start.dtype)
        self._extrapolated = xp.zeros(n_samples, dtype=bool)
        # Residual at the start and the least one since the last failure; whether a sample has been
        # sent back to its best state since that was found.
        self._is_wild = xp.zeros(n_samples, dtype=bool)
        self._first = self._least = self.best_residual.copy()
        self._sent_back = xp.zeros(n_samples, dtype=bool)
        # Plain steps that a sample still has to take, and how many it will after a failure: twice
        # as many every time, until its residual is the least so far again. Failures thus loss few
        # steps compared to those that plain iteration takes.
        self._plain_left = xp.zeros(n_samples, dtype=xp.int64)
        self._pause = xp.ones(n_samples, dtype=xp.int64)

    def record(self, state: Array, image: Array, residual: Array) -> None:
        """Take in what the last step has led to; take it back where it was a bad extrapolation."""
        xp, copy_rows = self._backend.xp, self._backend.copy_rows
        is_good = self._is_good(residual)
        better = residual < self.best_residual
        copy_rows(self.best_state, state, better)
        copy_rows(self._best_image, image, better)
        copy_rows(self.best_residual, residual, better)
        change = image - state
        # A wild sample goes back to its best state; where that has failed already, it has to pass
        # through larger residuals, and goes on from the last state, unless that is far off.
        is_near = residual <= FAR * self._first
        back = ~is_good & self._is_wild & ~(self._sent_back & is_near)
        stay = ~is_good & ~self._is_wild
        copy_rows(image, self._image, stay)
        copy_rows(change, self._change, stay)
        copy_rows(image, self._best_image, back)
        copy_rows(change, self._best_image - self.best_state, back)
        self._sent_back = (self._sent_back & ~better) | back
        if self._n_recorded > PLAIN_STEPS - MEMORY:
            if self._secants is None:
                self._secants = _Secants(xp, image)
            self._secants.record(image - self._image, change - self._change, is_good)
            self._plain_left = xp.where(is_good, xp.maximum(self._plain_left - 1, 0), self._pause)
            pause = xp.where(is_good, self._pause, 2 * self._pause)
            self._pause = xp.where(better | self._is_wild, 1, pause)
        self._image, self._change = image, change
        self._n_recorded += 1

    def _is_good(self, residual: Array) -> Array:
        """Which samples may go on from where the last step has led to."""
        xp = self._backend.xp
        if self._n_recorded == 0:
            self._first = residual
        limit = 1 if self._n_recorded == PATIENCE else FAR
        # "not <=" rather than ">": a residual that is not a number is too large, too.
        gone = ~(residual <= limit * self._first) & ~self._extrapolated & ~self._is_wild
        self._is_wild = self._is_wild | gone
        allowed = xp.where(self._extrapolated, self.best_residual, xp.finfo(residual.dtype).max)
        allowed = xp.where(self._is_wild, GROWTH * self._least, allowed)
        is_good = (residual <= allowed) & ~gone
        self._least = xp.where(is_good, xp.minimum(self._least, residual), xp.inf)
        return is_good

    def next_state(self) -> Array:
        """Next state of every sample, before it is kept in range; not to be written to."""
        if self._secants is None or self._n_recorded <= PLAIN_STEPS:
            return self._image
        self._extrapolated = self._plain_left == 0
        return self._image - self._secants.correction(self._change, self._extrapolated)

    def take(self, rows: Array) -> None:
        """Keep some of the samples only."""
        self._image, self._change = self._image[rows], self._change[rows]
        if self._secants is not None:
            self._secants.take(rows)
        self.best_state, self.best_residual = self.best_state[rows], self.best_residual[rows]
        self._plain_left, self._pause = self._plain_left[rows], self._pause[rows]
        self._extrapolated, self._is_wild = self._extrapolated[rows], self._is_wild[rows]
        self._first, self._least = self._first[rows], self._least[rows]
        self._best_image, self._sent_back = self._best_image[rows], self._sent_back[rows]


class _Secants:
    """The last differences of g and of f between successive steps, in a ring for each sample.

    Nothing is moved when a new pair comes in: it takes the place of the oldest, and of the matrix
    of scalar products one row and one column change.

    Parameters
    ----------
    xp : module
    like : array of shape (n_samples, n_units)
        For shape and type.
    """

    def __init__(self, xp: Any, like: Array) -> None:
        n_samples, n_units = like.shape
        self._xp = xp
        self._n_recorded = 0
        self._images = xp.zeros((n_samples, MEMORY, n_units), dtype=like.dtype)
        self._changes = xp.zeros_like(self._images)
        self._products = xp.zeros((n_samples, MEMORY, MEMORY), dtype=like.dtype)
        # Squared length of each difference of f; 0: forgotten, not to be used.
        self._squares = xp.zeros((n_samples, MEMORY), dtype=like.dtype)
        self._ridge = RIDGE * xp.eye(MEMORY, dtype=like.dtype)

    def record(self, image: Array, change: Array, is_good: Array) -> None:
        """Take in a difference of g and one of f; samples not good forget all of theirs."""
        place = self._n_recorded % MEMORY
        self._n_recorded += 1
        self._images[:, place] = image
        self._changes[:, place] = change
        products = (self._changes @ change[:, :, None])[:, :, 0]
        self._products[:, place, :] = products
        self._products[:, :, place] = products
        self._squares[:, place] = products[:, place]
        self._squares *= is_good[:, None]

    def correction(self, change: Array, wanted: Array) -> Array:
        """What to take from the image where that is wanted, 0 elsewhere."""
        xp, limits = self._xp, self._xp.finfo(change.dtype)
        is_used = self._squares > float(limits.tiny / limits.eps)  # below, products lose digits
        # To length 1, and to 0 what is not used.
        scale = is_used / xp.sqrt(xp.where(is_used, self._squares, 1))
        products = self._products * scale[:, :, None] * scale[:, None, :] + self._ridge
        explained = scale[:, :, None] * (self._changes @ change[:, :, None])
        weights = scale[:, :, None] * xp.linalg.solve(products, explained)
        weights = xp.where(wanted[:, None, None], weights, 0)
        return (weights.transpose(0, 2, 1) @ self._images)[:, 0]

    def take(self, rows: Array) -> None:
        """Keep some of the samples only."""
        self._images, self._changes = self._images[rows], self._changes[rows]
        self._products, self._squares = self._products[rows], self._squares[rows]


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
