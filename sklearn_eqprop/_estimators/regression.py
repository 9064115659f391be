"""What a regressor does: train on targets of any scale, and predict them."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy import sparse
from sklearn.base import RegressorMixin
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.validation import check_is_fitted

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._estimators.base import BaseEqProp
from sklearn_eqprop._estimators.data.array_home import on_host
from sklearn_eqprop._estimators.data.columns import TELLING_ROWS
from sklearn_eqprop._estimators.data.device_memory import explains_full_device
from sklearn_eqprop._estimators.data.inputs import (
    refuse_unusable_targets,
    weight_of_scores,
)
from sklearn_eqprop._estimators.settling import Settled
from sklearn_eqprop._estimators.targets.r2 import r2_of
from sklearn_eqprop._estimators.targets.targets import Standardisation, joined, vary
from sklearn_eqprop._losses.classification import Loss, SquaredError
from sklearn_eqprop._losses.regression import AbsoluteError, Huber, Poisson
from sklearn_eqprop._losses.user_loss import WrappedLoss
from sklearn_eqprop._sklearn_compat import _fit_context
from sklearn_eqprop._warnings import warn_at_call

#: Later targets that are this many times their scale away from the mean are on another one.
FAR_TARGET = 1e3
#: Loss by loss.
LOSSES: dict[str, type[Loss]] = {
    "squared_error": SquaredError,
    "absolute_error": AbsoluteError,
    "huber": Huber,
    "poisson": Poisson,
}


class Regression(RegressorMixin, BaseEqProp):
    """Methods of `EqPropRegressor`, which adds the parameters."""

    #: Targets and weights of the first calls of partial_fit, while those do not tell how targets
    #: vary: where some output has equal ones alone in the first call, until there are ten.
    _first_targets: tuple[np.ndarray, np.ndarray | None] | None = None

    # With few inputs Glorot's range leaves units all but silent, and without biases they all have
    # their kink in the middle: functions of one or two inputs were learned several times slower.
    _spread_of_units = 0.4

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Inputs; best brought to zero mean and unit variance (StandardScaler).
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets, on any scale.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights >= 0; a sample of weight 0 is left out.
        X_val : array-like or sparse matrix of shape (n_val, n_features), default=None
            Samples to judge training by, with ``early_stopping=True``.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            Their targets.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights in the score.

        Returns
        -------
        EqPropRegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter, X, y or sample_weight is not usable.
        DivergenceError
            If numbers stop being finite. The weights of the last good epoch are kept.
        """
        self._fit(
            X,
            y,
            sample_weight,
            incremental=False,
            validation=(X_val, y_val, sample_weight_val),
        )
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, *, sample_weight: Any = None) -> Self:
        """Train for one pass over the given samples, going on from where training stands.

        The first call fixes `target_mean_` and `target_scale_`: let it have samples whose
        targets spread as those to come. Where it has a single sample, or an output's targets are
        all equal, they are fixed by all calls until there are ten samples.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        EqPropRegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            As `fit`.
        DivergenceError
            If numbers stop being finite. The estimator is then as it was before the call.
        """
        self._fit(X, y, sample_weight, incremental=True)
        return self

    @explains_full_device
    def predict(self, X: Any) -> np.ndarray:
        """Output at the free equilibrium (its average, see `objective`), in units of the targets.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        settled = self._settled(X)
        return settled.home.give_back(self._in_target_units(settled))

    @explains_full_device
    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Coefficient of determination R² of the predictions.

        Worked out in the standardised units, in which targets of any size can be squared.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If a target is so far from those of training that its distance has no float64.
        """
        check_is_fitted(self)
        refuse_unusable_targets(y)
        with np.errstate(over="ignore", invalid="ignore"):  # scikit-learn sums y up
            y = check_array(on_host(y), ensure_2d=False, dtype=np.float64, input_name="y")
        self._check_outputs(y)
        output = on_host(self._settled(X).output)
        check_consistent_length(output, y)
        weight = weight_of_scores(sample_weight, output)
        return self._score_of_output(output, y.reshape(y.shape[0], -1), weight)

    def _check_outputs(self, y: np.ndarray) -> None:
        if _n_outputs(y) != self.n_outputs_:
            msg = (
                f"y has {_n_outputs(y)} outputs a sample, but had {self.n_outputs_} when training "
                "started: pass one column for each of them, or fit a fresh clone."
            )
            raise ValueError(msg)

    def _standardised_prediction(self, output: Array, xp: Any) -> Array:
        """What output states stand for, in the standardised units."""
        if not self._is_log_rate:
            return output
        with np.errstate(over="ignore"):  # told where predictions are cut off
            return xp.exp(output.astype(np.float64))

    def _in_target_units(self, settled: Settled) -> Array:
        backend, dtype = settled.backend, settled.output.dtype
        predicted = self._standardised_prediction(settled.output, backend.xp)
        with np.errstate(over="ignore"):
            restored = self._standardisation().invert(predicted, dtype, backend)
        largest = np.finfo(restored.dtype).max
        if not backend.is_device and np.isinf(restored).any():
            warn_at_call(
                f"Predictions beyond {largest:.3g}, the largest number of {restored.dtype}, are "
                "cut off there: divide the targets by a constant before fit.",
            )
            restored = np.clip(restored, -largest, largest)
        return restored.ravel() if self._single_output else restored

    def _standardisation(self) -> Standardisation:
        return Standardisation(self.target_mean_, self.target_scale_)

    def _loss(self) -> Loss:
        return LOSSES[self.loss]() if isinstance(self.loss, str) else WrappedLoss(self.loss)

    def _take_in_targets(
        self, y: np.ndarray, *, reset: bool, classes: Any = None, incremental: bool = False
    ) -> np.ndarray:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if sparse.issparse(y):
            msg = f"y is sparse, with {y.shape[1]} columns: pass y.toarray()."
            raise ValueError(msg)
        with np.errstate(over="ignore"):
            y = np.asarray(y, dtype=np.float64)
        if np.isnan(y).any():
            msg = f"y holds None, NaN or NA {np.isnan(y).sum()} times: leave out those rows."
            raise ValueError(msg)
        if not np.isfinite(y).all():
            msg = "y holds numbers beyond the largest of float64: divide it by a constant."
            raise ValueError(msg)
        n_outputs = _n_outputs(y)
        if reset:
            self._single_output = y.ndim == 1
            self.n_outputs_ = n_outputs
        else:
            self._check_outputs(y)
        if not reset and (self.loss == "poisson") != self._is_log_rate:
            msg = (
                f"loss={self.loss!r} gives the output another meaning than the loss that training "
                "started with: only 'poisson' takes it for a logarithm. Set loss back, or fit a "
                "fresh clone."
            )
            raise ValueError(msg)
        if self.loss == "poisson" and y.min() < 0:
            msg = (
                f"y holds {y.min():.4g}, but loss='poisson' is for targets >= 0, such as counts; "
                "use another loss."
            )
            raise ValueError(msg)
        return y.reshape(-1, n_outputs)

    def _standardise(
        self, y: np.ndarray, sample_weight: np.ndarray | None, *, first: bool, incremental: bool
    ) -> None:
        if first:
            self._is_log_rate = self.loss == "poisson"
            left_open = not vary(y)
        elif self._first_targets is not None:
            left_open = True
            y, sample_weight = joined(self._first_targets, (y, sample_weight))
        else:
            return
        kind = Standardisation.of_counts if self._is_log_rate else Standardisation.of
        standardisation = kind(y, sample_weight)
        self.target_mean_ = standardisation.mean
        self.target_scale_ = standardisation.scale
        left_open &= incremental and y.shape[0] < TELLING_ROWS
        self._first_targets = (y.copy(), sample_weight) if left_open else None

    def _warn_about_targets(self, y: np.ndarray) -> None:
        largest = np.abs(self._encode(y, np.float64)).max()
        if largest > FAR_TARGET:
            warn_at_call(
                f"y is up to {largest:.3g} times the scale of the targets that training started "
                "with away from their mean: it will learn slowly, or diverge. Start with a call "
                "that shows how targets vary, or fit a fresh clone.",
            )

    def _encode(self, y: np.ndarray, dtype: Any) -> np.ndarray:
        return self._standardisation().apply(y, dtype)

    def _score_of_output(
        self, output: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None
    ) -> float:
        standardised = self._encode(y, np.float64)
        predicted = self._standardised_prediction(output, np)
        return r2_of(standardised, predicted, sample_weight)

    def _plain_targets(self, y: Any) -> Any:
        return y

    def _original_targets(self, y: np.ndarray) -> np.ndarray:
        return y.ravel() if self._single_output else y

    def _stratify(self, y: np.ndarray) -> np.ndarray | None:
        return None

    def __sklearn_tags__(self) -> Any:
        """See scikit-learn's developer guide."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = self.loss == "poisson"
        return tags


def _n_outputs(y: np.ndarray) -> int:
    return 1 if y.ndim == 1 else y.shape[1]
