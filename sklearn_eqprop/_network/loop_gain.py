"""The loop-gain safeguard: feedback kept weak enough that settling is a contraction.

**Layers in a row.** Let f_l, b_l be the spectral norms of F_{l+1} and B_l, the two sides of the
loop between layers l and l + 1, and let |ρ'| <= 1. The Jacobian of the drives is then block
tridiagonal with blocks of norm at most f_l and b_l; a diagonal change of scale makes both sides of
every loop sqrt(f_l b_l). A tridiagonal matrix of size L with zero diagonal and off-diagonal
entries g has norm 2 g cos(π / (L + 1)), so

    f_l b_l <= c / (4 cos²(π / (L + 1)))   for every l

makes the map s -> drive(s) a contraction by sqrt(c) < 1: one fixed point, which every method of
relaxation reaches at a geometric rate from any start.

**Any other graph.** Let N be the matrix of the spectral norms between layers, N_ij that of the
connection from j to i, and r(N) its spectral radius. Take positive numbers w with N w <= r w
(the Perron vector; where N is reducible, one for any r > r(N)). If two states differ by at most
m w_j in layer j, their drives differ in layer i by at most Σ_j N_ij m w_j <= r m w_i: s -> drive(s)
contracts by r in the norm max_i ||s_i|| / w_i. So what is asked for is

    r(N) <= sqrt(c).

Split N = K + M into what stays and what is shrunk by one factor t: the forward and the feedback
connections (with tied weights, M holds both sides of every tied pair). K leads to later layers
only, so K^L = 0 and (λ - K)^-1 = Σ_k K^k / λ^(k+1) has no negative entry, for any λ > 0. Now
(K + t M) v = λ v is the same as (λ - K)^-1 M v = v / t, and r(K + t M) never falls as t grows from
r(K) = 0. So it first reaches λ = sqrt(c) where 1 / t is the largest eigenvalue of (λ - K)^-1 M:

    r(K + t M) = sqrt(c)   for   t = 1 / r((sqrt(c) - K)^-1 M),

and r(N) exceeds sqrt(c) exactly where this t is below 1. Layers in a row keep their own rule, which
shrinks only the loops that are too strong.

**Convolutions** are linear maps like any other, their norms found by the same power iteration.
Pooling by the maximum picks one member of each window: with its winners held, its norm and that of
what goes back to the winners are at most 1, so the norms of the convolutions without it bound
the loop. Held winners are what the contraction is about. While they still change, a state may jump,
but not for ever where feedback is γ F^T and rates are not negative: a maximum of linear functions
is convex, and every sweep then lowers one energy (see docs/design.md).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

import numpy as np

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._network.connections import Connection
from sklearn_eqprop._network.network import Network
from sklearn_eqprop._network.wiring import Pair

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


def excess_gain(
    n_layers: int,
    norms: Mapping[Pair, float],
    shrinking: Collection[Pair],
    bound: float,
) -> float:
    """Factor by which feedback exceeds the bound, r((sqrt(c) - K)^-1 M).

    Divided by it, the shrinking connections make the spectral radius of all norms sqrt(c).

    Parameters
    ----------
    n_layers : int
        L.
    norms : dict of (source, target) to float
        Spectral norms of the connections between layers 1..L.
    shrinking : collection of (source, target)
        Which of them make up M; all others lead to later layers.
    bound : float
        c in (0, 1).

    Returns
    -------
    float
        At most 1 where the bound is kept; infinite where a norm is not finite.
    """
    stays, shrinks = np.zeros((2, n_layers, n_layers))
    for (source, target), norm in norms.items():
        matrix = shrinks if (source, target) in shrinking else stays
        matrix[target - 1, source - 1] = norm
    loops = np.linalg.solve(math.sqrt(bound) * np.eye(n_layers) - stays, shrinks)
    if not np.isfinite(loops).all():
        return math.inf
    return float(np.abs(np.linalg.eigvals(loops)).max())


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
        between layers 1..L, then of each feedback connection; of their envelopes, where they
        are pooled by the maximum.
    """

    def __init__(
        self, network: Network, bound: float, vectors: list[np.ndarray] | None = None
    ) -> None:
        self._network = network
        self._bound = bound
        # The clamped input is part of no loop.
        self._forward = [c.envelope for c in network.forward if c.source > 0]
        self._connections = [*self._forward, *(c.envelope for c in network.feedback)]
        self._directions = [self._random_direction(c) for c in self._connections]
        if vectors is None:
            self.vectors = list(self._directions)
            self.enforce(WARM_UP_STEPS)
        else:
            self.vectors = [network.backend.from_host(vector, network.dtype) for vector in vectors]

    def enforce(self, n_steps: int = 1) -> None:
        """Refine the norms by `n_steps` of power iteration and shrink what exceeds the bound."""
        backend = self._network.backend
        refined = self._refined_on_device if backend.is_device else self._refined
        norms = backend.numbers(
            [
                refined(index, connection, n_steps)
                for index, connection in enumerate(self._connections)
            ]
        )
        if self._network.wiring.is_layered:
            self._shrink_loops(norms)
        else:
            self._shrink_all(norms)

    def _shrink_loops(self, norms: list[float]) -> None:
        """Layers in a row: each loop that is too strong, on its own."""
        limit = allowed_loop_product(self._network.n_layers, self._bound)
        n_loops = len(self._forward)
        for feedback, up, down in zip(
            self._network.feedback, norms[:n_loops], norms[n_loops:], strict=True
        ):
            product = up * down
            if product > limit:
                shrink = limit / product
                # A tied loop is the square of one array, so each factor takes a root.
                feedback.weights *= math.sqrt(shrink) if self._network.tied else shrink

    def _shrink_all(self, norms: list[float]) -> None:
        """Any other graph: all feedback, lateral connections included, by one factor."""
        network = self._network
        tied_to = {pair[::-1] for pair in network.wiring.feedback} if network.tied else set()
        of_pair = {
            (connection.source, connection.target): norm
            for connection, norm in zip(self._connections, norms, strict=True)
        }
        shrinking = tied_to.union(network.wiring.feedback)
        excess = excess_gain(network.n_layers, of_pair, shrinking, self._bound)
        if 1 < excess < math.inf:
            for feedback in network.feedback:
                feedback.weights /= excess

    def _random_direction(self, connection: Connection) -> Array:
        draw = unit_row(connection.n_source)
        return self._network.backend.from_host(draw, self._network.dtype)

    def _refined(self, index: int, connection: Connection, n_steps: int) -> float:
        """Norm of a connection after some more steps of power iteration."""
        norm = 0.0
        for _ in range(n_steps):
            image = connection.apply(self.vectors[index])
            image_norm = self._network.norm(image)
            if image_norm == 0:
                return 0.0
            back = connection.apply_transposed(image / image_norm)
            norm = self._network.norm(back)
            self.vectors[index] = back / norm + EXPLORATION * self._directions[index]
        return norm

    def _refined_on_device(self, index: int, connection: Connection, n_steps: int) -> Array:
        """The same without a number read: the norm of a connection, still on the device."""
        xp = self._network.backend.xp
        norm: Array = None
        for _ in range(n_steps):
            vector = self.vectors[index]
            image = connection.apply(vector)
            back = connection.apply_transposed(image / _or_one(xp, _row_norm(xp, image)))
            norm = _row_norm(xp, back)
            turned = back / _or_one(xp, norm) + EXPLORATION * self._directions[index]
            self.vectors[index] = xp.where(norm == 0, vector, turned)
        return norm.ravel()[0]


def _row_norm(xp: Any, row: Array) -> Array:
    """Euclidean norm of a row, of shape (1, 1)."""
    return xp.sqrt((row * row).sum(axis=1, keepdims=True))


def _or_one(xp: Any, norm: Array) -> Array:
    """A norm to divide by: 1 where it is 0."""
    return xp.where(norm == 0, xp.ones_like(norm), norm)


@cache
def unit_row(size: int) -> np.ndarray:
    """A random direction, (1, size), the same every time.

    Any with a part along the leading singular vector will do; a fixed draw keeps fits reproducible
    and leaves the user's random stream alone.
    """
    draw = np.random.RandomState(0).standard_normal((1, size))
    draw /= np.linalg.norm(draw)
    draw.flags.writeable = False
    return draw
