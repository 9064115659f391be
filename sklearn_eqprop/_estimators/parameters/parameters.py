"""Which parameter values make sense, alone and together."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.metrics import get_scorer_names

from sklearn_eqprop._estimators.parameters.layers import hidden_layers
from sklearn_eqprop._network import ACTIVATIONS, Conv2D, allowed_loop_product
from sklearn_eqprop._relaxation import RELAXATIONS
from sklearn_eqprop._sklearn_compat import Interval, InvalidParameterError, StrOptions
from sklearn_eqprop._warnings import warn_at_call

PARAMETER_CONSTRAINTS: dict[str, list[Any]] = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left"), Conv2D],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "feedback": [StrOptions({"untied", "tied"})],
    "gradient": [StrOptions({"vector_field", "asymmetric", "recurrent_backprop", "continual"})],
    "credit_coordinates": [StrOptions({"auto", "state", "rate"})],
    "nudging": [StrOptions({"one_sided", "random_sign", "centered"})],
    "feedback_init": [StrOptions({"transpose", "independent"})],
    "feedback_scale": [Interval(Real, 0, None, closed="neither")],
    "feedback_learning": [StrOptions({"local", "kolen_pollack", "homeostasis", "fixed"})],
    "objective": [StrOptions({"fixed_point", "trajectory"})],
    "connections": [None, list, tuple],
    "loop_gain": [None, StrOptions({"auto"}), Interval(Real, 0, 1, closed="neither")],
    "layerwise_rescale": ["boolean"],
    "beta": [Interval(Real, None, None, closed="both")],
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
    "scoring": [None, StrOptions(set(get_scorer_names()) | {"loss"}), callable],
    "restore_best_weights": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), None],
    "tol": [Interval(Real, 0, None, closed="left")],
    "shuffle": ["boolean"],
    "warm_start": ["boolean"],
    "verbose": ["verbose"],
    "random_state": ["random_state"],
    "transform_layers": [None, "array-like", Interval(Integral, 1, None, closed="left")],
    "input_shape": [None, tuple, list],
    "backend": [StrOptions({"auto", "numpy", "cupy"})],
    "dtype": [StrOptions({"auto", "float32", "float64"})],
}

#: Credit rules that follow the exact gradient, whatever the feedback weights; 'asymmetric' in the
#: limit of small β.
EXACT_GRADIENTS = {"asymmetric", "recurrent_backprop"}
#: Ways for feedback to learn that turn it towards the forward weights.
ALIGNING = {"kolen_pollack", "homeostasis"}

#: loop_gain='auto': weak feedback costs an untied network nothing, but tied weights are their
#: own feedback, and to weaken them is to weaken the network. Rates that cannot grow need no bound.
UNTIED_LOOP_GAIN = 0.2
TIED_LOOP_GAIN = 0.9
BOUNDED_RATES = {name for name, rho in ACTIVATIONS.items() if rho.rate_is_bounded}
SIGNED_RATES = {name for name, rho in ACTIVATIONS.items() if rho.rate_is_signed}


def with_plain_numbers(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters with Python's numbers in place of NumPy's, as a grid over `linspace` holds them.

    A product of a NumPy number and an array takes the wider type of the two (NEP 50): one
    ``np.float64(0.8)`` would turn all float32 states into float64.
    """
    return {
        name: _plain(value) if isinstance(value, np.generic) else value
        for name, value in parameters.items()
    }


def _plain(value: np.generic) -> Any:
    """Python's own value of a NumPy scalar; a long double has none of its own."""
    return float(value) if isinstance(value, np.floating) else value.item()


def loop_bound(parameters: dict[str, Any]) -> float | None:
    """Bound on the gain of the feedback loops that `loop_gain` asks for; None: no bound."""
    chosen = parameters["loop_gain"]
    if chosen != "auto":
        return chosen
    if parameters["feedback"] == "untied":
        return UNTIED_LOOP_GAIN
    return None if parameters["activation"] in BOUNDED_RATES else TIED_LOOP_GAIN


def warn_about_tied_depth(parameters: dict[str, Any], n_hidden: int) -> None:
    """Warn where bounding the loops leaves tied weights too small to carry a signal.

    Parameters
    ----------
    parameters : dict
        The estimator's.
    n_hidden : int
        Hidden layers.
    """
    bound = loop_bound(parameters)
    if parameters["feedback"] == "tied" and bound is not None and n_hidden > 2:
        bounded = parameters["activation"] in BOUNDED_RATES
        remedy = "loop_gain=None" if bounded else "activation='hard_sigmoid' with loop_gain=None"
        warn_at_call(
            f"feedback='tied' with {n_hidden} hidden layers and a loop gain of at most {bound:g} "
            "(loop_gain): tied weights are their own feedback, and the bound keeps them too small "
            f"to carry much through several layers. Use feedback='untied', or {remedy}.",
        )


def pools_with_winners(parameters: dict[str, Any]) -> list[Conv2D]:
    """Convolutional layers in which winners of max pooling may change while a network settles."""
    entries = hidden_layers(parameters["hidden_layer_sizes"])
    if parameters["connections"] is None:
        entries = entries[1:]  # the first reads the input, which does not change
    return [entry for entry in entries if isinstance(entry, Conv2D) and entry.picks_winners]


def warn_about_winners(parameters: dict[str, Any]) -> None:
    """Warn where winners of max pooling may go round in a circle.

    They come to rest for certain where rates are not negative and feedback is γ F^T: settling then
    lowers an energy (docs/design.md).

    Parameters
    ----------
    parameters : dict
        The estimator's.
    """
    pooled = pools_with_winners(parameters)
    reasons = {
        "activation": parameters["activation"] in SIGNED_RATES,
        "feedback_init": parameters["feedback"] == "untied"
        and parameters["feedback_init"] == "independent",
    }
    names = [f"{name}={parameters[name]!r}" for name, holds in reasons.items() if holds]
    if pooled and names:
        warn_at_call(
            f"{pooled[0]!r} pools by the maximum, and with {' and '.join(names)} its winners may "
            "go round in a circle in some samples, which then never settle, whatever the limit of "
            "steps. Use pooling='average', or activation='relu' with feedback_init='transpose'.",
        )


def warn_about_strong_nudge(parameters: dict[str, Any], curvature: float, n_layers: int) -> None:
    """Warn where a nudge may be too strong for the nudged phase to come to rest.

    Away from the target the output's own stability is 1 - ``|β|`` κ, which must exceed what the
    loops feed back to it: with loops of gain g² below it, g² / x_{L-1}, where x_1 = 1 and
    x_{l+1} = 1 - g² / x_l. (Tied weights are allowed stronger loops than they mostly have.) An
    Euler step ε turns the output round for good if ε (1 + β κ) >= 2.

    Parameters
    ----------
    parameters : dict
        The estimator's.
    curvature : float
        κ, largest of the loss.
    n_layers : int
        L.
    """
    beta, step_size = parameters["beta"], parameters["step_size"]
    pull = abs(beta) * curvature
    if pull == 0 or math.isinf(pull):  # inf: the output is clamped, or its force held
        return
    what = f"beta={beta!r} with nudging={parameters['nudging']!r}"
    away = parameters["nudging"] != "one_sided" or beta < 0
    if away and n_layers > 1 and parameters["feedback"] == "untied":
        bound = loop_bound(parameters)
        left, loop = 1.0, allowed_loop_product(n_layers, bound) if bound is not None else 0.0
        for _ in range(n_layers - 2):
            left = 1 - loop / left
        limit = (1 - loop / left) / curvature
        if abs(beta) > limit:
            warn_at_call(
                f"{what} may be too strong for loop_gain={bound}: the phase nudged away from the "
                f"target is sure to settle only for |beta| <= {limit:.3g}. Use a smaller |beta| "
                "or nudging='one_sided'."
            )
    steps = parameters["relaxation"] == "euler" or parameters["gradient"] == "continual"
    if steps and (parameters["nudging"] != "one_sided" or beta > 0) and step_size * (1 + pull) >= 2:
        warn_at_call(
            f"{what} and step_size={step_size:g}: Euler steps that large swing around the nudged "
            f"output instead of settling. Use step_size < {2 / (1 + pull):.3g} or a smaller |beta|."
        )


def feedback_aligns(parameters: dict[str, Any]) -> bool:
    """Whether feedback is, or comes to be, the transpose of the forward weights but for its size.

    Homeostasis leads there but for average slopes: with a smooth activation each weight of B_l
    goes to γ_l F_ij <ρ'_j ρ'_i> / <ρ'_j²>, see `learning.homeostasis`.
    """
    if parameters["feedback"] == "tied":
        return True
    return parameters["feedback_learning"] in ALIGNING


def reads_rates(parameters: dict[str, Any]) -> bool:
    """Whether weights learn from displacements of rates instead of states.

    `credit_coordinates`='auto' reads rates where that makes the two-phase rule exact or nearly so,
    but for one factor a layer: a smooth activation, and feedback that aligns (elsewhere such
    weights are exact as they are, or nothing is); and where the output is clamped, whose rules
    are rules of rates.
    """
    chosen = parameters["credit_coordinates"]
    if chosen != "auto":
        return bool(chosen == "rate")
    if parameters["beta"] == math.inf:
        return True
    smooth = not ACTIVATIONS[parameters["activation"]].transmits_state
    return smooth and feedback_aligns(parameters) and parameters["gradient"] == "vector_field"


def layer_rates(learning_rate_init: Any, n_layers: int) -> tuple[float, ...]:
    """Learning rate of each layer 1..L.

    Raises
    ------
    InvalidParameterError
        If there is not one positive number, or one for each layer.
    """
    is_one = np.ndim(learning_rate_init) == 0
    rates = (learning_rate_init,) * n_layers if is_one else tuple(learning_rate_init)
    valid = all(isinstance(rate, Real) and 0 < float(rate) < math.inf for rate in rates)
    if len(rates) != n_layers or not valid:
        msg = (
            "The 'learning_rate_init' parameter must be a positive number or one for each of the "
            f"{n_layers} layers, input side first. Got {learning_rate_init!r}."
        )
        raise InvalidParameterError(msg)
    return tuple(float(rate) for rate in rates)


def chosen_layers(transform_layers: Any, n_layers: int) -> tuple[int, ...]:
    """Layers whose states `transform` returns.

    Raises
    ------
    InvalidParameterError
        If an entry is no layer of the network, or there is none.
    """
    if transform_layers is None:
        return tuple(range(1, n_layers))
    entries = [transform_layers] if np.ndim(transform_layers) == 0 else list(transform_layers)
    valid = all(_is_integer(entry) and 1 <= entry <= n_layers for entry in entries)
    if not entries or not valid:
        msg = (
            "The 'transform_layers' parameter must be None, or one or more layers from 1, the "
            f"first hidden layer, to {n_layers}, the output. Got {transform_layers!r}."
        )
        raise InvalidParameterError(msg)
    return tuple(int(entry) for entry in entries)


def _is_integer(entry: Any) -> bool:
    return isinstance(entry, Integral) and not isinstance(entry, (bool, np.bool_))
