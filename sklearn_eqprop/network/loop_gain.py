"""The loop-gain safeguard: feedback kept weak enough that settling is a contraction.

Let f_l, b_l be the spectral norms of F_{l+1} and B_l, the two sides of the loop between
layers l and l + 1, and let |ρ'| <= 1. The Jacobian of the drives is then block tridiagonal
with blocks of norm at most f_l and b_l; a diagonal change of scale makes both sides of every
loop sqrt(f_l b_l). A tridiagonal matrix of size L with zero diagonal and off-diagonal
entries g has norm 2 g cos(π / (L + 1)), so

    f_l b_l <= c / (4 cos²(π / (L + 1)))   for every l

makes the map s -> drive(s) a contraction by sqrt(c) < 1: one fixed point, which every method of
relaxation reaches at a geometric rate from any start.
"""

from __future__ import annotations

import math

import numpy as np

from sklearn_eqprop.backend.array_backend import Array
from sklearn_eqprop.network.connections import Connection
from sklearn_eqprop.network.network import Network

#: Power-iteration steps before the first projection.
WARM_UP_STEPS = 20
#: Share of a fixed random direction mixed into every step. Without it the vector of a network that
#: trains for long holds other singular directions only as rounding error, and when one of them
#: overtakes the leading one, the estimate stays too low until that error has grown. The estimate
#: loses about the square of it.
EXPLORATION = 1e-2


def allowed_loop_product(n_layers: int, bound: float) -> float:
    """Largest spectral-norm product of a loop, c / (4 cos²(π / (L + 1)))."""
    if n_layers < 2:
        return math.inf
    return bound / (4 * math.cos(math.pi / (n_layers + 1)) ** 2)


def feedback_gains(network: Network) -> list[float]:
    """Strength of each feedback connection, γ_l = ||B_l|| / ||F_{l+1}||, from layer 1 up.

    Frobenius norms: the ratio is γ exactly where B_l = γ F_{l+1}^T.
    """
    gains = []
    for forward, feedback in zip(network.forward[1:], network.feedback, strict=True):
        norm = _norm(network, forward.weights)
        gains.append(_norm(network, feedback.weights) / norm if norm > 0 else 1.0)
    return gains


def _norm(network: Network, array: Array) -> float:
    flat = array.ravel()
    return math.sqrt(float(network.backend.xp.dot(flat, flat)))


class LoopGainGuard:
    """Shrinks feedback whenever a loop grows beyond the bound.

    The spectral norms are tracked by power iteration: one step an update, started from the
    last update's vector, costs two products with a single row. What it finds is a lower
    estimate of the norm, tight once the vector has settled.

    Parameters
    ----------
    network : Network
    bound : float
        c in (0, 1).
    vectors : list of array or None
        Where an earlier guard left off, see `vectors`.

    Attributes
    ----------
    vectors : list of array
        Leading left singular vector, (1, n_source), of each forward connection
        from layer 1 up, then of each feedback connection.
    """

    def __init__(
        self, network: Network, bound: float, vectors: list[np.ndarray] | None = None
    ) -> None:
        self._network = network
        self._loops = list(zip(network.forward[1:], network.feedback, strict=True))
        self._limit = allowed_loop_product(network.n_layers, bound)
        connections = [*network.forward[1:], *network.feedback]
        self._directions = [self._random_direction(connection) for connection in connections]
        if vectors is None:
            self.vectors = list(self._directions)
            self.enforce(WARM_UP_STEPS)
        else:
            self.vectors = [network.backend.from_host(vector, network.dtype) for vector in vectors]

    def enforce(self, n_steps: int = 1) -> None:
        """Refine the norms by `n_steps` of power iteration and shrink what exceeds the bound."""
        for index, (forward, feedback) in enumerate(self._loops):
            product = self._norm(index, forward, n_steps) * self._norm(
                len(self._loops) + index, feedback, n_steps
            )
            if product > self._limit:
                shrink = self._limit / product
                # A tied loop is the square of one array, so each factor takes a root.
                feedback.weights *= math.sqrt(shrink) if self._network.tied else shrink

    def _random_direction(self, connection: Connection) -> Array:
        # Any with a part along the leading singular vector will do; a fixed draw keeps fits
        # reproducible and leaves the user's random stream alone.
        size = self._network.layer_sizes[connection.source - 1]
        draw = np.random.RandomState(0).standard_normal((1, size))
        return self._network.backend.from_host(draw / np.linalg.norm(draw), self._network.dtype)

    def _norm(self, index: int, connection: Connection, n_steps: int) -> float:
        norm = 0.0
        for _ in range(n_steps):
            image = connection.apply(self.vectors[index])
            image_norm = _norm(self._network, image)
            if image_norm == 0:
                return 0.0
            back = connection.apply_transposed(image / image_norm)
            norm = _norm(self._network, back)
            self.vectors[index] = back / norm + EXPLORATION * self._directions[index]
        return norm
