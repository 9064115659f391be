"""One call of fit or partial_fit: validate, train, publish; or leave everything as it was."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from sklearn_eqprop.backend import ArrayBackend, get_backend
from sklearn_eqprop.estimators.assembly import assemble_trainer
from sklearn_eqprop.estimators.connectivity import requested_wiring
from sklearn_eqprop.estimators.device_memory import explaining_full_device
from sklearn_eqprop.estimators.epoch_callbacks import EpochCallbacks
from sklearn_eqprop.estimators.fitted_network import (
    FittedArrays,
    check_same_network,
    check_weights_of_inputs,
)
from sklearn_eqprop.estimators.fitting import run_training
from sklearn_eqprop.estimators.held_out import Rows, check_validation_arguments, split_rows
from sklearn_eqprop.estimators.input_scale import (
    channel_scales,
    column_scales,
    warn_about_input_scale,
    warn_about_other_scale,
    warn_about_outliers,
)
from sklearn_eqprop.estimators.inputs import validated_pair, validated_weight
from sklearn_eqprop.estimators.judging import judge_by_held_out, name_of_scoring
from sklearn_eqprop.estimators.layers import hidden_layers, requested_layout
from sklearn_eqprop.estimators.parameters import (
    chosen_layers,
    layer_rates,
    loop_bound,
    warn_about_strong_nudge,
    warn_about_tied_depth,
    warn_about_winners,
)
from sklearn_eqprop.estimators.refused_pairs import (
    check_beta,
    check_clamp,
    check_convolutions,
    check_credit_coordinates,
    check_objective,
)
from sklearn_eqprop.estimators.reporting import warn_about_training
from sklearn_eqprop.estimators.settling import Settling
from sklearn_eqprop.estimators.training_state import EndedBy, FitSettings, TrainingState
from sklearn_eqprop.estimators.weights import merged_rows, rows_that_count
from sklearn_eqprop.exceptions import DivergenceError
from sklearn_eqprop.learning.epoch import TrainingData
from sklearn_eqprop.learning.user_cost import UserCost
from sklearn_eqprop.network import Layout, initial_weights

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
        validation: tuple[Any, Any, Any] = (None, None, None),
    ) -> None:
        """Train on (X, y); one epoch from where training stands if `incremental`.

        A call that fails leaves the estimator as it was, except that a fit which diverges or
        is interrupted after some good epochs keeps the weights of the last one.

        `validation` is X_val, y_val and sample_weight_val.
        """
        callbacks = EpochCallbacks(self, X, y, sample_weight, of_fit=not incremental)
        before = dict(vars(self))
        rng = self.random_state
        rng_before = rng.get_state() if isinstance(rng, np.random.RandomState) else None
        try:
            state, ended, settings = self._fit_or_fail(
                X,
                y,
                sample_weight,
                incremental=incremental,
                classes=classes,
                validation=validation,
                callbacks=callbacks,
            )
            callbacks.ended()
            if not isinstance(ended, DivergenceError):
                warn_about_training(state, ended, settings, self.coefs_[0].dtype)
        except BaseException:  # a warning that a filter has made an error, too
            self.__dict__.clear()
            self.__dict__.update(before)
            if rng_before is not None:
                rng.set_state(rng_before)
            raise
        if isinstance(ended, DivergenceError):
            raise ended

    def _fit_or_fail(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        incremental: bool,
        classes: Any,
        validation: tuple[Any, Any, Any],
        callbacks: EpochCallbacks,
    ) -> tuple[TrainingState, EndedBy | DivergenceError, FitSettings]:
        """Validate, train and publish; return why training ended."""
        self._check_parameters(incremental=incremental)
        check_validation_arguments(*validation, early_stopping=self.early_stopping)
        backend = get_backend(self.backend)
        continuing = hasattr(self, "coefs_") and (incremental or self.warm_start)
        rows = self._rows_to_fit(
            X,
            y,
            sample_weight,
            backend,
            classes=classes,
            continuing=continuing,
            incremental=incremental,
        )
        held_out = self._rows_to_judge(*validation, backend)
        arrays, state = self._network_to_train(rows, held_out, continuing=continuing)
        if continuing:
            warn_about_other_scale(rows.X, state.input_scales, rows.device)
            self._warn_about_targets(rows.y)
        if not incremental:
            self._warn_beforehand(rows, state, len(arrays.intercepts))
        settings = self._fit_settings(rows.n_samples, incremental=incremental)
        n_epochs_before = state.n_epochs
        callbacks.begin(arrays.layout, state.input_scales)
        minibatches = f"minibatches of batch_size={settings.batch_size} samples"
        ended: EndedBy | DivergenceError
        try:
            with (
                np.errstate(over="ignore", invalid="ignore", divide="ignore"),
                arrays.facing_scaled_inputs(state.input_scales),
                explaining_full_device(backend, minibatches, "Use a smaller batch_size"),
            ):
                ended = self._train(arrays, state, rows, held_out, settings, callbacks, backend)
        except DivergenceError as error:
            if incremental or state.n_epochs == n_epochs_before:
                raise
            # What blew up is in these memories too.
            state.optimizer = state.guard_vectors = None
            ended = error
        check_weights_of_inputs(arrays, rows.X)
        self._publish(arrays, state, state.n_epochs - n_epochs_before, backend.name)
        return state, ended, settings

    def _check_parameters(self, *, incremental: bool) -> None:
        """Refuse parameters that this call cannot work with."""
        parameters = self._usable_parameters()
        check_objective(parameters)
        check_credit_coordinates(parameters)
        if self.beta == math.inf:
            check_clamp(parameters)
        if incremental and self.early_stopping:
            msg = "partial_fit does not support early_stopping=True; set it to False or use fit."
            raise ValueError(msg)
        check_convolutions(parameters, hidden_layers(self.hidden_layer_sizes))

    def _rows_to_fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        backend: ArrayBackend,
        *,
        classes: Any,
        continuing: bool,
        incremental: bool,
    ) -> Rows:
        """Rows that count, with clean targets; what the targets stand for is learned or checked."""
        X, y, home = validated_pair(self, X, y, backend, reset=not continuing)
        take_rows = backend.take_rows
        weight = validated_weight(sample_weight, y)
        X, y, weight = rows_that_count(X, y, weight, "sample_weight", take_rows)
        y = self._take_in_targets(y, reset=not continuing, classes=classes, incremental=incremental)
        if continuing and not incremental:
            self._check_goes_on(y)
        weight = self._effective_weight(y, weight)
        X, y, weight = rows_that_count(X, y, weight, "class_weight", take_rows)
        if not continuing:
            self._standardise(y, weight)
        if self._is_nudged:
            check_beta(self.beta, self.nudging, self.loss, self._cost(), held=True)
        return Rows(X, y, weight, backend if home.on_device else None)

    def _rows_to_judge(
        self, X_val: Any, y_val: Any, sample_weight_val: Any, backend: ArrayBackend
    ) -> Rows | None:
        """The user's validation set, if there is one."""
        if X_val is None:
            return None
        try:
            X, y, home = validated_pair(self, X_val, self._plain_targets(y_val), backend)
            weight = validated_weight(sample_weight_val, y, "sample_weight_val")
            X, y, weight = rows_that_count(X, y, weight, "sample_weight_val", backend.take_rows)
            y = self._take_in_targets(y, reset=False)
        except ValueError as error:
            msg = f"In the validation set (X_val, y_val, sample_weight_val): {error}"
            raise ValueError(msg) from error
        return Rows(X, y, weight, backend if home.on_device else None)

    def _network_to_train(
        self, rows: Rows, held_out: Rows | None, *, continuing: bool
    ) -> tuple[FittedArrays, TrainingState]:
        """Arrays and state that training may change: fresh ones, or copies of those there are."""
        hidden = hidden_layers(self.hidden_layer_sizes)
        n_layers = len(hidden) + 1
        chosen_layers(self.transform_layers, n_layers)
        layer_rates(self.learning_rate_init, n_layers)
        wiring = requested_wiring(
            self.connections, n_layers, feedback=self.feedback, gradient=self.gradient
        )
        layout = requested_layout(
            hidden,
            self.input_shape,
            wiring,
            n_features=rows.X.shape[1],
            n_outputs=self.n_outputs_,
        )
        if continuing:
            arrays = self._arrays().copy(None if self.dtype == "auto" else self.dtype)
            check_same_network(arrays, layout, tied=self.feedback == "tied")
            state = self._training_state.copy()
            bound = loop_bound(self._parameters())
            state.forget_weights_of_others(bound, arrays.coefs, arrays.feedback_coefs)
        else:
            arrays, state = self._start(layout, rows.X.dtype)
            dtype = arrays.coefs[0].dtype
            if layout.reads_maps:
                state.input_scales = channel_scales(
                    rows.X, dtype, layout.shapes[0][-1], rows.device
                )
            else:
                state.input_scales = column_scales(rows.X, dtype, rows.device)
            arrays.divide_inputs_by(state.input_scales)
        measure = (
            self.early_stopping,
            self.restore_best_weights,
            self._loss_name,
            name_of_scoring(self.scoring),
        )
        state.judge_by(*measure, held_out=None if held_out is None else held_out.X)
        return arrays, state

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
        split_seed, shuffle_seed, nudging_seed = (int(seed) for seed in seeds[1:])
        streams = {
            "shuffle_rng": shuffle_seed,
            "nudging_rng": nudging_seed,
            # Grown from a seed that is there already: one more draw would shift the draws of
            # others who use the same generator.
            "probe_rng": [nudging_seed, 1],
        }
        state = TrainingState.seeded(split_seed, streams)
        tied = self.feedback == "tied"
        return FittedArrays(layout, coefs, intercepts, None if tied else feedback_coefs), state

    def _warn_beforehand(self, rows: Rows, state: TrainingState, n_layers: int) -> None:
        parameters = self._parameters()
        warn_about_input_scale(rows.X, state.input_scales, rows.device)
        if rows.device is None:
            warn_about_outliers(rows.X, state.input_scales)
        warn_about_tied_depth(parameters, n_layers - 1)
        warn_about_winners(parameters)
        if self._is_nudged:
            warn_about_strong_nudge(parameters, self._cost().curvature, n_layers)

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
            restore_best=not incremental and (self.early_stopping or self.restore_best_weights),
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
        rows: Rows,
        held_out: Rows | None,
        settings: FitSettings,
        callbacks: EpochCallbacks,
        backend: ArrayBackend,
    ) -> EndedBy:
        """Train `arrays` and `state` in place; return why training ended.

        Overflow is looked for, and reported in terms of the parameters, where it matters.
        """
        validation_score = None
        if self.early_stopping:
            if held_out is None:
                stratify = self._stratify(rows.y)
                rows, held_out = split_rows(
                    rows, self.validation_fraction, state.split_seed, stratify
                )
            validation_score = judge_by_held_out(self, held_out, arrays.layout, state.input_scales)
        X, weight = rows.X, rows.weight
        target = self._encode(rows.y, arrays.coefs[0].dtype)
        cost = self._cost()
        if isinstance(cost, UserCost):
            cost.try_out(backend.xp, backend.from_host(target, target.dtype))
        state.constant_loss = cost.constant_loss(target, weight)
        if rows.n_samples <= settings.batch_size and rows.device is None:
            X, target, weight = merged_rows(X, target, weight)
        data = TrainingData(X, target, weight, rows.n_samples, state.input_scales)
        network = self._network(arrays, backend)
        trainer = assemble_trainer(self._parameters(), network, cost, state)
        try:
            ended = run_training(trainer, data, state, settings, validation_score, callbacks)
        except DivergenceError:  # fit goes on with the last good weights, which it holds
            arrays.take_from(network)
            raise
        arrays.take_from(network)
        if settings.incremental and self.restore_best_weights:
            # The weights that did best are gone.
            state.best_score, state.n_waiting = -math.inf, 0
        return ended
