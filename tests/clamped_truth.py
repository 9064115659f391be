"""The outputs held at their targets, as a dense float64 system, and how weights change by it.

As in `tests.dense_truth`, nothing here imports the package.
"""

import numpy as np


def clamped_equilibrium(net, X, Y):
    """Damped iteration with the outputs held."""
    S = net.equilibrium(X)
    outputs = net.span(net.n_layers)
    for _ in range(3000):
        S[:, outputs] = Y
        moved = np.clip(S + 0.4 * (net.drive(S, X) - S), net.low, net.high)
        moved[:, outputs] = Y
        change, S = np.abs(moved - S).max(), moved
        if change < 1e-16:
            break
    assert change < 1e-15
    return S


def _side_by_side(net, X, S):
    """Rates of layers 0..L."""
    return [X, *net.split(net.rho(S))]


def generec(net, X, Y, shares, *, rates=True):
    """Free rate before a synapse times what the clamp moves behind it, in rates or in states."""
    S_free, S_clamped = net.equilibrium(X), clamped_equilibrium(net, X, Y)
    free = _side_by_side(net, X, S_free)
    moved = net.rho(S_clamped) - net.rho(S_free) if rates else S_clamped - S_free
    deltas = [shares[:, None] * part for part in net.split(moved)]
    weights = [free[source].T @ deltas[target - 1] for source, target in net.connections]
    return weights + [delta.sum(axis=0) for delta in deltas]


def contrast_of_products(net, X, Y, shares):
    """Contrastive Hebbian learning of tied weights."""
    free = _side_by_side(net, X, net.equilibrium(X))
    clamped = _side_by_side(net, X, clamped_equilibrium(net, X, Y))
    weigh = shares[:, None]
    weights = [
        clamped[source].T @ (weigh * clamped[target]) - free[source].T @ (weigh * free[target])
        for source, target in net.connections
        if source < target
    ]
    return weights + [shares @ (c - f) for c, f in zip(clamped[1:], free[1:], strict=True)]
