"""One call of fit or partial_fit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from sklearn_eqprop._sklearn_compat import _check_sample_weight, validate_data
from sklearn_eqprop.backend import ArrayBackend, get_backend
from sklearn_eqprop.estimators.array_home import on_host, received, validated_on_device
from sklearn_eqprop.estimators.assembly import assemble_trainer
from sklearn_eqprop.estimators.connectivity import requested_wiring
from sklearn_eqprop.estimators.fitted_network import (
    FittedArrays,
    check_same_network,
    settle_rows,
)
from sklearn_eqprop.estimators.fitting import run_training
from sklearn_eqprop.estimators.input_scale import (
    channel_scales,
    column_scales,
    scaled,
    warn_about_input_scale,
)
from sklearn_eqprop.estimators.layers import hidden_layers, requested_layout
from sklearn_eqprop.estimators.parameters import (
    layer_rates,
    loop_bound,
    warn_about_strong_nudge,
    warn_about_tied_depth,
)
from sklearn_eqprop.estimators.refused_pairs import (
    check_beta,
    check_clamp,
    check_convolutions,
    check_credit_coordinates,
    check_objective,
)
from sklearn_eqprop.estimators.reporting import warn_about_training
from sklearn_eqprop.estimators.settling import REAL_TYPES, Settling
from sklearn_eqprop.estimators.training_state import EndedBy, FitSettings, TrainingState
from sklearn_eqprop.estimators.weights import merged_rows, rows_that_count
from sklearn_eqprop.exceptions import DivergenceError
from sklearn_eqprop.learning.epoch import TrainingData
from sklearn_eqprop.learning.user_cost import UserCost
from sklearn_eqprop.network import Layout, Network, initial_weights

#: batch_size='auto' is at most this, as in scikit-learn's MLP.
AUTO_BATCH_SIZE = 200


class Training(Settling):
    """Validates, trains, publishes."""

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
        backend = get_backend(self.backend)
        check_objective(parameters)
        check_credit_coordinates(parameters)
        if self.beta == math.inf:
            check_clamp(parameters)
        if incremental and self.early_stopping:
            msg = "partial_fit does not support early_stopping=True; set it to False or use fit."
            raise ValueError(msg)
        hidden = hidden_layers(self.hidden_layer_sizes)
        check_convolutions(parameters, hidden)
        continuing = hasattr(self, "coefs_") and (incremental or self.warm_start)
        X, home = received(X, backend)
        #: Where X lives, if it is not the host.
        device = backend if home.on_device else None
        y, sample_weight = on_host(y), on_host(sample_weight)
        if device is not None and y is not None:
            X, y = validated_on_device(self, X, y, device, reset=not continuing)
        else:
            X, y = validate_data(
                self, X, y, dtype=REAL_TYPES, multi_output=True, reset=not continuing
            )
        if sample_weight is not None:
            rows = X if device is None else y
            sample_weight = _check_sample_weight(sample_weight, rows, dtype=np.float64)
        take_rows = backend.take_rows
        X, y, sample_weight = rows_that_count(X, y, sample_weight, "sample_weight", take_rows)
        y = self._take_in_targets(y, reset=not continuing, classes=classes, incremental=incremental)
        sample_weight = self._effective_weight(y, sample_weight)
        X, y, sample_weight = rows_that_count(X, y, sample_weight, "class_weight", take_rows)
        if not continuing:
            self._standardise(y, sample_weight)
        if self._is_nudged:
            check_beta(self.beta, self.nudging, self.loss, self._cost(), held=True)
        n_layers = len(hidden) + 1
        layer_rates(self.learning_rate_init, n_layers)
        wiring = requested_wiring(
            self.connections, n_layers, feedback=self.feedback, gradient=self.gradient
        )
        layout = requested_layout(
            hidden,
            self.input_shape,
            wiring,
            n_features=X.shape[1],
            n_outputs=self.n_outputs_,
        )
        if continuing:
            arrays = self._arrays().copy(None if self.dtype == "auto" else self.dtype)
            check_same_network(arrays, layout, tied=self.feedback == "tied")
            state = self._training_state.copy()
            bound = loop_bound(parameters)
            state.forget_weights_of_others(bound, arrays.coefs, arrays.feedback_coefs)
            state.judge_by(self.early_stopping, self._loss_name)
        else:
            arrays, state = self._start(layout, X.dtype)
            state.judge_by(self.early_stopping, self._loss_name)
            dtype = arrays.coefs[0].dtype
            if layout.reads_maps:
                state.input_scales = channel_scales(X, dtype, layout.shapes[0][-1], device)
            else:
                state.input_scales = column_scales(X, dtype, device)
            arrays.divide_inputs_by(state.input_scales)
        if not incremental:
            warn_about_input_scale(X, state.input_scales, device)
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
                ended = self._train(arrays, state, X, y, sample_weight, settings, backend)
        except backend.out_of_memory as error:
            if not backend.is_device:
                raise
            raise _out_of_memory(settings.batch_size, error) from error
        except DivergenceError as error:
            if incremental or state.n_epochs == n_epochs_before:
                raise
            # What blew up is in these memories too.
            state.optimizer = state.guard_vectors = None
            ended = error
        self._publish(arrays, state, state.n_epochs - n_epochs_before, backend.name)
        return state, ended, settings

    def _start(self, layout: Layout, X_dtype: Any) -> tuple[FittedArrays, TrainingState]:
        """Weights and training state of a network that has seen nothing."""
        rng = check_random_state(self.random_state)
        # One stream a purpose: what one of them draws never shifts the others.
        seeds = rng.randint(2**31 - 1, size=4)
        coefs, intercepts, feedback_coefs = initial_weights(
            layout.sizes,
            layout.wiring,
            feedback_init=self.feedback_init,
            feedback_scale=self.feedback_scale,
            rng=np.random.RandomState(seeds[0]),
            dtype=X_dtype if self.dtype == "auto" else np.dtype(self.dtype),
            layout=layout,
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
        return FittedArrays(layout, coefs, intercepts, None if tied else feedback_coefs), state

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
        X: Any,
        y: np.ndarray,
        sample_weight: np.ndarray | None,
        settings: FitSettings,
        backend: ArrayBackend,
    ) -> EndedBy:
        """Train `arrays` and `state` in place; return why training ended.

        Overflow is looked for, and reported in terms of the parameters, where it matters.
        """
        validation_score = None
        if self.early_stopping:
            X, y, sample_weight, held_out = self._split(
                X, y, sample_weight, state.split_seed, backend
            )
            X_val, y_val, weight_val = held_out
            lives_on_device = not isinstance(X_val, np.ndarray)
            X_val = scaled(X_val, state.input_scales, backend if lives_on_device else None)
            if backend.is_device:  # once, not in every epoch
                X_val = backend.from_host(X_val, arrays.coefs[0].dtype)

            def validation_score(network: Network) -> float:
                output = settle_rows(self._substrate(network), X_val).states[-1]
                return self._validation_score(backend.to_host(output), y_val, weight_val)

        target = self._encode(y, arrays.coefs[0].dtype)
        n_samples = X.shape[0]
        cost = self._cost()
        if isinstance(cost, UserCost):
            cost.try_out(backend.xp, backend.from_host(target, target.dtype))
        state.constant_loss = cost.constant_loss(target, sample_weight)
        if n_samples <= settings.batch_size and isinstance(X, np.ndarray):
            X, target, sample_weight = merged_rows(X, target, sample_weight)
        data = TrainingData(X, target, sample_weight, n_samples, state.input_scales)
        parameters = self.get_params(deep=False)
        network = self._network(arrays, backend)
        trainer = assemble_trainer(parameters, network, cost, state)
        try:
            ended = run_training(trainer, data, state, settings, validation_score)
        except DivergenceError:  # it holds the last good weights
            arrays.take_from(network)
            raise
        arrays.take_from(network)
        return ended

    def _split(
        self,
        X: Any,
        y: np.ndarray,
        sample_weight: np.ndarray | None,
        seed: int,
        backend: ArrayBackend,
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
            weight = None if sample_weight is None else sample_weight[part]
            return backend.take_rows(X, part), y[part], weight

        return *rows(train), rows(val)


def _out_of_memory(batch_size: int, error: BaseException) -> MemoryError:
    """What a user can do about a device that is full; the estimator is as before the call."""
    reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    return MemoryError(
        f"The device has no memory left for minibatches of batch_size={batch_size} samples "
        f"({reason}). Use a smaller batch_size, fewer or smaller hidden layers, dtype='float32', "
        "or backend='numpy'. The estimator is as it was before."
    )
