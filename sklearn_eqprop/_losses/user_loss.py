"""Losses written by users: what an object must offer, and how it is wrapped and tested."""

import math
from numbers import Real
from typing import Any, Protocol

import numpy as np

from sklearn_eqprop._backend.array_backend import Array, read
from sklearn_eqprop._losses.base import ClassificationLoss, Loss
from sklearn_eqprop._losses.rest import LossShape, output_at_rest, shape_of

#: The test before training: number of rows, and step of the finite differences.
TRIAL_ROWS, TRIAL_STEP = 5, 1e-2
#: Relative deviation from finite differences that rounding and curvature may cause.
TRIAL_TOLERANCE = 1e-2
#: If β times the curvature is above this, a search moves the output to its equilibrium. Otherwise
#: damped steps are good enough.
STEEP = 2.0
#: If outputs act on each other and β times the curvature is above this, the search would be slow.
TOO_STEEP = 100.0


class UserLoss(Protocol):
    """Methods that an object passed as ``loss`` must have. It need not inherit from this class.

    `output` and `target` have the shape (n_samples, n_outputs) and the floating-point type of the
    network. The regressor passes standardised targets. The classifier passes 0/1 indicators of
    classes or labels. The loss of a sample must not depend on other samples, so do not average.

    Attributes
    ----------
    curvature : float, optional
        Upper bound, >= 0, of the eigenvalues of ∂²C/∂output². If it is given, the output settles
        in damped steps, and a β too large for a stable negative nudge is refused. If it is not
        given, the output settles by a search that needs more calls of `derivative`, and nudging
        with both signs or a negative β uses the constant force at the free equilibrium.
    label_threshold : float, optional
        Needed for multilabel targets only: a label is predicted if its output is larger.

    Notes
    -----
    If the loss also has a method ``probabilities(output)``, which returns an array of the shape
    of `output`, then the classifier offers ``predict_proba``.
    """

    def value(self, output: Array, target: Array) -> Array:
        """C of each sample, shape (n_samples,)."""

    def derivative(self, output: Array, target: Array) -> Array:
        """∂C/∂output, in the shape of `output`."""


class WrappedLoss(ClassificationLoss):
    """A `UserLoss` with the interface of `Loss`. Its facts are those of the user's object.

    It raises ValueError if `loss` is a class, or if one of its attributes is not a number in the
    right range.
    """

    def __init__(self, loss: Any) -> None:
        if isinstance(loss, type):
            msg = f"loss={loss!r} is a class. Pass an object of it, {loss.__name__}(...)."
            raise ValueError(msg)
        curvature = getattr(loss, "curvature", None)
        if curvature is not None and not (isinstance(curvature, Real) and float(curvature) >= 0):
            msg = (
                f"loss.curvature={curvature!r} must be a number >= 0 that bounds the second "
                "derivative of the loss. Remove the attribute if there is no bound."
            )
            raise ValueError(msg)
        threshold = getattr(loss, "label_threshold", math.nan)
        if not isinstance(threshold, Real):
            msg = (
                f"loss.label_threshold={threshold!r} must be a number, the output above which a "
                "label is predicted. Set it to a number, or remove it if y has no labels."
            )
            raise ValueError(msg)
        self._loss = loss
        self.name = type(loss).__qualname__
        self.curvature = math.inf if curvature is None else float(curvature)
        self.label_threshold = float(threshold)
        self.shape: LossShape | None = None

    def value(self, xp: Any, output: Array, target: Array) -> Array:
        found = self._loss.value(xp.array(output), xp.array(target))
        return _checked(xp, "value", found, output.shape[:1], output.dtype)

    def force(self, xp: Any, output: Array, target: Array) -> Array:
        # The user's loss gets copies, because it may change its arguments.
        found = self._loss.derivative(xp.array(output), xp.array(target))
        return -_checked(xp, "derivative", found, output.shape, output.dtype)

    def probabilities(self, xp: Any, output: Array) -> Array:
        found = self._loss.probabilities(xp.array(output))
        return _checked(xp, "probabilities", found, output.shape, output.dtype)

    def constant_loss(self, target: np.ndarray, weight: np.ndarray | None) -> float:
        """Infinity, because the best constant output of an unknown loss is not known."""
        return math.inf

    def velocity(
        self, xp: Any, drive: Array, displacement: Array, origin: Array, target: Array, beta: Array
    ) -> Array:
        """Velocity of `Loss.velocity`; if the loss is steep, the distance to the resting point.

        A force that jumps need not vanish anywhere, and steps along a steep force would swing
        around the resting point.
        """
        if self._is_flat(beta) or not self._is_steep(self._shape_of(xp, target), beta):
            return super().velocity(xp, drive, displacement, origin, target, beta)
        moved = self.resolve(xp, drive, displacement, origin, target, beta)
        moved -= displacement
        return moved

    def resolve(
        self, xp: Any, drive: Array, displacement: Array, origin: Array, target: Array, beta: Array
    ) -> Array:
        """Damped step of `Loss.resolve`; a search if the curvature is large or not known.

        If outputs act on each other, a force that jumps or is very steep allows no such search.
        The force at the origin, the free output, is then held.
        """
        if self._is_flat(beta):
            return super().resolve(xp, drive, displacement, origin, target, beta)
        shape = self._shape_of(xp, target)
        if shape.couples and (shape.kinked or abs(beta) * shape.steepest > TOO_STEEP):
            return drive + beta * self.force(xp, origin, target)

        def velocity_at(moved: Array) -> Array:
            return Loss.velocity(self, xp, drive, moved, origin, target, beta)

        steep = self._is_steep(shape, beta)
        return output_at_rest(xp, velocity_at, displacement, origin, shape, steep=steep)

    def _is_flat(self, beta: Any) -> bool:
        """Whether a known bound of the curvature makes damped steps good enough.

        They always are if phases are stacked: |β| times the curvature is then below 1.
        """
        return not isinstance(beta, float) or abs(beta) * self.curvature <= STEEP

    def _is_steep(self, shape: LossShape, beta: float) -> bool:
        return shape.kinked or not abs(beta) * shape.steepest <= STEEP

    def _shape_of(self, xp: Any, target: Array) -> LossShape:
        """How steep the loss is and whether outputs act on each other; measured once."""
        if self.shape is None:

            def slope(output: np.ndarray, targets: np.ndarray) -> np.ndarray:
                return -read(xp, self.force(xp, xp.asarray(output), xp.asarray(targets)))

            self.shape = shape_of(slope, read(xp, target[:TRIAL_ROWS]))
        return self.shape

    def try_out(self, xp: Any, target: Array) -> None:
        """Test the loss at a few outputs before training, on the first `TRIAL_ROWS` targets.

        Raises
        ------
        ValueError
            If the loss returns arrays of a wrong shape or numbers that are not finite, if a sample
            changes the loss of another, if ``derivative`` is not the derivative of ``value``, or
            if the second derivative is larger than `curvature`.
        TypeError
            If the loss cannot handle arrays of the device.
        """
        target = target[:TRIAL_ROWS]
        draw = np.random.RandomState(0).standard_normal(target.shape)
        output = xp.asarray(draw, dtype=target.dtype)
        value, slope = self._tried_on(xp, output, target)
        for name, found in (("value", value), ("derivative", slope)):
            if not np.isfinite(found).all():
                msg = (
                    f"loss.{name} returned numbers that are not finite for finite outputs. It must "
                    "return finite numbers."
                )
                raise ValueError(msg)
        for row in range(target.shape[0]):
            one = self.value(xp, output[row : row + 1], target[row : row + 1])
            alone, together = float(read(xp, one)[0]), float(value[row])
            if not abs(alone - together) <= 1e-4 * (1 + abs(together)):  # also if it is NaN
                msg = (
                    f"loss.value gives a sample {alone:.6g} alone and {together:.6g} with others. "
                    "It must judge each sample on its own."
                )
                raise ValueError(msg)
        self._check_derivative(xp, output, target, value, slope)
        if math.isfinite(self.curvature):
            self._check_curvature(xp, output, target)
            self._check_curvature(xp, target - 0.5 * TRIAL_STEP, target)  # where kinks are

    def _tried_on(self, xp: Any, output: Array, target: Array) -> tuple[np.ndarray, np.ndarray]:
        """Value and derivative of the loss, as host arrays."""
        try:
            found = self.value(xp, output, target), -self.force(xp, output, target)
        except TypeError as error:
            if xp is np:
                raise
            msg = (
                f"loss={self._loss!r} failed on arrays of {xp.__name__}, the module of the network "
                f"({error}). Use methods of the arrays and functions that accept them (np.exp "
                "does, np.asarray does not), or fit with backend='numpy'."
            )
            raise TypeError(msg) from error
        value, slope = (read(xp, each) for each in found)
        return value, slope

    def _check_derivative(
        self, xp: Any, output: Array, target: Array, value: np.ndarray, slope: np.ndarray
    ) -> None:
        """Check that each derivative lies between the two one-sided differences, also at kinks."""
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
                    f"loss.derivative returned {float(found[row]):.4g}, but loss.value rises by "
                    f"{float(0.5 * (ahead + behind)[row]):.4g} per unit of output {unit}. It must "
                    "return ∂value/∂output."
                )
                raise ValueError(msg)

    def _check_curvature(self, xp: Any, output: Array, target: Array) -> None:
        """Check that the second derivative along each output is at most `curvature`."""
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
                    f"{float(rise.max()):.4g} per unit of output {unit}. It must bound the second "
                    "derivative of the loss everywhere. Remove the attribute if there is no bound."
                )
                raise ValueError(msg)


def _checked(xp: Any, name: str, found: Any, shape: tuple[int, ...], dtype: Any) -> Array:
    """An array that the user's loss returned, cast to the type of the network."""
    found = xp.asarray(found)
    if found.shape != shape or found.dtype.kind not in "fiu":
        msg = (
            f"loss.{name} must return real numbers in the shape {shape}, but returned "
            f"{found.dtype} in the shape {found.shape}."
        )
        raise ValueError(msg)
    return found.astype(dtype, copy=False)
