"""What the health report judges by, measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_eqprop._backend import NumpyBackend
from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._estimators.base import BaseEqProp
from sklearn_eqprop._estimators.fitted.settled_rows import settle_rows
from sklearn_eqprop._network import Network, feedback_gains
from sklearn_eqprop._relaxation import FreeField
from sklearn_eqprop._substrates.phases import held_at
from sklearn_eqprop._substrates.seam import FreePhase
from sklearn_eqprop.diagnostics._alignment import GradientAlignment, alignment_of
from sklearn_eqprop.diagnostics._directions import (
    Directions,
    carried_to_layers,
    learning_directions,
)
from sklearn_eqprop.diagnostics._linearised import Jacobian
from sklearn_eqprop.diagnostics._subject import Subject, ran_away
from sklearn_eqprop.exceptions import DivergenceError

#: A unit whose slope ρ' is below this share of the largest transmits next to nothing.
FLAT = 0.05
#: Applications of the coupling by which its gain is estimated; the second half counts.
GAIN_STEPS = 48


@dataclass(frozen=True)
class AtRest:
    """What is measured at the equilibria.

    Attributes
    ----------
    flat : list of ndarray
        For each hidden layer, the fraction of the samples in which a unit is flat: at a bound of
        its range, or in the tail of a smooth activation.
    round_trip : float
        Largest gain of a change that goes through two connections, there and back.
    recurrence : float
        Distance from the feedforward pass to the equilibrium, relative to the latter.
    """

    flat: list[np.ndarray]
    round_trip: float
    recurrence: float


@dataclass(frozen=True)
class Evidence:
    """Measurements of a trained network.

    Attributes
    ----------
    estimator : BaseEqProp
    network : Network
        In float64.
    unsettled, n_sweeps : float
        Fraction of the samples that the estimator itself does not settle when it predicts, and how
        many sweeps or steps it takes on average.
    n_broken : int
        Samples whose states do not stay finite then, in the estimator's own type.
    n_runaway : int
        Samples that run away when they are settled as far as rounding allows.
    at_rest : AtRest or None
        None where there are such samples.
    directions : Directions or None
    alignment : GradientAlignment or None
        None there as well, and where error signals do not settle.
    gains : list of float
        γ_l of each feedback connection.
    carried : list of float
        Share of a nudge that feedback carries to each layer 1..L.
    n_samples : int
    """

    estimator: BaseEqProp
    network: Network
    unsettled: float
    n_sweeps: float
    n_broken: int
    n_runaway: int
    at_rest: AtRest | None
    directions: Directions | None
    alignment: GradientAlignment | None
    gains: list[float]
    carried: list[float]
    n_samples: int


def gather(subject: Subject) -> Evidence:
    """Measure everything.

    Raises
    ------
    DivergenceError
        If states are too large to be squared.
    """
    estimator, network = subject.estimator, subject.network
    unsettled, n_sweeps, n_broken = _prediction(subject)
    n_runaway, at_rest = _equilibria(subject)
    directions = None if at_rest is None else _directions(subject)
    return Evidence(
        estimator=estimator,
        network=network,
        unsettled=unsettled,
        n_sweeps=n_sweeps,
        n_broken=n_broken,
        n_runaway=n_runaway,
        at_rest=at_rest,
        directions=directions,
        alignment=None if directions is None else alignment_of(subject, directions),
        gains=feedback_gains(network),
        carried=carried_to_layers(network),
        n_samples=subject.X.shape[0],
    )


def _prediction(subject: Subject) -> tuple[float, float, int]:
    """How the estimator itself settles, in its own type: see `Evidence`."""
    arrays = subject.estimator._arrays()
    substrate = subject.estimator._substrate(subject.estimator._network(arrays, NumpyBackend()))
    dtype = arrays.coefs[0].dtype
    results = [
        settle_rows(substrate, _cast(subject.inputs(rows), dtype), must_be_finite=False)
        for rows in subject.chunks()
    ]
    converged, n_steps, residual = (
        np.concatenate([getattr(result, name) for result in results])
        for name in ("converged", "n_steps", "residual")
    )
    n_broken = int((~np.isfinite(residual)).sum())
    return 1 - float(converged.mean()), float(n_steps.mean()), n_broken


def _cast(inputs: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Inputs in another type; what is too large for it is told by the residuals."""
    with np.errstate(over="ignore"):
        return inputs.astype(dtype)


def _equilibria(subject: Subject) -> tuple[int, AtRest | None]:
    """How many samples run away, and what is at the equilibria if none does."""
    network, n_samples = subject.network, subject.X.shape[0]
    n_flat: list[Array] = [0.0] * (network.n_layers - 1)
    n_runaway, round_trip, squares = 0, 0.0, np.zeros(2)
    for rows in subject.chunks():
        free = subject.free_phase(rows)
        n_runaway += int(ran_away(free.result).sum())
        if n_runaway:
            continue  # only to count them
        for layer, state in enumerate(free.result.states[:-1], start=1):
            n_flat[layer - 1] += _flat(network, layer, state).sum(axis=0)
        round_trip = max(round_trip, _round_trip_gain(subject, free))
        squares += _squared_distance(network, free)
    if n_runaway:
        return n_runaway, None
    return 0, AtRest(
        flat=[network.backend.to_host(layer) / n_samples for layer in n_flat],
        round_trip=round_trip,
        recurrence=math.sqrt(squares[0] / squares[1]) if squares[1] > 0 else 0.0,
    )


def _directions(subject: Subject) -> Directions | None:
    try:
        return learning_directions(subject)
    except DivergenceError:
        return None


def _flat(network: Network, layer: int, state: Array) -> Array:
    """Which units of a layer transmit next to no change."""
    xp, activation = network.backend.xp, network.activations[layer - 1]
    if activation.lower is not None or activation.upper is not None:
        return activation.slope(xp, state) == 0
    # Smooth activations are steepest at 0.
    return activation.slope(xp, state) < FLAT * activation.slope(xp, xp.zeros(1, network.dtype))


def _round_trip_gain(subject: Subject, free: FreePhase) -> float:
    """Square of the spectral radius of A + 1, the largest over the samples, by power iteration.

    Its eigenvalues come in pairs ± where layers drive only their neighbours, and lie on a circle
    where they form a ring, so the growth of single steps goes round: the geometric mean over a
    multiple of 2, 3 and 4 of them counts.
    """
    xp = subject.network.backend.xp
    jacobian = Jacobian(held_at(free), subject.origin(free))
    rng = np.random.RandomState(0)
    n_rows = free.inputs.shape[0]
    draws = [rng.standard_normal((n_rows, size)) for size in subject.network.layer_sizes]
    vectors = jacobian.restricted([subject.on_device(draw, slice(None)) for draw in draws])
    log_growth = xp.zeros(n_rows)
    for step in range(GAIN_STEPS):
        image = [a + v for a, v in zip(jacobian.times(vectors), vectors, strict=True)]
        size = xp.sqrt(sum((layer**2).sum(axis=1) for layer in image))
        # What has died out, in a network without loops, stays so.
        vectors = [layer / xp.where(size > 0, size, 1.0)[:, None] for layer in image]
        if step >= GAIN_STEPS // 2:
            with np.errstate(divide="ignore"):
                log_growth += xp.log(size)
    return float(xp.exp(log_growth.max() / (GAIN_STEPS // 2))) ** 2


def _squared_distance(network: Network, free: FreePhase) -> np.ndarray:
    """||s - s'||² and ||s||², s' being the feedforward pass, over all layers and rows."""
    states = free.result.states
    with np.errstate(over="ignore", invalid="ignore"):
        passed = feedforward_pass(network, free)
        apart = [network.norm(s - p) for s, p in zip(states, passed, strict=True)]
        lengths = [network.norm(s) for s in states]
        squares = np.square([apart, lengths]).sum(axis=1)
    if not np.isfinite(squares).all():
        largest = max(float(abs(state).max()) for state in states)
        msg = (
            "The states are too large for this report, which squares them in float64. The largest "
            f"is {largest:.2g}: scale the inputs."
        )
        raise DivergenceError(msg)
    return squares


def feedforward_pass(network: Network, free: FreePhase) -> Sequence[Array]:
    """States of one pass from the input up, each layer driven by those below it alone."""
    field = FreeField(network, network.clamp(free.inputs), free.inputs.shape[0])
    states: list[Array] = []
    signals: list[Array | None] = [None] * network.n_layers
    for layer in range(1, network.n_layers + 1):
        inflow = field.inflow(layer, signals, range(1, layer))
        drive = field.total(layer, inflow, field.constant(layer))
        states.append(field.project(layer, drive))
        signals[layer - 1] = field.signal(layer, states[-1])
    return states
