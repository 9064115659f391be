"""The start of a fit: rows that count, the network and its memory of training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_eqprop._backend import ArrayBackend
from sklearn_eqprop._estimators.data.columns import (
    scales_of,
    warn_about_columns,
    warn_about_other_scale,
    warn_about_outliers,
)
from sklearn_eqprop._estimators.data.held_out import Rows, check_inputs_fit
from sklearn_eqprop._estimators.data.inputs import (
    rows_of,
    rows_that_count,
    validated_pair,
    validated_weight,
)
from sklearn_eqprop._estimators.fitted.arrays import FittedArrays, check_same_network
from sklearn_eqprop._estimators.fitting.state import TrainingState
from sklearn_eqprop._estimators.parameters.architecture import requested_layout
from sklearn_eqprop._estimators.parameters.checks import check_beta, warn_beforehand
from sklearn_eqprop._estimators.parameters.config import Config
from sklearn_eqprop._estimators.targets import Targets
from sklearn_eqprop._network import Layout, initial_weights
from sklearn_eqprop._rules import NUDGINGS


@dataclass(frozen=True)
class Fitted:
    """A trained network: arrays, targets and memory of training.

    Attributes
    ----------
    arrays : FittedArrays
    targets : Labels or Numbers
    state : TrainingState
    """

    arrays: FittedArrays
    targets: Targets
    state: TrainingState


@dataclass(frozen=True)
class Call:
    """The arguments of one call of ``fit`` or ``partial_fit``, as the user passed them.

    Attributes
    ----------
    X, y, sample_weight : array-like
    classes : array-like or None
    validation : tuple
        X_val, y_val and sample_weight_val.
    incremental : bool
        Whether this is ``partial_fit``.
    """

    X: Any
    y: Any
    sample_weight: Any
    classes: Any = None
    validation: tuple[Any, Any, Any] = (None, None, None)
    incremental: bool = False

    @property
    def rows_in_words(self) -> str:
        """The rows of X, and of X_val, for messages."""
        X_val = self.validation[0]
        return rows_of(self.X) + ("" if X_val is None else f" and {rows_of(X_val, 'X_val')}")


def rows_to_fit(
    estimator: Any, config: Config, call: Call, previous: Fitted | None, backend: ArrayBackend
) -> tuple[Rows, Targets]:
    """Return the rows that count, with clean targets, and what is known about the targets.

    Parameters
    ----------
    estimator : EqPropClassifier or EqPropRegressor
        A copy. It learns the number and the names of the features.
    config : Config
    call : Call
    previous : Fitted or None
        Where training continues; None: it starts anew.
    backend : ArrayBackend

    Returns
    -------
    rows, targets : Rows, Labels or Numbers

    Raises
    ------
    ValueError
        If X, y, the weights, or β for this loss are not usable.
    """
    first = previous is None
    y = estimator._targets.plain(call.y)
    X, y, home = validated_pair(estimator, call.X, y, backend, reset=first)
    take_rows = backend.take_rows
    weight = validated_weight(call.sample_weight, y)
    X, y, weight = rows_that_count(X, y, weight, "sample_weight", take_rows)
    targets: Targets
    if previous is None:
        kind = estimator._targets
        targets, y = kind.first(y, config, call.classes, incremental=call.incremental)
    else:
        targets = previous.targets
        y = targets.checked(y, config, call.classes)
        if not call.incremental:
            targets.check_warm_start(y)
    name = "class_weight" if weight is None else "class_weight times sample_weight"
    weight = targets.weight(y, weight)
    X, y, weight = rows_that_count(X, y, weight, name, take_rows)
    targets = targets.scaled(y, weight, first=first, incremental=call.incremental)
    if config.rule.nudged:
        pushes_away = config.pushes_away
        check_beta(config, targets.loss, config.beta, pushes_away=pushes_away, held=True)
    return Rows(X, y, weight, backend if home.on_device else None), targets


def rows_to_judge(
    estimator: Any, config: Config, targets: Targets, call: Call, backend: ArrayBackend
) -> Rows | None:
    """Return the user's validation set, or None if there is none.

    Raises
    ------
    ValueError
        If it does not fit the training data.
    """
    X, y, weight = call.validation
    if X is None:
        return None
    try:
        X, y, home = validated_pair(estimator, X, targets.plain(y), backend)
        weight = validated_weight(weight, y, "sample_weight_val")
        X, y, weight = rows_that_count(X, y, weight, "sample_weight_val", backend.take_rows)
        y = targets.checked(y, config)
    except ValueError as error:
        msg = f"In the validation set (X_val, y_val, sample_weight_val): {error}"
        raise ValueError(msg) from error
    return Rows(X, y, weight, backend if home.on_device else None)


def network_to_train(
    config: Config,
    rows: Rows,
    held_out: Rows | None,
    targets: Targets,
    previous: Fitted | None,
    rng: np.random.RandomState | None,
    *,
    incremental: bool,
) -> tuple[FittedArrays, TrainingState]:
    """Return arrays and memory that training may change: new ones, or copies of the previous ones.

    Warns about inputs, targets and parameters that are unlikely to work.

    Parameters
    ----------
    config : Config
    rows, held_out : Rows, Rows or None
    targets : Labels or Numbers
    previous : Fitted or None
    rng : RandomState
        Source of the initial weights and of all random streams of a new network.
    incremental : bool

    Raises
    ------
    ValueError
        If a parameter does not fit the data, or the previous network has another shape.
    """
    n_layers = len(config.hidden) + 1
    config.chosen_layers(n_layers)
    config.layer_rates(n_layers)
    layout = requested_layout(config, n_features=rows.X.shape[1], n_outputs=targets.n_outputs)
    n_channels = layout.shapes[0][-1] if layout.reads_maps else None
    if previous is not None:
        arrays = previous.arrays.copy(None if config.dtype == "auto" else config.dtype)
        check_same_network(arrays, layout, tied=config.tied)
        state = previous.state.copy(_drawn_streams(config, rows.n_samples))
        state.forget_other_weights(config.loop_bound, arrays.in_loops)
    else:
        assert rng is not None
        arrays, state = _new_network(config, layout, rows.X.dtype, targets.spread_of_units, rng)
        state.input_scales = scales_of(rows.columns, arrays.dtype, n_channels)
        arrays.divide_inputs_by(state.input_scales)
    check_inputs_fit(rows, arrays.dtype)
    if held_out is not None:
        check_inputs_fit(held_out, arrays.dtype, "X_val")
    judge = (config.early_stopping, config.restore_best_weights, config.loss_name)
    scoring = config.scoring
    by_name = scoring if scoring is None or isinstance(scoring, str) else repr(scoring)
    state.judge_by(*judge, by_name, *(() if held_out is None else held_out.fingerprint))
    if previous is not None:
        warn_about_other_scale(rows.columns, state.input_scales)
        targets.warn_about(rows.y)
    if not incremental:
        warn_about_columns(rows.columns, state.input_scales, n_channels)
        if rows.device is None:
            warn_about_outliers(rows.X, rows.columns, state.input_scales)
        warn_beforehand(config, targets.loss, layout.wiring)
    return arrays, state


def _drawn_streams(config: Config, n_samples: int) -> list[str]:
    """Return the random streams that training on so many samples may draw from."""
    draws = {
        "shuffle_rng": config.shuffle and n_samples > config.most_samples,
        "nudging_rng": NUDGINGS[config.nudging].draws,
        "probe_rng": config.way.draws,
    }
    return [name for name, is_drawn in draws.items() if is_drawn]


def _new_network(
    config: Config, layout: Layout, X_dtype: Any, spread: float, rng: np.random.RandomState
) -> tuple[FittedArrays, TrainingState]:
    """Return weights and memory of a network that has seen no samples."""
    # Each purpose has its own stream, so that one never shifts the numbers of another.
    seeds = rng.randint(2**31 - 1, size=4)
    coefs, intercepts, feedback_coefs = initial_weights(
        layout.sizes,
        layout.wiring,
        feedback_init=config.feedback_init,
        feedback_scale=config.feedback_scale,
        rng=np.random.RandomState(seeds[0]),
        dtype=X_dtype if config.dtype == "auto" else np.dtype(config.dtype),
        layout=layout,
        spread=spread,
    )
    split_seed, shuffle_seed, nudging_seed = (int(seed) for seed in seeds[1:])
    state = TrainingState(
        split_seed,
        shuffle_rng=np.random.RandomState(shuffle_seed),
        nudging_rng=np.random.RandomState(nudging_seed),
        # This seed derives from another one: one more draw would shift the numbers of other users
        # of the same generator.
        probe_rng=np.random.RandomState([nudging_seed, 1]),
    )
    return FittedArrays(layout, coefs, intercepts, None if config.tied else feedback_coefs), state
