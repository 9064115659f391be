"""One call of fit or partial_fit, from the user's arrays to the fitted attributes."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from sklearn_eqprop._backend import get_backend
from sklearn_eqprop._estimators.data.held_out import check_validation_arguments, split_rows
from sklearn_eqprop._estimators.data.inputs import FEWER_ROWS
from sklearn_eqprop._estimators.fitted.arrays import FittedArrays
from sklearn_eqprop._estimators.fitting.callbacks import EpochCallbacks, has_callbacks
from sklearn_eqprop._estimators.fitting.judging import judge
from sklearn_eqprop._estimators.fitting.reporting import warn_about_training
from sklearn_eqprop._estimators.fitting.start import (
    Call,
    Fitted,
    network_to_train,
    rows_to_fit,
    rows_to_judge,
)
from sklearn_eqprop._estimators.fitting.train import Trained, train
from sklearn_eqprop._estimators.parameters.checks import check_pairs
from sklearn_eqprop._estimators.parameters.config import Config, given_parameters
from sklearn_eqprop._network import Layout, Network
from sklearn_eqprop.exceptions import DivergenceError

#: Attributes that scikit-learn's validation sets.
_OF_FEATURES = ("n_features_in_", "feature_names_in_")


def fit(estimator: Any, call: Call) -> None:
    """Train an estimator, and set its fitted attributes at the very end.

    Everything before works on a copy of the estimator, so that a call that fails changes nothing.
    A fit that diverges or is interrupted after some good epochs keeps the weights of the last one.

    Parameters
    ----------
    estimator : EqPropClassifier or EqPropRegressor
    call : Call

    Raises
    ------
    ValueError
        If a parameter or an argument is not usable.
    DivergenceError
        If numbers stop being finite.
    """
    draft = _copy_of(estimator)
    config = Config.of(draft)
    check_pairs(config, incremental=call.incremental)
    check_validation_arguments(*call.validation, early_stopping=config.early_stopping)
    backend = get_backend(config.backend)
    previous = None
    if hasattr(draft, "coefs_") and (call.incremental or config.warm_start):
        targets = draft._targets.of(draft, config)
        previous = Fitted(FittedArrays.of(draft), targets, draft._training_state)
    rng = None if previous is not None else _copy_of_generator(config.random_state)
    with backend.explaining_full_memory(f"looking over {call.rows_in_words}", FEWER_ROWS):
        rows, targets = rows_to_fit(draft, config, call, previous, backend)
        vars(draft).update(targets.attributes)  # scorers and callbacks predict with the draft
        held_out = rows_to_judge(draft, config, targets, call, backend)
        arrays, state = network_to_train(
            config, rows, held_out, targets, previous, rng, incremental=call.incremental
        )
        estimator_with = partial(_with_weights_of, draft, arrays.layout, state.input_scales)
        validation_score = None
        if config.early_stopping:
            if held_out is None:
                stratify = targets.stratify(rows.y)
                seed = state.split_seed
                rows, held_out = split_rows(rows, config.validation_fraction, seed, stratify)
            validation_score = judge(config, targets, held_out, state.input_scales, estimator_with)
        callbacks = None
        if has_callbacks(estimator) and not call.incremental:
            given = (call.X, call.y, call.sample_weight)
            callbacks = EpochCallbacks(estimator, *given, estimator_with)
        trained = train(
            config,
            rows,
            Fitted(arrays, targets, state),
            backend,
            incremental=call.incremental,
            validation_score=validation_score,
            observer=callbacks,
        )
    attributes = _fitted_attributes(config, trained, backend.name)
    attributes["_checked_parameters"] = given_parameters(draft)
    attributes |= {name: vars(draft)[name] for name in _OF_FEATURES if name in vars(draft)}
    if callbacks is not None:
        callbacks.ended(vars(draft) | attributes)
    ended = trained.ended
    if not isinstance(ended, DivergenceError):
        n_epochs, incremental = trained.n_epochs, call.incremental
        warn_about_training(config, state, ended, n_epochs, arrays.dtype, incremental=incremental)
    _publish(estimator, attributes)
    if rng is not None and isinstance(config.random_state, np.random.RandomState):
        config.random_state.set_state(rng.get_state())
    if isinstance(ended, DivergenceError):
        raise ended


def _publish(estimator: Any, attributes: dict[str, Any]) -> None:
    """Set all fitted attributes."""
    vars(estimator).pop("feature_names_in_", None)
    vars(estimator).update(attributes)


def _fitted_attributes(config: Config, trained: Trained, backend: str) -> dict[str, Any]:
    """Return the fitted attributes by name."""
    fitted = trained.fitted
    state = fitted.state
    curve = state.loss_curve or [math.nan]  # empty if the first epoch was interrupted
    scores = state.validation_scores if config.early_stopping else None
    return {
        **fitted.arrays.attributes,
        **fitted.targets.attributes,
        "_training_state": state,
        "backend_": backend,
        "n_iter_": trained.n_epochs,
        "t_": state.n_samples_seen,
        "loss_curve_": state.loss_curve,
        "loss_": curve[-1],
        "best_loss_": None if config.early_stopping else min(curve),
        "validation_scores_": scores,
        "best_validation_score_": max(scores) if scores else None,
        "relaxation_": state.relaxation,
    }


def _copy_of(estimator: Any) -> Any:
    """Return another estimator with the same attributes."""
    kind: Any = type(estimator)
    twin = kind.__new__(kind)
    vars(twin).update(vars(estimator))
    return twin


def _with_weights_of(
    estimator: Any, layout: Layout, input_scales: np.ndarray | None, network: Network
) -> Any:
    """Return a copy of the estimator, as if it had been fitted to a network in training.

    The network reads X / `input_scales`.
    """
    arrays = FittedArrays.copied_from(network, layout)
    arrays.divide_inputs_by(input_scales)
    twin = _copy_of(estimator)
    vars(twin).update(arrays.attributes)
    return twin


def _copy_of_generator(random_state: Any) -> np.random.RandomState:
    """Return a source of random numbers; a copy if it is the user's own generator.

    `fit` moves the user's generator on if it succeeds.
    """
    if not isinstance(random_state, np.random.RandomState):
        return check_random_state(random_state)
    twin = np.random.RandomState()
    twin.set_state(random_state.get_state())
    return twin
