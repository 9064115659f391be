"""Which parameter values make sense, alone and together."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np

from sklearn_eqprop._sklearn_compat import Interval, InvalidParameterError, StrOptions
from sklearn_eqprop.learning.costs import Cost
from sklearn_eqprop.network import ACTIVATIONS
from sklearn_eqprop.relaxation import RELAXATIONS

PARAMETER_CONSTRAINTS: dict[str, list[Any]] = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "feedback": [StrOptions({"untied", "tied"})],
    "gradient": [StrOptions({"vector_field", "asymmetric", "recurrent_backprop", "continual"})],
    "nudging": [StrOptions({"one_sided", "random_sign", "centered"})],
    "feedback_init": [StrOptions({"transpose", "independent"})],
    "feedback_scale": [Interval(Real, 0, None, closed="neither")],
    "feedback_learning": [StrOptions({"local", "kolen_pollack", "homeostasis", "fixed"})],
    "objective": [StrOptions({"fixed_point", "trajectory"})],
    "connections": [None, list, tuple],
    "loop_gain": [None, Interval(Real, 0, 1, closed="neither")],
    "layerwise_rescale": ["boolean"],
    "beta": [Interval(Real, None, None, closed="neither")],
    "relaxation": [StrOptions(set(RELAXATIONS))],
    "step_size": [Interval(Real, 0, 1, closed="right")],
    "max_relax_iter": [Interval(Integral, 1, None, closed="left")],
    "max_nudge_iter": [Interval(Integral, 1, None, closed="left")],
    "relax_tol": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
    "optimizer": [StrOptions({"sgd", "adam"})],
    "learning_rate_init": ["array-like", Interval(Real, 0, None, closed="neither")],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive", "cosine"})],
    "momentum": [Interval(Real, 0, 1, closed="left")],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), None],
    "tol": [Interval(Real, 0, None, closed="left")],
    "shuffle": ["boolean"],
    "warm_start": ["boolean"],
    "verbose": ["verbose"],
    "random_state": ["random_state"],
    "input_shape": [None, tuple, list],
    "backend": [StrOptions({"auto", "numpy", "cupy"})],
    "dtype": [StrOptions({"auto", "float32", "float64"})],
}

#: Values of the fixed public interface that this version does not carry out.
_NOT_IN_THIS_VERSION = {
    "gradient": {"asymmetric", "recurrent_backprop", "continual"},
    "feedback_learning": {"homeostasis"},
    "objective": {"trajectory"},
    "backend": {"cupy"},
}
_AVAILABLE = {
    "gradient": "'vector_field'",
    "feedback_learning": "'local', 'kolen_pollack' or 'fixed'",
    "objective": "'fixed_point'",
    "backend": "'auto' or 'numpy'",
}


def check_available(parameters: dict[str, Any]) -> None:
    """Refuse what the public interface names but this version cannot do.

    Raises
    ------
    ValueError
        Naming the parameter, its value and what to use instead.
    """
    for name, missing in _NOT_IN_THIS_VERSION.items():
        if parameters[name] in missing:
            msg = (
                f"{name}={parameters[name]!r} is not part of this version of sklearn-eqprop; "
                f"use {_AVAILABLE[name]}."
            )
            raise ValueError(msg)
    for name in ("connections", "input_shape"):
        if parameters[name] is not None:
            msg = (
                f"{name}={parameters[name]!r} is not part of this version of sklearn-eqprop; "
                f"use {name}=None, dense layers in a row."
            )
            raise ValueError(msg)


def hidden_sizes(hidden_layer_sizes: Any) -> tuple[int, ...]:
    """Units of each hidden layer.

    Raises
    ------
    InvalidParameterError
        If an entry is not a positive integer.
    """
    if isinstance(hidden_layer_sizes, Iterable):
        entries = list(hidden_layer_sizes)
    else:
        entries = [hidden_layer_sizes]
    for entry in entries:
        is_integer = isinstance(entry, Integral) and not isinstance(entry, (bool, np.bool_))
        if not is_integer or entry < 1:
            msg = (
                "The 'hidden_layer_sizes' parameter must be a positive integer or a sequence of "
                f"positive integers, one a hidden layer. Got {hidden_layer_sizes!r}, in which "
                f"{entry!r} is not a positive integer."
            )
            raise InvalidParameterError(msg)
    return tuple(int(entry) for entry in entries)


def layer_rates(learning_rate_init: Any, n_layers: int) -> tuple[float, ...]:
    """Learning rate of each layer 1..L.

    Raises
    ------
    InvalidParameterError
        If there is not one positive number, or one for each layer.
    """
    if isinstance(learning_rate_init, Real):
        return (float(learning_rate_init),) * n_layers
    rates = tuple(learning_rate_init)
    valid = all(isinstance(rate, Real) and 0 < float(rate) < math.inf for rate in rates)
    if len(rates) != n_layers or not valid:
        msg = (
            "The 'learning_rate_init' parameter must be a positive number or one for each of the "
            f"{n_layers} layers, input side first. Got {learning_rate_init!r}."
        )
        raise InvalidParameterError(msg)
    return tuple(float(rate) for rate in rates)


def check_beta(beta: float, nudging: str, loss: str, cost: Cost) -> None:
    """Refuse a β that carries no signal or makes a nudged phase unstable.

    Raises
    ------
    InvalidParameterError
        If β is zero, or not finite.
    ValueError
        If the phase nudged away from the target would diverge.
    """
    if beta == 0 or not math.isfinite(beta):
        msg = (
            f"The 'beta' parameter must be a finite number other than 0. Got {beta!r}: without a "
            "nudge both phases are the same and nothing can be learned. Values around 0.1 to "
            "1 work well."
        )
        raise InvalidParameterError(msg)
    pushes_away = nudging != "one_sided" or beta < 0
    if pushes_away and abs(beta) * cost.curvature >= 1:
        msg = (
            f"beta={beta!r} is too large with nudging={nudging!r} and loss={loss!r}: the phase "
            "that is nudged away from the target would run off to infinity. Use |beta| < "
            f"{1 / cost.curvature:g}, or nudging='one_sided' with a positive beta."
        )
        raise ValueError(msg)
