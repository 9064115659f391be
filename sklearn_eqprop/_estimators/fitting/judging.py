"""How early stopping judges a network: by the default score, by the loss, or by a scorer."""

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
from sklearn.metrics import check_scoring

from sklearn_eqprop._backend.array_backend import Feed
from sklearn_eqprop._estimators.data.rows import Rows
from sklearn_eqprop._estimators.fitted.settle import prediction_substrate, settle_rows
from sklearn_eqprop._estimators.parameters.config import Config
from sklearn_eqprop._estimators.targets import Targets
from sklearn_eqprop._network import Network
from sklearn_eqprop.exceptions import DivergenceError


def judge(
    config: Config,
    targets: Targets,
    held_out: Rows,
    input_scales: np.ndarray | None,
    estimator_with: Callable[[Network], Any],
) -> Callable[[Network], float]:
    """Return a function that scores a network in training on held-out rows; higher is better.

    Parameters
    ----------
    config : Config
    targets : Labels or Numbers
    held_out : Rows
    input_scales : ndarray or None
        Scales by which training divides the columns of X.
    estimator_with : callable
        Returns an estimator as if it had been fitted to a network, for scorers.

    Returns
    -------
    callable
        From a network to a score.
    """
    scoring = config.scoring
    if scoring is None or scoring == "loss":
        return _own_score(config, targets, held_out, input_scales)
    X = held_out.X if held_out.device is None else held_out.device.to_host(held_out.X)
    y = targets.original(held_out.y)
    weight = {} if held_out.weight is None else {"sample_weight": held_out.weight}

    def score(network: Network) -> float:
        fitted = estimator_with(network)
        # The rows have lost their column names in validation.
        vars(fitted).pop("feature_names_in_", None)
        scorer = check_scoring(fitted, scoring=scoring)
        try:
            value = scorer(fitted, X, y, **weight)
        except DivergenceError:
            raise
        except (ValueError, TypeError) as error:
            msg = f"scoring={scoring!r} does not work on the validation set: {error}"
            raise ValueError(msg) from error
        return _comparable(value, scoring)

    return score


def _comparable(value: Any, scoring: Any) -> float:
    """Return a score as a float.

    Raises
    ------
    ValueError
        If it is not a finite number.
    """
    if not isinstance(value, Real) or not math.isfinite(value):
        msg = (
            f"scoring={scoring!r} gives {value!r} on the validation set, which cannot be "
            "compared. Use another scoring (None: accuracy or R²), or a larger validation set."
        )
        raise ValueError(msg)
    return float(value)


def _own_score(
    config: Config, targets: Targets, held_out: Rows, input_scales: np.ndarray | None
) -> Callable[[Network], float]:
    """Return a function for accuracy or R²; for the negative mean loss if ``scoring='loss'``."""
    target: Any = None
    feed: Feed | None = None

    def score(network: Network) -> float:
        nonlocal target, feed
        backend = network.backend
        if feed is None:  # prepared once, after the training rows
            target = targets.encode(held_out.y, network.dtype)
            factors = None if input_scales is None else 1 / input_scales
            feed = backend.feed(held_out.X, target, network.dtype, factors)
        substrate = prediction_substrate(config, network)
        settled = settle_rows(substrate, held_out.X, feed=feed, outputs_only=True)
        if not np.isfinite(settled.residual).all():
            raise DivergenceError(settled.finding)
        output = backend.to_host(settled.states[-1])
        if config.scoring is None:
            return _comparable(targets.score(output, held_out.y, held_out.weight), None)
        # In float64 on the host, whatever type and backend the network has.
        losses = targets.loss.value(np, output.astype(np.float64), target.astype(np.float64))
        return _comparable(-float(np.average(losses, weights=held_out.weight)), "loss")

    return score
