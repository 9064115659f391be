"""One call of fit or partial_fit: validate, train, publish; or leave everything as it was."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sklearn_eqprop._backend import ArrayBackend, NumpyBackend, get_backend
from sklearn_eqprop._estimators.data.device_memory import (
    FEWER_ROWS,
    SMALLER_NETWORK,
    explaining_full_device,
    rows_of,
)
from sklearn_eqprop._estimators.data.held_out import (
    Rows,
    check_validation_arguments,
    merged_rows,
    split_rows,
)
from sklearn_eqprop._estimators.fitted.fitted_network import FittedArrays, check_weights_of_inputs
from sklearn_eqprop._estimators.fitting.assembly import assemble_trainer, start_within_bound
from sklearn_eqprop._estimators.fitting.epoch_callbacks import EpochCallbacks
from sklearn_eqprop._estimators.fitting.fitting import run_training
from sklearn_eqprop._estimators.fitting.judging import judge_by_held_out
from sklearn_eqprop._estimators.fitting.reporting import warn_about_training
from sklearn_eqprop._estimators.fitting.training_state import EndedBy, FitSettings, TrainingState
from sklearn_eqprop._estimators.preparation import Preparation
from sklearn_eqprop._losses.user_loss import WrappedLoss
from sklearn_eqprop._training.epoch import TrainingData
from sklearn_eqprop.exceptions import DivergenceError


class Training(Preparation):
    """Trains and publishes."""

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
        looked_over = rows_of(X)
        if validation[0] is not None:
            looked_over += f" and {rows_of(validation[0], 'X_val')}"
        try:
            self._check_parameters(incremental=incremental)
            check_validation_arguments(*validation, early_stopping=self.early_stopping)
            backend = get_backend(self.backend)
            with explaining_full_device(backend, f"looking over {looked_over}", FEWER_ROWS):
                state, ended, settings = self._fit_or_fail(
                    X,
                    y,
                    sample_weight,
                    backend,
                    incremental=incremental,
                    classes=classes,
                    validation=validation,
                    callbacks=callbacks,
                )
            callbacks.ended()
            if not isinstance(ended, DivergenceError):
                warn_about_training(state, ended, settings, self.n_iter_, self.coefs_[0].dtype)
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
        backend: ArrayBackend,
        *,
        incremental: bool,
        classes: Any,
        validation: tuple[Any, Any, Any],
        callbacks: EpochCallbacks,
    ) -> tuple[TrainingState, EndedBy | DivergenceError, FitSettings]:
        """Validate, train and publish; return why training ended."""
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
            self._warn_about_other_scales(rows, state)
        if not incremental:
            self._warn_beforehand(rows, state, arrays.layout)
        settings = self._fit_settings(rows.n_samples, incremental=incremental)
        n_epochs_before = state.n_epochs
        callbacks.begin(arrays.layout, state.input_scales)
        minibatches = f"minibatches of batch_size={settings.batch_size} samples"
        remedy = f"Use a smaller batch_size, {SMALLER_NETWORK}"
        ended: EndedBy | DivergenceError
        try:
            with (
                np.errstate(over="ignore", invalid="ignore", divide="ignore"),
                arrays.facing_scaled_inputs(state.input_scales),
                explaining_full_device(backend, minibatches, remedy),
            ):
                ended = self._train(arrays, state, rows, held_out, settings, callbacks, backend)
        except DivergenceError as error:
            if incremental or state.n_epochs == n_epochs_before:
                raise
            # What blew up is in these memories too.
            state.optimizer = state.guard_vectors = None
            ended = error
        if state.input_scales is not None:  # which the weights have just taken in
            check_weights_of_inputs(arrays, rows.X)
        self._publish(arrays, state, state.n_epochs - n_epochs_before, backend.name)
        return state, ended, settings

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
        loss = self._loss()
        if isinstance(loss, WrappedLoss):
            loss.try_out(backend.xp, backend.from_host(target, target.dtype))
        state.constant_loss = loss.constant_loss(target, weight)
        if rows.n_samples <= settings.batch_size and rows.device is None:
            X, target, weight = merged_rows(X, target, weight)
        data = TrainingData(X, target, weight, rows.n_samples, state.input_scales)
        parameters = self._parameters()
        if state.guard_vectors is None:
            start_within_bound(parameters, self._network(arrays, NumpyBackend()), state)
        network = self._network(arrays, backend)
        trainer = assemble_trainer(parameters, network, loss, state)
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
