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

from sklearn_eqprop.network.connections import Connection
from sklearn_eqprop.network.loop_gain import unit_row
from sklearn_eqprop.network.network import Network

#: Directions that the norm of a connection is looked for among, and what is added to what is found:
#: it is too low, by up to half a percent in random matrices.
N_DIRECTIONS = 20
ALLOWANCE = 1.02
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
    """Largest singular value on what power iteration has passed through, from a fixed direction."""
    backend, dtype = network.backend, network.dtype
    row = backend.from_host(unit_row(connection.n_source), dtype)
    rows = []
    for _ in range(N_DIRECTIONS):
        rows.append(backend.to_host(row))
        image = connection.apply(row)
        size = network.norm(image)
        if size == 0 or not math.isfinite(size):
            return size
        row = connection.apply_transposed(image / size)
        length = network.norm(row)
        if not math.isfinite(length):
            return length
        row = row / length
    basis = np.linalg.qr(np.concatenate(rows).T)[0].T
    images = connection.apply(backend.from_host(basis, dtype))
    return float(np.linalg.norm(backend.to_host(images), 2))
