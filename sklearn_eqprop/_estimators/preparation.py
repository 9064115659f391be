"""What a fit starts from: rows, the network, the state of training; and what is said beforehand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from sklearn_eqprop._backend import ArrayBackend
from sklearn_eqprop._estimators.data.columns import (
    scales_of,
    warn_about_columns,
    warn_about_other_scale,
    warn_about_outliers,
)
from sklearn_eqprop._estimators.data.held_out import Rows, check_inputs_fit
from sklearn_eqprop._estimators.data.inputs import (
    rows_that_count,
    validated_pair,
    validated_weight,
)
from sklearn_eqprop._estimators.fitted.fitted_network import FittedArrays, check_same_network
from sklearn_eqprop._estimators.fitting.judging import name_of_scoring
from sklearn_eqprop._estimators.fitting.training_state import FitSettings, TrainingState
from sklearn_eqprop._estimators.parameters.connectivity import (
    requested_wiring,
    warn_about_short_runs,
)
from sklearn_eqprop._estimators.parameters.layers import hidden_layers, requested_layout
from sklearn_eqprop._estimators.parameters.parameters import (
    chosen_layers,
    layer_rates,
    loop_bound,
    warn_about_strong_nudge,
    warn_about_tied_depth,
    warn_about_winners,
)
from sklearn_eqprop._estimators.parameters.refused_pairs import (
    check_beta,
    check_clamp,
    check_convolutions,
    check_credit_coordinates,
    check_objective,
)
from sklearn_eqprop._estimators.settling import Settling
from sklearn_eqprop._network import Layout, initial_weights

#: batch_size='auto' is at most this, as in scikit-learn's MLP.
AUTO_BATCH_SIZE = 200


class Preparation(Settling):
    """Validates what is passed to fit, and builds or copies what training will change."""

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
        name = "class_weight" if weight is None else "class_weight times sample_weight"
        weight = self._effective_weight(y, weight)
        X, y, weight = rows_that_count(X, y, weight, name, take_rows)
        self._standardise(y, weight, first=not continuing, incremental=incremental)
        if self._is_nudged:
            check_beta(self.beta, self.nudging, self.loss, self._loss(), held=True)
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
        wiring = requested_wiring(self._parameters(), n_layers)
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
            state = self._training_state.copy(self._drawn_streams(rows.n_samples))
            bound = loop_bound(self._parameters())
            state.forget_weights_of_others(bound, arrays.in_loops)
        else:
            arrays, state = self._start(layout, rows.X.dtype)
            dtype = arrays.coefs[0].dtype
            n_channels = layout.shapes[0][-1] if layout.reads_maps else None
            state.input_scales = scales_of(rows.columns, dtype, n_channels)
            arrays.divide_inputs_by(state.input_scales)
        check_inputs_fit(rows, arrays.coefs[0].dtype)
        if held_out is not None:
            check_inputs_fit(held_out, arrays.coefs[0].dtype, "X_val")
        measure = (
            self.early_stopping,
            self.restore_best_weights,
            self._loss_name,
            name_of_scoring(self.scoring),
        )
        state.judge_by(*measure, *(() if held_out is None else held_out.fingerprint))
        return arrays, state

    def _drawn_streams(self, n_samples: int) -> list[str]:
        """Random streams of the training state that training on so many samples may draw from."""
        draws = {
            "shuffle_rng": self.shuffle and n_samples > self._most_samples_a_batch,
            "nudging_rng": self.nudging == "random_sign",
            "probe_rng": self.feedback_learning == "homeostasis",
        }
        return [name for name, is_drawn in draws.items() if is_drawn]

    @property
    def _most_samples_a_batch(self) -> int:
        return AUTO_BATCH_SIZE if self.batch_size == "auto" else self.batch_size

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
            spread=self._spread_of_units,
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

    def _warn_about_other_scales(self, rows: Rows, state: TrainingState) -> None:
        warn_about_other_scale(rows.columns, state.input_scales)
        self._warn_about_targets(rows.y)

    def _warn_beforehand(self, rows: Rows, state: TrainingState, layout: Layout) -> None:
        parameters, n_layers = self._parameters(), layout.wiring.n_layers
        n_channels = layout.shapes[0][-1] if layout.reads_maps else None
        warn_about_columns(rows.columns, state.input_scales, n_channels)
        if rows.device is None:
            warn_about_outliers(rows.X, rows.columns, state.input_scales)
        warn_about_tied_depth(parameters, n_layers - 1)
        warn_about_winners(parameters)
        warn_about_short_runs(parameters, layout.wiring)
        if self._is_nudged:
            warn_about_strong_nudge(parameters, self._loss().curvature, n_layers)

    def _fit_settings(self, n_samples: int, *, incremental: bool) -> FitSettings:
        return FitSettings(
            max_iter=1 if incremental else self.max_iter,
            schedule_length=self.max_iter,
            batch_size=min(self._most_samples_a_batch, n_samples),
            learning_rate=self.learning_rate,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            early_stopping=self.early_stopping,
            restore_best=not incremental and (self.early_stopping or self.restore_best_weights),
            shuffle=self.shuffle,
            alpha=self.alpha,
            beta=self._nudge_strength,
            averaged=self.objective == "trajectory",
            verbose=int(self.verbose),
            incremental=incremental,
        )
