"""Connections: how one layer drives another, and what each can learn locally.

A connection knows three things: `apply` (the drive it adds to its target),
`apply_transposed` (the same weights used in the reverse direction) and `local_change`
(the product of activities on its two sides, the only thing a synapse can measure).
Nothing outside this folder knows what kind of connection it deals with.
"""

from __future__ import annotations

import operator
from typing import Any, Protocol

from scipy import sparse

from sklearn_eqprop._backend.array_backend import Array


class Connection(Protocol):
    """One term in the drive of a layer.

    Where it reads the inputs, `pre` may be a CSR array: it makes products with that, or makes it
    dense.

    Attributes
    ----------
    source, target : int
        Layer numbers; 0 is the input.
    weights : array
        What it learns; changed in place by learning.
    n_source, n_target : int
        Units it reads and units it drives.
    n_uses : int
        In how many places each weight is used; 1 but for convolutions.
    """

    source: int
    target: int
    weights: Array
    n_source: int
    n_target: int
    n_uses: int

    @property
    def pool(self) -> Any:
        """The `PooledConvolution` it works by, whose winners make it linear; None: it is linear."""
        ...

    @property
    def envelope(self) -> Connection:
        """A linear connection through the same weights whose norm it never exceeds."""
        ...

    def apply(self, pre: Array) -> Array:
        """Drive of the target layer, from the source layer's rates (n_samples, n_source)."""
        ...

    def apply_transposed(self, post: Array) -> Array:
        """The same weights in reverse: from (n_samples, n_target) to (n_samples, n_source)."""
        ...

    def local_change(self, pre: Array, delta: Array) -> Array:
        """Σ over samples of pre ⊗ delta, in the shape of the weights (Eq. 18)."""
        ...

    def reach(self, pre: Array) -> Array:
        """How far a change of the weights carries, for each sample, shape (n_samples,).

        The most, per unit of delta, that `apply` moves when the weights move by what
        `local_change` measures: ||pre||² where every synapse has a weight of its own.
        """
        ...

    def mirror(self, array: Array) -> Array:
        """Weights in the shape of the forward ones it runs beside, in that of its own, as a view.

        Or the other way round: twice is the array itself.
        """
        ...


class Dense:
    """Every unit of `source` drives every unit of `target`.

    Parameters
    ----------
    source, target : int
        Layer numbers; 0 is the input.
    weights : array of shape (n_source, n_target)
        Used as it is, never copied.
    """

    n_uses = 1
    pool = None

    def __init__(self, source: int, target: int, weights: Array) -> None:
        self.source = source
        self.target = target
        self.weights = weights
        self.n_source, self.n_target = weights.shape

    @property
    def envelope(self) -> Dense:
        """See `Connection.envelope`."""
        return self

    def apply(self, pre: Array) -> Array:
        """See `Connection.apply`."""
        return pre @ self.weights

    def apply_transposed(self, post: Array) -> Array:
        """See `Connection.apply_transposed`."""
        return post @ self.weights.T

    def local_change(self, pre: Array, delta: Array) -> Array:
        """See `Connection.local_change`; laid out in memory like the weights, for dense `pre`."""
        flags = self.weights.flags
        # Of a single row a plain product is the same, which NumPy's @ would not leave to BLAS.
        is_one_row = pre.shape[0] == 1 and not sparse.issparse(pre)
        multiply = operator.mul if is_one_row else operator.matmul
        if flags.f_contiguous and not flags.c_contiguous:
            return multiply(delta.T, pre).T
        return multiply(pre.T, delta)

    def reach(self, pre: Array) -> Array:
        """See `Connection.reach`."""
        return (pre * pre).sum(axis=1)

    def mirror(self, array: Array) -> Array:
        """See `Connection.mirror`."""
        return array.T


class Reversed:
    """A connection used in the transposed direction: feedback of the geometry of a forward one.

    Parameters
    ----------
    along : Connection
        It leads the other way; its weights are those of the feedback.
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
    def pool(self) -> Any:
        """See `Connection.pool`."""
        return self.along.pool

    @property
    def envelope(self) -> Reversed:
        """See `Connection.envelope`."""
        return Reversed(self.along.envelope)

    def holding(self, winners: Array) -> Reversed:
        """The same with these winners in the pooling it works by."""
        return type(self)(self.along.pool.holding(winners))

    def apply(self, pre: Array) -> Array:
        """See `Connection.apply`."""
        return self.along.apply_transposed(pre)

    def apply_transposed(self, post: Array) -> Array:
        """See `Connection.apply_transposed`."""
        return self.along.apply(post)

    def local_change(self, pre: Array, delta: Array) -> Array:
        """See `Connection.local_change`; in the shape of the weights it uses."""
        return self.along.local_change(delta, pre)

    def reach(self, pre: Array) -> Array:
        """See `Connection.reach`; the same of both directions."""
        return self.along.reach(pre)

    def mirror(self, array: Array) -> Array:
        """See `Connection.mirror`; its weights have the forward shape."""
        return array


class TiedFeedback(Reversed):
    """Feedback through the weights of a forward connection, transposed.

    It has no weights of its own: what it would learn is added to what the forward
    connection learns (Scellier & Bengio 2017, energy-based networks).

    Parameters
    ----------
    forward : Connection
        The connection whose weights are shared.
    """

    @property
    def forward(self) -> Connection:
        """The connection whose weights are shared."""
        return self.along
