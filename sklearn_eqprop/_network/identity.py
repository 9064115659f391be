"""The identity as a connection: a residual connection between two layers of one shape."""

from __future__ import annotations

from sklearn_eqprop._backend.array_backend import Array


class Identity:
    """Each unit drives the unit at its own place with the weight 1. Nothing is learned.

    Parameters
    ----------
    source, target : int
        Layer numbers.
    weights : array of shape (0,)
        It is empty, so that learning can treat this connection as any other.
    n_units : int
        Units of each of the two layers.
    """

    n_uses = 1
    gain = 1.0
    pool = None

    def __init__(self, source: int, target: int, weights: Array, n_units: int) -> None:
        self.source = source
        self.target = target
        self.weights = weights
        self.n_source = self.n_target = n_units

    @property
    def envelope(self) -> Identity:
        return self

    def apply(self, pre: Array) -> Array:
        return pre.copy()

    def apply_transposed(self, post: Array) -> Array:
        return post.copy()

    def local_change(self, pre: Array, delta: Array) -> Array:
        """Return an empty array, because nothing is learned."""
        return self.weights.copy()

    def weighted_change(self, pre: Array, delta: Array) -> Array:
        return self.weights.copy()

    def reach(self, pre: Array) -> Array:
        """Return 0 for each sample, because no weight can change."""
        return pre[:, :0].sum(axis=1)

    def mirror(self, array: Array) -> Array:
        return array
