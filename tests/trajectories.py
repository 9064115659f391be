"""Trajectories of a `DenseNet` written out as a plain loop, and networks that never settle.

As in `dense_truth`, nothing here imports the package.
"""

from dataclasses import dataclass

import numpy as np

from tests.dense_graph import GraphNet
from tests.dense_truth import ALL_LOSSES

RINGING = ((0, 1), (1, 1), (1, 2), (2, 1))


@dataclass
class Run:
    """Averages over the second half of a run, and where it was in every step of that half."""

    states: np.ndarray
    rates: np.ndarray
    slopes: np.ndarray
    path: np.ndarray


def run(net, X, start, step_size, n_steps, loss=None, Y=None, beta=0.0):
    """n_steps of s <- clip(s + ε μ^β(s))."""
    S, path = start, []
    for step in range(1, n_steps + 1):
        S = np.clip(S + step_size * net.field(S, X, loss, Y, beta), net.low, net.high)
        if step > n_steps // 2:
            path.append(S)
    path = np.array(path)
    return Run(path.mean(0), net.rho(path).mean(0), net.slope(path).mean(0), path)


def after_transient(net, X, step_size, n_steps):
    """Where a network is n_steps after it was at rest."""
    S = np.zeros((X.shape[0], net.ends[-1]))
    for _ in range(n_steps):
        S = np.clip(S + step_size * net.field(S, X), net.low, net.high)
    return S


def average_loss(net, X, Y, loss, step_size, n_transient, n_run):
    """Average of C(s_t, y) of each sample along the free run."""
    start = after_transient(net, X, step_size, n_transient)
    path = run(net, X, start, step_size, n_run).path
    return ALL_LOSSES[loss][0](path[:, :, net.span(net.n_layers)], Y).mean(axis=0)


def ringing_net(sizes, *, turn=2.0, excitation=1.5, feedback=0.3, seed=0):
    """One hidden layer of tanh units that excite themselves and turn each other around.

    With weights `excitation` - 1 + i `turn` the lateral part of A has eigenvalues whose real parts
    are positive, so that there is no rest, and tanh keeps what grows within bounds.
    """
    rng = np.random.RandomState(seed)
    n_inputs, n_hidden, n_outputs = sizes
    draw = rng.standard_normal((n_hidden, n_hidden))
    antisymmetric = (draw - draw.T) * (turn / np.linalg.norm(draw - draw.T, 2))
    lateral = excitation * np.eye(n_hidden) + antisymmetric
    coefs = [
        rng.standard_normal((n_inputs, n_hidden)) / np.sqrt(n_inputs),
        rng.standard_normal((n_hidden, n_outputs)) / np.sqrt(n_hidden),
    ]
    biases = [0.1 * rng.standard_normal(size) for size in (n_hidden, n_outputs)]
    return GraphNet("tanh", RINGING, coefs, biases, [lateral, feedback * coefs[1].T])


def swing(path):
    """Standard deviation in time of each unit, root mean square over units and samples."""
    return float(np.sqrt(path.var(axis=0).mean()))
