"""Parameters that do not go together, refused before training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sklearn_eqprop._estimators.parameters.parameters import EXACT_GRADIENTS
from sklearn_eqprop._losses.base import Loss
from sklearn_eqprop._network import Conv2D
from sklearn_eqprop._sklearn_compat import InvalidParameterError


def check_credit_coordinates(parameters: dict[str, Any]) -> None:
    """Refuse rate coordinates for rules whose displacements are exact in states.

    Raises
    ------
    ValueError
        Naming the parameters, their values and what to use instead.
    """
    gradient = parameters["gradient"]
    if parameters["credit_coordinates"] == "rate" and gradient in EXACT_GRADIENTS:
        msg = (
            f"credit_coordinates='rate' does not go with gradient={gradient!r}, whose "
            "displacements are the exact gradient already; use credit_coordinates='auto'."
        )
        raise ValueError(msg)


def check_clamp(parameters: dict[str, Any]) -> None:
    """Refuse β = ∞ together with what has no such limit.

    Raises
    ------
    ValueError
        Naming the parameter, its value and what to use instead.
    """
    check_clamped_loss(parameters["loss"])
    reasons = {
        "nudging": ("one_sided", "the output cannot be held on both sides of its target"),
        "gradient": ("vector_field", "a clamped output is a rule of its own"),
    }
    for name, (usable, reason) in reasons.items():
        if parameters[name] != usable:
            msg = (
                f"beta=inf does not go with {name}={parameters[name]!r}: {reason}; use "
                f"{name}={usable!r} or a finite beta."
            )
            raise ValueError(msg)
    if parameters["feedback"] == "tied" and parameters["credit_coordinates"] == "state":
        msg = (
            "beta=inf with feedback='tied' does not go with credit_coordinates='state': "
            "contrastive Hebbian learning is a difference of products of rates; use "
            "credit_coordinates='auto'."
        )
        raise ValueError(msg)


#: What objective='trajectory' goes with, and why with nothing else.
_ALONG_TRAJECTORIES = {
    "relaxation": ("euler", "other methods look for a fixed point and follow no trajectory"),
    "gradient": ("vector_field", "the other rules need a network that comes to rest"),
}


def check_objective(parameters: dict[str, Any]) -> None:
    """Refuse averages along a trajectory together with what needs a fixed point.

    Raises
    ------
    ValueError
        Naming the parameters, their values and what to use instead.
    """
    if parameters["objective"] != "trajectory":
        return
    for name, (usable, reason) in _ALONG_TRAJECTORIES.items():
        if parameters[name] != usable:
            msg = (
                f"objective='trajectory' does not go with {name}={parameters[name]!r}: {reason}; "
                f"use {name}={usable!r} or objective='fixed_point'."
            )
            raise ValueError(msg)
    check_objective_of_clamp(parameters["objective"], parameters["beta"])


def check_objective_of_clamp(objective: str, beta: float) -> None:
    """Refuse β = ∞ where the network need not settle.

    Raises
    ------
    ValueError
        Naming the parameters, their values and what to use instead.
    """
    if objective == "trajectory" and beta == math.inf:
        msg = (
            "objective='trajectory' does not go with beta=inf: an output that is held has no "
            "trajectory to average; use a finite beta or objective='fixed_point'."
        )
        raise ValueError(msg)


def needed_for_exact(parameters: dict[str, Any]) -> list[str]:
    """What else to change for an exact gradient, which the checks above would refuse.

    Parameters
    ----------
    parameters : dict
        The estimator's.

    Returns
    -------
    list of str
        In the words of a message, such as "a finite beta".
    """
    needed = []
    if parameters["objective"] == "trajectory":
        needed.append("objective='fixed_point'")
    if parameters["beta"] == math.inf:
        needed.append("a finite beta")
    if parameters["credit_coordinates"] == "rate":
        needed.append("credit_coordinates='auto'")
    return needed


def check_convolutions(parameters: dict[str, Any], hidden: Sequence[int | Conv2D]) -> None:
    """Refuse convolutional layers together with what cannot do with them.

    Raises
    ------
    ValueError
        Naming the parameters, their values and what to use instead.
    """
    for entry in hidden:
        if not isinstance(entry, Conv2D):
            continue
        if parameters["feedback_learning"] == "homeostasis" and parameters["feedback"] == "untied":
            msg = (
                f"feedback_learning='homeostasis' does not go with {entry!r}: it works on synapses "
                "that have a weight of their own; use feedback_learning='kolen_pollack'."
            )
            raise ValueError(msg)
        if parameters["objective"] == "trajectory" and entry.picks_winners:
            msg = (
                f"objective='trajectory' does not go with {entry!r}: along a trajectory the "
                "winners of a window change, and averages of the rates do not tell which have "
                "won; use pooling='average', or objective='fixed_point'."
            )
            raise ValueError(msg)


def check_clamped_loss(loss: Any) -> None:
    """Refuse β = ∞ for losses that do not come to rest at the target.

    Raises
    ------
    ValueError
        For any loss but the squared error.
    """
    if not (isinstance(loss, str) and loss == "squared_error"):
        msg = (
            f"beta=inf does not go with loss={loss!r}: it holds the output at the target, the "
            "equilibrium of an infinite nudge under loss='squared_error' only; use that loss or a "
            "finite beta."
        )
        raise ValueError(msg)


def check_beta(beta: float, nudging: str, name: Any, loss: Loss, *, held: bool) -> None:
    """Refuse a β that carries no signal or makes a nudged phase unstable.

    `held` tells that a push away holds its force where the curvature of the loss has no bound.

    Raises
    ------
    InvalidParameterError
        If β is zero, or not finite.
    ValueError
        If the phase nudged away from the target would diverge.
    """
    if beta == math.inf:
        return  # the output is held: see check_clamp
    if beta == 0 or not math.isfinite(beta):
        reasons = {
            0.0: "without a nudge both phases are the same and nothing can be learned",
            -math.inf: "an output can be held at its target, but not away from it",
        }
        msg = (
            f"The 'beta' parameter must be a finite number other than 0, or infinity. "
            f"Got {beta!r}: {reasons.get(beta, 'that is no strength')}. "
            "Values around 0.1 to 1 work well."
        )
        raise InvalidParameterError(msg)
    pushes_away = nudging != "one_sided" or beta < 0
    if math.isinf(loss.curvature):
        if pushes_away and not held:
            msg = (
                f"beta={beta!r} is negative and the curvature of loss={name!r} has no known bound: "
                "outputs pushed away from the target could run off to infinity. Use a positive "
                "beta."
            )
            raise ValueError(msg)
        return
    if pushes_away and abs(beta) * loss.curvature >= 1:
        one_sided_with = "nudging='one_sided' with "
        msg = (
            f"beta={beta!r} is too large for loss={name!r}: the phase that is nudged away from the "
            f"target would run off to infinity. Use |beta| < {1 / loss.curvature:g}, or "
            f"{'' if nudging == 'one_sided' else one_sided_with}a positive beta."
        )
        raise ValueError(msg)
