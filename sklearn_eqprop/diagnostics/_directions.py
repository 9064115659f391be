"""Directions in parameter space: minus the exact gradient, ν of Theorem 1, the estimator's update.

All of them are means over the samples, block by block in the order of `Network.parameters`.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import reduce
from typing import Any

import numpy as np

from sklearn_eqprop._network import Network, attenuations, feedback_gains
from sklearn_eqprop._relaxation import RUNAWAY
from sklearn_eqprop._rules.base import CreditRule, Minibatch
from sklearn_eqprop.diagnostics._linearised import adjoint, displacement_slope
from sklearn_eqprop.diagnostics._subject import Subject

#: Stands for β → 0. Synapses measure the same for every finite β.
VANISHING_BETA = 1e-6


@dataclass
class Directions:
    """Directions in which the parameters could move."""

    #: -dJ/dθ.
    descent: list[np.ndarray]
    #: ν(θ), the direction of equilibrium propagation in the limit β → 0 (Eqs. 18, 26).
    nu: list[np.ndarray]
    #: The estimator's update, as its optimiser receives it, with phases settled as in training.
    #: None for a block that follows another rule. NaN if a phase of training diverges.
    update: list[np.ndarray | None]
    #: The limit of `update` as β goes to 0 and the phases settle. It is in the coordinates of the
    #: estimator's synapses, whereas ν is always in those of the state.
    limit: list[np.ndarray | None]
    #: J, the mean loss at the free equilibria.
    objective: float
    #: Sums of squares in each layer: of the error signal that the estimator's rule uses (in the
    #: limit β → 0), and of the states.
    signal_squares: np.ndarray
    state_squares: np.ndarray
    #: Samples that did not settle in one of the phases.
    n_unsettled: int


def learning_directions(subject: Subject) -> Directions:
    """Settle every sample and compute all directions.

    It raises DivergenceError if a state or an error signal is not finite.
    """
    rule = subject.credit_rule
    found = reduce(_joined, (_directions_of(subject, rule, rows) for rows in subject.chunks()))
    if subject.rescales_layers:
        found.update = _rescaled(subject.network, found.update)
        found.limit = _rescaled(subject.network, found.limit)
    return found


def _joined(one: Directions, other: Directions) -> Directions:
    """Directions over the samples of both."""
    names = [field.name for field in fields(Directions)]
    return Directions(**{name: _sum(getattr(one, name), getattr(other, name)) for name in names})


def _sum(one: Any, other: Any) -> Any:
    """Sum of two numbers or arrays, or of two lists block by block. None stays None."""
    if isinstance(one, list):
        return [_sum(a, b) for a, b in zip(one, other, strict=True)]
    return None if one is None else one + other


def _directions_of(subject: Subject, rule: CreditRule, rows: slice) -> Directions:
    """Contribution of some rows to the directions, without rescaling."""
    substrate, shares, target = subject.substrate(), subject.shares[rows], subject.target[rows]
    free = subject.settle(rows)
    force = subject.force(free, rows)
    slope, error = displacement_slope(subject, free, force), adjoint(subject, free, force)
    signal = slope if rule.attenuated else error
    descent = substrate.local_change(free, [state * shares for state in error.states])
    nu = substrate.local_change(free, [state * shares for state in slope.states])
    limit = subject.training_substrate(beta=VANISHING_BETA).local_change(
        free, [state * shares for state in signal.states]
    )
    update, bounded = _own_update(subject, rule, free.inputs, rows)
    loss = subject.loss.value(np, free.result.states[-1], target)
    settled = free.result.converged & slope.converged & error.converged & bounded
    return Directions(
        descent,
        nu,
        update,
        limit,
        objective=float((loss[:, None] * shares).sum()),
        signal_squares=sums_of_squares(signal.states),
        state_squares=sums_of_squares(free.result.states),
        n_unsettled=int((~settled).sum()),
    )


def sums_of_squares(layers: Sequence[np.ndarray]) -> np.ndarray:
    """Sum of squares of each layer, over all samples."""
    return np.array([(layer**2).sum() for layer in layers])


def _own_update(
    subject: Subject, rule: CreditRule, inputs: np.ndarray, rows: slice
) -> tuple[list[Any], np.ndarray]:
    """The estimator's update, settled as in training, and a mask of the samples that stay bounded.

    The update is NaN if a sample diverges.
    """
    target, shares = subject.target[rows], subject.shares[rows]
    rng = np.random.RandomState(0)
    batch = Minibatch(inputs, target, subject.loss, shares, rng)
    credit = rule.credit(subject.training_substrate(), batch)
    bounded = np.ones(len(inputs), dtype=bool)
    scales = [1.0] + [subject.config.nudge_strength] * len(credit.nudged)
    for result, scale in zip((credit.free.result, *credit.nudged), scales, strict=True):
        bounded &= result.converged | (result.residual < RUNAWAY * scale)  # False for NaN
    if bounded.all():
        return credit.changes, bounded
    return [None if c is None else np.full_like(c, np.nan) for c in credit.changes], bounded


def carried_to_layers(network: Network) -> list[float]:
    """Fraction of a nudge that feedback carries to each layer 1 to L."""
    return attenuations(network.wiring, feedback_gains(network))


def _rescaled(network: Network, changes: list[Any]) -> list[Any]:
    """Changes divided by the attenuation of the error signal, as in training."""
    scales = carried_to_layers(network)
    layers = [parameter.layer for parameter in network.parameters()]
    return [
        None if change is None else change / scales[layer - 1]
        for layer, change in zip(layers, changes, strict=True)
    ]


def inner(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> float:
    """Inner product of two directions that are given block by block."""
    return sum(float(np.vdot(a, b)) for a, b in zip(one, other, strict=True))


def norm(direction: Sequence[np.ndarray]) -> float:
    """Euclidean norm of a direction."""
    return math.sqrt(inner(direction, direction))


def _of_size_1(direction: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    """The direction with a largest magnitude of 1, if the squares of its numbers would underflow.

    Feedback of deep networks leaves very small numbers in the lowest layers.
    """
    largest = max((float(np.abs(block).max(initial=0)) for block in direction), default=0.0)
    if not 0 < largest < math.sqrt(sys.float_info.min):
        return direction
    return [block / largest for block in direction]


def cosine(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> float:
    """Cosine of the angle between two directions. NaN if one of them is 0."""
    one, other = _of_size_1(one), _of_size_1(other)
    size = norm(one) * norm(other)
    if size == 0:
        return math.nan
    return min(max(inner(one, other) / size, -1.0), 1.0)
