"""Measurements for the health report."""

import math
from dataclasses import dataclass

import numpy as np

from sklearn_eqprop._network import Network
from sklearn_eqprop._relaxation import FreeField, GaussSeidel, Result, SettleOptions
from sklearn_eqprop._substrates.seam import FreePhase
from sklearn_eqprop.diagnostics._alignment import GradientAlignment, alignment_of
from sklearn_eqprop.diagnostics._directions import Directions, learning_directions, sums_of_squares
from sklearn_eqprop.diagnostics._linearised import Jacobian
from sklearn_eqprop.diagnostics._subject import Quality, Subject, diverged
from sklearn_eqprop.exceptions import DivergenceError

#: A unit of a smooth activation is flat if its slope ρ' is below this fraction of the largest.
FLAT = 0.05
#: Steps of the power iteration for the loop gain. The second half is averaged.
GAIN_STEPS = 48
#: Their number is multiplied by 1 plus the number of layers divided by this.
DEEP = 16


@dataclass(frozen=True)
class Equilibria:
    """Measurements at the free equilibria."""

    #: For each hidden layer, one number per unit: the fraction of the samples in which the unit is
    #: flat. A flat unit is at a bound of its range, or in the tail of a smooth activation.
    flat: list[np.ndarray]
    #: Largest gain of a change that passes through two connections.
    round_trip: float
    #: Distance from the feedforward pass to the equilibrium, relative to the equilibrium.
    recurrence: float


@dataclass(frozen=True)
class Evidence:
    """Measurements of a trained network."""

    subject: Subject
    #: How well the network predicts.
    quality: Quality
    #: The same on rows that it was not trained on. None: there are none.
    held_out: Quality | None
    #: How the samples settle in `predict`, in the estimator's dtype.
    predicted: Result
    #: Samples that diverge when they are settled up to rounding in float64.
    n_diverged: int
    #: None if a sample diverges.
    equilibria: Equilibria | None
    directions: Directions | None
    #: Both are None if a sample diverges, or if error signals do not settle.
    alignment: GradientAlignment | None


def gather(subject: Subject, held_out: Subject | None) -> Evidence:
    """Measure everything that the checks need; `held_out` has rows that were not trained on.

    It raises DivergenceError if states are too large to be squared.
    """
    predicted = subject.prediction()
    n_diverged, equilibria = _equilibria(subject)
    directions = None if equilibria is None else _directions(subject)
    return Evidence(
        subject=subject,
        quality=subject.quality(predicted.states[0]),
        held_out=None if held_out is None else held_out.quality(held_out.prediction().states[0]),
        predicted=predicted,
        n_diverged=n_diverged,
        equilibria=equilibria,
        directions=directions,
        alignment=None if directions is None else alignment_of(subject, directions),
    )


def _directions(subject: Subject) -> Directions | None:
    try:
        return learning_directions(subject)
    except DivergenceError:
        return None


def _equilibria(subject: Subject) -> tuple[int, Equilibria | None]:
    """Number of samples that diverge, and measurements at the equilibria if none does."""
    network = subject.network
    n_flat = [np.zeros(size) for size in network.layer_sizes[:-1]]
    n_diverged, round_trip, squares = 0, 0.0, np.zeros(2)
    for rows in subject.chunks():
        free = subject.free_phase(rows)
        n_diverged += int(diverged(free.result).sum())
        if n_diverged:
            continue  # only count them
        assert free.result.drives is not None  # the free field keeps them
        for layer, count in enumerate(n_flat, start=1):
            count += _flat(network, layer, free.result.drives[layer - 1]).sum(axis=0)
        round_trip = max(round_trip, _round_trip_gain(subject, free))
        squares += _squared_distance(network, free)
    if n_diverged:
        return n_diverged, None
    return 0, Equilibria(
        flat=[count / subject.n_samples for count in n_flat],
        round_trip=round_trip,
        recurrence=math.sqrt(squares[0] / squares[1]) if squares[1] > 0 else 0.0,
    )


def _flat(network: Network, layer: int, drive: np.ndarray) -> np.ndarray:
    """Mask of the units that are flat where their drive puts them.

    At an equilibrium this is their state. With a step size below 1, a state comes ever closer to a
    bound, but does not reach it.
    """
    activation = network.activations[layer - 1]
    slope = activation.slope(np, network.project(layer, drive))
    if activation.bounded:
        return slope == 0
    return slope < FLAT * activation.slope(np, np.zeros(1))  # steepest at 0


def _round_trip_gain(subject: Subject, free: FreePhase) -> float:
    """Square of the spectral radius of A + 1, the largest over the samples, by power iteration.

    The eigenvalues come in pairs ± if layers drive only their neighbours, and lie on a circle if
    layers form a ring. The growth of single steps is then periodic. The geometric mean is therefore
    taken over a number of steps that is a multiple of 2, 3 and 4.
    """
    jacobian = Jacobian(subject, free)
    rng = np.random.RandomState(0)
    n_rows = len(free.inputs)
    draws = [rng.standard_normal((n_rows, size)) for size in subject.network.layer_sizes]
    vectors = jacobian.restricted(draws)
    log_growth = np.zeros(n_rows)
    # In a deep network, a change takes many steps before it has left the output.
    n_steps = GAIN_STEPS * (1 + subject.network.n_layers // DEEP)
    for step in range(n_steps):
        image = [a + v for a, v in zip(jacobian.times(vectors), vectors, strict=True)]
        size = np.sqrt(sum((layer**2).sum(axis=1) for layer in image))
        # Without loops, vectors become 0 and stay 0.
        vectors = [layer / np.where(size > 0, size, 1.0)[:, None] for layer in image]
        if step >= n_steps // 2:
            log_growth += np.log(size)
    return float(np.exp(log_growth.max() / (n_steps // 2))) ** 2


def _squared_distance(network: Network, free: FreePhase) -> np.ndarray:
    """||s - s'||² and ||s||² over all layers and rows, where s' is the feedforward pass."""
    states = free.result.states
    passed = _feedforward_pass(network, free)
    apart = [s - p for s, p in zip(states, passed, strict=True)]
    squares = np.array([sums_of_squares(layers).sum() for layers in (apart, states)])
    if not np.isfinite(squares).all():
        largest = max(float(np.abs(s).max()) for s in states)
        msg = (
            f"States of up to {largest:.2g} are too large to be squared in float64. Scale the "
            "inputs."
        )
        raise DivergenceError(msg)
    return squares


def _feedforward_pass(network: Network, free: FreePhase) -> list[np.ndarray]:
    """States of one sweep upwards from zero states, in which only lower layers drive a layer."""
    field = FreeField(network, network.clamp(free.inputs), len(free.inputs))
    return GaussSeidel(1.0).repeat(field, 1, SettleOptions(keeps="drives")).states
