"""What early stopping judges a network by: the default score, the loss, or any scorer."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import check_scoring

from sklearn_eqprop._backend.array_backend import Feed
from sklearn_eqprop._estimators.data.held_out import Rows
from sklearn_eqprop._estimators.fitted.settled_rows import settle_rows
from sklearn_eqprop._network import Layout, Network

if TYPE_CHECKING:
    from sklearn_eqprop._estimators.settling import Settling


def name_of_scoring(scoring: Any) -> str | None:
    """A name for what `scoring` stands for, which goes into model files."""
    return scoring if scoring is None or isinstance(scoring, str) else repr(scoring)


def judge_by_held_out(
    estimator: Settling, held_out: Rows, layout: Layout, input_scales: np.ndarray | None
) -> Callable[[Network], float]:
    """Score of a network in training on rows it does not train on; higher is better.

    Parameters
    ----------
    estimator : Settling
        With what it has learned about the targets.
    held_out : Rows
    layout : Layout
    input_scales : ndarray or None
        What the network sees the columns of X divided by.

    Returns
    -------
    callable
        From a network to a score.
    """
    scoring = estimator.scoring
    if scoring is None or scoring == "loss":
        return _own_score(estimator, held_out, input_scales)
    scorer = check_scoring(estimator, scoring=scoring)
    X = held_out.X if held_out.device is None else held_out.device.to_host(held_out.X)
    target = estimator._original_targets(held_out.y)
    weight = {} if held_out.weight is None else {"sample_weight": held_out.weight}

    def score(network: Network) -> float:
        fitted = estimator._with_weights_of(network, layout, input_scales)
        # The rows have lost their column names in validation.
        fitted.__dict__.pop("feature_names_in_", None)
        try:
            value = scorer(fitted, X, target, **weight)
        except (ValueError, TypeError) as error:
            msg = f"scoring={scoring!r} does not work on the validation set: {error}"
            raise ValueError(msg) from error
        return _comparable(value, scoring)

    return score


def _comparable(value: Any, scoring: Any) -> float:
    """A score as a number.

    Raises
    ------
    ValueError
        If it is none, or not finite.
    """
    if not isinstance(value, Real) or not math.isfinite(value):
        msg = (
            f"scoring={scoring!r} gives {value!r} on the validation set, which cannot be "
            "compared: use another scoring (None is accuracy or R²), or a larger validation set."
        )
        raise ValueError(msg)
    return float(value)


def _own_score(
    estimator: Settling, held_out: Rows, input_scales: np.ndarray | None
) -> Callable[[Network], float]:
    """Accuracy or R², or the negative mean loss with ``scoring='loss'``."""
    by_loss = estimator.scoring == "loss"
    loss = estimator._loss()
    target: Any = None
    feed: Feed | None = None

    def score(network: Network) -> float:
        nonlocal target, feed
        backend = network.backend
        if feed is None:  # put in place once, after the rows to train on
            target = estimator._encode(held_out.y, network.dtype)
            factors = None if input_scales is None else 1 / input_scales
            feed = backend.feed(held_out.X, target, network.dtype, factors)
        substrate = estimator._substrate(network)
        settled = settle_rows(substrate, held_out.X, feed=feed, outputs_only=True)
        output = backend.to_host(settled.states[-1])
        if not by_loss:
            value = estimator._score_of_output(output, held_out.y, held_out.weight)
            return _comparable(value, None)
        # In float64 on the host, whatever the network is computed with.
        values = loss.value(np, output.astype(np.float64), target.astype(np.float64))
        return _comparable(-float(np.average(values, weights=held_out.weight)), "loss")

    return score
