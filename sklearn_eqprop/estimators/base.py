"""What the classifier and the regressor share: parameters, fitting, settling."""

from __future__ import annotations

import math
import warnings
from abc import ABCMeta, abstractmethod
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_eqprop._sklearn_compat import (
    InvalidParameterError,
    _check_sample_weight,
    validate_data,
)
from sklearn_eqprop.backend import get_backend
from sklearn_eqprop.estimators.assembly import assemble_trainer, prediction_substrate
from sklearn_eqprop.estimators.connectivity import requested_wiring
from sklearn_eqprop.estimators.fitted_network import (
    FittedArrays,
    check_same_network,
    checked_arrays,
    settle_rows,
)
from sklearn_eqprop.estimators.fitting import run_training
from sklearn_eqprop.estimators.input_scale import column_scales, scaled, warn_about_input_scale
from sklearn_eqprop.estimators.parameters import (
    PARAMETER_CONSTRAINTS,
    check_available,
    hidden_sizes,
    layer_rates,
    loop_bound,
    warn_about_strong_nudge,
    warn_about_tied_depth,
)
from sklearn_eqprop.estimators.refused_pairs import (
    check_beta,
    check_clamp,
    check_clamped_loss,
    check_credit_coordinates,
    check_objective,
    check_objective_of_clamp,
)
from sklearn_eqprop.estimators.reporting import warn_about_training
from sklearn_eqprop.estimators.training_state import EndedBy, FitSettings, TrainingState
from sklearn_eqprop.estimators.weights import merged_rows, rows_that_count
from sklearn_eqprop.exceptions import DivergenceError
from sklearn_eqprop.learning.costs import Cost
from sklearn_eqprop.learning.epoch import TrainingData
from sklearn_eqprop.learning.substrate import SimulatedNetwork
from sklearn_eqprop.learning.trajectory import AveragingNetwork
from sklearn_eqprop.learning.user_cost import UserCost
from sklearn_eqprop.network import Network, Wiring, initial_weights, wired_network
from sklearn_eqprop.relaxation import Result

#: batch_size='auto' is at most this, as in scikit-learn's MLP.
AUTO_BATCH_SIZE = 200


class BaseEqProp(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, metaclass=ABCMeta
):
    """Common part of the estimators; see `EqPropClassifier` for the parameters."""

    _parameter_constraints: dict[str, list[Any]] = PARAMETER_CONSTRAINTS

    # ---- what differs between classifier and regressor --------------------------------------

    @abstractmethod
    def _cost(self) -> Cost:
        """Cost the network is trained by; needs the targets to have been taken in."""

    @abstractmethod
    def _take_in_targets(
        self, y: np.ndarray, *, reset: bool, classes: Any = None, incremental: bool = False
    ) -> np.ndarray:
        """Learn from y what the output layer stands for, or check y against it; return it clean."""

    def _standardise(self, y: np.ndarray, sample_weight: np.ndarray | None) -> None:
        """Learn the scale of the targets, where there is one, from the first samples seen."""

    def _effective_weight(
        self, y: np.ndarray, sample_weight: np.ndarray | None
    ) -> np.ndarray | None:
        """Sample weights with any further weighting of the estimator's own."""
        return sample_weight

    @abstractmethod
    def _encode(self, y: np.ndarray, dtype: Any) -> np.ndarray:
        """What the output layer is nudged towards, shape (n_samples, n_outputs_)."""

    @abstractmethod
    def _validation_score(
        self, output: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None
    ) -> float:
        """Score of output states on held-out rows, higher is better."""

    @abstractmethod
    def _stratify(self, y: np.ndarray) -> np.ndarray | None:
        """What to stratify a validation split by."""

    # ---- fitting ----------------------------------------------------------------------------

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        incremental: bool,
        classes: Any = None,
    ) -> None:
        """Train on (X, y); one epoch from where training stands if `incremental`.

        A call that fails leaves the estimator as it was, except that a fit which diverges
        after some good epochs keeps the weights of the last one.
        """
        before = dict(vars(self))
        try:
            state, ended, settings = self._fit_or_fail(
                X, y, sample_weight, incremental=incremental, classes=classes
            )
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        if isinstance(ended, DivergenceError):
            raise ended
        warn_about_training(state, ended, settings, self.coefs_[0].dtype)

    def _fit_or_fail(
        self, X: Any, y: Any, sample_weight: Any, *, incremental: bool, classes: Any
    ) -> tuple[TrainingState, EndedBy | DivergenceError, FitSettings]:
        """Validate, train and publish; return why training ended."""
        parameters = self.get_params(deep=False)
        check_available(parameters)
        check_objective(parameters)
        check_credit_coordinates(parameters)
        if self.beta == math.inf:
            check_clamp(parameters)
        if incremental and self.early_stopping:
            msg = "partial_fit does not support early_stopping=True; set it to False or use fit."
            raise ValueError(msg)
        hidden = hidden_sizes(self.hidden_layer_sizes)
        continuing = hasattr(self, "coefs_") and (incremental or self.warm_start)
        X, y = validate_data(
            self, X, y, dtype=[np.float64, np.float32], multi_output=True, reset=not continuing
        )
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
        X, y, sample_weight = rows_that_count(X, y, sample_weight, "sample_weight")
        y = self._take_in_targets(y, reset=not continuing, classes=classes, incremental=incremental)
        sample_weight = self._effective_weight(y, sample_weight)
        X, y, sample_weight = rows_that_count(X, y, sample_weight, "class_weight")
        if not continuing:
            self._standardise(y, sample_weight)
        if self._is_nudged:
            check_beta(self.beta, self.nudging, self.loss, self._cost(), held=True)
        sizes = (X.shape[1], *hidden, self.n_outputs_)
        n_layers = len(sizes) - 1
        layer_rates(self.learning_rate_init, n_layers)
        wiring = requested_wiring(
            self.connections, n_layers, feedback=self.feedback, gradient=self.gradient
        )
        if continuing:
            arrays = self._arrays().copy(None if self.dtype == "auto" else self.dtype)
            check_same_network(arrays, sizes, wiring, tied=self.feedback == "tied")
            state = self._training_state.copy()
            bound = loop_bound(parameters)
            state.forget_weights_of_others(bound, arrays.coefs, arrays.feedback_coefs)
            state.judge_by(self.early_stopping, self._loss_name)
        else:
            arrays, state = self._start(sizes, wiring, X.dtype)
            state.judge_by(self.early_stopping, self._loss_name)
            state.input_scales = column_scales(X, arrays.coefs[0].dtype)
            arrays.divide_inputs_by(state.input_scales)
        if not incremental:
            warn_about_input_scale(X, state.input_scales)
            warn_about_tied_depth(parameters, len(hidden))
            if self._is_nudged:
                warn_about_strong_nudge(parameters, self._cost().curvature, n_layers)
        settings = self._fit_settings(X.shape[0], incremental=incremental)
        n_epochs_before = state.n_epochs
        ended: EndedBy | DivergenceError
        try:
            with (
                arrays.facing_scaled_inputs(state.input_scales),
                np.errstate(over="ignore", invalid="ignore", divide="ignore"),
            ):
                ended = self._train(arrays, state, X, y, sample_weight, settings)
        except DivergenceError as error:
            if incremental or state.n_epochs == n_epochs_before:
                raise
            # What blew up is in these memories too.
            state.optimizer = state.guard_vectors = None
            ended = error
        self._publish(arrays, state, state.n_epochs - n_epochs_before)
        return state, ended, settings

    @property
    def _loss_name(self) -> str:
        """Name of the loss; of a loss of the user's own, that of its class."""
        return self.loss if isinstance(self.loss, str) else type(self.loss).__qualname__

    @property
    def _is_nudged(self) -> bool:
        """Whether learning nudges the output, so that β and `nudging` mean something."""
        return bool(self.gradient != "recurrent_backprop")

    def _start(
        self, sizes: tuple[int, ...], wiring: Wiring, X_dtype: Any
    ) -> tuple[FittedArrays, TrainingState]:
        """Weights and training state of a network that has seen nothing."""
        rng = check_random_state(self.random_state)
        # One stream a purpose: what one of them draws never shifts the others.
        seeds = rng.randint(2**31 - 1, size=4)
        coefs, intercepts, feedback_coefs = initial_weights(
            sizes,
            wiring,
            feedback_init=self.feedback_init,
            feedback_scale=self.feedback_scale,
            rng=np.random.RandomState(seeds[0]),
            dtype=X_dtype if self.dtype == "auto" else np.dtype(self.dtype),
        )
        state = TrainingState(
            split_seed=int(seeds[1]),
            shuffle_rng=np.random.RandomState(seeds[2]),
            nudging_rng=np.random.RandomState(seeds[3]),
            # Grown from a seed that is there already: one more draw would shift the draws of
            # others who use the same generator.
            probe_rng=np.random.RandomState([seeds[3], 1]),
        )
        tied = self.feedback == "tied"
        return FittedArrays(wiring, coefs, intercepts, None if tied else feedback_coefs), state

    def _fit_settings(self, n_samples: int, *, incremental: bool) -> FitSettings:
        batch_size = AUTO_BATCH_SIZE if self.batch_size == "auto" else self.batch_size
        return FitSettings(
            max_iter=1 if incremental else self.max_iter,
            schedule_length=self.max_iter,
            batch_size=min(batch_size, n_samples),
            learning_rate=self.learning_rate,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            early_stopping=self.early_stopping,
            shuffle=self.shuffle,
            alpha=self.alpha,
            # A clamped output moves as far as its error, and a linear system knows no nudge.
            beta=1.0 if self.beta == math.inf or not self._is_nudged else self.beta,
            averaged=self.objective == "trajectory",
            verbose=int(self.verbose),
            incremental=incremental,
        )

    def _train(
        self,
        arrays: FittedArrays,
        state: TrainingState,
        X: np.ndarray,
        y: np.ndarray,
        sample_weight: np.ndarray | None,
        settings: FitSettings,
    ) -> EndedBy:
        """Train `arrays` and `state` in place; return why training ended.

        Overflow is looked for, and reported in terms of the parameters, where it matters.
        """
        validation_score = None
        if self.early_stopping:
            X, y, sample_weight, held_out = self._split(X, y, sample_weight, state.split_seed)
            X_val, y_val, weight_val = held_out
            X_val = scaled(X_val, state.input_scales)

            def validation_score(network: Network) -> float:
                output = settle_rows(self._substrate(network), X_val).states[-1]
                return self._validation_score(output, y_val, weight_val)

        target = self._encode(y, arrays.coefs[0].dtype)
        n_samples = X.shape[0]
        cost = self._cost()
        if isinstance(cost, UserCost):
            backend = get_backend(self.backend)
            cost.try_out(backend.xp, backend.from_host(target, target.dtype))
        state.constant_loss = cost.constant_loss(target, sample_weight)
        if n_samples <= settings.batch_size:
            X, target, sample_weight = merged_rows(X, target, sample_weight)
        data = TrainingData(X, target, sample_weight, n_samples, state.input_scales)
        parameters = self.get_params(deep=False)
        trainer = assemble_trainer(parameters, self._network(arrays), cost, state)
        return run_training(trainer, data, state, settings, validation_score)

    def _split(
        self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None, seed: int
    ) -> tuple[Any, Any, Any, tuple[Any, Any, Any]]:
        """Rows to train on, and rows held out for early stopping."""
        indices = np.arange(X.shape[0])
        try:
            train, val = train_test_split(
                indices,
                test_size=self.validation_fraction,
                random_state=seed,
                stratify=self._stratify(y),
            )
        except ValueError as error:
            msg = (
                f"early_stopping=True cannot hold out validation_fraction="
                f"{self.validation_fraction} of {X.shape[0]} samples: {error} Raise "
                "validation_fraction, or set early_stopping=False."
            )
            raise ValueError(msg) from None
        if val.shape[0] < 2:
            msg = (
                f"validation_fraction={self.validation_fraction} leaves {val.shape[0]} of "
                f"{X.shape[0]} samples for validation; raise it, or set early_stopping=False."
            )
            raise ValueError(msg)

        def rows(part: np.ndarray) -> tuple[Any, Any, Any]:
            return X[part], y[part], None if sample_weight is None else sample_weight[part]

        return *rows(train), rows(val)

    def _publish(self, arrays: FittedArrays, state: TrainingState, n_epochs: int) -> None:
        """Set every fitted attribute."""
        self.connections_ = arrays.wiring.pairs
        self.coefs_ = arrays.coefs
        self.intercepts_ = arrays.intercepts
        self._feedback_coefs = arrays.feedback_coefs
        bound = loop_bound(self.get_params(deep=False))
        state.remember_weights(bound, arrays.coefs, arrays.feedback_coefs)
        self._training_state = state
        self.n_iter_ = n_epochs
        self.n_layers_ = len(arrays.intercepts) + 1
        self.t_ = state.n_samples_seen
        self.loss_curve_ = state.loss_curve
        curve = state.loss_curve or [math.nan]  # empty: interrupted in the first epoch
        self.loss_ = curve[-1]
        self.best_loss_ = None if self.early_stopping else min(curve)
        self.validation_scores_ = state.validation_scores if self.early_stopping else None
        self.relaxation_ = state.relaxation

    # ---- the fitted network -----------------------------------------------------------------

    @property
    def feedback_coefs_(self) -> list[np.ndarray] | tuple[np.ndarray, ...]:
        """Feedback weights, one array (n_source, n_target) a feedback connection.

        Assign other arrays to replace them. With ``feedback='tied'`` they are the transposes of
        their partners in ``coefs_``, follow those and cannot be assigned.
        """
        if not hasattr(self, "coefs_"):
            msg = f"{type(self).__name__!r} object has no attribute 'feedback_coefs_'"
            raise AttributeError(msg)
        if self._feedback_coefs is None:
            partners = Wiring.of(self.connections_).partners
            return tuple(self.coefs_[partner].T for partner in partners if partner is not None)
        return self._feedback_coefs

    @feedback_coefs_.setter
    def feedback_coefs_(self, value: list[np.ndarray]) -> None:
        if hasattr(self, "coefs_") and self._feedback_coefs is None:
            msg = "feedback_coefs_ is tied to coefs_ (feedback='tied'): assign coefs_ instead."
            raise AttributeError(msg)
        self._feedback_coefs = value

    def _arrays(self) -> FittedArrays:
        return checked_arrays(
            self.connections_,
            self.coefs_,
            self.intercepts_,
            self._feedback_coefs,
            n_inputs=self.n_features_in_,
            n_outputs=self.n_outputs_,
        )

    def _network(self, arrays: FittedArrays) -> Network:
        return wired_network(
            arrays.wiring,
            arrays.coefs,
            arrays.intercepts,
            arrays.feedback_coefs,
            activation=self.activation,
            backend=get_backend(self.backend),
        )

    def _substrate(self, network: Network) -> SimulatedNetwork | AveragingNetwork:
        return prediction_substrate(self.get_params(deep=False), network)

    def _settled(self, X: Any) -> Result:
        """Equilibrium of every row of X; warns where one is not reached."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        return self._settled_rows(X)

    def _settled_rows(self, X: np.ndarray, **nudge: Any) -> Result:
        """As `_settled`, of rows that have been validated."""
        result = settle_rows(self._substrate(self._network(self._arrays())), X, **nudge)
        if not result.converged.all():
            warnings.warn(result.reason, ConvergenceWarning, stacklevel=4)
        return result

    def relax(self, X: Any, y: Any = None, beta: float = 0.0) -> Result:
        """Let the network settle and return where it came to rest.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs, clamped.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Targets the output is nudged towards; needed where `beta` is not 0.
        beta : float, default=0.0
            Influence parameter. 0 gives the free fixed point (Eq. 10, Scellier et al. 2018); any
            other value goes on from there to the nudged one (Eq. 16), infinity to that with
            the output held at the target.

        Returns
        -------
        Result
            With ``states`` (list of L arrays (n_samples, n_l), layers 1 to L), ``n_steps``,
            ``residual``, ``converged`` (arrays of shape (n_samples,)) and ``reason`` (str). With
            ``objective='trajectory'`` the states are averages over the last ``n_averaged`` of
            ``n_steps`` steps, and ``residual`` is what still moves at the end of them. A nudged run
            starts where the free one has been after `max_relax_iter` steps.

        Raises
        ------
        ValueError
            If `beta` is not 0 and `y` is missing or does not fit, `beta` is so negative that the
            nudged phase would be unstable, or infinite and the loss not the squared error
            or the objective 'trajectory'.
        DivergenceError
            If a state is not finite.
        """
        check_is_fitted(self)
        if not isinstance(beta, Real):
            msg = f"beta must be a real number, 0 for the free phase. Got {beta!r}."
            raise InvalidParameterError(msg)
        if beta == 0:
            return self._settled(X)
        if y is None:
            msg = f"beta={beta!r} needs y: the targets the output is nudged towards."
            raise ValueError(msg)
        if beta == math.inf:
            check_objective_of_clamp(self.objective, math.inf)
            check_clamped_loss(self.loss)
        cost = self._cost()
        check_beta(beta, "one_sided", self.loss, cost, held=False)
        X, y = validate_data(
            self, X, y, dtype=[np.float64, np.float32], multi_output=True, reset=False
        )
        y = self._take_in_targets(y, reset=False)
        target = self._encode(y, self._arrays().coefs[0].dtype)
        return self._settled_rows(X, cost=cost, target=target, beta=float(beta))

    def transform(self, X: Any) -> np.ndarray:
        """Equilibrium states of the hidden layers (averages, see `objective`), input side first.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, sum of hidden_layer_sizes)
            States s_1 .. s_{L-1} of the free phase, side by side.
        """
        states = self._settled(X).states[:-1]
        if not states:
            msg = "transform needs a hidden layer, but hidden_layer_sizes is empty."
            raise ValueError(msg)
        return np.concatenate(states, axis=1)

    @property
    def _n_features_out(self) -> int:
        """Columns of `transform`, for get_feature_names_out."""
        return sum(intercept.shape[0] for intercept in self.intercepts_[:-1])

    def __sklearn_tags__(self) -> Any:
        """See scikit-learn's developer guide."""
        tags = super().__sklearn_tags__()
        preserved = ["float64", "float32"] if self.dtype == "auto" else [self.dtype]
        tags.transformer_tags.preserves_dtype = preserved
        return tags
