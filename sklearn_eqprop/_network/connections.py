"""Connections: how one layer drives another, and how each learns locally.

A connection has three operations: `apply` (the drive that it adds to its target),
`apply_transposed` (the same weights in the reverse direction) and `local_change` (the product of
the activities on its two sides, which is all that a synapse can measure). No code outside this
folder depends on the kind of connection.
"""

from __future__ import annotations

from typing import Any, Protocol

from scipy import sparse

from sklearn_eqprop._backend.array_backend import Array

#: Source and target layer of a connection.
Pair = tuple[int, int]


class Connection(Protocol):
    """One term in the drive of a layer.

    If it reads the inputs, `pre` may be a CSR array. The connection multiplies with that or makes
    it dense.

    Attributes
    ----------
    source, target : int
        Layer numbers; 0 is the input.
    weights : array
        Changed in place by learning.
    n_source, n_target : int
        Units of its source and of its target.
    n_uses : int
        Number of places in which each weight is used; 1 except for convolutions.
    gain : float
        Factor on the weights; 1 except for tied feedback.
    """

    source: int
    target: int
    weights: Array
    n_source: int
    n_target: int
    n_uses: int

    @property
    def gain(self) -> float: ...

    @property
    def pool(self) -> Any:
        """The `PooledConvolution` whose winners make this connection linear; None: it is linear."""

    @property
    def envelope(self) -> Connection:
        """A linear connection with the same weights, whose norm is an upper bound for this one."""

    def apply(self, pre: Array) -> Array:
        """Drive of the target layer, from the source layer's rates (n_samples, n_source)."""

    def apply_transposed(self, post: Array) -> Array:
        """The same weights in reverse, from (n_samples, n_target) to (n_samples, n_source)."""

    def local_change(self, pre: Array, delta: Array) -> Array:
        """Σ over samples of pre ⊗ delta, in the shape of the weights (Eq. 18)."""

    def weighted_change(self, pre: Array, delta: Array) -> Array:
        """As `local_change`, each product times the weight between the two units."""

    def reach(self, pre: Array) -> Array:
        """Largest effect of a weight change on the drive, for each sample, shape (n_samples,).

        If the weights change by `local_change`, `apply` changes by at most this per unit of delta:
        ||pre||² if no weight is shared.
        """

    def mirror(self, array: Array) -> Array:
        """A view that turns the shape of the forward weights beside it into its own, or back."""


def _product(left: Array, right: Array) -> Array:
    """``left @ right``. An outer product by * is the same, and faster: @ does not use BLAS then."""
    if right.shape[0] == 1 and not sparse.issparse(left) and not sparse.issparse(right):
        return left * right
    return left @ right


class Dense:
    """Every unit of `source` drives every unit of `target`.

    Parameters
    ----------
    source, target : int
        Layer numbers; 0 is the input.
    weights : array of shape (n_source, n_target)
        The array itself is used, not a copy.
    """

    n_uses = 1
    gain = 1.0
    pool = None

    def __init__(self, source: int, target: int, weights: Array) -> None:
        self.source = source
        self.target = target
        self.weights = weights
        self.n_source, self.n_target = weights.shape

    @property
    def envelope(self) -> Dense:
        return self

    def apply(self, pre: Array) -> Array:
        return pre @ self.weights if self.n_source > 1 else _product(pre, self.weights)

    def apply_transposed(self, post: Array) -> Array:
        return post @ self.weights.T if self.n_target > 1 else _product(post, self.weights.T)

    def local_change(self, pre: Array, delta: Array) -> Array:
        """The product pre^T @ delta; for dense `pre` in the memory order of the weights."""
        flags = self.weights.flags
        if flags.f_contiguous and not flags.c_contiguous:
            return _product(delta.T, pre).T
        return _product(pre.T, delta)

    def weighted_change(self, pre: Array, delta: Array) -> Array:
        change = self.local_change(pre, delta)
        change *= self.weights
        return change

    def reach(self, pre: Array) -> Array:
        return (pre * pre).sum(axis=1)

    def mirror(self, array: Array) -> Array:
        return array.T


class Reversed:
    """A connection used in reverse: feedback with the geometry of a forward connection.

    Parameters
    ----------
    along : Connection
        Connection in the opposite direction, which holds the weights of the feedback.
    """

    def __init__(self, along: Connection) -> None:
        self.along = along
        self.source = along.target
        self.target = along.source
        self.weights = along.weights
        self.n_source = along.n_target
        self.n_target = along.n_source
        self.n_uses = along.n_uses

    @property
    def gain(self) -> float:
        return 1.0

    @property
    def pool(self) -> Any:
        return self.along.pool

    @property
    def envelope(self) -> Reversed:
        return self._through(self.along.envelope)

    def holding(self, winners: Array) -> Reversed:
        """The same connection with these winners in its pooling."""
        return self._through(self.along.pool.holding(winners))

    def _through(self, along: Connection) -> Reversed:
        """The same feedback along another form of the connection."""
        return Reversed(along)

    def apply(self, pre: Array) -> Array:
        return self.along.apply_transposed(pre)

    def apply_transposed(self, post: Array) -> Array:
        return self.along.apply(post)

    def local_change(self, pre: Array, delta: Array) -> Array:
        """The change in the shape of the weights, which belong to the other direction."""
        return self.along.local_change(delta, pre)

    def weighted_change(self, pre: Array, delta: Array) -> Array:
        return self.along.weighted_change(delta, pre)

    def reach(self, pre: Array) -> Array:
        return self.along.reach(pre)

    def mirror(self, array: Array) -> Array:
        """The array itself: the weights have the forward shape."""
        return array


class TiedFeedback(Reversed):
    """Feedback B = γ F^T through the weights F of a forward connection (energy-based networks).

    It has no weights of its own, only its strength γ. F learns from the activities of both
    directions. γ = 1 is the feedback of Scellier & Bengio (2017).

    Parameters
    ----------
    along : Connection
        The forward connection whose weights are shared.
    strength : array of shape ()
        γ, on the host. The array itself is used, not a copy.
    """

    def __init__(self, along: Connection, strength: Any) -> None:
        super().__init__(along)
        self.strength = strength

    @property
    def gain(self) -> float:
        return float(self.strength)

    def _through(self, along: Connection) -> TiedFeedback:
        return TiedFeedback(along, self.strength)

    def apply(self, pre: Array) -> Array:
        drive = super().apply(pre)
        drive *= self.gain
        return drive

    def apply_transposed(self, post: Array) -> Array:
        drive = super().apply_transposed(post)
        drive *= self.gain
        return drive

    def reach(self, pre: Array) -> Array:
        return self.gain * super().reach(pre)
