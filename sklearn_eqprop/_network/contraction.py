"""How far a layer can be from rest, given what each layer has left to move.

Let e_l be the distance of layer l from a fixed point, r_l the size of its residual
clip(drive_l) - s_l, and N_lj the spectral norm of the connection from j to l. Ranges and rates
lengthen no difference (``|ρ'|`` <= 1), so

    e_l <= r_l + Σ_j N_lj e_j   for every l,      hence      e <= (1 - N)^-1 r

wherever the spectral radius of N is below 1. Settling is then a contraction, and there is one fixed
point.
"""

from __future__ import annotations

import math

import numpy as np

from sklearn_eqprop._network.connections import Connection
from sklearn_eqprop._network.network import Network

#: Directions a norm is looked for from, steps of power iteration from each, and what the result is
#: multiplied by: it is too low, hardly in random matrices, by up to 2.5 % where the leading
#: direction is one that the others hardly touch. (From a single direction it was 4 % there.)
N_DIRECTIONS = 4
N_STEPS = 12
ALLOWANCE = 1.04
#: Largest spectral radius of N that counts as a contraction.
LARGEST_RADIUS = 0.95


def error_factors(network: Network) -> np.ndarray | None:
    """(1 - N)^-1: most that a residual of size 1 in one layer can mean for another.

    Parameters
    ----------
    network : Network

    Returns
    -------
    ndarray of shape (n_layers, n_layers) or None
        Row l - 1 for the distance of layer l from rest, column j - 1 for the residual of layer j,
        Euclidean norms. None where the norms do not show that settling is a contraction, or
        pooling by the maximum lets drives jump.
    """
    connections = [c for c in (*network.forward, *network.feedback) if c.source > 0]
    if any(connection.pool is not None for connection in connections):
        return None
    norms = np.zeros((network.n_layers, network.n_layers))
    for connection in connections:
        norm = ALLOWANCE * _spectral_norm(network, connection)
        norms[connection.target - 1, connection.source - 1] = norm
    if not np.isfinite(norms).all() or abs(np.linalg.eigvals(norms)).max() > LARGEST_RADIUS:
        return None
    return np.linalg.inv(np.eye(network.n_layers) - norms)


def _spectral_norm(network: Network, connection: Connection) -> float:
    """Largest singular value on all that power iteration from fixed directions passes through."""
    backend, dtype = network.backend, network.dtype
    rows = np.random.RandomState(0).standard_normal((N_DIRECTIONS, connection.n_source))
    passed = []
    for _ in range(N_STEPS):
        passed.append(rows)
        images = connection.apply(backend.from_host(rows, dtype))
        size = network.norm(images)
        if size == 0 or not math.isfinite(size):
            return size
        rows = backend.to_host(connection.apply_transposed(images / size))
        if not np.isfinite(rows).all():
            return math.inf
        largest = np.abs(rows).max(axis=1, keepdims=True)
        rows = rows / np.where(largest > 0, largest, 1)
    basis = np.linalg.qr(np.concatenate(passed).T)[0].T
    images = backend.to_host(connection.apply(backend.from_host(basis, dtype)))
    products = images @ images.T
    if not np.isfinite(products).all():
        return math.inf
    return math.sqrt(float(np.linalg.eigvalsh(products)[-1]))
