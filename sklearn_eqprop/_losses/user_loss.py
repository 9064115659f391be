"""A loss that the user brings: what it must offer, and how it is made to fit."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, Protocol

import numpy as np

from sklearn_eqprop._backend.array_backend import Array, read
from sklearn_eqprop._losses.classification import ClassificationLoss

#: Most Newton steps to bring an output to rest under a loss of unknown curvature, once a sweep;
#: how often a step is shortened at most, and by what factor.
MOST_STEPS, MOST_CUTS, CUT = 8, 8, 0.3
#: Share of its first velocity at which an output counts as brought to rest.
RESOLVED = 1e-3
#: Outputs at which a loss is tried before training: rows, and how far its values are apart.
TRIAL_ROWS, TRIAL_STEP = 5, 1e-2
#: Relative deviation from finite differences that rounding and curvature may cause.
TRIAL_TOLERANCE = 1e-2


class UserLoss(Protocol):
    """What an object passed as ``loss`` must offer; it need not inherit from this class.

    `output` and `target` have the shape (n_samples, n_outputs) and the floating-point type of the
    network. The regressor passes standardised targets, the classifier 0/1 indicators of classes or
    labels. Every sample must be judged on its own: whatever shares its batch
    must not matter, and nothing may be averaged over samples.

    Attributes
    ----------
    curvature : float, optional
        Upper bound, >= 0, of the eigenvalues of ∂²C/∂output². With it an output is brought to
        rest by damped steps, and a β that would make a push away unstable is refused. Without
        it, steps adapt themselves, and nudging that pushes away holds the force it finds at
        the free equilibrium.
    label_threshold : float, optional
        Needed for multilabel targets only: a label whose output is above it is predicted.

    Notes
    -----
    A classifier whose loss also has ``probabilities(output)``, an array of the shape of `output`,
    offers ``predict_proba``.
    """

    def value(self, output: Array, target: Array) -> Array:
        """C of each sample, shape (n_samples,)."""
        ...

    def derivative(self, output: Array, target: Array) -> Array:
        """∂C/∂output, of the shape of `output`."""
        ...


class WrappedLoss(ClassificationLoss):
    """A `UserLoss` as the package's own loss.

    Parameters
    ----------
    loss : UserLoss

    Raises
    ------
    ValueError
        If `loss` is a class, or its curvature not a number >= 0.
    """

    def __init__(self, loss: Any) -> None:
        if isinstance(loss, type):
            msg = f"loss={loss!r} is a class; pass an object of it, {loss.__name__}(...)."
            raise ValueError(msg)
        curvature = getattr(loss, "curvature", None)
        if curvature is not None and not (isinstance(curvature, Real) and float(curvature) >= 0):
            msg = (
                f"loss.curvature={curvature!r} must be a number >= 0 that bounds the second "
                "derivative of the loss; leave the attribute out if there is no bound."
            )
            raise ValueError(msg)
        self._loss = loss
        self.curvature = math.inf if curvature is None else float(curvature)

    def value(self, xp: Any, output: Array, target: Array) -> Array:
        """See `Loss.value`."""
        found = self._loss.value(xp.array(output), xp.array(target))
        return _checked(xp, "value", found, output.shape[:1], output.dtype)

    def force(self, xp: Any, output: Array, target: Array) -> Array:
        """See `Loss.force`."""
        # Copies, so that a loss that works in place does no harm.
        found = self._loss.derivative(xp.array(output), xp.array(target))
        return -_checked(xp, "derivative", found, output.shape, output.dtype)

    def probabilities(self, xp: Any, output: Array) -> Array:
        """See `ClassificationLoss.probabilities`."""
        found = self._loss.probabilities(xp.array(output))
        return _checked(xp, "probabilities", found, output.shape, output.dtype)

    def constant_loss(self, target: np.ndarray, weight: np.ndarray | None) -> float:
        """Infinity: nobody knows the best constant output of a loss that may be anything."""
        return math.inf

    def resolve(
        self, xp: Any, drive: Array, displacement: Array, origin: Array, target: Array, beta: Array
    ) -> Array:
        """See `Loss.resolve`; without a bound of the curvature, by Newton's method.

        Slopes are differences of the derivative. A step that does not bring a sample
        nearer to rest is shortened until it does.
        """
        if math.isfinite(self.curvature):
            return super().resolve(xp, drive, displacement, origin, target, beta)

        def velocity_at(moved: Array) -> Array:
            return self.velocity(xp, drive, moved, origin, target, beta)

        velocity = velocity_at(displacement)
        speed = _row_norm(velocity)
        enough = RESOLVED * speed
        for _ in range(MOST_STEPS):
            # No sample waits for others or moves on with them: results depend on no batch.
            waiting = speed > enough
            if not read(xp, waiting.any()):
                break
            step = _newton_step(xp, velocity_at, displacement, velocity)
            for _ in range(MOST_CUTS):
                trial = displacement + step
                trial_velocity = velocity_at(trial)
                trial_speed = _row_norm(trial_velocity)
                better = waiting & (trial_speed < speed)  # False for what is not finite
                displacement = xp.where(better, trial, displacement)
                velocity = xp.where(better, trial_velocity, velocity)
                speed = xp.where(better, trial_speed, speed)
                waiting &= ~better
                if not read(xp, waiting.any()):
                    break
                step *= CUT
        return displacement

    def try_out(self, xp: Any, target: Array) -> None:
        """See whether the loss does what it must, at a few outputs.

        Parameters
        ----------
        xp : module
        target : array of shape (n_samples, n_outputs)
            The first few rows are used.

        Raises
        ------
        ValueError
            If it returns arrays of a wrong shape or numbers that are not finite, if samples are not
            judged one by one, if ``derivative`` is not the derivative of ``value``, or if it rises
            faster than `curvature` allows.
        TypeError
            If it does not take arrays of a device.
        """
        target = target[:TRIAL_ROWS]
        draw = np.random.RandomState(0).standard_normal(target.shape)
        output = xp.asarray(draw, dtype=target.dtype)
        value, slope = self._tried_on(xp, output, target)
        for name, found in (("value", value), ("derivative", slope)):
            if not np.isfinite(found).all():
                msg = f"loss.{name} returned numbers that are not finite for finite outputs."
                raise ValueError(msg)
        for row in range(target.shape[0]):
            alone = read(xp, self.value(xp, output[row : row + 1], target[row : row + 1]))
            if not _near(float(alone[0]), float(value[row]), abs(float(value[row]))):
                msg = (
                    f"loss.value gives a sample {float(alone[0]):.6g} alone and "
                    f"{float(value[row]):.6g} with others: it must judge each sample on its own."
                )
                raise ValueError(msg)
        self._check_derivative(xp, output, target, value, slope)
        if math.isfinite(self.curvature):
            self._check_curvature(xp, output, target)
            self._check_curvature(xp, target - 0.5 * TRIAL_STEP, target)  # where kinks are

    def _tried_on(self, xp: Any, output: Array, target: Array) -> tuple[np.ndarray, np.ndarray]:
        """Value and derivative, on the host."""
        try:
            found = self.value(xp, output, target), -self.force(xp, output, target)
        except TypeError as error:
            if xp is np:
                raise
            msg = (
                f"loss={self._loss!r} failed on arrays of {xp.__name__}, where the network lives "
                f"({error}). Use the arrays' own methods and functions that take them (np.exp "
                "does, np.asarray does not), or fit with backend='numpy'."
            )
            raise TypeError(msg) from error
        value, slope = (read(xp, each) for each in found)
        return value, slope

    def _check_derivative(
        self, xp: Any, output: Array, target: Array, value: np.ndarray, slope: np.ndarray
    ) -> None:
        """Each derivative must lie between the differences ahead and behind, also at a kink."""
        for unit in range(output.shape[1]):
            shift = xp.zeros_like(output)
            shift[:, unit] = TRIAL_STEP
            ahead = (read(xp, self.value(xp, output + shift, target)) - value) / TRIAL_STEP
            behind = (value - read(xp, self.value(xp, output - shift, target))) / TRIAL_STEP
            slack = TRIAL_TOLERANCE * (1 + np.abs(value) + np.abs(ahead) + np.abs(behind))
            found = slope[:, unit]
            wrong = (found > np.maximum(ahead, behind) + slack) | (
                found < np.minimum(ahead, behind) - slack
            )
            if wrong.any():
                (rows,) = np.nonzero(wrong)
                row = int(rows[0])
                msg = (
                    f"loss.derivative returned {float(found[row]):.4g} where loss.value rises by "
                    f"{float(0.5 * (ahead + behind)[row]):.4g} a unit of output {unit}: it must "
                    "return ∂value/∂output."
                )
                raise ValueError(msg)

    def _check_curvature(self, xp: Any, output: Array, target: Array) -> None:
        """No second derivative along one output may exceed the bound of all eigenvalues."""
        slope = -read(xp, self.force(xp, output, target))
        for unit in range(output.shape[1]):
            shift = xp.zeros_like(output)
            shift[:, unit] = TRIAL_STEP
            ahead = -read(xp, self.force(xp, output + shift, target))
            rise = (ahead[:, unit] - slope[:, unit]) / TRIAL_STEP
            slack = TRIAL_TOLERANCE * (1 + self.curvature + np.abs(slope[:, unit]))
            if (rise > self.curvature + slack).any():
                msg = (
                    f"loss.curvature={self.curvature:g}, but loss.derivative rises by "
                    f"{float(rise.max()):.4g} a unit of output {unit}: it must bound the second "
                    "derivative of the loss everywhere; leave the attribute out if nothing does."
                )
                raise ValueError(msg)


def _checked(xp: Any, name: str, found: Any, shape: tuple[int, ...], dtype: Any) -> Array:
    """What the user's loss returned, as an array of the network's type."""
    found = xp.asarray(found)
    if found.shape != shape or found.dtype.kind not in "fiu":
        msg = (
            f"loss.{name} must return real numbers in the shape {shape}; got {found.dtype} in the "
            f"shape {found.shape}."
        )
        raise ValueError(msg)
    return found.astype(dtype, copy=False)


def _newton_step(xp: Any, velocity_at: Any, displacement: Array, velocity: Array) -> Array:
    """Step after which the velocity of each sample would be 0 if its slope stayed as it is."""
    reach = math.sqrt(float(xp.finfo(velocity.dtype).eps))
    columns = []
    for unit in range(velocity.shape[1]):
        shifted = displacement.copy()
        shifted[:, unit] += reach
        columns.append((velocity - velocity_at(shifted)) / reach)
    slopes = xp.stack(columns, axis=2)
    step: Array = xp.linalg.solve(slopes, velocity[:, :, None])[:, :, 0]
    return step


def _row_norm(rows: Array) -> Array:
    """Euclidean norm of each row, shape (n_samples, 1)."""
    return (rows * rows).sum(axis=1, keepdims=True) ** 0.5


def _near(one: float, other: float, size: float) -> bool:
    return abs(one - other) <= 1e-4 * (1 + size)
