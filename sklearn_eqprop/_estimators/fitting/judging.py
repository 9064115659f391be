"""How early stopping judges a network: by the default score, by the loss, or by a scorer."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from inspect import signature
from numbers import Real
from typing import Any

import numpy as np
from sklearn.metrics import check_scoring, get_scorer_names

from sklearn_eqprop._backend.array_backend import ArrayBackend, Feed
from sklearn_eqprop._estimators.data.inputs import validated_pair, validated_weight
from sklearn_eqprop._estimators.data.rows import Rows
from sklearn_eqprop._estimators.fitted.settle import prediction_substrate, settle_rows
from sklearn_eqprop._estimators.parameters.config import Config
from sklearn_eqprop._estimators.targets import Labels, Targets
from sklearn_eqprop._network import Network
from sklearn_eqprop.exceptions import DivergenceError, EqPropWarning


def rows_to_judge(
    estimator: Any,
    config: Config,
    targets: Targets,
    validation: tuple[Any, Any, Any],
    backend: ArrayBackend,
) -> Rows:
    """Return the user's validation set: X_val, y_val and sample_weight_val.

    It raises ValueError if it does not fit the training data.
    """
    X, y, weight = validation
    try:
        X, y, home = validated_pair(estimator, X, targets.plain(y), backend)
        weight = validated_weight(weight, y, "sample_weight_val")
        device = backend if home.on_device else None
        rows = Rows(X, y, weight, device).that_count("sample_weight_val")
        return replace(rows, y=targets.checked(rows.y, config))
    except ValueError as error:
        msg = f"In the validation set (X_val, y_val, sample_weight_val): {error}"
        raise ValueError(msg) from error


def judge(
    estimator: Any,
    config: Config,
    targets: Targets,
    held_out: Rows,
    as_given: tuple[Any, Any],
    input_scales: np.ndarray | None,
    estimator_with: Callable[[Network], Any],
) -> Callable[[Network], float]:
    """Return a function that scores a network in training on held-out rows; higher is better.

    The weights of these rows count. They were taken from the X and y in `as_given`, as passed by
    the user. Training divides the columns of X by `input_scales`. For scorers, `estimator_with`
    returns an estimator as if it had been fitted to a network.

    It raises ValueError if there is no such scorer.
    """
    scoring = config.scoring
    if scoring == "loss" or (scoring is None and not _has_own_score(type(estimator))):
        return own_score(config, targets, held_out, input_scales)
    scorer = check_scoring(estimator, scoring=scoring)
    X = held_out.X if held_out.device is None else held_out.device.to_host(held_out.X)
    y = targets.original(held_out.y)
    given_X, given_y = as_given
    has_columns = hasattr(given_X, "columns")
    if has_columns:
        X = _taken(given_X, held_out.index)
    # Metrics do not know frames of nullable columns.
    if hasattr(given_y, "iloc") and (
        given_y.ndim == 1 or all(isinstance(kind, np.dtype) for kind in given_y.dtypes)
    ):
        y = _taken(given_y, held_out.index)
    weight = {}
    if held_out.weight is not None and _takes_weight(
        estimator.score if scoring is None else scorer
    ):
        weight = {"sample_weight": held_out.weight}

    about_classes = _about_missing_classes(targets, held_out.y)

    def score(network: Network) -> float:
        fitted = estimator_with(network)
        if not has_columns:  # a warning would say so in every epoch
            vars(fitted).pop("feature_names_in_", None)
        try:
            value = scorer(fitted, X, y, **weight)
        except (DivergenceError, EqPropWarning):  # a warning of ours that is an error
            raise
        except Exception as error:
            problem = str(error).strip().rstrip(".")
            remedy = _remedy(scoring, scorer, problem, targets) or about_classes
            if remedy:  # instead of scikit-learn's own remedy, which is for callers of the metric
                problem = re.split(r"\.\s*(?=[A-Z])", problem)[0]
            else:
                remedy = f"The scorer got X as {_described(X)} and y as {_described(y)}. "
                if isinstance(error, LookupError) and not has_columns:
                    remedy += "Columns have names only if X is a data frame. "
                remedy += "Use another scorer, or None for accuracy or R²."
            msg = (
                f"scoring={scoring!r} does not work on the validation set. "
                f"{type(error).__name__}: {problem}. {remedy}"
            )
            raise ValueError(msg) from error
        return _comparable(value, scoring, about_classes)

    return score


def _has_own_score(kind: type) -> bool:
    """Return whether a subclass scores in its own way.

    If it also has its own `fit`, the rows that training gets may be others than those that its
    `predict` expects, for example because both of them transform X. Then the network is judged.
    """
    own = next(each for each in kind.__mro__ if each.__module__.startswith("sklearn_eqprop."))

    def overrides(name: str) -> bool:
        return getattr(kind, name) is not getattr(own, name)

    return (overrides("predict") or overrides("score")) and not overrides("fit")


def _taken(given: Any, index: np.ndarray | None) -> Any:
    """Return rows of a table or a series of pandas, or of a table of another library."""
    if index is None:
        return given
    return given.take(index) if hasattr(given, "take") else given[index]


def _takes_weight(scorer: Any) -> bool:
    """Return whether a scorer, or the metric that it was made from, has a parameter for weights."""
    try:
        parameters = signature(getattr(scorer, "_score_func", scorer)).parameters
    except (TypeError, ValueError):  # functions of other languages may not say
        return False
    return "sample_weight" in parameters


def _remedy(scoring: Any, scorer: Any, problem: str, targets: Targets) -> str:
    """Return how to score such labels; empty if that is not known."""
    if not isinstance(targets, Labels):
        return ""
    classes, made = targets.classes.tolist(), repr(scorer)
    if "pos_label" in problem and made.startswith("make_scorer(") and len(classes) == 2:
        made = re.sub(r", (average=binary|response_method='predict'|pos_label=[^,)]*)", "", made)
        named = f"{made.removesuffix(')')}, pos_label={classes[1]!r})"
        return f"Name the label that counts as positive: scoring={named}."
    variants = [
        name
        for name in get_scorer_names()
        if name.startswith(f"{scoring}_") and (targets.multilabel or "samples" not in name)
    ]
    if "multi" in problem and variants:
        return f"For these targets use one of the scorers {variants}."
    return ""


def _about_missing_classes(targets: Targets, y: np.ndarray) -> str:
    """Return what to do if some classes are not held out; empty if all are."""
    missing: list[Any] = []
    if isinstance(targets, Labels) and not targets.multilabel:
        missing = np.setdiff1d(targets.classes, y).tolist()
    if not missing:
        return ""
    return (
        f"The validation set holds no sample of the classes {missing}. Use scoring='loss', or pass "
        "X_val and y_val with samples of all classes to fit."
    )


def _described(rows: Any) -> str:
    return f"{type(rows).__name__} of shape {rows.shape}"


def _comparable(value: Any, scoring: Any, remedy: str = "") -> float:
    """Return a score as a float; refuse one that is not a finite number, with the `remedy`."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if not isinstance(value, Real) or not math.isfinite(value):
        remedy = remedy or (
            "Use another scoring (None: accuracy or R²), or a larger validation set."
        )
        msg = (
            f"scoring={scoring!r} gives {value!r} on the validation set, which cannot be "
            f"compared. {remedy}"
        )
        raise ValueError(msg)
    return float(value)


def own_score(
    config: Config, targets: Targets, held_out: Rows, input_scales: np.ndarray | None
) -> Callable[[Network], float]:
    """Return a function for accuracy or R²; for the negative mean loss if ``scoring='loss'``."""
    if config.scoring == "loss":
        losses = losses_on(config, targets.for_scores, held_out, input_scales)
        weight = held_out.weight
        return lambda network: _comparable(
            -float(np.average(losses(network), weights=weight)), "loss"
        )
    output_of = _outputs_on(config, targets, held_out, input_scales)

    def score(network: Network) -> float:
        output, _ = output_of(network)
        return _comparable(targets.score(output, held_out.y, held_out.weight), None)

    return score


def losses_on(
    config: Config, targets: Targets, held_out: Rows, input_scales: np.ndarray | None
) -> Callable[[Network], np.ndarray]:
    """Return a function for the losses of held-out rows: array of shape (n_held_out,)."""
    output_of = _outputs_on(config, targets, held_out, input_scales)

    def losses(network: Network) -> np.ndarray:
        output, target = output_of(network)
        # In float64 on the host, whatever type and backend the network has.
        return targets.loss.value(np, output.astype(np.float64), target.astype(np.float64))

    return losses


def _outputs_on(
    config: Config, targets: Targets, held_out: Rows, input_scales: np.ndarray | None
) -> Callable[[Network], tuple[np.ndarray, np.ndarray]]:
    """Return a function for the outputs and the targets of held-out rows, on the host."""
    target: Any = None
    feed: Feed | None = None

    def outputs(network: Network) -> tuple[np.ndarray, np.ndarray]:
        nonlocal target, feed
        backend = network.backend
        if feed is None:  # prepared once, after the training rows
            target = targets.encode(held_out.y, network.dtype)
            factors = None if input_scales is None else 1 / input_scales
            feed = backend.feed(held_out.X, target, network.dtype, factors)
        substrate = prediction_substrate(config, network, output_only=True)
        settled = settle_rows(substrate, held_out.X, feed=feed, outputs_only=True)
        if not np.isfinite(settled.residual).all():
            raise DivergenceError(settled.finding)
        return backend.to_host(settled.states[-1]), target

    return outputs
