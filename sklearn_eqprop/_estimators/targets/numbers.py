"""Targets of the regressor: numbers, which training sees standardised."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from sklearn.metrics import r2_score
from sklearn.utils import column_or_1d

from sklearn_eqprop._backend import Array, ArrayBackend
from sklearn_eqprop._estimators.data.other_scale import warn_about_held_out
from sklearn_eqprop._estimators.data.rows import TELLING_ROWS, look_over
from sklearn_eqprop._estimators.parameters.config import Config
from sklearn_eqprop._losses import NUMBER_LOSSES, Loss
from sklearn_eqprop._network import Activation
from sklearn_eqprop._warnings import warn_at_call

#: Standard deviation, in units of the largest magnitude, up to which targets count as constant.
CONSTANT = 10 * float(np.finfo(np.float64).eps)
#: Later targets that are this many times their scale away from the mean have another scale.
FAR_TARGET = 1e3
#: Later targets that are this many times their scale beyond the range of the outputs are reported.
BEYOND = 0.1
#: Largest error, in units of the targets, whose square is used in a score.
LARGEST_ERROR = 1e140


@dataclass(frozen=True)
class Numbers:
    """The output layer has one unit for each column of y."""

    #: Whether y has one dimension.
    single_output: bool
    #: The network is trained on ``(y - mean) / scale``, with one number per output. If the loss
    #: predicts a logarithm (Poisson), the mean is 0 and the scale is the mean of the targets. If
    #: outputs are bounded, the first targets fill their range.
    mean: np.ndarray
    scale: np.ndarray
    loss: Loss
    #: Of the outputs.
    rho: Activation
    #: Targets and weights of the first calls of ``partial_fit``, while they do not tell how the
    #: targets vary.
    undecided: tuple[np.ndarray, np.ndarray | None] | None = None

    #: How far apart hidden units are when training starts. With few inputs Glorot's range leaves
    #: units almost silent, and without biases all of them have their kink in the middle: functions
    #: of one or two inputs were then learned several times slower.
    spread_of_units: ClassVar[float] = 0.4

    @classmethod
    def first(
        cls, y: Any, config: Config, classes: Any, *, incremental: bool
    ) -> tuple[Numbers, np.ndarray]:
        """Learn from the first y, which scikit-learn has validated, how many outputs there are.

        `scaled` learns their scales, once the weights of the samples are known. `classes` and
        `incremental` matter for `Labels` only.

        It raises ValueError if y is not usable.
        """
        y = _clean(y)
        n_outputs = _n_outputs(y)
        loss = config.loss_from(NUMBER_LOSSES)
        _check_sign(y, loss)
        nothing, one = np.zeros(n_outputs), np.ones(n_outputs)
        numbers = cls(y.ndim == 1, nothing, one, loss, config.output_rho)
        return numbers, y.reshape(-1, n_outputs)

    @classmethod
    def of(cls, estimator: Any, config: Config) -> Numbers:
        """The targets of a fitted regressor."""
        return cls(
            estimator._single_output,
            estimator.target_mean_,
            estimator.target_scale_,
            config.loss_from(NUMBER_LOSSES),
            config.output_rho,
            estimator._undecided_targets,
        )

    @staticmethod
    def plain(y: Any) -> Any:
        """Return y itself: numbers need no conversion before validation."""
        return y

    @property
    def attributes(self) -> dict[str, Any]:
        """Fitted attributes that describe the targets."""
        return {
            "target_mean_": self.mean,
            "target_scale_": self.scale,
            "n_outputs_": self.n_outputs,
            "_single_output": self.single_output,
            "_undecided_targets": self.undecided,
        }

    @property
    def n_outputs(self) -> int:
        """Number of output units."""
        return int(self.mean.shape[0])

    def checked(self, y: Any, config: Config, classes: Any = None) -> np.ndarray:
        """Return later targets, shape (n_samples, n_outputs), checked against the first ones.

        It raises ValueError if y has another number of outputs, or negative targets where `loss`
        allows none.
        """
        y = _clean(y)
        self.check_n_outputs(y)
        _check_sign(y, self.loss)
        return y.reshape(-1, self.n_outputs)

    def check_n_outputs(self, y: np.ndarray) -> None:
        """Refuse targets with another number of columns."""
        if _n_outputs(y) != self.n_outputs:
            msg = (
                f"y has {_n_outputs(y)} outputs per sample, but it had {self.n_outputs} when "
                "training started. Pass one column for each of them, or fit a fresh clone."
            )
            raise ValueError(msg)

    def check_warm_start(self, y: np.ndarray) -> None:
        """Do nothing: a warm start can continue with any numbers."""

    def weight(self, y: np.ndarray, sample_weight: np.ndarray | None) -> np.ndarray | None:
        """Return the sample weights: numbers add no weights of their own."""
        return sample_weight

    def scaled(
        self, y: np.ndarray, weight: np.ndarray | None, *, first: bool, incremental: bool
    ) -> Numbers:
        """Return the targets with mean and scale of the first samples.

        If the first call of ``partial_fit`` has one sample only, or an output whose targets are all
        equal, all calls set the scale until there are 10 samples.
        """
        if first:
            undecided = not _vary(y)
        elif self.undecided is not None:
            undecided = True
            y, weight = _joined(self.undecided, (y, weight))
        else:
            return self
        unit = _magnitudes(y)  # in this unit nothing overflows
        moments = [_mean_and_spread(column, weight) for column in (y / unit).T]
        mean, spread = np.array(moments).T
        if self.loss.predicts_log:
            scale = mean * unit
            mean, scale = np.zeros_like(mean), np.where(scale > 0, scale, 1.0)
        else:
            # Rounding leaves a constant column a spread of a few units in the last place.
            scale = np.where(spread <= CONSTANT, 1.0, spread * unit)
            mean *= unit
            if self.rho.bounded:
                mean, scale = _filling(self.rho, y, mean, scale)
        undecided &= incremental and y.shape[0] < TELLING_ROWS
        return replace(
            self, mean=mean, scale=scale, undecided=(y.copy(), weight) if undecided else None
        )

    def loss_unit(self, y: np.ndarray) -> float:
        """Return the unit of losses: the variance of the coded targets, 1 for standardised ones."""
        return float(np.var(self.encode(y, np.float64), axis=0).mean()) if self.rho.bounded else 1.0

    def warn_about(self, y: np.ndarray) -> None:
        """Warn if later targets have another scale than the first ones."""
        encoded = self.encode(y, np.float64)
        largest = np.abs(encoded).max()
        beyond = 0.0
        if self.rho.bounded:
            beyond = np.abs(encoded - np.clip(encoded, self.rho.lower, self.rho.upper)).max()
        if beyond > BEYOND:
            warn_at_call(
                f"Some targets lie {beyond:.3g} times target_scale_ beyond the range that "
                f"output_activation={self.rho.name!r} and the first targets set for predictions. "
                "Fit a fresh clone, and give its first call targets of the whole range."
            )
        if largest > FAR_TARGET:
            warn_at_call(
                f"Some targets lie {largest:.3g} times target_scale_ away from target_mean_. "
                "Training may be slow or diverge. Fit a fresh clone, and give its first call "
                "typical targets."
            )

    def warn_about_held_out(self, y: np.ndarray, of_training: np.ndarray) -> None:
        """Warn if held-out targets seem to have another unit than those of training."""
        warn_about_held_out(look_over(y), look_over(of_training), "y_val", "y")

    def codes(self, y: np.ndarray) -> np.ndarray:
        """Return the targets as numbers, in the unit of training."""
        return self.encode(y, np.float64)

    @property
    def for_scores(self) -> Numbers:
        """The numbers themselves: they are never smoothed."""
        return self

    def encode(self, y: np.ndarray, dtype: Any) -> np.ndarray:
        """Return the standardised targets, shape (n_samples, n_outputs).

        It raises ValueError if one of them is beyond the largest number of `dtype`.
        """
        # Near the largest number only halves can be subtracted. Halving is exact.
        part = 0.5 if np.isinf(y - self.mean).any() else 1.0
        standardised: np.ndarray = part * y - part * self.mean
        standardised = (standardised / (part * self.scale)).astype(dtype)
        row, column = np.unravel_index(np.argmax(np.abs(standardised)), standardised.shape)
        if np.isinf(standardised[row, column]):
            msg = (
                f"y holds {y[row, column]:.4g}, which is too far from the first targets (mean "
                f"{self.mean[column]:.4g}, scale {self.scale[column]:.4g}): standardised, it is "
                f"beyond the largest number of {np.dtype(dtype)}. Leave out such targets, or fit a "
                "fresh clone on data that includes them."
            )
            raise ValueError(msg)
        return standardised

    def decode(self, output: Array, backend: ArrayBackend) -> Array:
        """Return predictions in the units of y, where the outputs live.

        They are float64 if the type of the outputs cannot hold them.
        """
        scale, mean = (backend.from_host(x, x.dtype) for x in (self.scale, self.mean))
        limits = np.finfo(output.dtype)
        restored = self._standardised(output, backend.xp) * scale + mean
        [largest] = backend.numbers([abs(restored).max()])
        if largest <= float(limits.max) and self.scale.min() >= limits.tiny:
            restored = restored.astype(output.dtype)
        if not backend.is_device and np.isinf(restored).any():
            most = np.finfo(restored.dtype).max
            warn_at_call(
                f"Some predictions are beyond {most:.3g}, the largest number of {restored.dtype}, "
                "and are cut off there. Divide the targets by a constant before fit."
            )
            restored = np.clip(restored, -most, most)
        return restored.ravel() if self.single_output else restored

    def _standardised(self, output: Array, xp: Any) -> Array:
        """Return standardised predictions of output states."""
        if not self.loss.predicts_log:
            return output
        # `decode` and `score` report infinite predictions.
        return xp.exp(output.astype(np.float64))

    def score(self, output: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> float:
        """Return R² of output states, as early stopping uses it."""
        return r2(self.encode(y, np.float64), self._standardised(output, np), weight)

    def constant_score(self, y: np.ndarray, weight: np.ndarray | None) -> float:
        """Return -inf: R² sees every step of training, however small."""
        return -math.inf

    def original(self, y: np.ndarray) -> np.ndarray:
        """Return clean targets in the shape of predictions, as scorers compare them."""
        return y.ravel() if self.single_output else y

    def stratify(self, y: np.ndarray) -> np.ndarray | None:
        """Return None: a validation split of numbers is not stratified."""
        return None


def _clean(y: Any) -> np.ndarray:
    """Return targets in float64.

    It raises ValueError if they are sparse, missing or not finite.
    """
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    if sparse.issparse(y):
        msg = f"y is sparse, with {y.shape[1]} columns. Pass y.toarray()."
        raise ValueError(msg)
    y = np.asarray(y, dtype=np.float64)
    if np.isnan(y).any():
        msg = f"y holds None, NaN or NA {np.isnan(y).sum()} times: leave out those rows."
        raise ValueError(msg)
    if not np.isfinite(y).all():
        msg = "y holds numbers beyond the largest number of float64. Divide it by a constant."
        raise ValueError(msg)
    return y


def _check_sign(y: np.ndarray, loss: Loss) -> None:
    if loss.predicts_log and y.min() < 0:
        msg = (
            f"y holds {y.min():.4g}, but loss={loss.name!r} is for targets >= 0, such as counts. "
            "Use another loss."
        )
        raise ValueError(msg)


def _n_outputs(y: np.ndarray) -> int:
    return 1 if y.ndim == 1 else y.shape[1]


def _magnitudes(y: np.ndarray) -> np.ndarray:
    """Return the largest magnitude of each column; 1 for a column of zeros."""
    largest: np.ndarray = np.abs(y).max(axis=0)
    return np.where(largest == 0, 1.0, largest)


def _vary(y: np.ndarray) -> bool:
    """Return whether the targets of every output vary by more than rounding."""
    return bool(((y / _magnitudes(y)).std(axis=0) > CONSTANT).all())


def _filling(
    rho: Activation, y: np.ndarray, mean: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and scale by which the targets fill the range of the outputs.

    If one side is open, the targets reach the other side, and keep their scale.
    """
    low, high = y.min(axis=0), y.max(axis=0)
    if rho.lower is not None and rho.upper is not None:
        scale = np.where(high > low, (high - low) / (rho.upper - rho.lower), scale)
    if rho.lower is not None:
        return low - rho.lower * scale, scale
    return high - rho.upper * scale, scale


def _joined(
    some: tuple[np.ndarray, np.ndarray | None], more: tuple[np.ndarray, np.ndarray | None]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return targets and weights of two calls together; None stands for weights of 1."""
    y = np.concatenate([targets for targets, _ in (some, more)])
    if some[1] is None and more[1] is None:
        return y, None
    weights = [
        np.ones(targets.shape[0]) if weight is None else weight for targets, weight in (some, more)
    ]
    return y, np.concatenate(weights)


def _mean_and_spread(column: np.ndarray, weight: np.ndarray | None) -> tuple[float, float]:
    """Return the weighted mean and standard deviation of a column.

    Sums over the distinct numbers do not depend on the order of the rows, nor on whether a row
    is repeated or has a weight.
    """
    values, where = np.unique(column, return_inverse=True)
    counts = np.bincount(where, weight)
    mean = np.average(values, weights=counts)
    return mean, np.sqrt(np.average((values - mean) ** 2, weights=counts))


def r2(y: np.ndarray, predicted: np.ndarray, sample_weight: np.ndarray | None) -> float:
    """Return R², in units whose squares do not overflow. Errors that are too large are cut off.

    Targets and predictions have the shape (n_samples, n_outputs).
    """
    # Near the largest number only halves can be subtracted.
    y, predicted = 0.5 * y, 0.5 * predicted.astype(np.float64)
    # Counted from the first target, a constant column is exactly 0.
    distances = y - y[0]
    unit = _magnitudes(np.where(distances.any(axis=0), distances, y))
    y, predicted = distances / unit, (predicted - y[0]) / unit
    error = predicted - y
    largest = np.abs(error).max(initial=0)
    if largest > LARGEST_ERROR:
        warn_at_call(
            f"Some predictions are wrong by {largest:.3g} times the scale of the targets. The "
            f"score cuts errors off at {LARGEST_ERROR:.0e}. Leave out inputs that are far from "
            "those of training, or fit on data that includes them."
        )
        predicted = y + np.clip(error, -LARGEST_ERROR, LARGEST_ERROR)
    if sample_weight is not None:
        sample_weight = sample_weight / sample_weight.max()
    return float(r2_score(y, predicted, sample_weight=sample_weight))
