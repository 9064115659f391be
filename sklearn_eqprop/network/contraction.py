"""How far the output can be from rest, given what each layer has left to move.

Let e_l be the distance of layer l from a fixed point, r_l the size of its residual
clip(drive_l) - s_l, and N_lj the spectral norm of the connection from j to l. Ranges and rates
lengthen no difference (``|ρ'|`` <= 1), so

    e_l <= r_l + Σ_j N_lj e_j   for every l,      hence      e <= (1 - N)^-1 r

wherever the spectral radius of N is below 1. Settling is then a contraction: there is one fixed
point, and the last row of (1 - N)^-1 says what a residual in each layer can still do to the output.
"""

from __future__ import annotations

import math

import numpy as np

from sklearn_eqprop.network.connections import Connection
from sklearn_eqprop.network.loop_gain import unit_row
from sklearn_eqprop.network.network import Network

#: Steps of power iteration, whose estimates are too low, and what they are multiplied by.
N_STEPS = 20
ALLOWANCE = 1.1
#: Largest spectral radius of N that counts as a contraction.
LARGEST_RADIUS = 0.95


def output_error_factors(network: Network) -> list[float] | None:
    """Most that a residual of size 1 in each layer can mean for the output, Euclidean norms.

    Parameters
    ----------
    network : Network

    Returns
    -------
    list of float or None
        One a layer 1..L. None where the norms do not show that settling is a contraction, or
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
    identity = np.eye(network.n_layers)
    return [float(factor) for factor in np.linalg.solve((identity - norms).T, identity[-1])]


def _spectral_norm(network: Network, connection: Connection) -> float:
    """Largest singular value by power iteration from a fixed random direction."""
    row = network.backend.from_host(unit_row(connection.n_source), network.dtype)
    norm = 0.0
    for _ in range(N_STEPS):
        image = connection.apply(row)
        size = network.norm(image)
        if size == 0 or not math.isfinite(size):
            return size
        row = connection.apply_transposed(image / size)
        norm = network.norm(row)
        row = row / norm
    return norm
