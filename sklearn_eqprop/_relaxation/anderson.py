"""Anderson acceleration: each sample extrapolates from its own last few Euler steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._relaxation.euler import euler_step, flow
from sklearn_eqprop._relaxation.relaxation import Batch, Relaxation

#: Number of earlier differences that are combined.
MEMORY = 6
#: Ridge of the least-squares problem, whose differences are brought to length 1.
RIDGE = 1e-4
#: Steps before the first extrapolation. Far from a fixed point an extrapolation can lead to a cycle
#: or to another fixed point.
PLAIN_STEPS = 10
#: Plain steps are halved if they turn and the residual has not been the smallest so far for this
#: many steps; at once if the residual is this many times the first one.
PATIENCE, FAR = 20, 1e3


@dataclass
class _Path:
    """Memory of each sample's last steps; states of all layers side by side."""

    #: g(s) and f(s) = g(s) - s at the last state that was not taken back.
    image: Array
    change: Array
    #: Their last differences in a ring, shape (n_samples, MEMORY, n_units). 0: not used.
    images: Array
    changes: Array
    best_state: Array
    best_residual: Array
    first_residual: Array
    #: Fraction of f that a plain step takes, shape (n_samples, 1).
    damping: Array
    #: Whether the last step was an extrapolation.
    extrapolated: Array
    #: Steps since the residual was the smallest so far, or the damping changed.
    stale: Array
    #: Plain steps that a sample still takes, and the number it takes after its next failure.
    waits: Array
    pause: Array


class Anderson(Relaxation):
    """Anderson acceleration of the Euler step, per sample and safeguarded.

    With g(s) = clip(s + ε μ^β(s)) and f = g - s, the next state is g minus the combination of
    the last differences of g whose differences of f best explain f (Anderson 1965; Walker & Ni
    2011). Clipping makes g non-smooth, and extrapolation can then fail where plain steps settle.
    There are two safeguards, in the manner of Zhang, O'Donoghue & Boyd (2020):

    * An extrapolation that leaves a residual above the smallest so far is taken back. The sample
      takes a plain step instead, and twice as many of them after every further failure.
    * If plain steps make no progress, they are halved: short steps follow the dynamics.

    At the limit of steps the best state is returned.

    Parameters
    ----------
    step_size : float
        ε, in (0, 1].
    """

    name = "anderson"
    extrapolates = True

    def begin(self, batch: Batch) -> _Path:
        xp = batch.field.backend.xp
        start = _side_by_side(xp, batch.states)
        n_samples, n_units = start.shape
        unknown = xp.full(n_samples, xp.inf, dtype=start.dtype)
        zeros = xp.zeros(n_samples, dtype=xp.int64)
        return _Path(
            image=start,
            change=start,
            images=xp.zeros((n_samples, MEMORY, n_units), dtype=start.dtype),
            changes=xp.zeros((n_samples, MEMORY, n_units), dtype=start.dtype),
            best_state=start.copy(),
            best_residual=unknown,
            first_residual=unknown,
            damping=xp.ones((n_samples, 1), dtype=start.dtype),
            extrapolated=zeros > 0,
            stale=zeros,
            waits=zeros,
            pause=zeros + 1,
        )

    def measure(self, batch: Batch) -> tuple[Array, list[Array]]:
        """Residual and drives; at the limit of steps, those of the best state."""
        field, path, xp = batch.field, batch.memory, batch.field.backend.xp
        residual, drives, velocities = flow(field, batch.states)
        moved = euler_step(field, batch.states, velocities, self.step_size)
        _record(batch, _side_by_side(xp, batch.states), _side_by_side(xp, moved), residual)
        if batch.is_last:
            batch.states = _split(path.best_state, field.network.layer_sizes)
            residual, drives, _ = flow(field, batch.states)
            return residual, drives
        # A step that overflowed is taken back: it is no reason to give the sample up.
        return xp.where(xp.isfinite(residual), residual, path.best_residual), drives

    def advance(self, batch: Batch) -> None:
        field, path = batch.field, batch.memory
        state = path.image - (1 - path.damping) * path.change
        if batch.n_steps >= PLAIN_STEPS:
            path.extrapolated = path.waits == 0
            far = path.image - _correction(field.backend.xp, path)
            field.backend.copy_rows(state, far, path.extrapolated)
        batch.states = [
            field.project(layer, part, out=part)
            for layer, part in enumerate(_split(state, field.network.layer_sizes), start=1)
        ]


def _record(batch: Batch, state: Array, image: Array, residual: Array) -> None:
    """Judge the last step of each sample, and take bad ones back."""
    backend, path = batch.field.backend, batch.memory
    xp, change = backend.xp, image - state
    if batch.n_steps == 0:
        path.first_residual = residual
    better = residual < path.best_residual
    backend.copy_rows(path.best_state, state, better)
    # "not <=" instead of ">": a residual that is not a number is too large, too.
    failed = path.extrapolated & ~(residual <= path.best_residual)
    path.stale = xp.where(better, 0, path.stale + 1)
    # A straight but slow path does not turn: the next step would have to be less than half as long.
    turns = ((2 * change - path.change) * path.change).sum(axis=1) < 0
    stuck = (turns & (path.stale >= PATIENCE)) | ~(residual <= FAR * path.first_residual)
    lost = stuck & ~path.extrapolated
    path.stale = xp.where(lost, 0, path.stale)
    path.best_residual = xp.where(better, residual, path.best_residual)
    is_back = failed | lost
    backend.copy_rows(image, path.image, is_back)
    backend.copy_rows(change, path.change, is_back)
    path.damping = xp.where(lost[:, None], 0.5 * path.damping, path.damping)
    if batch.n_steps > PLAIN_STEPS - MEMORY:
        _remember(batch, image - path.image, change - path.change, ~is_back)
        path.waits = xp.where(is_back, path.pause, xp.maximum(path.waits - 1, 0))
        path.pause = xp.where(better, 1, xp.where(is_back, 2 * path.pause, path.pause))
    path.image, path.change = image, change


def _remember(batch: Batch, image: Array, change: Array, is_good: Array) -> None:
    """Let a difference of g and one of f replace the oldest; samples not good forget all theirs."""
    path, place = batch.memory, batch.n_steps % MEMORY
    path.images[:, place] = image
    path.changes[:, place] = change
    path.changes *= is_good[:, None, None]


def _correction(xp: Any, path: _Path) -> Array:
    """Combination of differences of g to subtract from the image."""
    limits, eye = xp.finfo(path.change.dtype), xp.eye(MEMORY, dtype=path.change.dtype)
    products = path.changes @ path.changes.transpose(0, 2, 1)
    squares = (products * eye).sum(axis=2)
    is_used = squares > float(limits.tiny / limits.eps)  # below, products lose digits
    scale = (is_used / xp.sqrt(xp.where(is_used, squares, 1)))[:, :, None]  # to length 1
    products = products * scale * scale.transpose(0, 2, 1) + RIDGE * eye
    explained = scale * (path.changes @ path.change[:, :, None])
    weights = scale * xp.linalg.solve(products, explained)
    return (weights.transpose(0, 2, 1) @ path.images)[:, 0]


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
    """One contiguous array per layer."""
    parts, start = [], 0
    for size in sizes:
        parts.append(flat[:, start : start + size].copy())
        start += size
    return parts
