"""Gains: how strong feedback is, how much of an error signal arrives, and the loop-gain safeguard.

The safeguard keeps feedback so weak that settling is a contraction.

**Layers in a row.** Let f_l and b_l be the spectral norms of F_{l+1} and B_l, the two sides of the
loop between layers l and l + 1, and let |ρ'| <= 1. Then the Jacobian of the drives is block
tridiagonal with blocks of norm at most f_l and b_l. A diagonal change of scale makes both sides of
every loop sqrt(f_l b_l). A tridiagonal matrix of size L with zero diagonal and off-diagonal
entries g has norm 2 g cos(π / (L + 1)). So

    f_l b_l <= c / (4 cos²(π / (L + 1)))   for every l

makes the map s -> drive(s) a contraction by sqrt(c) < 1. There is one fixed point, which every
relaxation reaches at a geometric rate from any start.

**Any other graph.** Let N_ij be the spectral norm of the connection from layer j to layer i, and
r(N) the spectral radius of the matrix N. Take positive numbers w with N w <= r w (the Perron
vector; if N is reducible, one for any r > r(N)). If two states differ by at most m w_j in layer j,
their drives differ in layer i by at most Σ_j N_ij m w_j <= r m w_i. So s -> drive(s) contracts by r
in the norm max_i ||s_i|| / w_i, and the condition is

    r(N) <= sqrt(c).

Split N = K + M: K are the forward connections, which stay, and M the feedback connections, which
are shrunk by one factor t. K leads to later layers only, so K^L = 0, and (λ - K)^-1 =
Σ_k K^k / λ^(k+1) has no negative entry for any λ > 0. Now (K + t M) v = λ v is equivalent to
(λ - K)^-1 M v = v / t, and r(K + t M) never falls as t grows from r(K) = 0. So it first reaches
λ = sqrt(c) when 1 / t is the largest eigenvalue of (λ - K)^-1 M:

    r(K + t M) = sqrt(c)   for   t = 1 / r((sqrt(c) - K)^-1 M),

and r(N) exceeds sqrt(c) exactly if this t is below 1. Feedback that leads down by n levels is
shrunk by t^n, which keeps the bound as well. Layers in a row keep their separate rule, which
shrinks only the loops that are too strong.

**Convolutions** are linear maps, and the same power iteration finds their norms. Pooling by the
maximum picks one member of each window. With its winners held, its norm and that of its transpose
are at most 1, so the norms of the convolutions without pooling bound the loop. The contraction
holds for held winners. While winners still change, a state may jump. It does not jump forever if
feedback is γ F^T and rates are not negative: a maximum of linear functions is convex, and every
sweep lowers one energy (see docs/design.md).
"""

import math
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._network.connections import Connection, Pair
from sklearn_eqprop._network.network import Network
from sklearn_eqprop._network.structure import Wiring, starting_norm

#: Gains below this carry no signal. Dividing by them would only amplify rounding.
SMALLEST_GAIN = 1e-12
#: Power-iteration steps before the first projection.
WARM_UP_STEPS = 20
#: Share of a fixed direction that every step of power iteration mixes in. Without it, the vectors
#: of a long fit hold the other singular directions only as rounding error. If one of those becomes
#: the leading one, the estimate would stay too low until that error has grown. The estimate becomes
#: lower by about the square of this share.
EXPLORATION = 1e-2


def feedback_gains(network: Network) -> list[float]:
    """Strength of each feedback connection, γ = ||B|| / ||F|| with the forward partner F.

    The norms are Frobenius norms: the ratio is γ exactly if B = γ F^T. Feedback without a partner,
    as lateral connections, is compared with forward weights of its shape at the start.
    """
    partners = network.wiring.partners
    present = [partner for partner in partners if partner is not None]
    weights = [network.forward[partner].weights for partner in present]
    weights += [feedback.weights for feedback in network.feedback]
    norms = network.norms(weights)
    of_partner = dict(zip(present, norms[: len(present)], strict=True))
    gains = []
    own_norms = norms[len(present) :]
    for feedback, partner, own in zip(network.feedback, partners, own_norms, strict=True):
        shape = feedback.weights.shape
        norm = starting_norm(*shape) if partner is None else of_partner[partner]
        gains.append(feedback.gain * (own / norm) if norm > 0 else feedback.gain)
    return gains


def attenuations(wiring: Wiring, gains: Sequence[float]) -> list[float]:
    """Factor by which feedback shrinks the error signal on its way to each layer.

    It is the product of the gains along the strongest path of feedback from the output; with layers
    in a row, Π_{j >= l} γ_j. At the output it is 1. Layers that feedback alone does not reach are
    reached through forward connections, which count as 1. For layers that the output does not reach
    at all, the factor is 1.

    Parameters
    ----------
    wiring : Wiring
    gains : sequence of float
        γ of each feedback connection, see `feedback_gains`.

    Returns
    -------
    list of float
        One per layer 1..L.
    """
    of_pair = dict(zip(wiring.feedback, gains, strict=True))
    return _along_strongest_paths(wiring, lambda pair: of_pair.get(pair, 1.0))


def arrival_scales(network: Network) -> list[float]:
    """Typical size, in each layer, of a displacement of size 1 in the output.

    A connection with weights W brings a random displacement of size 1 to its target with the size
    ||W|| / sqrt(units of the target), where shared weights count in all their places. Of several
    paths the strongest counts, as in `attenuations`.

    Returns
    -------
    list of float
        One per layer 1..L; never above 1.
    """
    norm_of: dict[Pair, float] = {}

    def transfer(pair: Pair) -> float:
        if pair not in norm_of:  # the norms of forward connections are rarely needed
            kind = network.feedback if pair in network.wiring.feedback else network.forward
            inner = [connection for connection in kind if connection.source > 0]
            norms = network.norms([connection.weights for connection in inner])
            for connection, norm in zip(inner, norms, strict=True):
                if connection.weights.size:
                    norm *= math.sqrt(connection.n_uses / connection.n_target)
                else:  # an identity keeps the size
                    norm = 1.0
                norm_of[connection.source, connection.target] = connection.gain * norm
        return min(norm_of[pair], 1.0)

    return _along_strongest_paths(network.wiring, transfer)


def _along_strongest_paths(wiring: Wiring, factor: Callable[[Pair], float]) -> list[float]:
    """Largest product of the connections' factors along a path from the output to each layer."""
    last = wiring.n_layers
    reached = {last: 1.0}
    for layer, pairs in wiring.routes_from_output:
        found = max(reached[pair[0]] * max(factor(pair), SMALLEST_GAIN) for pair in pairs)
        reached[layer] = max(found, sys.float_info.min)  # others divide by it
    return [reached.get(layer, 1.0) for layer in range(1, last + 1)]


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

    If the shrinking connections are divided by it, the spectral radius of all norms is sqrt(c).

    Parameters
    ----------
    n_layers : int
        L.
    norms : dict of (source, target) to float
        Spectral norms of the connections between layers 1..L.
    shrinking : collection of (source, target)
        The connections in M. All others lead to later layers.
    bound : float
        c in (0, 1).

    Returns
    -------
    float
        At most 1 if the bound is kept; infinite if a norm is not finite.
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

    Power iteration tracks the spectral norms. It takes one step per update, from the vector of the
    last update, which costs two products with a single row per connection. It finds a lower bound
    of the norm, which is tight once the vector has converged.

    Parameters
    ----------
    network : Network
    bound : float
        c in (0, 1).
    vectors : list of array or None
        `vectors` of an earlier guard, to continue from.

    Attributes
    ----------
    vectors : list of array
        Leading left singular vector, (1, n_source), of each forward connection between layers
        1..L, then of each feedback connection. For connections that are pooled by the maximum, that
        of their envelope.
    """

    def __init__(
        self, network: Network, bound: float, vectors: list[np.ndarray] | None = None
    ) -> None:
        self._network = network
        self._bound = bound
        # The clamped input is part of no loop.
        self._forward = [c.envelope for c in network.forward if c.source > 0]
        self._connections = [*self._forward, *(c.envelope for c in network.feedback)]
        backend, dtype = network.backend, network.dtype
        self._starts = [backend.from_host(unit_row(c.n_source), dtype) for c in self._connections]
        if vectors is None:
            self.vectors = list(self._starts)
            self.enforce(WARM_UP_STEPS)
        else:
            self.vectors = [backend.from_host(vector, dtype) for vector in vectors]

    def enforce(self, n_steps: int = 1) -> None:
        """Refine the norms by `n_steps` of power iteration, and shrink loops beyond the bound."""
        xp, norms = self._network.backend.xp, []
        for index, connection in enumerate(self._connections):
            for _ in range(n_steps):
                self.vectors[index], norm = power_step(
                    xp, connection, self.vectors[index], self._starts[index]
                )
            norms.append(norm.ravel()[0])
        found = self._network.backend.numbers(norms)
        if self._network.wiring.is_layered:
            self._shrink_loops(found)
        else:
            self._shrink_all(found)

    def _shrink_loops(self, norms: list[float]) -> None:
        """Layers in a row: shrink each loop that is too strong, separately."""
        limit = allowed_loop_product(self._network.n_layers, self._bound)
        n_loops = len(self._forward)
        for block, up, down in zip(
            self._network.feedback_blocks, norms[:n_loops], norms[n_loops:], strict=True
        ):
            product = up * down
            if product > limit:
                block *= limit / product

    def _shrink_all(self, norms: list[float]) -> None:
        """Any other graph: shrink all feedback, lateral connections included, by one factor.

        Feedback that leads down by n levels shrinks by the n-th power (see `Wiring.strengths`).
        """
        network = self._network
        of_pair = {
            (connection.source, connection.target): norm
            for connection, norm in zip(self._connections, norms, strict=True)
        }
        excess = excess_gain(network.n_layers, of_pair, network.wiring.feedback, self._bound)
        if 1 < excess < math.inf:
            for block, span in zip(network.feedback_blocks, network.wiring.spans, strict=True):
                block /= excess**span


def power_step(xp: Any, connection: Connection, rows: Array, starts: Array) -> tuple[Array, Array]:
    """One step of power iteration from each row, and the norms that it finds.

    No number is read, so that a device need not wait.

    Parameters
    ----------
    xp : module
    connection : Connection
        A linear one.
    rows : array of shape (n_rows, n_source)
        Rows about as long as 1.
    starts : array of shape (n_rows, n_source)
        Fixed directions, mixed in with the factor `EXPLORATION`.

    Returns
    -------
    rows : array of shape (n_rows, n_source)
        Closer to the leading left singular vector; about as long as 1.
    norms : array of shape (n_rows, 1)
        Lower bounds of the connection's spectral norm; 0 for a row that is mapped to 0.
    """
    images = connection.apply(rows)
    back = connection.apply_transposed(images / _not_zero(xp, _row_norms(xp, images)))
    norms = _row_norms(xp, back)
    return back / _not_zero(xp, norms) + EXPLORATION * starts, norms


def _row_norms(xp: Any, rows: Array) -> Array:
    """Euclidean norm of each row, shape (n_rows, 1)."""
    return xp.sqrt((rows * rows).sum(axis=1, keepdims=True))


def _not_zero(xp: Any, norms: Array) -> Array:
    """Norms to divide by: a tiny number instead of 0."""
    return xp.maximum(norms, xp.finfo(norms.dtype).tiny)


@cache
def unit_row(size: int) -> np.ndarray:
    """A random direction, (1, size), the same every time.

    Power iteration can start from any vector with a part along the leading singular vector. A fixed
    draw keeps fits reproducible, and does not touch the user's random stream.
    """
    draw = np.random.RandomState(0).standard_normal((1, size))
    draw /= np.linalg.norm(draw)
    draw.flags.writeable = False
    return draw
