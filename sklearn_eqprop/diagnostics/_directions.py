"""Directions in parameter space: minus the exact gradient, ν of Theorem 1, the estimator's update.

All are means over the samples, in the order of `Network.parameters`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._estimators.fitting.assembly import credit_rule
from sklearn_eqprop._network import Network, attenuations, feedback_gains
from sklearn_eqprop._relaxation import RUNAWAY
from sklearn_eqprop._rules.base import CreditRule, Minibatch
from sklearn_eqprop.diagnostics._linearised import adjoint, displacement_slope
from sklearn_eqprop.diagnostics._subject import Subject

#: Stands for β → 0. Of β, what synapses read depends only on whether it is infinite.
VANISHING_BETA = 1e-6


@dataclass
class Directions:
    """Where the parameters would go.

    Attributes
    ----------
    descent : list of ndarray
        -dJ/dθ.
    nu : list of ndarray
        ν(θ), what equilibrium propagation follows in the limit β → 0 (Eqs. 18, 26).
    update : list of ndarray or None
        What the estimator hands to its optimiser, settled as far as in training; None for a block
        that it does not train by it, NaN where its phases run away.
    limit : list of ndarray or None
        What `update` tends to as β goes to 0 and the phases settle; in the coordinates that the
        estimator's synapses read, which for ν are always those of the state.
    objective : float
        J, the mean loss at the free equilibria.
    signal_sizes, state_sizes : list of float
        Root mean square in each layer of the error signal that the estimator's rule works with (in
        the limit β → 0) and of s.
    rescaled : bool
        Whether `update` has the attenuation undone layer by layer.
    n_unsettled : int
        Samples that did not settle in one of the phases.
    """

    descent: list[np.ndarray]
    nu: list[np.ndarray]
    update: list[np.ndarray | None]
    limit: list[np.ndarray | None]
    objective: float
    signal_sizes: list[float]
    state_sizes: list[float]
    rescaled: bool
    n_unsettled: int


def learning_directions(subject: Subject) -> Directions:
    """Settle every sample and work out all directions."""
    rule = credit_rule(subject.parameters, subject.network)
    totals: list[Any] = [None] * 4
    squares = np.zeros((2, subject.network.n_layers))
    objective, n_unsettled = 0.0, 0
    for rows in subject.chunks():
        part = _directions_of(subject, rule, rows)
        totals = [_sum(*pair) for pair in zip(totals, part.changes, strict=True)]
        squares += part.squares
        objective += part.loss
        n_unsettled += part.n_unsettled
    descent, nu, update, limit = (_on_host(subject.network, blocks) for blocks in totals)
    n_states = subject.X.shape[0] * np.array(subject.network.layer_sizes)
    signal_sizes, state_sizes = np.sqrt(squares / n_states).tolist()
    rescaled = subject.estimator.layerwise_rescale and rule.attenuated
    if rescaled:
        update, limit = (_rescaled(subject.network, changes) for changes in (update, limit))
    return Directions(
        descent,
        nu,
        update,
        limit,
        objective,
        signal_sizes,
        state_sizes,
        rescaled,
        n_unsettled,
    )


@dataclass
class _Part:
    """What some of the rows contribute."""

    changes: tuple[list[Array], list[Array], list[Array], list[Array]]
    squares: np.ndarray
    loss: float
    n_unsettled: int


def _directions_of(subject: Subject, rule: CreditRule, rows: slice) -> _Part:
    xp, substrate = subject.network.backend.xp, subject.substrate()
    shares, target = (
        subject.on_device(subject.shares, rows),
        subject.on_device(subject.target, rows),
    )
    free = subject.settle(rows)
    origin, force = subject.origin(free), subject.force(free, rows)
    slope = displacement_slope(subject, free, origin, force)
    error = adjoint(subject, free, origin, force)
    signal = slope if rule.attenuated else error
    squares = [[float((layer**2).sum()) for layer in r.states] for r in (signal, free.result)]
    descent = substrate.local_change(free, [state * shares for state in error.states])
    nu = substrate.local_change(free, [state * shares for state in slope.states])
    limit = subject.own_substrate(beta=VANISHING_BETA).local_change(
        free, [state * shares for state in signal.states]
    )
    update, stays = _own_update(subject, rule, free.inputs, target, shares)
    settled = free.result.converged & slope.converged & error.converged & stays
    loss = subject.loss.value(xp, free.result.states[-1], target)
    return _Part(
        (descent, nu, update, limit),
        np.array(squares),
        float((loss[:, None] * shares).sum()),
        settled.shape[0] - int(settled.sum()),
    )


def _own_update(
    subject: Subject, rule: CreditRule, inputs: Array, target: Array, shares: Array
) -> tuple[list[Array], Array]:
    """The estimator's update, as far as its phases settle, and which samples stay put.

    NaN where one runs away.
    """
    xp = subject.network.backend.xp
    substrate = subject.own_substrate()
    rng = np.random.RandomState(0)
    with np.errstate(over="ignore", invalid="ignore"):
        credit = rule.credit(substrate, Minibatch(inputs, target, subject.loss, shares, rng))
    stays = xp.ones_like(credit.free.result.converged)
    strength = subject.estimator._nudge_strength
    scales = [1.0, *(strength for _ in credit.nudged)]
    for result, scale in zip((credit.free.result, *credit.nudged), scales, strict=True):
        stays &= result.converged | (result.residual < RUNAWAY * scale)  # False for NaN
    if bool(stays.all()):
        return credit.changes, stays
    return [None if c is None else xp.full_like(c, xp.nan) for c in credit.changes], stays


def carried_to_layers(network: Network) -> list[float]:
    """Share of a nudge that feedback carries to each layer 1..L, as training undoes it."""
    return attenuations(network.wiring, feedback_gains(network))


def _rescaled(network: Network, changes: list[np.ndarray | None]) -> list[np.ndarray | None]:
    """Changes with the attenuation of the error signal undone, as training does it."""
    scales = carried_to_layers(network)
    layers = [parameter.layer for parameter in network.parameters()]
    return [
        None if change is None else change / scales[layer - 1]
        for layer, change in zip(layers, changes, strict=True)
    ]


def _sum(total: list[Array] | None, part: list[Array]) -> list[Array]:
    if total is None:
        return part
    return [None if a is None else a + b for a, b in zip(total, part, strict=True)]


def _on_host(network: Network, blocks: list[Array]) -> list[Any]:
    return [None if block is None else network.backend.to_host(block) for block in blocks]


def inner(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> float:
    """Inner product of two directions, block by block."""
    return sum(float(np.vdot(a, b)) for a, b in zip(one, other, strict=True))


def norm(direction: Sequence[np.ndarray]) -> float:
    """Euclidean norm of a direction."""
    return math.sqrt(inner(direction, direction))


def cosine(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> float:
    """Cosine of the angle between two directions; NaN where one of them is 0."""
    size = norm(one) * norm(other)
    if size == 0:
        return math.nan
    return min(max(inner(one, other) / size, -1.0), 1.0)
