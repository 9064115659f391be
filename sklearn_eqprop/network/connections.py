"""Connections: how one layer drives another, and what each can learn locally.

A connection knows three things: `apply` (the drive it adds to its target),
`apply_transposed` (the same weights used in the reverse direction) and `local_change`
(the product of activities on its two sides, the only thing a synapse can measure).
Nothing outside this folder knows what kind of connection it deals with.
"""

from __future__ import annotations

from typing import Protocol

from sklearn_eqprop.backend.array_backend import Array


class Connection(Protocol):
    """One term in the drive of a layer.

    Attributes
    ----------
    source, target : int
        Layer numbers; 0 is the input.
    weights : array
        What it learns; changed in place by learning.
    """

    source: int
    target: int
    weights: Array

    def apply(self, pre: Array) -> Array:
        """Drive of the target layer, from the source layer's rates (n_samples, n_source)."""
        ...

    def apply_transposed(self, post: Array) -> Array:
        """The same weights in reverse: from (n_samples, n_target) to (n_samples, n_source)."""
        ...

    def local_change(self, pre: Array, delta: Array) -> Array:
        """Σ over samples of pre ⊗ delta, in the shape of the weights (Eq. 18)."""
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

    def __init__(self, source: int, target: int, weights: Array) -> None:
        self.source = source
        self.target = target
        self.weights = weights

    def apply(self, pre: Array) -> Array:
        """See `Connection.apply`."""
        return pre @ self.weights

    def apply_transposed(self, post: Array) -> Array:
        """See `Connection.apply_transposed`."""
        return post @ self.weights.T

    def local_change(self, pre: Array, delta: Array) -> Array:
        """See `Connection.local_change`; laid out in memory like the weights."""
        flags = self.weights.flags
        if flags.f_contiguous and not flags.c_contiguous:
            return (delta.T @ pre).T
        return pre.T @ delta


class TiedFeedback:
    """Feedback through the weights of a forward connection, transposed.

    It has no weights of its own: what it would learn is added to what the forward
    connection learns (Scellier & Bengio 2017, energy-based networks).

    Parameters
    ----------
    forward : Connection
        The connection whose weights are shared.
    """

    def __init__(self, forward: Connection) -> None:
        self.forward = forward
        self.source = forward.target
        self.target = forward.source
        self.weights = forward.weights

    def apply(self, pre: Array) -> Array:
        """See `Connection.apply`."""
        return self.forward.apply_transposed(pre)

    def apply_transposed(self, post: Array) -> Array:
        """See `Connection.apply_transposed`."""
        return self.forward.apply(post)

    def local_change(self, pre: Array, delta: Array) -> Array:
        """See `Connection.local_change`; in the shape of the forward weights."""
        return self.forward.local_change(delta, pre)
