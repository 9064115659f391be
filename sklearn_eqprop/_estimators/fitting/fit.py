"""One call of fit or partial_fit, from the user's arrays to the fitted attributes."""

import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from sklearn_eqprop._backend import ArrayBackend, get_backend, ignoring_float_errors
from sklearn_eqprop._estimators.data.held_out import check_validation_arguments, split_rows
from sklearn_eqprop._estimators.data.inputs import (
    FEWER_ROWS,
    rows_of,
    rows_that_count,
    validated_pair,
    validated_weight,
)
from sklearn_eqprop._estimators.data.other_scale import warn_about_held_out, warn_about_other_scale
from sklearn_eqprop._estimators.data.outliers import warn_about_outliers
from sklearn_eqprop._estimators.data.rows import (
    TELLING_ROWS,
    Rows,
    check_inputs_fit,
    scales_of,
    warn_about_columns,
)
from sklearn_eqprop._estimators.fitted.arrays import FittedArrays
from sklearn_eqprop._estimators.fitting.callbacks import EpochCallbacks
from sklearn_eqprop._estimators.fitting.judging import judge, rows_to_judge
from sklearn_eqprop._estimators.fitting.penalty import (
    FEWEST_EPOCHS,
    LEAST_ALPHA,
    chosen_alpha,
)
from sklearn_eqprop._estimators.fitting.reporting import warn_about_training
from sklearn_eqprop._estimators.fitting.state import TrainingState
from sklearn_eqprop._estimators.fitting.train import Fitted, Trained, train
from sklearn_eqprop._estimators.parameters.architecture import requested_layout
from sklearn_eqprop._estimators.parameters.checks import (
    check_beta,
    check_pairs,
    check_same_network,
    warn_beforehand,
)
from sklearn_eqprop._estimators.parameters.config import Config, given_parameters
from sklearn_eqprop._estimators.parameters.remedies import Situation
from sklearn_eqprop._estimators.targets import Targets
from sklearn_eqprop._network import Layout, Network, initial_weights
from sklearn_eqprop._training import SCHEDULES
from sklearn_eqprop.exceptions import DivergenceError

#: Attributes that the draft has before training; scikit-learn's validation sets the first two.
_OF_DRAFT = (
    *("n_features_in_", "feature_names_in_", "alpha_"),
    *("_checked_parameters", "_network_parameters", "_hardware"),
)
#: Methods that users may have assigned to an estimator. They are bound to it, not to its copies.
_PREDICTING = ("predict", "predict_proba", "predict_log_proba", "decision_function", "score")


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


@ignoring_float_errors
def fit(estimator: Any, call: Call) -> None:
    """Train an estimator, and set its fitted attributes at the very end.

    Everything before works on a copy of the estimator, so that a call that fails changes nothing.
    A fit that diverges or is interrupted after some good epochs keeps the weights of the last one.

    Raises
    ------
    ValueError
        If a parameter or an argument is not usable.
    DivergenceError
        If numbers stop being finite.
    """
    draft = _copy_of(estimator)
    config = Config.requested(draft)
    vars(draft)["_checked_parameters"] = given_parameters(draft)
    check_pairs(config, incremental=call.incremental)
    if any(part is not None for part in call.validation):
        check_validation_arguments(*call.validation, early_stopping=config.early_stopping)
    backend = get_backend(config.backend)
    previous = None
    if hasattr(draft, "coefs_") and (call.incremental or config.warm_start):
        was = Config.of(draft)
        arrays, targets = FittedArrays.of(draft), draft._targets.of(draft, config)
        old, n_outputs = arrays.layout, targets.n_outputs
        layout = requested_layout(config, n_features=old.sizes[0], n_outputs=n_outputs)
        loss_was = draft._targets.of(draft, was).loss
        check_same_network(was, config, old, layout, loss_was, targets.loss)
        previous = Fitted(arrays, targets, draft._training_state)
    vars(draft)["_network_parameters"] = config.of_network
    rng = None if previous is not None else _copy_of_generator(config.random_state)
    with backend.explaining_full_memory(f"looking over {call.rows_in_words}", FEWER_ROWS):
        trained, callbacks = _prepare_and_train(
            estimator, draft, config, call, previous, rng, backend
        )
    attributes = _fitted_attributes(config, trained, backend.name)
    attributes |= {name: vars(draft)[name] for name in _OF_DRAFT if name in vars(draft)}
    if callbacks is not None:
        callbacks.ended(vars(draft) | attributes)
    _publish(estimator, attributes)
    if config.checkpoint is not None and trained.is_complete and not call.incremental:
        Path(config.checkpoint).unlink(missing_ok=True)
    if rng is not None and isinstance(config.random_state, np.random.RandomState):
        config.random_state.set_state(rng.get_state(legacy=False))
    if isinstance(trained.outcome, DivergenceError):
        raise trained.outcome


def _prepare_and_train(
    estimator: Any,
    draft: Any,
    config: Config,
    call: Call,
    previous: Fitted | None,
    rng: np.random.RandomState | None,
    backend: ArrayBackend,
) -> tuple[Trained, EpochCallbacks | None]:
    """Return the trained network, and the callbacks that watched the training, if any.

    Warnings tell what went wrong.

    When the device is full, the error message comes after the arrays in this function have been
    freed. Those in `fit` would stay, so `fit` must not hold arrays of the device.
    """
    every_row, targets = rows_to_fit(draft, config, call, previous, backend)
    rows = every_row.that_count()  # without those of a class of weight 0
    config = replace(config, tol=config.tol * targets.loss_unit(rows.y))
    vars(draft).update(targets.attributes)  # scorers and callbacks predict with the draft
    held_out = None
    if call.validation[0] is not None:
        held_out = rows_to_judge(draft, config, targets, call.validation, backend)
    arrays, state = network_to_train(
        config, rows, held_out, targets, previous, rng, incremental=call.incremental
    )
    checkpoint, alpha, continues = None, config.alpha, False
    if config.checkpoint is not None and not call.incremental:
        from sklearn_eqprop._estimators.fitting.checkpoint import Checkpoint

        checkpoint = Checkpoint(config, every_row, held_out, targets, arrays, state)
        state, alpha = checkpoint.state, checkpoint.alpha
        continues = checkpoint.progress.n_done > 0
    if config.substrate is None:
        vars(draft)["_hardware"] = None
    else:
        from sklearn_eqprop._estimators.fitted.hardware import hardware_to_train

        network = arrays.network(config, backend)
        config = hardware_to_train(draft, config, network, first=previous is None)
    as_given = call.validation[:2]
    if config.early_stopping and held_out is None:
        as_given = (call.X, call.y)
        stratify, seed = targets.stratify(every_row.y), state.split_seed
        rows, held_out = split_rows(every_row, config.validation_fraction, seed, stratify)
    if alpha == "auto":
        alpha = LEAST_ALPHA
        if previous is not None:
            alpha = draft.alpha_
        elif config.max_iter >= FEWEST_EPOCHS and not call.incremental and not config.n_deep:
            drawn = _drawn_streams(config, rows.n_samples)

            def untrained() -> Fitted:
                return Fitted(arrays.copy(), targets, state.copy(drawn))

            alpha = chosen_alpha(config, rows, untrained, backend)
    vars(draft)["alpha_"] = alpha
    in_numbers = replace(config, alpha=alpha)
    if not continues:
        _start_comparison(state, in_numbers, targets, rows, held_out, incremental=call.incremental)
    estimator_with = partial(_with_weights_of, draft, arrays.layout, state.input_scales)
    validation_score = None
    if held_out is not None:
        validation_score = judge(
            draft, config, targets, held_out, as_given, state.input_scales, estimator_with
        )
    callbacks = None
    # A search sets this attribute on the estimators that it fits.
    if hasattr(estimator, "_skl_callbacks") and not call.incremental:
        given = (call.X, call.y, call.sample_weight)
        callbacks = EpochCallbacks(estimator, *given, estimator_with)
    trained = train(
        in_numbers,
        rows,
        Fitted(arrays, targets, state),
        backend,
        incremental=call.incremental,
        validation_score=validation_score,
        observer=callbacks,
        checkpoint=checkpoint,
    )
    if not isinstance(trained.outcome, DivergenceError):
        own_validation = call.validation[0] is not None
        situation = Situation(config, arrays.dtype, state.standardised, own_validation, alpha)
        is_blind = False
        if held_out is not None and config.scoring in (None, "accuracy"):
            is_blind = state.best_score <= targets.constant_score(held_out.y, held_out.weight)
        warn_about_training(situation, state, trained.outcome, is_blind, call.incremental)
    return trained, callbacks


def _start_comparison(
    state: TrainingState,
    config: Config,
    targets: Targets,
    rows: Rows,
    held_out: Rows | None,
    *,
    incremental: bool,
) -> None:
    """Compare scores with those of earlier calls only if they depend on the same things."""
    used = [rows] if held_out is None else [rows, held_out]
    if incremental and not SCHEDULES[config.learning_rate](1).may_cut(0):
        used = []  # nothing is compared with a single epoch
        state.judged_by = ()
    state.judge_by(*config.judges_by, *(each.fingerprint(targets.codes(each.y)) for each in used))


def _publish(estimator: Any, attributes: dict[str, Any]) -> None:
    """Set all fitted attributes."""
    vars(estimator).pop("feature_names_in_", None)
    vars(estimator).update(attributes)


def _fitted_attributes(config: Config, trained: Trained, backend: str) -> dict[str, Any]:
    """Return the fitted attributes by name."""
    fitted = trained.fitted
    state = fitted.state
    scores = state.compared_scores if config.early_stopping else None
    return {
        **fitted.arrays.attributes,
        **fitted.targets.attributes,
        "_training_state": state,
        "backend_": backend,
        "n_iter_": trained.n_epochs,
        "t_": state.n_samples_seen,
        "loss_curve_": state.loss_curve,
        "loss_": state.loss_curve[-1],
        "best_loss_": None if config.early_stopping else min(state.compared_losses),
        "validation_scores_": state.validation_scores if config.early_stopping else None,
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
    for name in _PREDICTING:
        vars(twin).pop(name, None)
    return twin


def _copy_of_generator(random_state: Any) -> np.random.RandomState:
    """Return a source of random numbers; a copy if it is the user's own generator.

    `fit` moves the user's generator on if it succeeds.
    """
    if not isinstance(random_state, np.random.RandomState):
        return check_random_state(random_state)
    return copy.deepcopy(random_state)


def rows_to_fit(
    estimator: Any, config: Config, call: Call, previous: Fitted | None, backend: ArrayBackend
) -> tuple[Rows, Targets]:
    """Return rows with clean targets, and what is known about the targets.

    Rows of sample weight 0 are left out. Those of a class of weight 0 are not, because the score
    of early stopping does not depend on `class_weight`. The estimator is a copy: it learns the
    number and the names of the features. If `previous` is None, training starts anew.

    Raises
    ------
    ValueError
        If X, y, the weights, or β for this loss are not usable.
    """
    first = previous is None
    y = estimator._targets.plain(call.y)
    X, y, home = validated_pair(estimator, call.X, y, backend, reset=first)
    weight = validated_weight(call.sample_weight, y)
    rows = Rows(X, y, weight, backend if home.on_device else None).that_count("sample_weight")
    targets: Targets
    if previous is None:
        kind = estimator._targets
        targets, y = kind.first(rows.y, config, call.classes, incremental=call.incremental)
    else:
        targets = previous.targets
        y = targets.checked(rows.y, config, call.classes)
        if not call.incremental:
            targets.check_warm_start(y)
    name = "class_weight" if rows.weight is None else "class_weight times sample_weight"
    weight = targets.weight(y, rows.weight)
    rows_that_count(weight, name)  # refuses weights that are not usable
    targets = targets.scaled(y, weight, first=first, incremental=call.incremental)
    if config.rule.nudged:
        pushes_away = config.pushes_away
        check_beta(config, targets.loss, config.influence, pushes_away=pushes_away, held=True)
    return replace(rows, y=y, weight=weight, sample_weight=rows.weight), targets


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

    Warns about inputs, targets and parameters that are unlikely to work. The initial weights and
    all random streams of a new network come from `rng`.

    Raises
    ------
    ValueError
        If a parameter does not fit the data.
    """
    n_layers = len(config.hidden) + 1
    config.chosen_layers(n_layers)
    if previous is None:
        layout = requested_layout(config, n_features=rows.X.shape[1], n_outputs=targets.n_outputs)
    else:
        layout = previous.arrays.layout
    config.layer_rates(n_layers)
    n_channels = layout.shapes[0][-1] if layout.reads_maps else None
    if previous is not None:
        arrays = previous.arrays.copy(None if config.dtype == "auto" else config.dtype)
        state = previous.state.copy(_drawn_streams(config, rows.n_samples))
        state.forget_other_weights(config.loop_bound, arrays.all)
    else:
        assert rng is not None
        dtype, start = rows.X.dtype, None
        if config.output_rho.bounded:
            # Outputs at a bound do not hear a weak nudge. Their mean is inside, and near the goal.
            codes = targets.encode(rows.y, np.float64)
            start = np.average(codes, axis=0, weights=rows.weight)
        arrays, state = _new_network(config, layout, dtype, targets.spread_of_units, start, rng)
        state.input_scales = scales_of(rows.columns, arrays.dtype, n_channels)
        arrays.divide_inputs_by(state.input_scales)
    if config.substrate is not None:
        state.input_scales = None  # hardware gets the numbers of X
    state.standardised = rows.columns.standardised
    check_inputs_fit(rows, arrays.dtype)
    if held_out is not None:
        check_inputs_fit(held_out, arrays.dtype, "X_val")
        warn_about_held_out(held_out.columns, rows.columns, "X_val", "X", held_out)
        targets.warn_about_held_out(held_out.y, rows.y)
    if previous is not None:
        if state.seen_sizes is not None and state.n_samples_seen >= TELLING_ROWS:
            warn_about_other_scale(rows, state.seen_sizes, state.most_rows)
        targets.warn_about(rows.y)
    state.note_sizes(rows.columns.sizes, rows.n_samples)
    if not incremental:
        warn_about_columns(rows.columns, state.input_scales, n_channels)
        scales = state.input_scales
        if rows.device is None and scales is not None and (scales > 1).any():
            warn_about_outliers(rows.X, rows.columns, scales)
        warn_beforehand(config, targets.loss, layout.wiring)
    return arrays, state


def _drawn_streams(config: Config, n_samples: int) -> list[str]:
    """Return the random streams that training on so many samples may draw from."""
    draws = {
        "shuffle_rng": config.shuffle and n_samples > config.most_samples,
        "nudging_rng": config.nudges.draws,
        "probe_rng": config.feedback_rule.draws,
        "augment_rng": config.augment is not None,
    }
    return [name for name, is_drawn in draws.items() if is_drawn]


def _new_network(
    config: Config,
    layout: Layout,
    X_dtype: Any,
    spread: float,
    start: np.ndarray | None,
    rng: np.random.RandomState,
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
        start=start,
    )
    state = TrainingState.new(*map(int, seeds[1:]))
    if config.tied:
        feedback_coefs = layout.wiring.strengths(config.feedback_scale, coefs[0].dtype)
    return FittedArrays(layout, coefs, intercepts, feedback_coefs), state
